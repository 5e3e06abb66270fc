"""A place in a folder, behind two sftp servers and in an object store: real servers, the same promises."""

from __future__ import annotations

import threading

import asyncssh
import pytest
from place_things import ADAPTER, KINDS, MB, adapter, bundle, kind_of_place, put_raw, sizes

from taskmem_ros.exchange.card import BundleCard
from taskmem_ros.exchange.place import Place
from taskmem_ros.exchange.place_errors import NotInPlace, PlaceConflict, PlaceDamaged, PlaceError


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    with kind_of_place(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture
def exchange(kind, tmp_path):
    """(make, root, robot): each test has a robot of its own."""
    make, root, _port = kind
    return make, root, f"robot-{tmp_path.name.replace('_', '-')[:40]}"


def test_a_bundle_goes_in_and_comes_out(exchange, tmp_path):
    make, _root, robot = exchange
    path, card = bundle(tmp_path / "out", robot, size=3 * MB)
    assert make().push_bundle(path, card) is True
    assert make().bundles(robot) == [card]
    assert robot in make().robots()
    pulled = make().pull_bundle(card, tmp_path / "in")
    assert pulled == tmp_path / "in" / f"00000001-{card.id}.bundle"
    assert pulled.read_bytes() == path.read_bytes()
    assert [found.name for found in pulled.parent.iterdir()] == [pulled.name]


def test_what_is_there_is_not_pushed_again_and_never_changed(exchange, tmp_path):
    make, _root, robot = exchange
    path, card = bundle(tmp_path, robot)
    other, other_card = bundle(tmp_path, robot, seed=1)
    place = make()
    assert place.push_bundle(path, card) is True
    assert place.push_bundle(path, card) is False
    with pytest.raises(PlaceConflict, match="is there already with other content"):
        place.push_bundle(other, other_card)
    assert place.pull_bundle(card, tmp_path / "in").read_bytes() == path.read_bytes()


def test_bundles_come_by_robot_and_sequence_and_known_ones_are_not_read(exchange, tmp_path):
    make, _root, robot = exchange
    place, cards = make(), []
    for name, sequence in ((f"{robot}b", 1), (f"{robot}a", 12), (f"{robot}a", 2)):
        path, card = bundle(tmp_path, name, sequence)
        place.push_bundle(path, card)
        cards.append(card)
    one, twelve, two = cards
    ours = [card for card in place.bundles() if card.robot.startswith(robot)]
    assert ours == [two, twelve, one]
    assert place.bundles(f"{robot}a", skip={two.id}) == [twelve]
    assert place.bundles("nobody") == []


def test_a_push_that_was_cut_off_is_nothing_and_is_finished_by_the_next(exchange, tmp_path):
    make, root, robot = exchange
    path, card = bundle(tmp_path, robot, size=MB)
    base = f"bundles/{robot}"
    put_raw(make, root, f"{base}/.{card.bundle_name}.0123.partial", b"half")
    put_raw(make, root, f"{base}/.other.bundle.0123.partial", b"of another")
    assert make().bundles(robot) == []
    put_raw(make, root, f"{base}/{card.bundle_name}", path.read_bytes())
    assert make().bundles(robot) == []
    assert make().push_bundle(path, card) is True
    assert make().bundles(robot) == [card]
    if root is not None:
        left = {found.name for found in (root / base).iterdir()}
        assert left == {card.bundle_name, f"{card.stem}.json", ".other.bundle.0123.partial"}


def test_half_a_bundle_that_a_host_without_power_left_is_replaced(exchange, tmp_path):
    make, root, robot = exchange
    path, card = bundle(tmp_path, robot, size=MB)
    put_raw(make, root, f"bundles/{robot}/{card.bundle_name}", path.read_bytes()[:1000])
    assert make().push_bundle(path, card) is True
    assert make().pull_bundle(card, tmp_path / "in").read_bytes() == path.read_bytes()


def test_what_is_not_as_its_card_says_is_not_pulled_and_nothing_of_it_stays(exchange, tmp_path):
    make, root, robot = exchange
    path, card = bundle(tmp_path, robot, size=MB)
    make().push_bundle(path, card)
    for data in (b"short", path.read_bytes() + b"x", bytes(MB)):
        put_raw(make, root, f"bundles/{robot}/{card.bundle_name}", data)
        with pytest.raises(PlaceDamaged, match=card.bundle_name):
            make().pull_bundle(card, tmp_path / "in")
        assert list((tmp_path / "in").iterdir()) == [] if (tmp_path / "in").exists() else True
    with pytest.raises(NotInPlace):
        make().pull_bundle(bundle(tmp_path, robot, 77)[1], tmp_path / "in")


def test_a_file_that_is_not_its_card_is_not_pushed(exchange, tmp_path):
    make, _root, robot = exchange
    path, card = bundle(tmp_path, robot)
    path.write_bytes(b"changed since")
    with pytest.raises(PlaceDamaged, match="make the card again"):
        make().push_bundle(path, card)
    path.unlink()
    with pytest.raises(PlaceError, match="cannot be read"):
        make().push_bundle(path, card)
    assert make().bundles(robot) == []


def test_cards_that_are_none_are_passed_over_with_a_line(exchange, tmp_path, caplog):
    make, root, robot = exchange
    path, card = bundle(tmp_path, robot, 2)
    make().push_bundle(path, card)
    folder = f"bundles/{robot}"
    for sequence, data in ((3, b"{"), (4, card.to_bytes()), (5, b"x" * 70_000), (6, b"")):
        put_raw(make, root, f"{folder}/{sequence:08}-{card.id}.json", data)
    put_raw(make, root, f"{folder}/readme.json", b"not ours")
    assert make().bundles(robot) == [card]
    assert caplog.text.count(" passed over: ") == 4


def test_names_that_are_none_never_become_paths(exchange, tmp_path):
    make, root, _robot = exchange
    for name in ("..", "../..", ".hidden", "a/b", "a\nb", "", "x" * 65):
        with pytest.raises(PlaceError, match="is no name of"):
            make().bundles(name)
        with pytest.raises(PlaceError, match="is no name of"):
            make().adapter_manifest(name)
        with pytest.raises(PlaceError, match="is no name of"):
            make().pull_adapter(name, tmp_path / "in", {})
    with pytest.raises(PlaceError, match="has no file"):
        make().pull_adapter(ADAPTER, tmp_path / "in", {"../x": 1})
    put_raw(make, root, "bundles/not a robot/x", b"")
    put_raw(make, root, "adapters/not an adapter/manifest.sig", b"x" * 64)
    assert "not a robot" not in make().robots()
    assert "not an adapter" not in make().adapters()


def test_an_adapter_goes_in_and_comes_out(exchange, tmp_path):
    make, _root, robot = exchange
    folder = adapter(tmp_path, robot)
    assert make().push_adapter(folder) is True
    assert make().push_adapter(folder) is False
    assert robot in make().adapters() and robot not in make().adapters(skip={robot})
    manifest, signature = make().adapter_manifest(robot)
    assert (manifest, signature) == (
        (folder / "manifest.json").read_bytes(),
        (folder / "manifest.sig").read_bytes(),
    )
    pulled = make().pull_adapter(robot, tmp_path / "in" / robot, sizes(folder))
    assert {p.name: p.read_bytes() for p in pulled.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }


def test_an_adapter_without_its_signature_is_none_and_another_of_its_id_is_refused(exchange, tmp_path):
    make, root, robot = exchange
    folder = adapter(tmp_path / "a", robot)
    for name in ("adapter_model.safetensors", "adapter_config.json", "manifest.json"):
        put_raw(make, root, f"adapters/{robot}/{name}", (folder / name).read_bytes())
    assert robot not in make().adapters()
    with pytest.raises(NotInPlace, match=r"manifest\.sig"):
        make().adapter_manifest(robot)
    other = adapter(tmp_path / "b", robot, seed="other")
    with pytest.raises(PlaceConflict):  # two workstations: not a file of one beside a signature of the other
        make().push_adapter(other)
    assert make().push_adapter(folder) is True
    with pytest.raises(PlaceConflict):
        make().push_adapter(other)


def test_an_unsigned_manifest_is_replaced_by_the_key_that_it_names_alone(exchange, tmp_path):
    make, root, robot = exchange
    folder = adapter(tmp_path / "a", robot)
    (folder / "manifest.json").write_text('{"key":"ours","serial":2}')
    put_raw(make, root, f"adapters/{robot}/manifest.json", b'{"key":"theirs","serial":1}')
    with pytest.raises(PlaceConflict):
        make().push_adapter(folder)
    put_raw(make, root, f"adapters/{robot}/manifest.json", b'{"key":"ours","serial":1}')
    assert make().push_adapter(folder) is True
    assert make().adapter_manifest(robot)[0] == (folder / "manifest.json").read_bytes()


def test_an_adapter_of_another_size_than_was_signed_is_not_pulled(exchange, tmp_path):
    make, root, robot = exchange
    folder = adapter(tmp_path, robot)
    make().push_adapter(folder)
    with pytest.raises(PlaceDamaged, match=r"700 bytes and not 699"):
        make().pull_adapter(robot, tmp_path / "in", {"adapter_model.safetensors": 699})
    put_raw(make, root, f"adapters/{robot}/manifest.json", b" " * 300_000)
    with pytest.raises(PlaceDamaged, match="has more than"):
        make().adapter_manifest(robot)
    (folder / "manifest.sig").unlink()
    with pytest.raises(PlaceError, match="cannot be read"):
        make().push_adapter(folder)


def test_robots_and_workstations_at_once(exchange, tmp_path):
    """Each bundle and adapter by two of them, and a reader who never sees half of one."""
    make, _root, robot = exchange
    things = [bundle(tmp_path, f"{robot}{letter}", n, size=200_000) for letter in "ab" for n in (1, 2)]
    folders = [adapter(tmp_path, f"{robot}-{n}") for n in (1, 2)]
    results, failures, pulled = [], [], {}
    done = threading.Event()

    def push() -> None:
        try:
            with make() as place:
                results.extend(place.push_bundle(*thing) for thing in things)
                results.extend(place.push_adapter(folder) for folder in folders)
        except Exception as error:
            failures.append(error)

    def read() -> None:
        try:
            with make() as place:
                while not done.is_set():
                    for name in ("a", "b"):
                        for card in place.bundles(f"{robot}{name}"):
                            pulled[card.stem + card.robot] = place.pull_bundle(
                                card, tmp_path / "in" / card.robot
                            )
                    for id in place.adapters():
                        if id.startswith(robot):
                            place.pull_adapter(id, tmp_path / "in" / id, sizes(folders[0]))
        except Exception as error:
            failures.append(error)

    pushers = [threading.Thread(target=push) for _ in range(2)]
    reader = threading.Thread(target=read)
    for thread in (reader, *pushers):
        thread.start()
    for thread in pushers:
        thread.join()
    done.set()
    reader.join()
    assert failures == []
    assert len(results) == 12 and results.count(True) >= 6
    assert [card for card in make().bundles() if card.robot.startswith(robot)] == [card for _, card in things]


def test_of_two_writers_the_slower_one_is_swept_away_and_has_pushed(exchange, tmp_path, monkeypatch):
    """The other has the name, and has removed what this one wrote, before this one looks why."""
    make, _root, robot = exchange
    path, card = bundle(tmp_path / "out", robot)
    rename, beaten = asyncssh.SFTPClient.rename, []

    async def late(client, partial, target, *more):
        await rename(client, partial, target, *more)
        beaten.append(target)
        raise asyncssh.SFTPFailure("File already exists")

    monkeypatch.setattr(asyncssh.SFTPClient, "rename", late)
    assert make().push_bundle(path, card) is True
    assert make().bundles(robot) == [card]
    assert bool(beaten) == ("sftp" in make().url)


def test_progress_is_told_for_each_block(exchange, tmp_path):
    make, _root, robot = exchange
    path, card = bundle(tmp_path, robot, size=12 * MB)
    told = []
    with make(progress=lambda done, total, what: told.append((done, total, what.split()[0]))) as place:
        place.push_bundle(path, card)
        place.pull_bundle(card, tmp_path / "in")
    for what in ("push", "pull"):
        steps = [done for done, total, verb in told if verb == what and total == card.bytes]
        assert steps[-1] == card.bytes and len(steps) >= 3


def test_cards_are_read_strictly():
    card = BundleCard("robot1", "store", 1, "0" * 16, 10, "a" * 64)
    assert BundleCard.from_bytes(card.to_bytes()) == card
    good = card.to_bytes().decode()
    for bad in (
        good.replace('"bytes":10', '"bytes":true'), good.replace('"bytes":10', '"bytes":-1'),
        good.replace('"bytes":10', '"bytes":1e3'), good.replace('"format":1', '"format":2'),
        good.replace('"robot1"', '"../x"'), good.replace('"sequence":1', '"sequence":100000000'),
        good.replace("{", '{"more":1,'), good.replace("{", '{"robot":"robot1",'), good[:-4], "[]",
        "[" * 30_000, good.replace('"tasks":0', '"tasks":NaN'), good.replace('"memories":0,', ""),
        good + " " * 70_000,
        good.replace('"contents":"memories"', '"contents":"all"'), good.replace("a" * 64, "A" * 64),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="card"):
            BundleCard.from_bytes(bad.encode())


def test_an_exchange_that_is_not_there_is_no_empty_one(tmp_path):
    with pytest.raises(NotInPlace, match="there is no exchange at"):
        Place(tmp_path / "nowhere").bundles()
    path, card = bundle(tmp_path)
    with pytest.raises(PlaceError):  # a mount that is missing is not made up
        Place(tmp_path / "no" / "where").push_bundle(path, card)
    assert Place(tmp_path / "new").push_bundle(path, card) is True


def test_what_cannot_be_read_keeps_nobody_from_the_others(tmp_path, caplog):
    """Such as what another writes with a mode of its own; here, what leads to itself or is no file."""
    place = Place(tmp_path)
    place.push_adapter(adapter(tmp_path / "out"))
    (tmp_path / "adapters" / "loop").symlink_to("loop")
    path, card = bundle(tmp_path / "out")
    place.push_bundle(path, card)
    (tmp_path / "bundles" / "robot1" / f"00000002-{card.id}.json").mkdir()
    (tmp_path / "bundles" / "robot2").symlink_to("robot2")
    assert place.adapters() == [ADAPTER]
    assert place.bundles("robot1") == place.bundles() == [card]
    for what in ("adapters/loop", "00000002-", "bundles/robot2"):
        assert any(what in line for line in caplog.messages)
