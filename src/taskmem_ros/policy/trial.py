"""Judging a trial: an adapter wrote memories of kept clips, and so did the one in use.

This is no test of quality (the workstation's gate was that), but of harm: memories that cannot be read, that
are cut short or run on, that repeat themselves, that always say the same, that speak of something else.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Tried:
    """What the adapter in use and the one on trial wrote of one clip; None: no memory could be read."""

    used: str | None
    tried: str | None


@dataclass(frozen=True)
class TrialLimits:
    """What an adapter may do, by default or where the one in use does more of it.

    unreadable: share of clips without a memory, though one may always be where there are others. length:
    least and most of its mean length as a share of what the one in use wrote. repeated: share of groups of
    three words that a memory says again. same: share of clips of which it says word by word what it says of
    another one. facts: least share of what it speaks of that the one in use speaks of, too, or the other way
    round.

    Five adapters of the demo model that are known good, fitted to five roles, tried beside each other and the
    bare model: at most one of eight clips unreadable, 0.63 to 1.3 times as long, 0.06 repeated, 0.12 the
    same, 0.52 of the facts or more.
    """

    unreadable: float = 0.15
    length: tuple[float, float] = (0.4, 2.5)
    repeated: float = 0.25
    same: float = 0.5
    facts: float = 0.35


@dataclass(frozen=True)
class Verdict:
    """reasons: a clause for each limit that does not hold; numbers: what was measured."""

    passed: bool
    reasons: tuple[str, ...]
    numbers: Mapping[str, float]

    def __str__(self) -> str:
        return "; ".join(self.reasons)


def judge_trial(
    pairs: Sequence[Tried], content_words: Callable[[str], Collection[str]], limits: TrialLimits
) -> Verdict:
    """Judge what was written of some clips. content_words: what a text speaks of, as `memory` has it.

    Raises ValueError without any clip.
    """
    if not pairs:
        raise ValueError("there is nothing to judge: the trial had no clips")
    numbers = {"clips": len(pairs)} | dict(_numbers(pairs, content_words))
    return Verdict(not (reasons := tuple(_reasons(numbers, limits))), reasons, numbers)


def _numbers(
    pairs: Sequence[Tried], content_words: Callable[[str], Collection[str]]
) -> Iterator[tuple[str, float]]:
    for who in ("used", "tried"):
        texts = [text for pair in pairs if (text := getattr(pair, who)) is not None]
        yield f"unreadable {who}", len(pairs) - len(texts)
        yield f"repeated {who}", statistics.fmean(map(_repeated, texts)) if texts else 0.0
        yield f"same {who}", 1 - len(set(texts)) / len(texts) if texts else 0.0
    both = [(pair.used, pair.tried) for pair in pairs if pair.used is not None and pair.tried is not None]
    lengths = [sum(len(_words(text)) for text in texts) for texts in zip(*both)]
    yield "length", lengths[1] / max(1, lengths[0]) if both else 1.0
    yield (
        "facts",
        statistics.fmean(_shared(*map(set, map(content_words, texts))) for texts in both) if both else 1.0,
    )


def _reasons(numbers: Mapping[str, float], limits: TrialLimits) -> Iterator[str]:
    clips, failed = numbers["clips"], numbers["unreadable tried"]
    allowed = max(1, int(limits.unreadable * clips), numbers["unreadable used"])
    if failed > allowed or failed == clips:  # one that writes nothing is not known to write as well
        yield f"no memory of {failed:g} of {clips:g} clips"
    low, high = limits.length
    if not low <= numbers["length"] <= high:
        yield f"memories {numbers['length']:.2f} times as long as now (allowed: {low:g} to {high:g})"
    for what, said in (
        ("repeated", "of a memory repeats itself"),
        ("same", "of the memories say word by word what another one says"),
    ):
        limit = max(getattr(limits, what), numbers[f"{what} used"])
        if numbers[f"{what} tried"] > limit:
            yield f"{numbers[f'{what} tried']:.0%} {said} (allowed: {limit:.0%})"
    if numbers["facts"] < limits.facts:
        shared = f"{numbers['facts']:.0%} of what they speak of is what they speak of now"
        yield f"{shared} (least: {limits.facts:.0%})"


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _repeated(text: str) -> float:
    words = _words(text)
    groups = [tuple(words[at : at + 3]) for at in range(len(words) - 2)]
    return 1 - len(set(groups)) / len(groups) if groups else 0.0


def _shared(used: set[str], tried: set[str]) -> float:
    """1 where the shorter one says nothing that the other does not."""
    return len(used & tried) / max(1, min(len(used), len(tried)))
