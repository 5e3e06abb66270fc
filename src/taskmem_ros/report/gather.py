"""What a report shows, read from a store within bounds that hold however long the robot has lived."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from taskmem_ros.clips import Gap
from taskmem_ros.memory import Feedback, Memory, Store, Task
from taskmem_ros.report.coverage import Coverage, coverage_of
from taskmem_ros.report.times import local, midnight

MOST_DAYS = 14
MOST_TASKS = 200
MOST_GAPS = 300


@dataclass(frozen=True)
class Hole:
    """Memories that are in the store and not in the report."""

    start_ns: int
    end_ns: int
    count: int


@dataclass(frozen=True)
class Day:
    """A day of the report. coverage: of its cameras, [] where nothing is known of it."""

    date: dt.date
    start_ns: int
    end_ns: int
    coverage: tuple[Coverage, ...]


@dataclass(frozen=True)
class Gathered:
    """memories: those shown, by time, with their pictures. total: how many there are in these days.

    earlier: whether days before the first one were left out. gaps: the longest, by time; gaps_left_out and
    tasks_left_out: how many are not shown. tasks: newest first. feedback: on them, in the order of
    saying. gone: ids of evidence that was forgotten.
    """

    earlier: bool
    days: tuple[Day, ...]
    memories: tuple[Memory, ...]
    total: int
    gaps: tuple[Gap, ...]
    gaps_left_out: int
    holes: tuple[Hole, ...]
    tasks: tuple[Task, ...]
    tasks_left_out: int
    feedback: tuple[Feedback, ...]
    gone: frozenset[int]


def gather(
    store: Store,
    since_ns: int | None = None,
    until_ns: int | None = None,
    camera: str | None = None,
    limit: int = 300,
    zone: dt.tzinfo | None = None,
) -> Gathered:
    """Read the newest MOST_DAYS days of the span. The newest `limit` memories are shown (0: all of them), and
    those that answers stand on. Raises StoreError.
    """
    gaps = store.coverage(since_ns, until_ns, camera)
    first, last = _ends(store, gaps, since_ns, until_ns, camera)
    dates = list(_dates(first, last, zone))
    shown_dates = dates[-MOST_DAYS:]
    start = max([midnight(date, zone) for date in shown_dates[:1]] + [since_ns or 0], default=0)
    gaps = [clipped for gap in gaps if (clipped := _clipped(gap, start, until_ns))]
    tasks = store.tasks(since_ns=since_ns, until_ns=until_ns, newest_first=True)
    days, everything = [], {}
    for date in shown_dates:
        day, memories = _day(store, date, gaps, start, until_ns, camera, zone)
        days.append(day)
        everything |= {memory.id: memory for memory in memories}
    longest = sorted(gaps, key=lambda gap: gap.start_ns - gap.end_ns)[:MOST_GAPS]
    shown = _shown(store, everything, tasks[:MOST_TASKS], limit)
    cited = {number for task in tasks[:MOST_TASKS] for number in task.evidence}
    gone = {n for n in cited - set(everything) if store.memory(n) is None}
    return Gathered(
        earlier=len(dates) > len(shown_dates),
        days=tuple(days),
        memories=tuple(shown),
        total=len(everything),
        gaps=tuple(sorted(longest, key=lambda gap: gap.start_ns)),
        gaps_left_out=len(gaps) - len(longest),
        holes=tuple(_holes(everything.values(), {memory.id for memory in shown})),
        tasks=tuple(tasks[:MOST_TASKS]),
        tasks_left_out=max(0, len(tasks) - MOST_TASKS),
        feedback=tuple(one for task in tasks[:MOST_TASKS] for one in store.feedback(task.id)),
        gone=frozenset(gone),
    )


def _ends(
    store: Store, gaps: list[Gap], since_ns: int | None, until_ns: int | None, camera: str | None
) -> tuple[int, int]:
    """The first and the last moment of which anything is known; (0, 0) where nothing is."""
    span = (since_ns, until_ns, camera, 1)
    rows: list[Memory | Gap] = [*gaps]
    rows += store.memories(*span, thumbnails=False) + store.memories(*span, True, thumbnails=False)
    first, last = min((r.start_ns for r in rows), default=0), max((r.end_ns for r in rows), default=0)
    return max(first, since_ns or first), min(last, until_ns or last)


def _dates(first_ns: int, last_ns: int, zone: dt.tzinfo | None) -> Iterator[dt.date]:
    if first_ns == last_ns == 0:
        return
    date = local(first_ns, zone).date()
    last = local(max(first_ns, last_ns - 1), zone).date()
    while date <= last:
        yield date
        date += dt.timedelta(days=1)


def _clipped(gap: Gap, start_ns: int, until_ns: int | None) -> Gap | None:
    first, last = max(gap.start_ns, start_ns), min(gap.end_ns, until_ns or gap.end_ns)
    return replace(gap, start_ns=first, end_ns=last) if first < last else None


def _day(
    store: Store,
    date: dt.date,
    gaps: list[Gap],
    since_ns: int,
    until_ns: int | None,
    camera: str | None,
    zone: dt.tzinfo | None,
) -> tuple[Day, list[Memory]]:
    start, end = midnight(date, zone), midnight(date + dt.timedelta(days=1), zone)
    memories = store.memories(max(start, since_ns), min(end, until_ns or end), camera, thumbnails=False)
    here = [gap for gap in gaps if gap.start_ns < end and gap.end_ns > start]
    return Day(date, start, end, coverage_of(memories, here, start, end)), memories


def _shown(store: Store, everything: dict[int, Memory], tasks: list[Task], limit: int) -> list[Memory]:
    by_time = sorted(everything.values(), key=lambda memory: (memory.start_ns, memory.id))
    chosen = {memory.id for memory in by_time[-limit:]}  # [-0:] is all of them
    chosen |= {number for task in tasks for number in task.evidence} & set(everything)
    found = (store.memory(memory.id) for memory in by_time if memory.id in chosen)
    return [memory for memory in found if memory is not None]


def _holes(memories: Iterable[Memory], shown: set[int]) -> Iterator[Hole]:
    run: list[Memory] = []
    for memory in sorted(memories, key=lambda memory: (memory.start_ns, memory.id)):
        if memory.id not in shown:
            run.append(memory)
        elif run:
            yield _hole(run)
            run = []
    if run:
        yield _hole(run)


def _hole(run: list[Memory]) -> Hole:
    return Hole(run[0].start_ns, max(memory.end_ns for memory in run), len(run))
