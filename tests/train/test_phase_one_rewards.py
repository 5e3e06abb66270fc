"""Each reward by itself, and what a group of candidates gets."""

from __future__ import annotations

import pytest
from taskmem_train.contexts import Context
from taskmem_train.judges.truth import HomeTruth
from taskmem_train.judges.types import Grade, JudgeError
from taskmem_train.phase_one.home import HomeRichness, HomeStreams
from taskmem_train.phase_one.rewards import (
    Candidate,
    Reward,
    RewardModel,
    format_reward,
    quality_fault,
    quality_reward,
    ranks,
    thinking_reward,
)

from taskmem_ros.home import memory_text


@pytest.fixture(scope="module")
def streams():
    streams = HomeStreams(1_000_000, 3, (64, 48))
    streams(0)
    return streams


def written(text: str, thinking: int = 0, tokens: int = 20) -> Candidate:
    return Candidate(text, thinking, tokens)


def test_format_and_thinking():
    assert format_reward(written("In the kitchen, the tv is on.")) == 0
    assert format_reward(Candidate(None, 0, 0, "no JSON")) == -1.5
    assert [thinking_reward(n) for n in (0, 1200, 1800, 2400, 9000)] == [0, 0, -0.5, -1, -1]
    assert thinking_reward(15, limit=10) == -0.5


def test_quality_wants_truth_a_label_and_brevity():
    context, true = Context("x", (), ("In the kitchen, the tv is on.",)), Grade(1.0, True)
    assert quality_fault(true, context, written("In the kitchen, Anna waved.", tokens=150)) == ""
    assert quality_fault(Grade(0.5, False, "not so: a cat"), context, written("A cat.")) == "not so: a cat"
    assert quality_fault(true, context, written("In the kitchen, the tv is on.")) == "repeat"
    assert quality_fault(true, context, written("Anna is probably tired.")) == "conclusion"
    assert quality_fault(true, context, written("In the kitchen, Anna waved.", tokens=151)) == "long"
    assert (quality_reward(""), quality_reward("long")) == (0.5, -0.5)


def test_richness_is_a_rank_among_the_group():
    assert ranks([1, 3, 2]) == [0, 1, 0.5]
    assert ranks([2, 2, 5]) == [0.25, 0.25, 1]
    assert ranks([4, 4]) == [0.5, 0.5]
    assert ranks([7]) == [0.5]


def test_a_group_of_the_home(streams):
    facts = streams.facts["home-1000000#1"]
    context = Context("home-1000000#1", (), (memory_text(facts[:1]),))
    one, three = memory_text(facts[1:2]), memory_text(facts[1:4])
    candidates = [
        written(one),
        written(three, thinking=2400),
        written(memory_text(facts[:2])),  # says what is in memory already
        written(one.replace(".", ", and nobody else.")),
        Candidate(None, 5000, 0, "the reply was cut off"),
    ]
    model = RewardModel(HomeTruth(streams.facts), HomeRichness(streams.facts))
    rewards = model.rewards(context, candidates)
    assert [reward.valid for reward in rewards] == [True, True, False, False, False]
    assert [reward.total for reward in rewards] == pytest.approx([0.5, -0.45, -0.5, -0.5, -1.5])
    assert rewards[2].reason.startswith("repeat")
    assert rewards[4] == Reward(format=-1.5, reason="the reply was cut off")
    poor = RewardModel(HomeTruth(streams.facts), None)
    assert poor.rewards(context, candidates[:1])[0].total == 0.5


def test_a_candidate_without_a_verdict_has_no_reward():
    class Half:
        def grade(self, context, texts):
            return [JudgeError("HTTP 500"), *(Grade(1.0, True) for _ in texts[1:])]

    rewards = RewardModel(Half(), None).rewards(
        Context("x", (), ()), [written("Anna waved."), written("Ben sat down.")]
    )
    assert rewards[0] is None and rewards[1].valid


def test_homes_for_training_the_demo_model_are_refused():
    with pytest.raises(ValueError, match="take homes from 1000000 on"):
        HomeStreams(7, 3)
