"""Judges of the demo home: exact about what is true, new and asked for; the control knows nothing."""

from __future__ import annotations

import itertools

import pytest
from judge_cases import context
from taskmem_train.judges.truth import HomeTruth, RandomJudge

from taskmem_ros.home import Fact

MUG = Fact("kitchen", "object", "red mug", "is", place="counter")
TOOK = Fact("kitchen", "event", "Anna", "took", "red mug", "counter")
COAT = Fact("kitchen", "clothes", "Anna", "wearing", "blue coat")
DOOR = Fact("kitchen", "state", "door", "open")
TRUTH = HomeTruth({"home-1": [MUG, TOOK, COAT, DOOR], "empty": []})
WHERE = ["Where is the green ball?"]


@pytest.mark.parametrize(
    ("text", "score", "reason"),
    [
        ("In the kitchen, the red mug is on the counter and the door is open.", 1.0, ""),
        ("In the kitchen, the red mug is on the stove and the door is open.", 0.5, "not so"),
        ("In the kitchen, the red mug is on the counter and all is well.", 0.5, "all is well"),
        ("In the kitchen, the door is open, the door is open and the door is closed.", 0.5, "closed"),
        ("In the office, the red mug is on the counter.", 0.0, "office"),
        ("Nothing to see.", 0.0, "Nothing to see"),
    ],
)
def test_quality_is_the_share_of_true_statements(text, score, reason):
    (grade,) = TRUTH.grade(context(), [text])
    assert (grade.score, grade.ok) == (score, score == 1.0)
    assert reason in grade.reason and bool(grade.reason) == (not grade.ok)


def test_helpful_facts_are_true_new_and_of_the_form_asked_for():
    text = "In the kitchen, the red mug is on the counter, Anna took the red mug from the counter"
    text += " and the door is open."
    assert TRUTH.helpful(context(), text, WHERE) == [MUG, TOOK]
    assert TRUTH.helpful(context(), text, ["Who took the red mug?"]) == [TOOK]
    assert TRUTH.helpful(context(), text, [*WHERE, "Is the door in the office open or closed?"]) == [
        MUG,
        TOOK,
        DOOR,
    ]
    known = context("In the kitchen, there is a red mug on the counter.")
    assert TRUTH.helpful(known, text, WHERE) == [TOOK]
    assert TRUTH.helpful(context(), "In the kitchen, the red mug is on the stove.", WHERE) == []


def test_more_helpful_facts_win_and_false_ones_never_help():
    mug, false = (
        "In the kitchen, the red mug is on the counter.",
        "In the kitchen, the blue mug is on the stove.",
    )
    coat = "In the kitchen, Anna is wearing a blue coat."
    both = "In the kitchen, the red mug is on the counter and the door is open."
    twice = "In the kitchen, the red mug is on the counter and Anna took the red mug from the counter."
    asked = [*WHERE, "Is the door in the office open or closed?"]
    pairs = [(mug, both), (both, mug), (mug, false), (false, coat), (coat, coat), (mug, twice)]
    # What answers one and the same question twice helps no more than what answers it once.
    assert TRUTH.compare(context(), pairs, asked) == ["second", "first", "first", "tie", "tie", "tie"]


def test_what_the_truth_cannot_know_is_an_error():
    with pytest.raises(ValueError, match="'home-9' is not known"):
        TRUTH.grade(context(id="home-9"), ["x"])
    with pytest.raises(ValueError, match="'What is love.' is no question"):
        TRUTH.compare(context(), [("a", "b")], ["What is love?"])
    with pytest.raises(ValueError, match="no recent question"):
        TRUTH.compare(context(), [("a", "b")], [])


def test_random_preferences_do_not_depend_on_the_order_or_on_the_text():
    texts = [f"memory {index}" for index in range(8)]
    pairs = list(itertools.permutations(texts, 2))
    first = swapped = 0
    winners = set()
    for index in range(40):
        where = context(id=f"home-{index}")
        verdicts = dict(zip(pairs, RandomJudge(3).compare(where, pairs, WHERE)))
        assert all({verdicts[a, b], verdicts[b, a]} == {"first", "second"} for a, b in pairs)
        assert RandomJudge(3).compare(where, pairs, WHERE) == list(verdicts.values())
        first += sum(verdicts[pair] == "first" for pair in itertools.combinations(texts, 2))
        swapped += verdicts != dict(zip(pairs, RandomJudge(4).compare(where, pairs, WHERE)))
        winners.add(
            max(texts, key=lambda text: sum(verdicts[text, o] == "first" for o in texts if o != text))
        )
    assert 0.4 < first / (40 * 28) < 0.6 and swapped == 40
    assert winners == set(texts)
