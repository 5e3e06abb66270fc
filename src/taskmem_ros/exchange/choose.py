"""Which kept clips go along in a bundle, when not all of them can."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from taskmem_ros.memory.ring import WINDOW, KeptClip

RUN = 12  # clips in a row: enough for some whole windows


def choose_clips(
    kept: Sequence[KeptClip], wanted: Iterable[int], new: Collection[int], max_bytes: int
) -> list[KeptClip]:
    """As many as there is room for, in the order of `kept`; in each, `after` is None where the one before it
    is not chosen.

    kept: in the order of watching. First those in `wanted` (ids, the most important first), each with the
    window before it; then runs of those in `new`, spread over their time: the first in its middle, the next
    two in the middles of its halves, and so on. What does not fit is passed over.
    """
    known = {clip.id: clip for clip in kept}
    chosen: set[int] = set()
    room = max_bytes
    runs = _runs([clip for clip in kept if clip.id in new])
    groups = [_window(known, number) for number in wanted if number in known]
    for group in [*groups, *(runs[index] for index in spread(len(runs)))]:
        more = [clip for clip in group if clip.id not in chosen]
        if (size := sum(clip.bytes for clip in more)) <= room:
            chosen.update(clip.id for clip in more)
            room -= size
    return cut_out(kept, chosen)


def cut_out(kept: Iterable[KeptClip], chosen: Collection[int]) -> list[KeptClip]:
    """Those of the clips that are chosen; `after` is None where the one before is not."""
    return [_cut(clip, chosen) for clip in kept if clip.id in chosen]


def spread(count: int) -> Iterator[int]:
    """0 .. count - 1, each once, so that the first few are always spread over all."""
    seen: set[int] = set()
    step = 1
    while len(seen) < count:
        for odd in range(1, 2 * step, 2):
            index = odd * count // (2 * step)
            if index not in seen:
                seen.add(index)
                yield index
        step *= 2


def _window(known: dict[int, KeptClip], number: int) -> list[KeptClip]:
    """The clip and those before it in its window."""
    found = [known[number]]
    while len(found) < WINDOW and found[-1].after in known:
        found.append(known[found[-1].after])
    return found


def _runs(clips: Sequence[KeptClip]) -> list[list[KeptClip]]:
    """The clips that follow each other, in pieces of RUN at most; by the time of the first."""
    runs: list[list[KeptClip]] = []
    last: dict[int, list[KeptClip]] = {}
    for clip in clips:
        run = last.pop(clip.after, None) if clip.after is not None else None
        if run is None or len(run) == RUN:
            runs.append(run := [])
        run.append(clip)
        last[clip.id] = run
    return runs


def _cut(clip: KeptClip, chosen: Collection[int]) -> KeptClip:
    return clip if clip.after in chosen else replace(clip, after=None)
