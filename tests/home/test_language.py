"""Every wording of every fact is read back as that fact; anything else is not taken for a statement."""

from __future__ import annotations

import random

import pytest

from taskmem_ros.home import STEP_NS, Fact, HomeSim, memory_text, read_memory, visible_facts

TIMES = (200_000_000, 2_700_000_000, 5_200_000_000, 7_700_000_000)


def clips():
    for seed in range(30):
        sim = HomeSim(seed)
        for index in range(20):
            yield visible_facts(sim, [index * STEP_NS + t for t in TIMES])


def test_what_is_written_is_read_back():
    rng, verbs = random.Random(0), set()
    for facts in clips():
        facts = rng.sample(facts, len(facts))
        assert read_memory(memory_text(facts, rng)) == (facts, [])
        assert read_memory(memory_text(facts)) == (facts, [])
        verbs |= {(fact.kind, fact.verb) for fact in facts}
    assert len(verbs) == 19  # every kind of fact occurred


@pytest.mark.parametrize(
    "text",
    [
        "Something happened.",
        "In the garden, the red mug is on the table.",
        "the red mug is on the counter",
    ],
)
def test_a_text_without_a_room_of_the_home_states_nothing(text):
    assert read_memory(text) == ([], [text])


def test_an_unreadable_clause_is_named_and_the_rest_is_read():
    facts, unread = read_memory(
        "In the kitchen, the red mug is on the counter and the cat sleeps. The light is on."
    )
    assert unread == ["the cat sleeps"]
    assert facts == [
        Fact("kitchen", "object", "red mug", "is", place="counter"),
        Fact("kitchen", "state", "light", "on"),
    ]


def test_a_memory_is_one_or_two_sentences():
    rng = random.Random(1)
    for facts in clips():
        for count in (1, 2, 3):
            assert memory_text(facts[:count], rng).count(".") in (1, 2)
