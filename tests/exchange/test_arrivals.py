"""Which adapters of a real exchange folder come to a robot, and what becomes of hostile and broken ones."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_adapters import BASE, KEY, OTHER_KEY, ROBOT, manifest, package, put

from taskmem_ros.exchange.arrivals import MOST_PULLS, Arrivals, newest_staged
from taskmem_ros.exchange.notebook import Notebook
from taskmem_ros.exchange.package import MANIFEST_FILE, SIGNATURE_FILE
from taskmem_ros.exchange.place import Place
from taskmem_ros.memory import Store

ID = manifest().id
WEIGHTS = "adapter_model.safetensors"


class Robot:
    """A robot's store with an agent's base model, an exchange in a folder, and looks at it."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "place"
        (self.place / "adapters").mkdir(parents=True)
        self.home = folder / "robot"
        self.home.mkdir()
        self.keyring = self.home / "trusted_keys"
        self.keyring.write_text(KEY.public_line("workshop") + "\n")
        self.database = self.home / "m.db"
        with Store.open(self.database) as store:
            store.set_base("demo", BASE)

    def publish(self, id: str = ID, **other) -> Path:
        """A signed adapter in the exchange, with these values in its manifest."""
        return put(self.place / "adapters" / id, package(**{"id": id, **other}))

    def look(self, robot: str = ROBOT) -> Arrivals:
        """One round's look, with the notebook as it lies on the disk."""
        with Store.open(self.database) as store, Place(str(self.place), retries=0) as place:
            notebook = Notebook.beside(store.path)
            arrivals = Arrivals(store, place, notebook, robot, str(self.keyring))
            arrivals.look()
        return arrivals

    def events(self) -> list[tuple[str, str, str]]:
        with Store.open(self.database, read_only=True) as store:
            return [(e.event, e.adapter, e.message) for e in reversed(store.adapter_events())]

    def staged(self) -> list[str]:
        with Store.open(self.database, read_only=True) as store:
            assert newest_staged(store) == (
                ids[-1] if (ids := [r.id for r in store.adapters("staged")]) else ""
            )
            return ids

    def left_over(self) -> list[str]:
        """What lies among the adapters and is none that the store knows."""
        folder = self.home / "adapters"
        with Store.open(self.database, read_only=True) as store:
            known = {row.id for row in store.adapters()}
        return sorted(set(os.listdir(folder)) - known) if folder.exists() else []


@pytest.fixture
def robot(tmp_path):
    return Robot(tmp_path)


def test_an_empty_exchange(robot):
    arrivals = robot.look()
    assert (arrivals.staged, arrivals.refused, arrivals.notes) == ("", [], [])


def test_a_good_one_is_staged_once(robot):
    robot.publish()
    assert robot.look().staged == ID
    assert robot.staged() == [ID] and robot.left_over() == []
    with Store.open(robot.database, read_only=True) as store:
        row = store.adapter(ID)
    assert row.folder == robot.home / "adapters" / ID and row.serial == 3
    assert {path.name: path.read_bytes() for path in row.folder.iterdir()} == package()
    again = robot.look()
    assert (again.staged, again.refused, dict(again.passed_over)) == ("", [], {})


def test_the_newest_of_several_comes_and_older_ones_never_do(robot):
    for serial in (4, 9, 7):
        robot.publish(f"20261123T0315-robot1-{serial:08}", serial=serial)
    assert robot.look().staged.endswith("9")
    assert dict(robot.look().passed_over) == {"older": 2}
    assert dict(robot.look().passed_over) == {"older": 2}, "also by what is noted"
    # A replay: an old adapter, well signed, under a newer date and another name.
    robot.publish("20991231T0000-robot1-00000001", serial=8)
    arrivals = robot.look()
    assert arrivals.staged == "" and dict(arrivals.passed_over) == {"older": 3}


def test_one_that_was_rolled_back_never_comes_again(robot):
    robot.publish()
    robot.look()
    with Store.open(robot.database) as store:
        store.take_over(ID)
        store.roll_back("worse")
    shutil.rmtree(robot.home / "adapters" / ID)
    robot.publish("20991231T0000-robot1-00000001", serial=3)  # the same serial, too
    arrivals = robot.look()
    assert arrivals.staged == "" and robot.staged() == []
    robot.publish("20261124T0315-robot1-00000001", serial=4)
    assert robot.look().staged == "20261124T0315-robot1-00000001"


