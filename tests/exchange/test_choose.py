"""Which clips go along: the evidence with its windows first, then runs that are spread over the time."""

from __future__ import annotations

from taskmem_ros.exchange.choose import RUN, choose_clips, spread
from taskmem_ros.memory.ring import KeptClip


def kept(count: int, opens=(0,), camera: str = "hall", first: int = 1) -> list[KeptClip]:
    return [
        KeptClip(first + n, None if n in opens else first + n - 1, camera, 0, n * 10, n * 10 + 10, 100)
        for n in range(count)
    ]


def ids(clips):
    return [clip.id for clip in clips]


def test_spread_is_all_and_even_from_the_start():
    for count in (0, 1, 2, 3, 7, 64, 100):
        order = list(spread(count))
        assert sorted(order) == list(range(count))
    assert list(spread(8))[:7] == [4, 2, 6, 1, 3, 5, 7]


def test_evidence_comes_first_each_with_its_window():
    clips = kept(40, opens=(0, 20))
    assert ids(choose_clips(clips, [31, 23, 99], set(), 10_000)) == [21, 22, 23, 27, 28, 29, 30, 31]
    found = choose_clips(clips, [31, 23], set(), 500)
    assert ids(found) == [27, 28, 29, 30, 31], "the second has no room"
    assert [clip.after for clip in found] == [None, 27, 28, 29, 30], "the first opens a run"
    assert ids(choose_clips(clips, [31, 29, 23], set(), 799)) == [25, 26, 27, 28, 29, 30, 31], (
        "shared clips once"
    )
    assert choose_clips(clips, [31], set(), 0) == []


def test_the_rest_is_runs_of_what_is_new():
    clips = sorted(kept(120) + kept(60, camera="yard", first=1001), key=lambda clip: clip.start_ns)
    everything = choose_clips(clips, [], set(ids(clips)), 10**6)
    assert everything == clips, "all, and nothing is cut"
    new = {clip.id for clip in clips if clip.start_ns >= 300}
    found = choose_clips(clips, [5], new, 5 * 100 + 4 * RUN * 100)
    assert set(ids(found)) - new == {1, 2, 3, 4, 5}
    rest = [clip for clip in found if clip.id in new]
    assert len(rest) == 4 * RUN
    starts = sorted(clip.start_ns for clip in rest if clip.after is None)
    assert starts[0] < 600 and starts[-1] > 900, "spread over all of the time"
    follows = [clip for clip in rest if clip.after is not None]
    assert len(follows) >= 3 * RUN and all(clip.after in ids(found) for clip in follows)
