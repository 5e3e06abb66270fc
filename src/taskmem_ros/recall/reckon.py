"""Answers that are counted or measured and not read: how many times, how long, when.

They are exact about what the memories say: every memory that says it in one statement is counted, and is the
evidence. What nobody watched or wrote down is not in them, and the message says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from taskmem_ros.memory import Memory
from taskmem_ros.recall.aim import COUNT, HOW_LONG, Aim
from taskmem_ros.recall.gather import Matches
from taskmem_ros.recall.sighting import clock, day_and_clock
from taskmem_ros.recall.statements import goes_on

PAUSE = 1.5  # lengths of a memory: what is said again after no longer pause went on in between


@dataclass(frozen=True)
class Reckoning:
    """text: the answer. message: what was counted. memories: that it stands on, by start."""

    text: str
    message: str
    memories: tuple[Memory, ...]


def reckon(aim: Aim, matches: Matches, now_ns: int, timezone: dt.tzinfo | None) -> Reckoning:
    """The answer to a question of when, how long or how many times; matches has at least one memory."""
    if aim.kind == COUNT:
        return _count(matches, timezone)
    if aim.kind == HOW_LONG:
        return _how_long(matches, timezone)
    memory = matches.memories[0 if aim.oldest else -1]
    which = "first" if aim.oldest else "last"
    if aim.ago:
        text = f"{_length(max(0, now_ns - memory.start_ns) / 1e9)} ago"
    else:
        text = day_and_clock(memory.start_ns, timezone)
    count = len(matches.memories)
    others = f", the {which} of {count} that do" if count > 1 else ""
    return Reckoning(
        text, f"The memory of {day_and_clock(memory.start_ns, timezone)} says it{others}.", (memory,)
    )


def _count(matches: Matches, timezone: dt.tzinfo | None) -> Reckoning:
    runs = _runs(matches)
    first, last = (day_and_clock(m.start_ns, timezone) for m in (matches.memories[0], matches.memories[-1]))
    said = _memories(len(matches.memories))
    message = f"{said}, from {first} to {last}; what was not watched is not counted."
    if len(runs) < len(matches.memories):
        message = message.replace(";", "; what goes on from one to the next is counted once, and")
        message = message.replace("and what was not watched is", "what was not watched is")
    return Reckoning(f"{'at least ' * matches.cut}{len(runs)}", message, matches.memories)


def _how_long(matches: Matches, timezone: dt.tzinfo | None) -> Reckoning:
    """The longest time that memories say it without a pause."""
    runs = _runs(matches, everything=True)
    run = max(runs, key=lambda run: (_end(run) - run[0].start_ns, run[0].start_ns))
    start, end = run[0].start_ns, _end(run)
    text = f"at least {_length((end - start) / 1e9)}"
    message = (
        f"{_memories(len(run))}, from {day_and_clock(start, timezone)} to {clock(end, timezone)} without a "
        "pause; before and after it nobody saw it."
    )
    return Reckoning(text, message, tuple(run))


def _runs(matches: Matches, everything: bool = False) -> list[list[Memory]]:
    """Memories that follow each other without a pause, where what they say goes on; deeds stand alone.

    everything: deeds too.
    """
    said = matches.said or {}
    last: dict[tuple[str, int], list[Memory]] = {}
    runs: list[list[Memory]] = []
    for memory in matches.memories:
        stream = (memory.camera, memory.episode)
        before = last.get(stream)
        lasting = everything or all(goes_on(text) for text in said.get(memory.id, ()))
        if before and lasting and memory.start_ns - _end(before) <= _pause(memory):
            before.append(memory)
        else:
            last[stream] = [memory]
            runs.append(last[stream])
    return runs


def _end(run: Sequence[Memory]) -> int:
    return max(memory.end_ns for memory in run)


def _pause(memory: Memory) -> int:
    return int(PAUSE * (memory.end_ns - memory.start_ns))


def _memories(count: int) -> str:
    return "1 memory says it" if count == 1 else f"{count} memories say it"


def _length(seconds: float) -> str:
    """ "50 s", "3 min 20 s", "2 h 5 min", "3 days" """
    whole = round(seconds)
    for size, name, smaller, smaller_name in (
        (86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"),
    ):  # fmt: skip
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + f" {rest} {smaller_name}" * bool(rest)
    return f"{whole} s"
