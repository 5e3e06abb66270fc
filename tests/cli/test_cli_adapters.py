"""adapters: list, show, activate, rollback, pin, on a robot's store and in an exchange."""

from __future__ import annotations

import json

import pytest

from taskmem_ros.cli import main
from taskmem_ros.memory import Store

BASE = "0123456789ab"


@pytest.fixture
def workshop(tmp_path):
    from steer_packages import Workshop

    return Workshop(tmp_path, "demo", BASE)


@pytest.fixture
def robot(tmp_path, workshop):
    """A robot's store with three adapters: good, in use and watched, refused; gives (database, their ids)."""
    database = tmp_path / "robot" / "memory.db"
    with Store.open(database) as store:
        store.set_base("demo", BASE)
        folders = [workshop.make(database.parent / "adapters") for _ in range(3)]
        ids = [store.add_adapter((folder / "manifest.json").read_bytes(), folder).id for folder in folders]
        store.take_over(ids[0])
        store.set_adapter_state(ids[0], "good")
        store.take_over(ids[1])
        store.set_adapter_state(ids[2], "refused", "no memory of 3 of 8 clips")
    return database, ids


@pytest.fixture
def adapters(capsys, robot, workshop):
    """Runs `taskmem adapters ...` on that store; gives (status, stdout, stderr)."""

    def run(*words, keyring=False):
        more = ["--keyring", str(workshop.keyring)] if keyring else []
        status = main(["adapters", *words, "--database", str(robot[0]), *more])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def use(robot):
    with Store.open(robot[0], read_only=True) as store:
        return store.adapter_use()


def test_list_and_show(adapters, robot):
    first, second, third = robot[1]
    status, out, _ = adapters("list")
    lines = out.splitlines()
    assert status == 0 and len(lines) == 3
    assert lines[0].startswith(f"  {first}") and "good" in lines[0] and "steer for demo" in lines[0]
    assert lines[1].startswith(f"* {second}") and "watched" in lines[1]
    assert "refused" in lines[2] and "no memory of 3 of 8 clips" in lines[2]
    records = [json.loads(line) for line in adapters("list", "--json")[1].splitlines()]
    assert [(record["id"], record["in_use"]) for record in records] == [
        (first, False),
        (second, True),
        (third, False),
    ]
    status, out, _ = adapters("show", second)
    assert status == 0 and BASE in out and "taken_over" in out and "staged" in out
    status, _, err = adapters("show", "nothing")
    assert status == 2 and "no adapter 'nothing'" in err and err.count("\n") == 1


def test_activate_rollback_pin(adapters, robot):
    first, second, third = robot[1]
    status, out, err = adapters("rollback")
    assert (status, out) == (0, "") and f"Adapter {second} is given up; adapter {first} is in use" in err
    assert use(robot).in_use == first
    status, _, err = adapters("activate", third, keyring=True)
    assert status == 0 and use(robot).in_use == third and f"Adapter {third} is in use" in err
    adapters("pin")
    for words in (("rollback",), ("activate", "none")):
        status, _, err = adapters(*words)
        assert status == 2 and "pinned" in err and use(robot).in_use == third
    assert "pinned" in adapters("list")[1].splitlines()[2]
    adapters("unpin")
    assert adapters("activate", "none")[0] == 0 and use(robot).in_use == ""
    status, _, err = adapters("rollback")
    assert status == 2 and "nothing before it" in err


def test_what_the_agent_would_not_load_is_not_activated(adapters, robot):
    first, second, _ = robot[1]
    weights = robot[0].parent / "adapters" / first / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    status, _, err = adapters("activate", first, keyring=True)
    assert status == 2 and first in err and err.count("\n") == 1
    assert adapters("activate", "nothing", keyring=True)[0] == 2
    assert use(robot).in_use == second


def test_those_of_an_exchange(adapters, workshop, tmp_path):
    exchange = tmp_path / "exchange"
    folder = workshop.make(exchange / "adapters")
    status, out, _ = adapters("list", "--exchange", str(exchange), keyring=True)
    assert status == 0 and folder.name in out and "signed by workshop" in out
    out = adapters("show", folder.name, "--exchange", str(exchange), keyring=True)[1]
    assert BASE in out and "signed by workshop" in out
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes().replace(b"demo", b"omed"))
    out = adapters("list", "--exchange", str(exchange), keyring=True)[1]
    assert "not trusted" in out and "signature" in out
    assert adapters("list", "--exchange", str(tmp_path / "empty"), keyring=True)[0] in (1, 2)


def test_one_in_an_exchange_that_cannot_be_read_hides_no_other(adapters, workshop, tmp_path):
    exchange = tmp_path / "exchange"
    huge, whole = (workshop.make(exchange / "adapters") for _ in range(2))
    (huge / "manifest.json").write_bytes(b" " * 10_000_000)
    status, out, _ = adapters("list", "--exchange", str(exchange), keyring=True)
    assert status == 0 and huge.name in out and "not trusted" in out
    assert whole.name in out and "signed by workshop" in out
    status, _, err = adapters("list", "--exchange", str(tmp_path / "gone"), keyring=True)
    assert status == 2 and "gone" in err and err.count("\n") == 1
