"""The watch after a take-over: what is clearly worse ends it early, chance does not, and it ends well."""

from __future__ import annotations

import random

import pytest

from taskmem_ros.policy.watch import Baseline, Watch, WatchLimits, tail

WORDS = tuple(8 + k % 9 for k in range(295))  # 8 to 16, 12 on average
USUAL = Baseline(WORDS, failed=5, answered=70, abstained=30)
LIMITS = WatchLimits()
MEMORY = " ".join(["word"] * 12)


def watched(texts, before=USUAL, limits=LIMITS):
    """(after how many clips it ended, why)."""
    watch = Watch(before, limits)
    for count, text in enumerate(texts, 1):
        if (reason := watch.memory(text)) or watch.passed:
            return count, reason
    return None, None


def test_as_before_it_ends_well_after_so_many_clips():
    assert watched([MEMORY] * 100) == (60, None)
    assert watched([MEMORY] * 100, limits=WatchLimits(clips=7)) == (7, None)


def test_an_adapter_that_fails_is_given_up_after_a_few_clips():
    count, reason = watched([None] * 60)
    assert count <= 5
    assert reason == f"{count} of {count} clips failed (before: 5 of 300)"
    count, reason = watched([MEMORY, None, MEMORY, MEMORY] * 15)
    assert 8 <= count <= 40 and "clips failed" in reason


def test_some_failures_are_chance():
    assert watched([None, None] + [MEMORY] * 58) == (60, None)
    often = Baseline(WORDS, failed=295)
    assert watched([None, MEMORY] * 30, often) == (60, None)
    assert watched([None] * 60, often)[1] is not None


def test_much_shorter_or_longer_memories_are_noticed_and_a_change_of_style_is_not():
    for text in ("door open", MEMORY * 4):
        count, reason = watched([text] * 60)
        assert count <= 15 and "as long as usual (before: 0 of 295)" in reason
    assert watched([" ".join(["word"] * 7), " ".join(["word"] * 24)] * 30) == (60, None)


def test_questions_that_suddenly_find_nothing():
    watch = Watch(USUAL)
    reasons = [watch.answer(abstained=True) for _ in range(20)]
    first = next(reason for reason in reasons if reason)
    assert "questions found nothing in memory (before: 30 of 100)" in first
    assert reasons[4] is None
    calm = Watch(USUAL)
    assert not any(calm.answer(abstained=k % 3 == 0) for k in range(60))


def test_a_robot_without_a_past_still_notices_that_nothing_is_remembered_and_judges_nothing_else():
    count, reason = watched([None] * 60, Baseline())
    assert 4 <= count <= 8 and reason == f"{count} of {count} clips failed (before: not known)"
    assert watched([MEMORY * 50] * 60, Baseline()) == (60, None)
    watch = Watch(Baseline())
    assert not any(watch.answer(abstained=True) for _ in range(100))


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.2, 0.5])
def test_a_good_adapter_is_hardly_ever_given_up(rate):
    """2,000 robots whose adapters are exactly as before, with baselines drawn at the same rate."""
    dice, given_up = random.Random(7), 0
    for _ in range(2000):
        failed = sum(dice.random() < rate for _ in range(60))
        before = Baseline((12,) * (60 - failed), failed)
        given_up += (
            watched([None if dice.random() < rate else MEMORY for _ in range(60)], before)[1] is not None
        )
    assert given_up <= 8


def test_the_tail_is_that_of_a_beta_binomial():
    assert tail(0, 10, 2, 3) == pytest.approx(1.0)
    assert tail(1, 1, 2, 3) == pytest.approx(2 / 5)
    assert tail(2, 2, 1, 1) == pytest.approx(1 / 3)
    assert tail(3, 3, 1, 19) == pytest.approx(1 * 2 * 3 / (20 * 21 * 22))
