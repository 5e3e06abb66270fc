"""Questions: the newest sighting is the truth, what was never seen has none, and only the truth is right."""

from __future__ import annotations

import random

import pytest

from taskmem_ros.home import (
    QUESTION_KINDS,
    Fact,
    HomeQuestion,
    HomeSim,
    Query,
    is_right,
    look_up,
    near_misses,
    observations,
    queries_about,
    questions,
    random_query,
    read_question,
)

MINUTE = 60_000_000_000
ON_TABLE = Fact("kitchen", "object", "red mug", "is", place="table")
ON_DESK = Fact("office", "object", "red mug", "is", place="desk")
TAKEN = Fact("office", "event", "Anna", "took", "red mug", "desk")
WHERE = Query("where_thing", ("red mug",))


def test_the_newest_sighting_wins():
    assert look_up(WHERE, [[ON_TABLE], [ON_DESK]]).answer == "on the desk in the office"
    assert look_up(WHERE, [[ON_DESK], [ON_TABLE]]).answer == "on the table in the kitchen"
    assert look_up(WHERE, [[ON_DESK], [TAKEN], []]) == look_up(WHERE, [[ON_DESK], [TAKEN]])
    assert look_up(WHERE, [[ON_DESK], [TAKEN]]).answer == "with Anna"


def test_what_is_not_there_is_not_found():
    assert look_up(Query("where_thing", ("blue mug",)), [[ON_TABLE]]) is None
    assert look_up(WHERE, []) is None


def test_every_fact_that_can_be_asked_for_answers_its_questions():
    for facts in observations(HomeSim(6), 10 * MINUTE):
        for fact in facts:
            for query in queries_about(fact):
                assert look_up(query, [[fact]]) is not None, (query, fact)


def test_near_misses_have_the_form_of_the_question_and_another_subject():
    rng = random.Random(0)
    for _ in range(500):
        query = random_query(rng)
        for miss in near_misses(query, rng):
            assert miss.form == query.form and miss.about != query.about
            assert "{" not in miss.text(rng)


def test_a_question_is_read_back_from_every_wording():
    rng = random.Random(1)
    for _ in range(2000):
        query = random_query(rng)
        assert read_question(query.text(rng)) == query


@pytest.mark.parametrize(
    "text",
    ["", "Where is it?", "Where is the pink mug?", "Where is Anna", "So: Where is Anna?", "Who took Anna?"],
)
def test_other_words_are_no_question_about_the_home(text):
    assert read_question(text) is None


def test_questions_cover_every_kind_and_what_was_never_seen():
    asked = questions(HomeSim(11), 15 * MINUTE, 40, seed=1)
    assert len({q.query for q in asked}) == 40
    assert {q.kind for q in asked} == set(QUESTION_KINDS)
    assert 10 <= sum(q.answer is None for q in asked) <= 14
    seen = observations(HomeSim(11), 15 * MINUTE)
    for question in asked:
        finding = look_up(question.query, seen)
        assert (finding and finding.answer) == question.answer


def test_questions_are_the_same_for_the_same_seed():
    assert questions(HomeSim(11), 5 * MINUTE, 10, seed=1) == questions(HomeSim(11), 5 * MINUTE, 10, seed=1)
    assert questions(HomeSim(11), 5 * MINUTE, 10, seed=1) != questions(HomeSim(11), 5 * MINUTE, 10, seed=2)


def test_nothing_can_be_asked_before_anything_was_seen():
    with pytest.raises(ValueError, match="not seen anything"):
        questions(HomeSim(11), 0, 10, seed=1)


@pytest.mark.parametrize(
    ("truth", "answer", "right"),
    [
        ("on the table in the kitchen", "It is on the table in the kitchen.", True),
        ("on the table in the kitchen", "on the counter in the kitchen", False),
        ("on the table in the kitchen", "on the table or the counter in the kitchen", False),
        ("on the table in the kitchen", None, False),
        ("Anna and Ben", "Ben and Anna", True),
        ("Anna and Ben", "Anna", False),
        ("a red shirt", "Anna wears a red shirt", False),
        ("a red shirt", "A red shirt", True),
        ("open", "It is open", True),
        ("open", "closed", False),
        ("on", "On.", True),
        ("on", "off", False),
        (None, None, True),
        (None, "on the table in the kitchen", False),
    ],
)
def test_only_the_truth_is_right(truth, answer, right):
    question = questions(HomeSim(11), 5 * MINUTE, 1, seed=1)[0]
    question = type(question)(question.text, question.kind, truth, Query("where_thing", ("red mug",)))
    assert is_right(question, answer) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("took the red mug from the desk", True),
        ("She took the red mug from the desk.", True),
        ("put the red mug on the desk", False),
        ("took the red mug", False),
        ("waved", False),
        (None, False),
    ],
)
def test_a_deed_is_told_rightly_with_its_verb_and_all_it_was_done_to(answer, right):
    query = Query("what_did", ("Anna", "office"))
    truth = look_up(query, [[ON_DESK], [TAKEN]]).answer
    assert is_right(HomeQuestion("What did Anna do in the office?", "event", truth, query), answer) is right
