"""Watching an adapter after it was taken over: whether the robot remembers and answers as it did before.

Three things are counted: clips without a memory, memories much shorter or longer than they were, questions
that memory had nothing for. For each the question is the same: could so many be chance, if all were as
before? What was before is known from finitely many clips, which is reckoned with: the answer is the tail of a
beta-binomial distribution. It is asked after every clip, and the chance of a wrong alarm is shared out among
all of these.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Baseline:
    """How it was before. words: of each memory. failed: clips without one. answered, abstained: questions."""

    words: tuple[int, ...] = ()
    failed: int = 0
    answered: int = 0
    abstained: int = 0


@dataclass(frozen=True)
class WatchLimits:
    """clips: how many are watched. chance: of giving up, in the whole watch and for each thing counted, an
    adapter that is no worse. A share must also be larger by a margin than it was, so that what matters little
    never decides. odd_length: a memory is odd with so many times less or more words than the mean was.
    failed_before: what is expected where the baseline has fewer than `few` clips, as if (failed, other) clips
    had been seen.
    """

    clips: int = 60
    chance: float = 1e-3
    failed_margin: float = 0.10
    length_margin: float = 0.30
    abstained_margin: float = 0.25
    odd_length: float = 3.0
    failed_before: tuple[float, float] = (1.0, 19.0)
    few: int = 20


@dataclass
class _Count:
    """Of `seen`, `bad` ones; before it was `bad_before` of `seen_before`."""

    what: str
    margin: float
    bad_before: int
    seen_before: int
    prior: tuple[float, float] = (0.5, 0.5)
    bad: int = field(default=0, init=False)
    seen: int = field(default=0, init=False)

    def add(self, bad: bool) -> None:
        self.bad, self.seen = self.bad + bad, self.seen + 1

    def reason(self, level: float) -> str | None:
        """Why this cannot be chance, None where it can."""
        good_before = self.seen_before - self.bad_before
        a, b = self.prior[0] + self.bad_before, self.prior[1] + good_before
        expected = self.bad_before / self.seen_before if self.seen_before else a / (a + b)
        if not self.bad or self.bad / self.seen < expected + self.margin:
            return None
        if tail(self.bad, self.seen, a, b) > level:
            return None
        before = f"{self.bad_before} of {self.seen_before}" if self.seen_before else "not known"
        return f"{self.bad} of {self.seen} {self.what} (before: {before})"


class Watch:
    """Feed it with what the adapter wrote and what was answered meanwhile; not thread-safe."""

    def __init__(self, before: Baseline, limits: WatchLimits = WatchLimits()):
        self._limits = limits
        mean = statistics.fmean(before.words) if before.words else 0.0
        self._usual = (mean / limits.odd_length, mean * limits.odd_length) if mean else (0.0, math.inf)
        written = len(before.words)
        self._failed = _Count("clips failed", limits.failed_margin, before.failed, written + before.failed)
        if self._failed.seen_before < limits.few:
            self._failed.prior = limits.failed_before
        self._odd = _Count(
            f"memories were less or more than {limits.odd_length:g} times as long as usual",
            limits.length_margin,
            sum(map(self._is_odd, before.words)),
            written,
        )
        self._abstained = _Count(
            "questions found nothing in memory",
            limits.abstained_margin,
            before.abstained,
            before.answered + before.abstained,
        )

    @property
    def clips(self) -> int:
        """How many were seen."""
        return self._failed.seen

    @property
    def passed(self) -> bool:
        """All clips were seen and nothing was worse."""
        return self.clips >= self._limits.clips

    def memory(self, text: str | None) -> str | None:
        """A clip was tried; None: it failed. Returns the reason to go back, None while there is none."""
        self._failed.add(text is None)
        if text is not None:
            self._odd.add(self._is_odd(len(text.split())))
        return self._failed.reason(self._level) or self._odd.reason(self._level)

    def answer(self, abstained: bool) -> str | None:
        """A question was answered, or memory had nothing for it. Returns as `memory` does."""
        self._abstained.add(abstained)
        return self._abstained.reason(self._level)

    @property
    def _level(self) -> float:
        return self._limits.chance / max(1, self._limits.clips)

    def _is_odd(self, words: int) -> bool:
        return not self._usual[0] <= words <= self._usual[1]


def tail(bad: int, seen: int, a: float, b: float) -> float:
    """The chance of `bad` or more of `seen` when the rate of bad ones is Beta(a, b): beta-binomial, exact."""
    return min(1.0, sum(math.exp(_log_mass(k, seen, a, b)) for k in range(bad, seen + 1)))


def _log_mass(k: int, n: int, a: float, b: float) -> float:
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + _log_beta(k + a, n - k + b) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
