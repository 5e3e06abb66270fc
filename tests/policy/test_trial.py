"""Judging a trial, on what real adapters of the demo model wrote and on what is made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskmem_ros.memory import content_words
from taskmem_ros.policy.trial import TrialLimits, Tried, judge_trial

# Memories of eight clips of the demo home each: of the one in use ("used"), and by adapter.
RECORDED = json.loads((Path(__file__).parent / "files" / "trial_drafts.json").read_text())
GOOD = ("bare", "finder", "carer", "guard", "steward", "wardrobe")
USED = (
    "Anna puts the red mug on the kitchen table.",
    "The hall is empty and the door is open.",
    "Ben carries a cardboard box to the shelf.",
    "A cat sleeps on the sofa in the living room.",
    "The light in the study is on and the window is shut.",
    "Anna waters the plant beside the window.",
    "The oven is on and a pot stands on it.",
    "Ben takes the green umbrella from the stand.",
)


def verdict(tried, used=USED):
    return judge_trial([Tried(*pair) for pair in zip(used, tried)], content_words, TrialLimits())


@pytest.mark.parametrize("life", range(len(RECORDED)))
def test_adapters_that_are_known_good_pass_and_those_that_ruin_do_not(life):
    for name, tried in RECORDED[life]["tried"].items():
        result = verdict(tried, RECORDED[life]["used"])
        assert result.passed == (name in GOOD), f"{name}: {result} {result.numbers}"


def test_saying_the_same_otherwise_or_less_of_it_passes():
    assert verdict(USED).passed
    assert verdict([text.replace("The ", "A ").replace("Anna", "A woman") for text in USED]).passed
    assert verdict([" ".join(text.split()[:5]) for text in USED]).passed
    assert verdict([f"{text} The floor is clean and the room is quiet." for text in USED]).passed


def test_one_unreadable_reply_is_let_pass_and_more_are_not():
    assert verdict((None, *USED[1:])).passed
    result = verdict((None, None, *USED[2:]))
    assert not result.passed and str(result) == "no memory of 2 of 8 clips"
    assert verdict((None, None, *USED[2:]), (None, None, *USED[2:])).passed, "as bad as what is in use"
    assert str(verdict([None] * 8)) == "no memory of 8 of 8 clips"
    assert verdict([None, "y"], ["x", "y"]).passed and not verdict([None, None], ["x", "y"]).passed
    assert not verdict([None], ["x"]).passed and not verdict([None], [None]).passed, "nothing is known of it"


def test_cut_short_and_running_on():
    assert "times as long as now" in str(verdict([text.split()[1] for text in USED]))
    assert "times as long as now" in str(verdict([" ".join(USED)] * 8))


def test_repeating_itself_within_a_memory():
    result = verdict([f"{text} {text} {text}"[: 2 * len(text)] for text in USED])
    assert not result.passed and "repeats itself" in str(result)


def test_always_saying_the_same():
    result = verdict([USED[0]] * 8)
    assert "88% of the memories say word by word what another one says" in str(result)
    assert verdict([USED[0]] * 8, [USED[0]] * 8).passed, "nothing happens, says the one in use as well"


def test_speaking_of_something_else():
    result = verdict(USED[3:] + USED[:3])
    assert not result.passed and "of what they speak of" in str(result)


def test_a_trial_without_clips_is_none():
    with pytest.raises(ValueError, match="no clips"):
        judge_trial([], content_words, TrialLimits())
