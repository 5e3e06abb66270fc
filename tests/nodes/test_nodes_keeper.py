"""The keeper with a real store: at the start, when the policy changes, and what it says."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from taskmem_ros.clips import Gap
from taskmem_ros.memory import Store
from taskmem_ros.memory.retention import Retention
from taskmem_ros.nodes.agent_parameters import AGENT
from taskmem_ros.nodes.diagnostics import ERROR, OK, WARN, store_status
from taskmem_ros.nodes.keeper import Keeper, retention
from taskmem_ros.nodes.parameters import defaults
from taskmem_ros.nodes.recorder import Recorder

S = 1_000_000_000
DAY = 86400 * S


def wait(condition, seconds: float = 30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "m.db") as store:
        for day in range(4):
            store.add_memory("hall", 0, day * DAY, day * DAY + 10 * S, f"Day {day}.", thumbnail=b"x" * 500)
        yield store


def test_at_the_start_and_when_the_policy_changes(store):
    gaps = []
    with closing(Keeper(store, Retention(max_age_s=86400 * 1.5), lambda: 3 * DAY, gaps.append)) as keeper:
        wait(lambda: keeper.taken["memories"] == 2)
        assert gaps == [Gap("hall", 0, day * DAY, day * DAY + 10 * S, "forgotten") for day in (0, 1)]
        keeper.apply(Retention(max_age_s=86400 * 0.5))
        wait(lambda: keeper.taken["memories"] == 3)
        assert [memory.text for memory in store.memories()] == ["Day 3."] and keeper.error == ""
    assert len(gaps) == 3


def test_without_a_limit_it_does_nothing(store):
    with closing(Keeper(store, Retention(), lambda: 3 * DAY, print)) as keeper:
        keeper.apply(Retention(thumbnail_bytes_per_day=100))
        wait(lambda: keeper.taken["thumbnails"] == 4)
    assert len(store.memories()) == 4


def test_the_parameters_make_the_policy():
    values = defaults(AGENT)
    assert not retention(values)
    values |= {
        "retention.max_age_days": 2.0,
        "retention.max_megabytes": 3.5,
        "thumbnails.megabytes_per_day": 0.5,
    }
    assert retention(values) == Retention(172800.0, 3_500_000, 500_000)


def test_what_diagnostics_say(store, tmp_path):
    recorder = Recorder(store, None, print, print, 0)
    keeper = Keeper(store, Retention(max_bytes=1), lambda: 3 * DAY, lambda gap: None)
    with closing(recorder), closing(keeper):
        wait(lambda: keeper.last)
        status = store_status(store.path, recorder, keeper, None)
        assert status.level == WARN and "over retention.max_megabytes" in status.message
        assert status.values["memories forgotten"] == 4 and status.values["bytes"] > 0
        keeper.last = None
        assert store_status(store.path, recorder, keeper, None).level == OK
        recorder.error = "it is full"
        assert store_status(store.path, recorder, keeper, None).level == ERROR
        assert "gone" in store_status(tmp_path / "none.db", recorder, keeper, None).message


def test_a_store_that_refuses_is_told_of_and_tried_again(store, caplog):
    keeper = Keeper(store, Retention(), lambda: 3 * DAY, print)
    with closing(keeper):
        store.close()
        store.path.rename(store.path.with_name("away.db"))
        store.path.mkdir()
        keeper.apply(Retention(max_age_s=1))
        wait(lambda: keeper.error)
        assert "retention failed" in keeper.error and any(
            "retention failed" in line for line in caplog.messages
        )
        store.path.rmdir()
        store.path.with_name("away.db").rename(store.path)
        keeper.apply(Retention(max_age_s=2))
        wait(lambda: keeper.taken["memories"] == 3)
        assert keeper.error == ""
