"""What is forgotten is gone from the ring of clips, too, bytes included; and from bundles that wait."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from ring_clips import S, clip, remember

from taskmem_ros.clips import FAILED, FORGOTTEN, Gap
from taskmem_ros.clips.jpeg import JpegClip
from taskmem_ros.memory import Store
from taskmem_ros.memory.forget import Forgotten, Place, Selection
from taskmem_ros.memory.outgoing import Outgoing
from taskmem_ros.memory.retention import Retention
from taskmem_ros.memory.ring import ClipRing, ring_path

MB = 1_000_000


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        yield store


def fill(store, count=12):
    """Clips in two rooms, one without a memory; the observer walks along x, and is lost in the last three."""
    ring, clips = ClipRing(store, 50 * MB), []
    for number in range(count):
        camera, x = "yard" if number % 4 == 3 else "hall", None if number >= count - 3 else float(number)
        clips.append(clip(number, camera, x=x))
        if number == 4:
            store.add_failure(camera, 0, clips[-1].start_ns, clips[-1].end_ns, raw="{", error="cut off")
            store.add_gap(Gap(camera, 0, clips[-1].start_ns, clips[-1].end_ns, FAILED))
        else:
            remember(store, clips[-1])
        ring.add(clips[-1])
    return ring, clips


def traces(store, clips):
    """The numbers of those clips of which anything is in the bytes of the ring or its log."""
    path = ring_path(store.path)
    data = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    pieces = {
        number: [
            frame.jpeg[at : at + 24]
            for frame in JpegClip.of(one).frames
            for at in range(900, len(frame.jpeg), 400)
        ]
        for number, one in enumerate(clips)
    }
    assert all(len(found) > 20 for found in pieces.values())
    return [number for number, found in pieces.items() if any(piece in data for piece in found)]


def left(ring):
    return [kept.start_ns // (10 * S) for kept in ring.kept()]


SELECTIONS = {
    "a time": (Selection(since_ns=25 * S, until_ns=55 * S), [2, 3, 4, 5]),
    "a camera": (Selection(camera="yard"), [3, 7, 11]),
    "a place": (Selection(place=Place(4.0, 1.0, 1.5)), [3, 4, 5]),
    "a place and a time": (Selection(since_ns=50 * S, place=Place(4.0, 1.0, 1.5)), [5]),
    "all": (Selection(), list(range(12))),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_nothing_of_it_is_left_in_the_bytes(store, name):
    what, gone = SELECTIONS[name]
    ring, clips = fill(store)
    assert traces(store, clips) == list(range(12)) and store.to_forget(what).clips == len(gone)
    assert store.forget(what).clips == len(gone)
    stay = [number for number in range(12) if number not in gone]
    assert left(ring) == stay == traces(store, clips)
    assert not store.unfinished_forgetting() and store.forget(what) == Forgotten(
        answers=0, unplaced=store.to_forget(what).unplaced
    )
    ring.add(clip(20))
    assert left(ring) == [*stay, 20]


def test_what_was_evicted_before_left_nothing_either(store):
    ring = ClipRing(store, MB)
    clips = [clip(number, size=96) for number in range(40)]
    for one in clips:
        remember(store, one)
        ring.add(one)
    kept = left(ring)
    assert 3 < len(kept) < 30 and set(kept) <= set(traces(store, clips))
    store.forget(Selection(until_ns=395 * S))
    assert traces(store, clips) == left(ring) == []


def test_a_clip_that_comes_late_is_not_kept(store):
    ring, (late, other) = ClipRing(store, MB), (clip(3), clip(4))
    remember(store, late)
    store.forget(Selection(until_ns=40 * S))
    assert ring.add(late) is None and ring.add(other) == 1
    assert left(ring) == [4] and traces(store, [late, other]) == [1]


def test_what_was_cut_off_is_finished(store, monkeypatch):
    ring, clips = fill(store)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("taskmem_ros.memory.forget.remove_traces", lambda path, patience_s: 1 / 0)
        store.forget(Selection(camera="yard"))
    assert left(ring) == list(range(12)), "the memories went, the clips did not"
    assert store.to_forget(Selection(camera="yard")).clips == 3 and store.unfinished_forgetting()
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("taskmem_ros.memory.ring.remove_traces", lambda path, patience_s: 1 / 0)
        store.forget(Selection(camera="none"))
    assert 3 not in left(ring) and store.unfinished_forgetting()
    store.forget(Selection(camera="none"))
    assert not store.unfinished_forgetting()
    assert traces(store, clips) == left(ring) == [0, 1, 2, 4, 5, 6, 8, 9, 10]


def test_retention_takes_clips_too(store):
    ring, _ = fill(store)
    store.retain(Retention(max_age_s=60), now_ns=115 * S)
    assert left(ring) == [5, 6, 7, 8, 9, 10, 11], "the failed one, too"
    with store._connections.write() as db:
        db["coverage"].insert(vars(Gap("yard", 0, 70 * S, 71 * S, FORGOTTEN)))
    store.retain(Retention(max_age_s=60), now_ns=110 * S)
    assert left(ring) == [5, 6, 8, 9, 10, 11]


def test_a_bundle_that_waits_is_made_anew(store, tmp_path):
    fill(store)
    task = store.add_task("Where is the mug?")
    store.finish_task(task.id, "answered", answer="here", evidence=[(1, 1.0)])
    for sequence, name in ((1, "sent"), (2, "waits")):
        (tmp_path / name).write_bytes(b"bundle")
        made = Outgoing(sequence, "id", str(tmp_path / name), "sha", 6, "frames", 1, 11, 5)
        assert store.add_outgoing(made, store.never_sent()[0], [], forgets=0)
        store.note_pushed(1)
    store.forget(Selection(camera="none"))
    assert (tmp_path / "waits").exists(), "nothing was forgotten"
    assert store.forget(Selection(camera="yard")).clips == 3
    assert [made.sequence for made in store.outgoing()] == [1] and not (tmp_path / "waits").exists()
    assert store.forgets() == 1 and not store.add_outgoing(made, [], [], forgets=0)
    assert (tmp_path / "sent").exists() and store.never_sent()[0] == [] and store.next_sequence() == 3


def test_retention_goes_on_without_a_ring_that_is_in_use(store, monkeypatch, caplog):
    monkeypatch.setattr("taskmem_ros.memory.ring_file.BUSY_MS", 20)
    ring, _ = fill(store)
    with closing(sqlite3.connect(ring.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert store.retain(Retention(max_age_s=60), now_ns=115 * S).memories == 4
        assert "clips of what is forgotten stay until the next run" in caplog.text
        other.execute("ROLLBACK")
    assert left(ring) == list(range(12))
    store.retain(Retention(max_age_s=60), now_ns=115 * S)
    assert left(ring) == [5, 6, 7, 8, 9, 10, 11]
