"""Intervals and comparisons of shares, by a bootstrap over groups.

Questions about one video stand or fall together, so whole groups (videos, streams) are drawn, not questions.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
EXACT_GROUPS = 12  # 4096 ways to exchange them


class Interval(NamedTuple):
    """low, high: None where it has no ends (see `bootstrap_interval`)."""

    value: float
    low: float | None
    high: float | None


class Paired(NamedTuple):
    """difference: mean of a minus mean of b. interval: of it. p: two-sided, of one so large by chance."""

    difference: float
    interval: Interval
    p: float


def bootstrap_interval(
    values: Sequence[float],
    groups: Sequence[Hashable],
    *,
    weights: Sequence[float] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """sum(values) / sum(weights), the mean where there are no weights, with its percentile interval.

    values, weights, groups: (N,), group[i] is what item i belongs to. A share of a part is the weights: right
    answers as values and given answers as weights is the precision. The ends are None with fewer than two
    groups: of one there is nothing to draw. The same seed gives the same interval. Raises ValueError where
    nothing is counted (no values, or weights that sum to 0).
    """
    data = _columns(groups, values, [1.0] * len(values) if weights is None else weights)
    _check(confidence, resamples)
    sums, total = _sums(groups, data), data.sum(axis=0)
    if not total[1] > 0:
        raise ValueError(
            f"the weights of {len(values)} values sum to {total[1]:g}; there is no share of nothing"
        )
    draws = _draws(sums, resamples, seed)
    draws = draws[draws[:, 1] > 0]  # a draw in which nothing is counted has no share
    return _interval(total[0] / total[1], draws[:, 0] / draws[:, 1], len(sums), confidence)


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    groups: Sequence[Hashable],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """How much more a has than b, on the same items: (difference, interval, p).

    a, b, groups: (N,), a[i] and b[i] are the scores of item i, which belongs to groups[i]. p is the share of
    ways to exchange a and b in whole groups that give as large a difference: of all ways up to 12 groups, of
    `resamples` random ones beyond. So it cannot be small with few groups, where a bootstrap finds too much;
    for the same reason the interval is too narrow with fewer than about 15. Raises ValueError on no items
    and on unequal lengths.
    """
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} scores and b has {len(b)}; they are pairs of the same items")
    data = _columns(groups, np.asarray(a, float) - np.asarray(b, float), [1.0] * len(a))
    _check(confidence, resamples)
    sums, total = _sums(groups, data), data.sum(axis=0)
    draws = _draws(sums, resamples, seed)
    differences = draws[:, 0] / draws[:, 1]
    interval = _interval(total[0] / total[1], differences, len(sums), confidence)
    return Paired(interval.value, interval, _chance(sums[:, 0], resamples, seed))


def _columns(groups: Sequence[Hashable], *columns: Sequence[float]) -> np.ndarray:
    """(N, columns), checked."""
    if not len(groups):
        raise ValueError("there are no values; a bootstrap needs at least one")
    if any(len(column) != len(groups) for column in columns):
        lengths = ", ".join(str(len(column)) for column in columns)
        raise ValueError(
            f"there are {lengths} values and weights, but {len(groups)} groups; give one for each"
        )
    data = np.stack([np.asarray(column, float) for column in columns], axis=1)
    if not np.isfinite(data).all():
        raise ValueError(f"value {int(np.argwhere(~np.isfinite(data))[0, 0])} is not a finite number")
    return data


def _check(confidence: float, resamples: int) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must be between 0 and 1, as in 0.95")
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; it must be at least 1")


def _sums(groups: Sequence[Hashable], data: np.ndarray) -> np.ndarray:
    """(groups, columns): what a draw of a group adds."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    sums = np.zeros((len(numbers), data.shape[1]))
    np.add.at(sums, [numbers[group] for group in groups], data)
    return sums


def _draws(sums: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """(resamples, columns): the sums over as many groups as there are, drawn with replacement."""
    count = len(sums)
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples) @ sums


def _chance(sums: np.ndarray, resamples: int, seed: int) -> float:
    """The share of sign flips of the groups' sums (groups,) whose total is as far from zero as theirs."""
    exact = len(sums) <= EXACT_GROUPS
    if exact:
        flips = np.array(list(itertools.product((-1, 1), repeat=len(sums))))
    else:
        flips = np.random.default_rng(seed).choice((-1, 1), (resamples, len(sums)))
    as_far = np.count_nonzero(np.abs(flips @ sums) >= abs(sums.sum()) - 1e-9)
    return float(as_far / len(flips) if exact else (as_far + 1) / (len(flips) + 1))


def _interval(value: float, draws: np.ndarray, groups: int, confidence: float) -> Interval:
    if groups < 2:
        return Interval(float(value), None, None)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(value), float(low), float(high))
