"""Statements of memories, and whether memories say an answer."""

import pytest

from taskmem_ros.memory import Memory, terms
from taskmem_ros.recall import Found
from taskmem_ros.recall.statements import goes_on, saying, statements
from taskmem_ros.recall.support import Support


def found(*texts):
    return [Found(Memory(n, "hall", 0, n, n + 1, text), 1.0, ()) for n, text in enumerate(texts, 1)]


def ids(hits):
    return [hit.memory.id for hit in hits]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "In the kitchen, the mug is on the table, a box is on the shelf and Anna waved. The tv is on.",
            [
                "In the kitchen, the mug is on the table",
                "In the kitchen, a box is on the shelf",
                "In the kitchen, Anna waved.",
                "In the kitchen, The tv is on.",
            ],
        ),
        ("Anna and Ben are cooking.", ["Anna and Ben are cooking."]),
        ("The glasses and the mug are on the desk.", ["The glasses and the mug are on the desk."]),
        (
            "Anna picks up the mug and puts it on the shelf. Ben waves.",
            ["Anna picks up the mug and puts it on the shelf.", "Ben waves."],
        ),
        ("A mug is there. It is red, white and blue.", ["A mug is there. It is red, white and blue."]),
        ("", []),
    ],
)  # fmt: skip
def test_statements(text, said):
    assert statements(text) == said


def test_words_of_one_statement_belong_together():
    texts = {
        1: "Anna is standing by the door and the cupboard is open.",
        2: "Anna opened the door.",
        3: "Anna did not open the door.",
    }
    assert list(saying(texts, terms("Anna open door"))) == [2]
    assert list(saying(texts, terms("Anna open door"), denied=True)) == [2, 3]


def test_deeds_and_what_lasts():
    assert goes_on("Anna is sitting on the sofa") and goes_on("the door is open")
    assert not goes_on("Anna opened the door") and not goes_on("Ben waved")


KITCHEN = (
    "In the kitchen, the red mug is on the counter and Anna is wearing a red shirt. The blue box is on the "
    "stove."
)


@pytest.mark.parametrize(
    ("question", "answer", "says"),
    [
        ("Where is the red mug?", "on the counter in the kitchen", True),
        ("Where is the red mug?", "on the stove in the kitchen", False),
        ("Where is the blue mug?", "on the counter in the kitchen", False),
        ("What is Anna wearing?", "a red shirt", True),
        ("What is Clara wearing?", "a red shirt", False),
        ("Who was in the kitchen?", "Anna", True),
        ("Who was in the bedroom?", "Anna", False),
        ("Which room was Anna in?", "in the kitchen", True),
        ("Where is the red mug?", "it is", False),
    ],
)
def test_the_answer_stands_with_what_is_asked_about(question, answer, says):
    hits = found(KITCHEN)
    assert bool(Support(question, exact=True).evidence(answer, hits, hits)) == says


def test_what_was_asked_about_the_deed():
    hits = found("Anna took the red mug from the table.", "Anna switched off the light.")
    support = Support("Who put the red mug on the table?", exact=True)
    assert not support.evidence("Anna", hits[:1], hits)
    assert ids(Support("Who has taken the red mug?", exact=True).evidence("Anna", hits[:1], hits)) == [1]
    assert not Support("Who switched on the light?", exact=True).evidence("Anna", hits[1:], hits)
    assert ids(Support("Is the light on or off?", exact=True).evidence("off", hits[1:], hits)) == [2]


def test_the_newest_that_says_it_stands_in_for_a_wrong_citation():
    hits = found("The mug is on the desk.", "The mug is on the desk.", "The lamp is on.")
    assert ids(Support("Where is the mug?", exact=True).evidence("on the desk", hits[2:], hits)) == [2]


def test_those_that_do_not_say_it_are_not_counted():
    hits = found("The mug is on the desk.", "The mug is in the sink.")
    for exact in (True, False):
        assert ids(Support("Where is the mug?", exact).evidence("in the sink", hits, hits)) == [2]


def test_a_list_may_stand_in_several_statements():
    hits = found("In the hall, Anna is standing by the door and Ben waved.")
    assert Support("Who was in the hall?", exact=True).evidence("Anna and Ben", hits, hits)
    assert not Support("Who was in the hall?", exact=True).evidence("Anna and Clara", hits, hits)


def test_a_reader_that_knows_language():
    hits = found(
        "Anna took the mug from the table.", "She put it into the dishwasher.", "Ben has a red ball."
    )
    loose = Support("Where did Anna put the cup?", exact=False)
    assert ids(loose.evidence("from the table into the dishwasher", hits[:2], hits)) == [1, 2]
    assert not loose.evidence("under the bed", hits[:2], hits)
    assert not Support("Where did Clara put the cup?", exact=False).evidence("table", hits[:1], hits)
    assert not Support("Who has the red mug?", exact=False).evidence("Ben", hits[2:], hits)
    assert ids(Support("Is there a ball?", exact=False).evidence("yes", hits[2:], hits)) == [3]