def test_what_is_for_another_base_or_robot_is_passed_over(robot):
    robot.publish("other-base", base_revision="another", serial=50)
    robot.publish("other-robot", robots=("robot2",), serial=60)
    robot.publish("for-all", robots=(), serial=2)
    arrivals = robot.look()
    assert arrivals.staged == "for-all"
    assert dict(arrivals.passed_over) == {"for another base model": 1, "for another robot": 1}
    with Store.open(robot.database) as store:  # the robot has another model now
        store.set_base("other", "another")
    assert robot.look().staged == "other-base"


def flip(path: Path, at: int = -3) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def in_manifest(folder: Path) -> None:
    flip(folder / MANIFEST_FILE)


def in_signature(folder: Path) -> None:
    flip(folder / SIGNATURE_FILE)


def in_weights(folder: Path) -> None:
    flip(folder / WEIGHTS)


def without_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def longer(folder: Path) -> None:
    with (folder / WEIGHTS).open("ab") as file:
        file.write(bytes(1_000_000))


def garbage(folder: Path) -> None:
    (folder / MANIFEST_FILE).write_bytes(os.urandom(4000))


def endless(folder: Path) -> None:
    with (folder / MANIFEST_FILE).open("wb") as file:
        file.truncate(10 << 30)


def a_link(folder: Path) -> None:
    """To the same content: pulled it would be a good file, but a link may lead anywhere tomorrow."""
    secret = folder.parents[2] / "secret"
    secret.write_text("what nobody shall have")
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(secret)


def a_signature_of_another(folder: Path) -> None:
    put(folder, package(key=OTHER_KEY))


def of_another_id(folder: Path) -> None:
    put(folder, package(id="another"))


@pytest.mark.parametrize(
    "damage",
    [
        in_manifest, in_signature, in_weights, without_weights, longer, garbage, endless, a_link,
        a_signature_of_another, of_another_id,
    ],
)  # fmt: skip
def test_a_bad_one_is_refused_once_with_a_sentence_and_an_older_good_one_comes(robot, damage):
    damage(robot.publish())
    robot.publish("20261122T0315-robot1-00000002", serial=2)
    arrivals = robot.look()
    assert arrivals.staged == "20261122T0315-robot1-00000002"
    ((id, sentence),) = arrivals.refused
    assert id == ID and len(sentence.splitlines()) == 1 and 20 < len(sentence) < 400, sentence
    assert ("refused", ID, sentence) in robot.events()
    assert robot.left_over() == []
    for _ in range(MOST_PULLS + 1):
        assert (robot.look().refused, robot.look().staged) == ([], ""), "not again every night"
    assert [event for event, id, _ in robot.events() if id == ID] == ["refused"]


def test_one_that_was_put_right_comes_after_all(robot):
    garbage(robot.publish())
    assert len(robot.look().refused) == 1
    robot.publish()
    assert robot.look().staged == ID


def test_files_damaged_on_the_way_are_pulled_again(robot):
    in_weights(robot.publish())
    assert len(robot.look().refused) == 1
    robot.publish()  # the same manifest and signature
    assert robot.look().staged == ID


def test_without_its_signature_it_does_not_exist(robot):
    (robot.publish() / SIGNATURE_FILE).unlink()
    arrivals = robot.look()
    assert (arrivals.staged, arrivals.refused) == ("", [])


def test_a_revoked_key_and_one_that_is_trusted_later(robot):
    robot.keyring.write_text(f"revoked {KEY.public_line('workshop')}\n")
    robot.publish()
    ((_, sentence),) = robot.look().refused
    assert "revoked" in sentence
    assert robot.look().refused == []
    robot.keyring.write_text(f"{KEY.public_line('workshop')}\n")
    assert robot.look().staged == ID


def test_without_a_keyring_or_an_agent_it_says_what_is_missing(robot):
    robot.publish()
    keys = robot.keyring.read_text()
    robot.keyring.unlink()
    arrivals = robot.look()
    assert arrivals.staged == "" and "taskmem keys trust" in arrivals.notes[0]
    robot.keyring.write_text(keys)
    robot.database.unlink()
    with Store.open(robot.database):
        pass
    arrivals = robot.look()
    assert arrivals.staged == "" and "no agent has said" in arrivals.notes[0]


