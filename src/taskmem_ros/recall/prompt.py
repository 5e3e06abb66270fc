"""What the reader is told, and how its reply is read.

The citation comes before the answer: first the numbers of the memories that say it, then what they say. A
reader that has pointed at a memory copies from it; one that cannot point at any says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import json_repair

INSTRUCTION = (
    "Answer from a robot's memories alone; where they differ, the newest is right. Reply as JSON: "
    'the numbers of the memories that say it, then a short answer: {"memories": [1], "answer": "..."}. '
    'If no memory says it: {"memories": [], "answer": "not in memory"}'
)
NOT_IN_MEMORY = "not in memory"


@dataclass(frozen=True)
class Reading:
    """A reader's reply.

    cited: 1-based numbers of the memories it points at. answer: None where it abstains.
    """

    cited: tuple[int, ...]
    answer: str | None


def reading_prompt(
    question: str,
    memories: Sequence[tuple[int, str]],
    choices: Sequence[str] = (),
    timezone: dt.tzinfo | None = None,
) -> str:
    """The user turn that asks a question about memories.

    memories: (start in nanoseconds since the epoch, text), oldest first; they are numbered from 1.
    timezone: the zone in which times of day are written; None is the machine's local zone.
    """
    days = {_local(start_ns, timezone).date() for start_ns, _ in memories}
    clock = "%H:%M" if len(days) <= 1 else "%d %b %H:%M"
    lines = [
        f"[{number}] {text} ({_local(start_ns, timezone).strftime(clock)})"
        for number, (start_ns, text) in enumerate(memories, 1)
    ]
    return "\n".join([INSTRUCTION, "Memories:", *(lines or ["none"]), question_line(question, choices)])


def question_line(question: str, choices: Sequence[str] = ()) -> str:
    """The last line of a reading prompt."""
    options = "".join(f" ({chr(ord('A') + i)}) {choice}" for i, choice in enumerate(choices))
    return f"Question: {question}{options}"


def reading_reply(cited: Sequence[int], answer: str | None) -> str:
    """The reply that `parse_reading` reads back: what a reader is trained to write."""
    numbers = ", ".join(str(number) for number in cited)
    return f'{{"memories": [{numbers}], "answer": "{NOT_IN_MEMORY if answer is None else answer}"}}'


def parse_reading(reply: str, count: int) -> Reading:
    """Read a reader's reply about `count` memories. Raises ValueError, with the reason, when it is no reply.

    Numbers outside 1..count are dropped. An answer of "not in memory" is an abstention.
    """
    text = reply.rpartition("</think>")[2].strip()
    parsed = json_repair.loads(text) if text else None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("answer"), str):
        raise ValueError(f'the reply is not JSON with an "answer": {text[:80]!r}')
    answer = " ".join(parsed["answer"].split())
    if not answer:
        raise ValueError(f'the "answer" is empty: {text[:80]!r}')
    if answer.lower().rstrip(".") == NOT_IN_MEMORY:
        return Reading((), None)
    cited = parsed.get("memories")
    numbers = [n for n in (cited if isinstance(cited, list) else [cited]) if isinstance(n, int)]
    return Reading(tuple(dict.fromkeys(n for n in numbers if 1 <= n <= count)), answer)


def _local(stamp_ns: int, timezone: dt.tzinfo | None) -> dt.datetime:
    return dt.datetime.fromtimestamp(stamp_ns / 1e9, dt.timezone.utc).astimezone(timezone)
