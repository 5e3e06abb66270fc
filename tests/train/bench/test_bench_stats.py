"""Intervals hold the truth as often as they say, and draw groups rather than items."""

from __future__ import annotations

import numpy as np
import pytest
from taskmem_train.stats import bootstrap_interval, paired_bootstrap


def test_the_interval_of_a_mean_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(300):
        bias = rng.normal(0, 0.2, 40)  # what the questions of one video share
        values = (rng.random((40, 5)) < np.clip(0.5 + bias, 0, 1)[:, None]).astype(float).ravel()
        found = bootstrap_interval(values, np.repeat(np.arange(40), 5), resamples=400, seed=trial)
        held += found.low <= 0.5 <= found.high
    assert 0.90 <= held / 300 <= 0.98


def test_items_of_one_group_count_as_one_draw():
    values = [1.0] * 50 + [0.0] * 50
    together = bootstrap_interval(values, [0] * 50 + [1] * 50)
    apart = bootstrap_interval(values, range(100))
    assert (together.low, together.high) == (0.0, 1.0)
    assert 0.38 < apart.low < 0.42 and 0.58 < apart.high < 0.62


def test_weights_make_a_share_of_a_part():
    right, answered, videos = [1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 2, 3]
    found = bootstrap_interval(right, videos, weights=answered)
    assert found.value == pytest.approx(2 / 3)
    assert 0.5 <= found.low <= 2 / 3 <= found.high <= 1


def test_the_same_seed_gives_the_same_interval_and_one_group_gives_none():
    values, groups = [0, 1, 1, 0, 1], [1, 2, 3, 4, 5]
    assert bootstrap_interval(values, groups, seed=3) == bootstrap_interval(values, groups, seed=3)
    assert bootstrap_interval([0, 1], ["a", "a"]) == (0.5, None, None)
    assert paired_bootstrap([1, 1], [0, 0], ["a", "a"]).p == 1.0


def test_a_paired_difference_is_found_where_there_is_one_and_only_there():
    rng = np.random.default_rng(2)
    hard = rng.random(60)  # how hard a video is, for both
    better = (rng.random((60, 4)) < hard[:, None] * 0.6 + 0.4).astype(float).ravel()
    worse = (rng.random((60, 4)) < hard[:, None] * 0.6 + 0.1).astype(float).ravel()
    videos = np.repeat(np.arange(60), 4)
    difference, interval, p = paired_bootstrap(better, worse, videos)
    assert interval.low > 0 and interval.low < difference < interval.high and p < 0.01
    backwards = paired_bootstrap(worse, better, videos)
    assert backwards.difference == -difference and backwards.p < 0.01
    same = paired_bootstrap(better, better, videos)
    assert same == (0.0, (0.0, 0.0, 0.0), 1.0)


def test_p_is_small_as_often_as_it_should_be_when_nothing_differs():
    rng = np.random.default_rng(3)
    small = 0
    for trial in range(300):
        chance = rng.random(30)[:, None]
        a, b = ((rng.random((30, 4)) < chance).astype(float).ravel() for _ in range(2))
        small += paired_bootstrap(a, b, np.repeat(np.arange(30), 4), resamples=400, seed=trial).p < 0.05
    assert small / 300 < 0.10


def test_few_groups_cannot_give_a_small_p():
    assert paired_bootstrap([1] * 8, [0] * 8, [0, 0, 0, 0, 1, 1, 1, 1]).p == 0.5
    assert paired_bootstrap([1] * 6, [0] * 6, range(6)).p == 2 / 2**6
    assert paired_bootstrap([1, 1, 0], [0, 0, 1], range(3)).p == 1.0


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: bootstrap_interval([], []), "no values"),
        (lambda: bootstrap_interval([1, 0], [1]), "2, 2 values and weights, but 1 groups"),
        (lambda: bootstrap_interval([0, 0], [1, 2], weights=[0, 0]), "sum to 0"),
        (lambda: bootstrap_interval([1, float("nan")], [1, 2]), "value 1 is not a finite number"),
        (lambda: bootstrap_interval([1], [1], confidence=95), "confidence is 95"),
        (lambda: paired_bootstrap([1, 0], [1], [1, 2]), "a has 2 scores and b has 1"),
        (lambda: paired_bootstrap([1], [1], [1], resamples=0), "resamples is 0"),
    ],
)
def test_what_cannot_be_computed_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()
