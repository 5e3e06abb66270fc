"""Clips are kept from a thread of its own; what hinders that hinders nothing else."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from taskmem_ros.clips import Clip, Frame
from taskmem_ros.memory import Store, ring_file
from taskmem_ros.memory.retention import Retention
from taskmem_ros.memory.ring import ClipRing
from taskmem_ros.nodes import frames
from taskmem_ros.nodes.diagnostics import OK, WARN, store_status
from taskmem_ros.nodes.frames import FrameKeeper
from taskmem_ros.nodes.keeper import Keeper
from taskmem_ros.nodes.recorder import Recorder

S, MB = 1_000_000_000, 1_000_000


def clip(number: int, camera: str = "front", episode: int = 0) -> Clip:
    image = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
    stamps = [10 * number * S, (10 * number + 5) * S]
    pictures = tuple(Frame(stamp, camera, image) for stamp in stamps)
    return Clip(camera, episode, stamps[0], stamps[0] + 10 * S, pictures)


def wait(condition, seconds: float = 30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        yield store


def starts(ring):
    return [(kept.camera, kept.start_ns // (10 * S), kept.after is None) for kept in ring.kept()]


def test_runs_are_those_of_the_policy(store):
    ring = ClipRing(store)
    with closing(FrameKeeper(ring, MB)) as keeper:
        for number, one in enumerate(
            [clip(0), clip(0, "rear"), clip(1), clip(1, "rear"), clip(2, episode=1)]
        ):
            keeper.put(one)
            wait(lambda done=number + 1: keeper.kept == done)
    assert starts(ring) == [
        ("front", 0, True), ("rear", 0, True), ("front", 1, False), ("rear", 1, False), ("front", 2, True),
    ]  # fmt: skip
    with closing(FrameKeeper(ring, MB)) as keeper:
        keeper.put(clip(3, episode=1))
        for number in (4, 10):
            keeper.put(clip(number, episode=1))
    assert starts(ring)[-3] == ("front", 3, True), "the policy's window begins anew with an agent"
    assert starts(ring)[-2:] == [("front", 4, False), ("front", 10, True)], "and after a long pause"


def test_a_locked_ring_costs_clips_and_nothing_else(store, monkeypatch, caplog):
    monkeypatch.setattr(ring_file, "BUSY_MS", 20)
    ring = ClipRing(store)
    with closing(FrameKeeper(ring, MB)) as keeper:
        keeper.put(clip(0))
        wait(lambda: keeper.kept == 1)
        with closing(sqlite3.connect(ring.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in (1, 2):
                keeper.put(clip(number))
                wait(lambda done=number: keeper.lost == done)
            assert "locked" in keeper.error and "clips are not kept for learning" in keeper.error
            other.execute("ROLLBACK")
        for number in (3, 4):
            keeper.put(clip(number))
            wait(lambda done=number: keeper.kept == done - 1)
        assert keeper.error == "" and "locked" in keeper.last_error
    assert starts(ring) == [("front", 0, True), ("front", 3, True), ("front", 4, False)]
    assert len([line for line in caplog.messages if "not kept" in line]) == 1


def test_a_slow_disk_costs_clips_and_nothing_else(store, monkeypatch):
    ring = ClipRing(store)
    monkeypatch.setattr(ring_file, "BUSY_MS", 60_000)
    with closing(FrameKeeper(ring, MB)) as keeper:
        keeper.put(clip(0))
        wait(lambda: keeper.kept == 1)
        with closing(sqlite3.connect(ring.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(1, frames.WAITING + 4):
                keeper.put(clip(number))  # returns at once, or this test would not end
            assert keeper.lost >= 2 and "clips wait" in keeper.error
            other.execute("ROLLBACK")
        wait(lambda: keeper.kept + keeper.lost == frames.WAITING + 4)
        keeper.put(clip(50))
    found = starts(ring)
    assert found[-1] == ("front", 50, True), "what was before it is not there"
    assert all(opens == (number == 0) for _, number, opens in found[:-1])


def test_the_limit_may_change_and_0_removes_the_file(store):
    ring = ClipRing(store)
    with closing(FrameKeeper(ring, 0)) as keeper:
        keeper.put(clip(0))
        keeper.limit(MB)
        keeper.put(clip(1))
        wait(lambda: keeper.kept == 1)
        assert ring.path.exists()
        keeper.limit(0)
        keeper.put(clip(2))
        wait(lambda: not ring.path.exists())
        assert keeper.lost == 0 and ring.bytes == 0
    ring.resize(MB)
    ring.add(clip(3))
    with closing(FrameKeeper(ring, 0)):
        wait(lambda: not ring.path.exists())


def test_what_diagnostics_say(store):
    recorder = Recorder(store, None, print, print, 0)
    retention = Keeper(store, Retention(), lambda: 0, print)
    with closing(recorder), closing(retention), closing(FrameKeeper(ClipRing(store), MB)) as keeper:
        keeper.put(clip(0))
        wait(lambda: keeper.kept == 1)
        status = store_status(store.path, recorder, retention, None, keeper)
        assert status.level == OK and (status.values["clips kept"], status.values["clips not kept"]) == (1, 0)
        assert 0 < status.values["bytes of kept clips"] <= MB
        keeper.limit(100)
        keeper.put(clip(2))
        wait(lambda: keeper.lost)
        status = store_status(store.path, recorder, retention, None, keeper)
        assert status.level == WARN and "clips are not kept for learning" in status.message
        assert "give it more (frames.gigabytes)" in status.values["last error"]
