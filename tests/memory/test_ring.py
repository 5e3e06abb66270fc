"""The ring of kept clips: what goes in comes out, and it is never larger than it may be."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from ring_clips import S, clip, remember

from taskmem_ros.clips import Window
from taskmem_ros.clips.jpeg import jpeg_to_rgb, rgb_to_jpeg
from taskmem_ros.memory import Store, StoreError
from taskmem_ros.memory.ring import ClipRing, ring_path
from taskmem_ros.memory.ring_file import FREE

MB = 1_000_000


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        yield store


def on_disk(store: Store) -> int:
    path = ring_path(store.path)
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def test_what_goes_in_comes_out(store):
    ring = ClipRing(store, 10 * MB)
    assert ring.kept() == [] == list(ring.clips()) == ring.contexts(5) and ring.bytes == 0
    given = [clip(0), clip(1, x=2.0), clip(1, "yard"), clip(2)]
    for number, one in enumerate(given):
        assert ring.add(one, opens=number in (0, 2)) == number + 1
    found = list(ClipRing(store).clips())
    assert [c.opens for c in found] == [True, False, True, False]
    for held, one in zip(found, given, strict=True):
        assert (held.camera, held.episode, held.start_ns, held.end_ns) == (
            one.camera, one.episode, one.start_ns, one.end_ns,
        )  # fmt: skip
        assert [(f.stamp_ns, f.pose) for f in held.frames] == [(f.stamp_ns, f.pose) for f in one.frames]
        assert [f.jpeg for f in held.frames] == [rgb_to_jpeg(f.image) for f in one.frames]
    assert ring.bytes == on_disk(store) > sum(len(f.jpeg) for c in found for f in c.frames)
    assert ring_path(Path("/robot/memory.db")) == Path("/robot/memory.frames.db")
    again = clip(1, x=3.0)
    ring.add(again)
    assert [
        c.frames[0].pose.x for c in ring.clips() if c.start_ns == again.start_ns and c.frames[0].pose
    ] == [3.0]


def test_a_run_is_cut_where_a_clip_is_missing(store):
    ring = ClipRing(store, 10 * MB)
    for number in range(5):
        ring.add(clip(number), opens=number == 3)
    assert [c.after for c in ring.kept()] == [None, 1, 2, None, 4]
    with sqlite3.connect(ring.path) as db:
        db.execute("DELETE FROM clips WHERE id = 2")
    assert [c.after for c in ring.kept()] == [None, None, None, 4]
    ClipRing(store, 10 * MB).add(clip(9))
    assert ring.kept()[-1].after is None, "another agent's window was empty"


def test_what_was_kept_before_the_file_was_begun_anew_is_before_nothing_in_it(store):
    ring = ClipRing(store, 10 * MB)
    for number in range(2):
        ring.add(clip(number))
    ring.resize(0)
    ring.resize(10 * MB)
    for number in range(2, 5):
        ring.add(clip(number))
    assert [c.after for c in ring.kept()] == [None, 1, 2]


def test_contexts_are_what_the_policy_saw(store):
    ring, window, given = ClipRing(store, 50 * MB), {"hall": Window(5), "yard": Window(5)}, []
    for number in range(14):
        camera = "yard" if number % 3 == 2 else "hall"
        one = clip(number, camera)
        given.append((camera, *window[camera].push(one)))
        if number not in (4, 6, 7):  # these failed
            remember(store, one)
            window[camera].remember(f"Number {number}.")
        ring.add(one, opens=len([g for g in given if g[0] == camera]) == 1)
    found = ring.contexts(100)
    assert len(found) == 14
    for (camera, clips, memories), (our_clips, our_memories) in zip(given, found, strict=True):
        assert our_memories == memories and {c.camera for c in our_clips} == {camera}
        assert [c.start_ns for c in our_clips] == [c.start_ns for c in clips]
        for ours, theirs in zip(our_clips, clips):
            for frame, seen in zip(ours.frames, theirs.frames, strict=True):
                assert np.array_equal(frame.image, jpeg_to_rgb(rgb_to_jpeg(seen.image)))
    assert [memories for _, memories in ring.contexts(3)] == [g[2] for g in given[-3:]]
    assert [m for _, m in ring.contexts(2, camera="yard")] == [g[2] for g in given if g[0] == "yard"][-2:]
    assert max(len(clips) for clips, _ in ring.contexts(9, window=2)) == 2


def test_the_oldest_goes_and_the_file_is_never_too_large(store):
    limit, ring, largest, done = 2 * MB, ClipRing(store, 2 * MB), [0], threading.Event()

    def look():
        while not done.is_set():
            largest[0] = max(largest[0], on_disk_now())

    def on_disk_now():
        try:
            return on_disk(store)
        except FileNotFoundError:  # the log went between two looks
            return 0

    watch = threading.Thread(target=look)
    watch.start()
    try:
        for number in range(120):
            # Small ones, large ones, many frames: from 40 to 400 kB.
            ring.add(clip(number, size=(64, 160, 96)[number % 3], frames=(4, 4, 12)[number % 3]))
            assert on_disk(store) <= limit
    finally:
        done.set()
        watch.join()
    assert largest[0] <= limit < 2 * on_disk(store)
    kept = ring.kept()
    assert kept[-1].start_ns == 1190 * S and len(kept) > 4
    assert [c.start_ns for c in kept] == [10 * n * S for n in range(120 - len(kept), 120)]
    assert all(jpeg_to_rgb(f.jpeg).shape for c in ring.clips() for f in c.frames)
    ring.resize(MB)
    assert on_disk(store) <= MB and [c.id for c in ring.kept()] == [119, 120][-len(ring.kept()) :] != []
    with pytest.raises(
        StoreError, match=r"may have 1.0 MB, and one clip needs \d+\.\d MB more; give it more"
    ):
        ring.add(clip(500, size=900))
    ring.resize(0)
    assert on_disk(store) == 0 and ring.kept() == []


def test_memories_need_the_disk_more(store, monkeypatch):
    ring, usage, free = ClipRing(store, 2 * MB), shutil.disk_usage, [10 * FREE]

    def fuller(path):
        """The real disk, with the file's bytes taken from what is said to be free."""
        return usage(path)._replace(free=free[0] - ring.bytes)

    monkeypatch.setattr("taskmem_ros.memory.ring_file.shutil.disk_usage", fuller)
    for number in range(40):
        ring.add(clip(number))
    before = on_disk(store)
    assert MB < before <= 2 * MB
    free[0] = FREE + MB // 2
    ring.add(clip(40))
    assert MB // 8 < on_disk(store) <= MB // 2 and ring.kept()[-1].start_ns == 400 * S
    free[0] = FREE
    with pytest.raises(StoreError, match=r"no room for a clip: \d+ MB free on its disk, of which 200 MB"):
        ring.add(clip(41))
    ring.resize(0)
    with pytest.raises(StoreError, match="no room for a clip"):
        ring.add(clip(41))
    assert on_disk(store) == 0, "no file is made in vain"
    free[0] = 10 * FREE
    ring.resize(2 * MB)
    ring.add(clip(42))
    assert [c.start_ns // (10 * S) for c in ring.kept()] == [42], "all of it was given back"


def test_a_file_of_no_use_is_begun_anew_and_one_of_others_left_alone(store, tmp_path, caplog):
    path = ring_path(store.path)
    path.write_bytes(b"no database at all, but long enough to be one" * 200)
    ring = ClipRing(store, MB)
    with pytest.raises(StoreError, match="cannot be used"):
        ring.kept()
    ring.add(clip(1))
    assert "is damaged" in caplog.text and len(ring.kept()) == 1
    with Store.open(tmp_path / "other" / "memory.db") as other:
        path.rename(ring_path(other.path))
        theirs = ClipRing(other, MB)
        assert theirs.kept() == [] == theirs.contexts(3), "pictures of another store are nobody's business"
        theirs.add(clip(2))
        assert [c.start_ns for c in theirs.kept()] == [20 * S] and "of another store" in caplog.text
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="of another program"):
        ring.add(clip(1))
    assert ring.kept() == [] and sqlite3.connect(path).execute("SELECT * FROM theirs").fetchall() == []


