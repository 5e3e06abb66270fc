"""What a judge is: opinions about memories of a clip, and failures that are no opinions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from taskmem_train.contexts import Context

Preference = Literal["first", "second", "tie"]


class JudgeError(RuntimeError):
    """A judge has no opinion: what failed, in one sentence."""


# A judgement that fails leaves the error in its place, so that one lost reply does not lose a whole group.
Verdict = Preference | JudgeError


@dataclass(frozen=True)
class Grade:
    """How far a memory is so in the video.

    score: share of its statements that are seen, 0..1. ok: all of them are. reason: what is not, "" if none.
    """

    score: float
    ok: bool
    reason: str = ""


class HelpfulnessJudge(Protocol):
    """Which of two memories of one clip helps more with questions like the recent ones. It sees no video."""

    def compare(
        self, context: Context, pairs: Sequence[tuple[str, str]], questions: Sequence[str]
    ) -> list[Verdict]:
        """One verdict for each pair of memories of `context`, in order.

        questions: the recent ones, oldest first; TaskMem shows at most five. A comparison that fails is a
        JudgeError in its place. Raises ValueError without any question, and JudgeError when nothing can be
        judged at all.
        """
        ...


class QualityJudge(Protocol):
    """Whether memories are so in the video of the newest clip."""

    def grade(self, context: Context, texts: Sequence[str]) -> list[Grade | JudgeError]:
        """One grade for each text, in order; a text whose grading fails has a JudgeError in its place.

        Raises JudgeError when nothing can be graded at all.
        """
        ...


def some(questions: Sequence[str]) -> list[str]:
    """The questions. Raises ValueError when there is none."""
    if not questions:
        raise ValueError(
            "there is no recent question; a memory is helpful only for questions that were asked"
        )
    return list(questions)
