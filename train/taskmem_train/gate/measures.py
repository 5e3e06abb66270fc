"""What was measured of one way to memorize, on held-out streams and questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

FEW_STREAMS = 8  # below, a bootstrap over streams says nothing


@dataclass(frozen=True)
class Measures:
    """What came of N held-out questions, and of the memories that they were answered from.

    questions: (N,) ids; two measures are compared on the same ones in the same order. groups: (N,) what
    each stands or falls with, and drawn_by what that is: its stream, or a block of consecutive questions.
    repeats: how often each question is among them, asked of memories that were drawn anew. kinds: (N,).
    answered, right: (N,); right is answered, too. A failed call is neither. stated, true: statements in all
    memories, and how many are so. clips, failed: clips that were watched, and those that got no memory.
    tokens_per_memory: mean over the memories, 0 without any.

    Raises ValueError on lengths and counts that cannot be.
    """

    questions: tuple[str, ...]
    groups: tuple[str, ...]
    kinds: tuple[str, ...]
    answered: tuple[bool, ...]
    right: tuple[bool, ...]
    stated: int
    true: int
    clips: int
    failed: int
    tokens_per_memory: float
    drawn_by: str = "streams"
    repeats: int = 1

    def __post_init__(self) -> None:
        for item in fields(self)[:5]:
            object.__setattr__(self, item.name, tuple(getattr(self, item.name)))
            if len(getattr(self, item.name)) != len(self.questions):
                count = len(getattr(self, item.name))
                raise ValueError(f"{item.name} has {count} entries for {len(self.questions)} questions")
        for part, whole in (("true", "stated"), ("failed", "clips")):
            if not 0 <= getattr(self, part) <= getattr(self, whole):
                raise ValueError(
                    f"{part} is {getattr(self, part)} of {whole} {getattr(self, whole)}; it is a part of it"
                )
        if unasked := [name for name, a, r in zip(self.questions, self.answered, self.right) if r and not a]:
            raise ValueError(f"question {unasked[0]!r} is right without an answer; count it as answered")
        if not 0 <= self.tokens_per_memory < float("inf"):
            raise ValueError(f"tokens_per_memory is {self.tokens_per_memory}; it is a mean, 0 without any")

    @property
    def asked(self) -> int:
        """Different questions."""
        return len(self.questions) // self.repeats

    @property
    def accuracy(self) -> float | None:
        """Right answers among all questions; shares are None where there is nothing to share."""
        return share(sum(self.right), len(self.questions))

    @property
    def coverage(self) -> float | None:
        """Answered questions among all."""
        return share(sum(self.answered), len(self.questions))

    @property
    def precision(self) -> float | None:
        """Right answers among the answered questions."""
        return share(sum(self.right), sum(self.answered))

    @property
    def fidelity(self) -> float | None:
        """True statements among all."""
        return share(self.true, self.stated)

    @property
    def failed_share(self) -> float | None:
        """Clips without a memory among all."""
        return share(self.failed, self.clips)

    def of_kind(self, kind: str) -> list[int]:
        """Which questions are of a kind."""
        return [number for number, name in enumerate(self.kinds) if name == kind]


def blocks(groups: Sequence[str], order: Sequence[Any], size: int) -> tuple[str, ...] | None:
    """Blocks of `size` consecutive questions of each stream, where there are fewer than FEW_STREAMS streams.

    groups: (N,) the streams; order: (N,) what sorts them by when they were asked. Of a robot that is on all
    day, the questions are about one stream, of which a bootstrap can draw nothing; questions that were asked
    one after the other are still about much the same memories, and stay together. A stream's last block may
    be longer. None where streams do, or with a size of 0.
    """
    streams = list(dict.fromkeys(groups))
    if not size or len(streams) >= FEW_STREAMS:
        return None
    found = [""] * len(groups)
    for stream in streams:
        numbers = sorted((n for n, group in enumerate(groups) if group == stream), key=lambda n: order[n])
        most = max(1, len(numbers) // size)
        for place, number in enumerate(numbers):
            found[number] = f"{stream} #{min(place // size, most - 1)}"
    return tuple(found)


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def check_same_questions(names: Sequence[str], measures: Sequence[Measures]) -> None:
    """Raise ValueError unless all were asked the same questions of the same streams, in the same order."""
    for name, other in zip(names[1:], measures[1:]):
        if (other.questions, other.groups) != (measures[0].questions, measures[0].groups):
            raise ValueError(
                f"{names[0]} and {name} were asked other questions ({len(measures[0].questions)} and "
                f"{len(other.questions)}); measure both on the same ones, in the same order"
            )