def test_who_reads_does_not_hold_up_who_adds(store):
    ring, reader = ClipRing(store, MB), ClipRing(store)
    ring.add(clip(0))
    clips = reader.clips()
    assert next(clips).start_ns == 0
    for number in range(1, 30):
        ring.add(clip(number))
        assert on_disk(store) <= MB
    assert list(clips) == [], "what there was is evicted"
    with sqlite3.connect(ring.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("taskmem_ros.memory.ring_file.BUSY_MS", 30)
            with pytest.raises(StoreError, match="locked"):
                ring.add(clip(30))
        other.execute("ROLLBACK")
    ring.add(clip(31), opens=True)
    assert [c.start_ns for c in ring.kept()][-2:] == [290 * S, 310 * S]


FULL = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from ring_clips import clip, remember
from taskmem_ros.memory import Store, StoreError, ring_file
from taskmem_ros.memory.ring import ClipRing
folder, ring_file.FREE = Path(sys.argv[1]), 0
with Store.open(folder / "memory.db") as store:
    ring = ClipRing(store, 100_000_000)
    for number in range(30):
        remember(store, clip(number))
        ring.add(clip(number))
    assert 1_000_000 < ring.bytes < 4_000_000, ring.bytes
    with (folder / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(512))
        except OSError:
            pass
    try:
        ring.add(clip(30))
    except StoreError as error:
        assert "cannot be used" in str(error), error
    else:
        raise AssertionError("it was not full")
    assert ring.bytes == 0
    remember(store, clip(30))
    assert len(store.memories()) == 31
print("done")
"""


def test_on_a_full_disk_clips_give_way_to_memories(tmp_path):
    words = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=4m test "$0" && exec "$@"', str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk (unshare -rm)")
    paths = [str(Path(__file__).parent), *sys.path]
    command = [*words, sys.executable, "-c", FULL, str(tmp_path), *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr
