"""What stands beside in time: a memory gets a part of the score of the one before and the one after it.

A question's answer is often in the memory next to the one that has its words: "Anna came in", then "she put
the mug on the desk".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from taskmem_ros.memory.index import Neighbour

BESIDE_NS = 3_600_000_000_000  # neighbours that are further apart have nothing to do with each other


def beside(own: Mapping[int, float], around: Mapping[int, Neighbour]) -> Iterator[tuple[int, int, bool]]:
    """(memory id, id of its neighbour in time, whether that comes after it) of all memories in `own`.

    around: the memories of `own` and those whose ids are next to theirs. A neighbour is of the same camera
    and episode.
    """
    for number in own:
        for step in (1, -1):
            other = _next(number, step, around)
            if other is not None:
                yield number, other, step > 0


def _next(number: int, step: int, around: Mapping[int, Neighbour]) -> int | None:
    here = around.get(number)
    for other in (around.get(number + step), around.get(number + 2 * step)):
        if here is None or other is None or (other.camera, other.episode) != (here.camera, here.episode):
            continue
        return other.id if abs(other.start_ns - here.start_ns) <= BESIDE_NS else None
    return None
