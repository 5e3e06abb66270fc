"""The rewards of Phase One, each a small part: r = format + thinking + quality + richness.

Format is a hard gate: a reply without a memory gets its penalty and nothing else. Figures as in TaskMem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from taskmem_train.contexts import Context
from taskmem_train.judges.labels import label_faults
from taskmem_train.judges.types import Grade, JudgeError, QualityJudge

NO_MEMORY = -1.5
GOOD, BAD = 0.5, -0.5
RICHNESS = 0.05
THINKING_LIMIT = 1200
LENGTH_LIMIT = 150


@dataclass(frozen=True)
class Candidate:
    """One reply to a context.

    text: its memory, None where there is none. thinking: tokens before </think>. tokens: of its text.
    error: why there is no memory.
    """

    text: str | None
    thinking: int
    tokens: int
    error: str = ""


@dataclass(frozen=True)
class Reward:
    """The parts of one candidate's reward. valid: it has the full quality reward. reason: why not."""

    format: float = 0.0
    thinking: float = 0.0
    quality: float = 0.0
    richness: float = 0.0
    valid: bool = False
    reason: str = ""

    @property
    def total(self) -> float:
        return self.format + self.thinking + self.quality + self.richness


class RichnessJudge(Protocol):
    """How much memories of one clip say, each beside the others: larger says more, equal says as much."""

    def amounts(self, context: Context, texts: Sequence[str]) -> list[float]: ...


def format_reward(candidate: Candidate) -> float:
    """0 for a reply with a memory, else -1.5."""
    return NO_MEMORY if candidate.text is None else 0.0


def thinking_reward(tokens: int, limit: int = THINKING_LIMIT) -> float:
    """0 up to `limit` tokens of thoughts, from there in a line down to -1 at twice as many."""
    return -min(1.0, max(0, tokens - limit) / limit)


def quality_fault(grade: Grade, context: Context, candidate: Candidate, limit: int = LENGTH_LIMIT) -> str:
    """Why a memory is not good, "" where it is: so in the video, sound as a label, at most `limit` tokens."""
    if not grade.ok:
        return grade.reason or "not so in the video"
    faults = label_faults(candidate.text, context.memories, lambda _: candidate.tokens, max_tokens=limit)
    return ", ".join(faults)


def quality_reward(fault: str) -> float:
    """0.5 for a good memory, else -0.5."""
    return BAD if fault else GOOD


def ranks(amounts: Sequence[float]) -> list[float]:
    """Each one's place among the others, 0 (least) to 1 (most); equals share theirs, one alone has 0.5."""
    others = len(amounts) - 1
    if not others:
        return [0.5]
    return [(sum(b < a for b in amounts) + 0.5 * (amounts.count(a) - 1)) / others for a in amounts]


class RewardModel:
    """Rewards groups of candidates.

    richness: the judge of richness, None for a run without it. weight: of richness.
    """

    def __init__(
        self,
        quality: QualityJudge,
        richness: RichnessJudge | None,
        *,
        weight: float = RICHNESS,
        thinking_limit: int = THINKING_LIMIT,
        length_limit: int = LENGTH_LIMIT,
    ):
        self._quality, self._richness = quality, richness
        self._weight = weight
        self._thinking_limit, self._length_limit = thinking_limit, length_limit

    def rewards(self, context: Context, candidates: Sequence[Candidate]) -> list[Reward | None]:
        """One reward for each candidate of a context; None where the judge has no opinion of it.

        Raises JudgeError when nothing can be judged at all.
        """
        written = [i for i, candidate in enumerate(candidates) if candidate.text is not None]
        rewards: list[Reward | None] = [
            Reward(format=format_reward(candidate), reason=candidate.error) for candidate in candidates
        ]
        if not written:
            return rewards
        grades = self._quality.grade(context, [candidates[i].text for i in written])
        faults: dict[int, str] = {}
        for i, grade in zip(written, grades):
            if isinstance(grade, JudgeError):
                rewards[i] = None
                continue
            faults[i] = quality_fault(grade, context, candidates[i], self._length_limit)
        rich = self._rich(context, {i: candidates[i].text for i, fault in faults.items() if not fault})
        for i, fault in faults.items():
            rewards[i] = Reward(
                thinking=thinking_reward(candidates[i].thinking, self._thinking_limit),
                quality=quality_reward(fault),
                richness=self._weight * rich.get(i, 0.0),
                valid=not fault,
                reason=fault,
            )
        return rewards

    def _rich(self, context: Context, valid: dict[int, str]) -> dict[int, float]:
        if self._richness is None or not valid:
            return {}
        amounts = self._richness.amounts(context, list(valid.values()))
        return dict(zip(valid, ranks(amounts)))
