"""The recorder with a real store that another program locks, fills or lets go."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from taskmem_ros.clips import FAILED, INACTIVE, NO_FRAMES, Clip, Frame, Gap
from taskmem_ros.memory import Store, StoreError
from taskmem_ros.nodes import recorder
from taskmem_ros.policy import Draft
from taskmem_ros.policy.policy import Provenance

S = 1_000_000_000
POLICY = SimpleNamespace(provenance=Provenance("m", "r", "", "p"))
TEXT = Draft("Anna waved.", "", 1, 4, 0.1, None)
NO_TEXT = Draft(None, "{", 2, 4, 0.1, "no JSON")


def clip(second: int = 0) -> Clip:
    frame = Frame(second * S, "front", np.zeros((48, 64, 3), np.uint8))
    return Clip("front", 0, second * S, (second + 10) * S, (frame,))


class Desk:
    """A store with a recorder, what it published, and the lock of another program."""

    def __init__(self, path):
        self.store = Store.open(path, busy_seconds=0.05)
        self.memories, self.gaps = [], []
        self.recorder = recorder.Recorder(self.store, POLICY, self.memories.append, self.gaps.append, 32)
        self._other = sqlite3.connect(path, isolation_level=None)

    def lock(self):
        self._other.execute("BEGIN IMMEDIATE")

    def unlock(self):
        self._other.execute("ROLLBACK")

    def close(self):
        self.recorder.close()
        self.store.close()
        self._other.close()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "RETRY_S", 0.05)
    with closing(Desk(tmp_path / "m.db")) as desk:
        yield desk


def wait(condition, seconds: float = 20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("draft", [TEXT, NO_TEXT])
def test_a_clip_that_could_not_be_stored_is_a_gap_when_the_store_is_back(desk, draft):
    desk.lock()
    with pytest.raises(StoreError):
        desk.recorder.memory(clip(), draft)
    assert "locked" in desk.recorder.error
    time.sleep(0.3)  # several tries in vain
    desk.unlock()
    wait(lambda: desk.gaps)
    gap = Gap("front", 0, 0, 10 * S, FAILED)
    assert desk.gaps == [gap] == desk.store.coverage() and desk.memories == []
    wait(lambda: desk.recorder.error == "")
    assert "locked" in desk.recorder.last_error and desk.recorder.gap_seconds == {FAILED: 10.0}


def test_gaps_wait_for_the_store_in_their_order(desk):
    gaps = [Gap("front", 0, n * S, (n + 1) * S, NO_FRAMES) for n in range(3)]
    desk.lock()
    desk.recorder.gaps(gaps)
    wait(lambda: desk.recorder.error)
    assert desk.gaps == []
    desk.unlock()
    wait(lambda: len(desk.gaps) == 3)
    assert desk.gaps == gaps and desk.store.coverage() == [Gap("front", 0, 0, 3 * S, NO_FRAMES)]


def test_close_says_what_it_gives_up(desk, caplog):
    desk.lock()
    desk.recorder.gaps([Gap("front", 0, n * S, (n + 1) * S, NO_FRAMES) for n in range(3)])
    desk.recorder.unfinished([clip(20)])
    began = time.monotonic()
    with caplog.at_level(logging.ERROR, recorder.__name__):
        desk.recorder.close()
    assert time.monotonic() - began < 2.0
    (last,) = [line for line in caplog.messages if "given up" in line]
    assert "4 gaps (13 s)" in last and "locked" in last
    desk.unlock()
    assert desk.store.coverage() == []


def test_close_writes_what_is_left(desk):
    desk.recorder.unfinished([clip(20), clip(50)])
    desk.recorder.close()
    assert [(gap.start_ns, gap.reason) for gap in desk.store.coverage()] == [
        (20 * S, INACTIVE),
        (50 * S, INACTIVE),
    ]


def test_what_was_stored_and_not_published_is_stored(desk, caplog):
    def refuse(_):
        raise RuntimeError("no publisher")

    desk.recorder._published_memory = desk.recorder._published_gap = refuse
    desk.recorder.memory(clip(), TEXT)
    desk.recorder.gaps([Gap("front", 0, 10 * S, 20 * S, NO_FRAMES)])
    wait(lambda: len(caplog.messages) == 2)
    assert all("stored" in line and "not published" in line for line in caplog.messages)
    assert desk.recorder.error == "" and len(desk.store.memories()) == len(desk.store.coverage()) == 1


def test_a_success_ends_an_error(desk):
    desk.lock()
    with pytest.raises(StoreError):
        desk.recorder.memory(clip(), TEXT)
    desk.unlock()
    desk.recorder.memory(clip(10), TEXT)
    assert desk.recorder.error == "" and [memory.start_ns for memory in desk.memories] == [10 * S]
