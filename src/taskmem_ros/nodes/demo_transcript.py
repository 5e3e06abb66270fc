"""What `taskmem demo` prints: plain text of at most 100 columns, one thought a line."""

from __future__ import annotations

import datetime as dt
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from taskmem_ros.home import HomeQuestion, is_right
from taskmem_ros.home.things import ROOMS

from .conversions import REASON_NAMES, STATUS_NAMES, nanoseconds

WIDTH = 100
RIGHT, RIGHT_NONE, MISSED, WRONG, INVENTED, FAILED = (
    "right",
    "right: never seen",
    "not remembered",
    "wrong",
    "wrong: never seen",
    "failed",
)


@dataclass(frozen=True)
class Outcome:
    """One question with its reply.

    truth: at the reply's watermark; None: the camera had never seen it. written: whether
    the memories that could be read say an answer at all.
    """

    question: HomeQuestion
    reply: Any
    truth: str | None
    written: bool
    seconds: float

    @property
    def verdict(self) -> str:
        status = STATUS_NAMES[self.reply.status] if self.reply is not None else "failed"
        if status == "answered":
            right = is_right(self.question, self.reply.answer)
            return RIGHT if right else INVENTED if self.truth is None else WRONG
        if status in ("not_in_memory", "not_watching"):
            return RIGHT_NONE if self.truth is None else MISSED
        return FAILED


class Transcript:
    """Prints the demo as it goes."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out, self._began = out, time.monotonic()

    def line(self, text: str = "") -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def step(self, text: str) -> None:
        self.line(f"[{time.monotonic() - self._began:5.1f} s] {text}")

    def title(self, text: str) -> None:
        self.line()
        self.line(text)
        self.line("-" * len(text))

    def memory(self, memory: Any) -> None:
        self._folded(
            f"  {clock(nanoseconds(memory.start))}  #{memory.id:<3d} {place(memory):11s}  ", memory.text
        )

    def gap(self, gap: Any) -> None:
        seconds = (nanoseconds(gap.end) - nanoseconds(gap.start)) / 1e9
        self.line(
            f"  {clock(nanoseconds(gap.start))}  not watched for {seconds:.1f} s ({REASON_NAMES[gap.reason]})"
        )

    def outcome(self, number: int, outcome: Outcome) -> None:
        reply = outcome.reply
        self.line()
        self.line(f"{number:2d}. {outcome.question.text}")
        if reply is None:
            self.line("    no reply")
            return
        status = STATUS_NAMES[reply.status].replace("_", " ")
        answer = f'"{reply.answer}"' if reply.answer else "-"
        self.line(
            f"    answer    {answer}   ({status}, confidence {reply.confidence:.2f}, "
            f"{outcome.seconds:.1f} s, question id {reply.question_id})"
        )
        for evidence in reply.evidence[:2]:
            seen = f"{clock(nanoseconds(evidence.start))} to {clock(nanoseconds(evidence.end))}"
            where = f"{evidence.camera}, {place(evidence, in_full=True)}"
            self.line(f"    evidence  memory #{evidence.memory_id}, {seen}, {where}")
            self._folded("              ", evidence.text)
        if not reply.evidence:
            self.line("    evidence  none")
        if reply.message and STATUS_NAMES[reply.status] in ("failed", "timed_out", "not_watching"):
            self._folded("    message   ", reply.message)
        truth = "the camera never saw it" if outcome.truth is None else f'"{outcome.truth}"'
        self.line(f"    truth     {truth}   -> {outcome.verdict}")

    def summary(self, outcomes: Sequence[Outcome], facts: int, true_facts: int) -> None:
        """facts, true_facts: stated in all memories that were published."""
        verdicts = [outcome.verdict for outcome in outcomes]
        seen = [o for o in outcomes if o.truth is not None]
        unseen = [o for o in outcomes if o.truth is None]
        good = verdicts.count(RIGHT) + verdicts.count(RIGHT_NONE)
        self.line(
            f"{good} of {len(outcomes)} questions answered rightly ({good / max(1, len(outcomes)):.0%}):"
        )
        self.line(
            f"  {len(seen):2d} about what the camera had seen: {verdicts.count(RIGHT)} right, "
            f'{verdicts.count(WRONG)} wrong, {verdicts.count(MISSED)} "not in memory"'
        )
        missed = [o for o in outcomes if o.verdict == MISSED]
        if missed:
            unwritten = sum(not outcome.written for outcome in missed)
            self.line(f"     (of these {len(missed)}, {unwritten} had indeed not been written down)")
        self.line(
            f"  {len(unseen):2d} about what it had never seen: {verdicts.count(RIGHT_NONE)} "
            f'honestly "not in memory", {verdicts.count(INVENTED)} made up'
        )
        share = f"{true_facts / max(1, facts):.0%}"
        self.line(f"{true_facts} of the {facts} facts stated in memories are true ({share})")
        if verdicts.count(FAILED):
            self.line(f"{verdicts.count(FAILED)} questions failed")

    def _folded(self, head: str, text: str) -> None:
        self.line(textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)))


def clock(ns: int) -> str:
    """The home's day and time; it has its own calendar, kept in UTC."""
    return dt.datetime.fromtimestamp(ns / 1e9, dt.timezone.utc).strftime("%a %H:%M:%S")


def place(message: Any, in_full: bool = False) -> str:
    """The room a Memory's or Evidence's pose lies in, with its coordinates if `in_full`."""
    if not message.has_pose:
        return "place unknown"
    position = getattr(message.pose, "pose", message.pose).position
    room = min(
        ROOMS.values(), key=lambda r: (r.centre[0] - position.x) ** 2 + (r.centre[1] - position.y) ** 2
    ).name
    return f"{room} (x {position.x:.1f}, y {position.y:.1f})" if in_full else room
