"""What a question wants of the memories, and what they must speak of to answer it."""

import pytest

from taskmem_ros.recall.aim import aim_of, asks_when, statement_of
from taskmem_ros.recall.demands import demands
from taskmem_ros.recall.verbs import forms

PLAIN = [
    "Where is the red mug?",
    "Who was in the kitchen?",
    "What is on the first floor?",
    "Is the door open or closed?",
    "Which room was Anna in?",
]


@pytest.mark.parametrize("question", PLAIN)
def test_most_questions_want_the_newest(question):
    aim = aim_of(question)
    assert (aim.kind, aim.beside, aim.main) == ("latest", "", question)


@pytest.mark.parametrize(
    ("question", "kind", "statement"),
    [
        ("How many times did Anna open the door?", "count", "Anna open the door"),
        ("How often was the cat on the sofa?", "count", "the cat on the sofa"),
        ("How long was the light on?", "how long", "the light on"),
        ("For how long did Ben sit on the bench?", "how long", "Ben sit on the bench"),
        ("When did Anna come in?", "when", "Anna come in"),
        ("At what time was the door closed?", "when", "the door closed"),
        ("When did you last see the keys?", "when", "you see the keys"),
        ("When did Anna first open the door?", "first", "Anna open the door"),
    ],
)
def test_questions_that_are_reckoned(question, kind, statement):
    aim = aim_of(question)
    assert (aim.kind, statement_of(aim)) == (kind, statement)
    assert asks_when(aim) == question.lower().startswith(("when", "at what"))


def test_how_long_ago_is_a_time():
    aim = aim_of("How long ago did Anna leave?")
    assert (aim.kind, aim.ago, statement_of(aim)) == ("when", True, "Anna leave")


@pytest.mark.parametrize(
    ("question", "main"),
    [
        ("Who opened the door first?", "Who opened the door?"),
        ("Who was the first to open the door?", "Who open the door?"),
        ("Where was the mug first seen?", "Where was the mug seen?"),
        ("What did Ben take the first time?", "What did Ben take?"),
    ],
)
def test_the_first(question, main):
    aim = aim_of(question)
    assert (aim.kind, aim.main, aim.oldest) == ("first", main, True)


@pytest.mark.parametrize(
    ("question", "beside", "main", "event"),
    [
        ("Where was the mug before Anna took it?", "before", "Where was the mug?", "Anna took the mug"),
        ("What did Ben do right after Anna left?", "after", "What did Ben do?", "Anna left"),
        ("After Anna left, who was in the kitchen?", "after", "Who was in the kitchen?", "Anna left"),
        ("Where was Ben when the light went out?", "during", "Where was Ben?", "the light went out"),
        ("Where was it before Ben took the hat?", "before", "Where was the hat?", "Ben took the hat"),
        ("What did Anna do before she left?", "before", "What did Anna do?", "Anna left"),
    ],
)  # fmt: skip
def test_before_and_after(question, beside, main, event):
    aim = aim_of(question)
    assert (aim.beside, aim.main, aim.event) == (beside, main, event)
    assert aim.oldest == (beside == "after")


@pytest.mark.parametrize(
    "question", ["What happened before Anna left?", "What happened next after Ben came in?"]
)
def test_what_happened_is_open(question):
    assert aim_of(question).open


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Where is the red mug?", "red mug"),
        ("Where is Anna?", "anna"),
        ("Which room was Anna in?", "anna"),
        ("Which clothes does Anna have on?", "anna"),
        ("What colour is the mug?", "mug"),
        ("Who put the red mug on the table?", "red mug table put"),
        ("Who has taken the book?", "book taken"),
        ("Who switched on the light in the kitchen?", "light kitchen switched on"),
        ("What did Anna put on the table?", "anna table put on"),
        ("What did Anna do in the living room?", "anna living room"),
        ("Is the door in the kitchen open or closed?", "door kitchen"),
        ("Was the tv in the living room left on?", "tv living room"),
        ("Where did you last see Ben's umbrella?", "ben umbrella"),
        ("Where is the man wearing a hat?", "man hat"),
        ("Who was it?", ""),
    ],
)
def test_what_a_memory_must_speak_of(question, words):
    assert " ".join(term.text for term in demands(question).terms) == words


def test_forms_of_verbs():
    assert {"take", "took", "taken"} <= set(forms("taking")) and "took" in forms("takes")
    assert {"sit", "sat"} <= set(forms("sitting")) and set(forms("put")) == {"put"}
    assert forms("opened") == ("opened",) and forms("mug") == ("mug",)
