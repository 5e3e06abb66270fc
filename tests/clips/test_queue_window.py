"""The queue's drop policies by example, its blocking, and the sliding window."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from taskmem_ros.clips import DROPPED, NS, Clip, ClipQueue, Frame, Window

IMAGE = np.zeros((4, 6, 3), np.uint8)


def clip(i: int, camera: str = "cam", episode: int = 0, shape=(4, 6, 3)) -> Clip:
    """Clip i covers [10 i, 10 i + 10) seconds, with 4 frames."""
    image = np.zeros(shape, np.uint8)
    frames = tuple(Frame(round((10 * i + 2.5 * k) * NS), camera, image) for k in range(4))
    return Clip(camera, episode, 10 * i * NS, 10 * (i + 1) * NS, frames)


def spans(items):
    return [(item.start_ns // NS, item.end_ns // NS) for item in items]


def drain(queue):
    return [queue.get(0) for _ in range(len(queue))]


def test_drop_oldest_keeps_memory_close_to_now():
    queue = ClipQueue(2, "drop_oldest")
    gaps = [g for i in range(4) for g in queue.put(clip(i))]
    assert spans(gaps) == [(0, 10), (10, 20)] and {g.reason for g in gaps} == {DROPPED}
    assert spans(drain(queue)) == [(20, 30), (30, 40)] and queue.dropped == 2


def test_drop_newest_keeps_what_waits():
    queue = ClipQueue(2, "drop_newest")
    gaps = [g for i in range(4) for g in queue.put(clip(i))]
    assert spans(gaps) == [(20, 30), (30, 40)]
    assert spans(drain(queue)) == [(0, 10), (10, 20)]


def test_merge_halves_the_density_and_loses_no_second():
    queue = ClipQueue(2, "merge")
    assert [g for i in range(4) for g in queue.put(clip(i))] == []
    merged = drain(queue)
    assert spans(merged) == [(0, 20), (20, 40)] and queue.merged == 2 and queue.dropped == 0
    assert merged[0].times_s == (0, 5, 10, 15)


def test_merge_has_a_limit_and_then_drops_the_oldest():
    queue = ClipQueue(2, "merge")
    gaps = [g for i in range(20) for g in queue.put(clip(i))]
    waiting = drain(queue)
    assert gaps and max(item.seconds for item in waiting) <= 40
    assert sum(item.seconds for item in gaps + waiting) == 200


@pytest.mark.parametrize(
    "second", [clip(2), clip(1, camera="other"), clip(1, episode=1), clip(1, shape=(8, 6, 3))], ids=str
)
def test_merge_joins_only_touching_clips_of_one_camera_episode_and_size(second):
    queue = ClipQueue(1, "merge")
    queue.put(clip(0))
    assert spans(queue.put(second)) == [(0, 10)]


def test_merge_looks_past_other_cameras():
    queue = ClipQueue(3, "merge")
    for camera in ("left", "right"):
        queue.put(clip(0, camera))
    for camera in ("left", "right"):
        assert queue.put(clip(1, camera)) == []
    assert [c.camera for c in drain(queue)] == ["left", "right", "right"]


def test_get_waits_times_out_and_wakes_on_close():
    queue = ClipQueue(2)
    start = time.monotonic()
    assert queue.get(timeout=0.05) is None and time.monotonic() - start >= 0.04
    threading.Timer(0.05, lambda: queue.put(clip(0))).start()
    assert spans([queue.get(timeout=5)]) == [(0, 10)]
    threading.Timer(0.05, queue.close).start()
    assert queue.get() is None


def test_close_gives_up_what_waits_and_what_comes_later():
    queue = ClipQueue(3)
    queue.put(clip(0))
    assert spans(queue.close()) == [(0, 10)]
    assert spans(queue.put(clip(1))) == [(10, 20)]
    assert len(queue) == 0


def test_many_threads_lose_nothing():
    queue, gaps, got = ClipQueue(3, "drop_oldest"), [], []

    def produce(camera):
        for i in range(300):
            gaps.extend(queue.put(clip(i, camera)))

    def consume():
        while (item := queue.get()) is not None:
            got.append(item)

    producers = [threading.Thread(target=produce, args=(name,)) for name in "abc"]
    consumer = threading.Thread(target=consume)
    for thread in [*producers, consumer]:
        thread.start()
    for thread in producers:
        thread.join()
    gaps.extend(queue.close())
    consumer.join(5)
    assert not consumer.is_alive()
    assert len(gaps) + len(got) == 900


def test_wrong_queue_arguments_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match="'drop_all'.*drop_oldest, drop_newest, merge"):
        ClipQueue(2, "drop_all")
    with pytest.raises(ValueError, match="queue_clips is 0"):
        ClipQueue(0)


def test_window_slides_and_pairs_clips_with_memories():
    window = Window(3)
    for i in range(5):
        clips, memories = window.push(clip(i))
        assert [c.start_ns // NS for c in clips] == [10 * k for k in range(max(0, i - 2), i + 1)]
        assert memories == tuple(f"memory {k}" for k in range(max(0, i - 2), i))
        window.remember(f"memory {i}")


def test_window_leaves_out_clips_without_a_memory():
    window = Window(3)
    window.push(clip(0))
    window.remember("zero")
    window.push(clip(1))  # fails: nothing to remember
    clips, memories = window.push(clip(2))
    assert spans(clips) == [(0, 10), (20, 30)] and memories == ("zero",)


def test_window_starts_empty_in_another_episode():
    window = Window(5)
    window.push(clip(0))
    window.remember("zero")
    clips, memories = window.push(clip(0, episode=1))
    assert [c.episode for c in clips] == [1] and memories == ()


def test_window_starts_empty_after_a_long_pause():
    window = Window(5)
    window.push(clip(0))
    window.remember("zero")
    assert len(window.push(clip(5))[0]) == 2, "four clips were dropped: it is the same scene"
    window.remember("five")
    clips, memories = window.push(clip(11))
    assert spans(clips) == [(110, 120)] and memories == ()
    window.remember("eleven")
    window.push(clip(12))  # fails
    assert len(window.push(clip(18))[0]) == 1, "also after a clip without a memory"


def test_window_of_one_has_no_past():
    window = Window(1)
    for i in range(2):
        clips, memories = window.push(clip(i))
        assert len(clips) == 1 and memories == ()
        window.remember("text")


def test_window_refuses_empty_memories_and_memories_without_a_clip():
    window = Window()
    with pytest.raises(RuntimeError, match="push"):
        window.remember("text")
    window.push(clip(0))
    with pytest.raises(ValueError, match="words"):
        window.remember(" ")
    with pytest.raises(ValueError, match="window is 0"):
        Window(0)