def test_what_an_earlier_round_left_is_taken_or_thrown_away(robot):
    robot.publish()
    whole = put(robot.home / "adapters" / ID, package())  # cut off before the store knew
    left = robot.home / "adapters" / f".{ID}.m.db.partial"
    put(left, {"half": b"x"})
    others = put(robot.home / "adapters" / f".{ID}.other.db.partial", {"half": b"x"})
    inode = whole.stat().st_ino
    assert robot.look().staged == ID and whole.stat().st_ino == inode
    assert others.exists(), "another robot's, whose store is beside this one, is at work on it"

    robot.publish("20261124T0315-robot1-00000001", serial=4)
    put(robot.home / "adapters" / "20261124T0315-robot1-00000001", package(serial=5) | {"more": b"x"})
    assert robot.look().staged == "20261124T0315-robot1-00000001"
    assert robot.left_over() == [f".{ID}.other.db.partial"]


def test_a_link_where_the_adapter_is_to_lie_is_not_followed(robot, tmp_path):
    robot.publish()
    elsewhere = put(tmp_path / "elsewhere", {"precious": b"x"})
    (robot.home / "adapters").mkdir()
    (robot.home / "adapters" / ID).symlink_to(elsewhere)
    (robot.home / "adapters" / f".{ID}.m.db.partial").symlink_to(elsewhere)
    assert robot.look().staged == ID
    assert not (robot.home / "adapters" / ID).is_symlink()
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]


def test_other_things_in_the_exchange_do_no_harm(robot):
    robot.publish()
    for name in ("..evil", ".hidden", "a b", "x" * 200, "-rf", "weird\nname", "ünïcode"):
        put(robot.place / "adapters" / name, package())
    (robot.place / "adapters" / "a-file").write_bytes(b"x")
    (robot.place / "adapters" / "loop").symlink_to(robot.place / "adapters")
    os.mkfifo(robot.place / "adapters" / "pipe")
    arrivals = robot.look()
    assert arrivals.staged == ID
    assert len(arrivals.refused) <= 1 and robot.left_over() == []


def test_killed_anywhere_the_next_round_brings_it(tmp_path):
    """Killed before its 1st, 2nd, 3rd ... operation on files among the adapters, until it comes through."""
    for number in range(1, 200):
        robot = Robot(tmp_path / str(number))
        robot.publish()
        child = os.fork()
        if not child:
            kill_before(number, robot.home / "adapters")
            robot.look()
            os._exit(0)
        ended = os.waitpid(child, 0)[1]
        assert robot.look().staged == ("" if ended == 0 else ID)
        assert robot.staged() == [ID] and robot.left_over() == []
        if ended == 0:
            break
    assert 10 < number < 200


def kill_before(number: int, folder: Path) -> None:
    """This process, by SIGKILL, before its n-th operation below the folder."""
    left = number

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and str(
            arguments[0]
        ).startswith(str(folder)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def test_many_adapters_have_their_turn_in_several_rounds(robot, monkeypatch):
    monkeypatch.setattr("taskmem_ros.exchange.arrivals.MOST_READ", 5)
    for number in range(12):
        robot.publish(f"202611{number + 10}T0315-robot1-0000000a", serial=number + 1, robots=("robot2",))
    assert "7 more adapters" in robot.look().notes[0]
    assert "2 more adapters" in robot.look().notes[0]
    assert robot.look().notes == []
    assert dict(robot.look().passed_over) == {"for another robot": 12}


def test_a_notebook_that_is_damaged_costs_another_look(robot):
    in_manifest(robot.publish())
    assert len(robot.look().refused) == 1
    notebook = Notebook.beside(robot.database)
    assert notebook.seen[ID].why == "refused"
    notebook.path.write_text('{"format": 1, "seen": {"x": 3}}')
    assert len(robot.look().refused) == 1


def test_notes_are_there_again(tmp_path):
    notebook = Notebook.beside(tmp_path / "m.db")
    assert notebook.succeeded_ns is None
    notebook.succeeded_ns = 5
    notebook.write()
    assert replace(Notebook.beside(tmp_path / "m.db")) == notebook
