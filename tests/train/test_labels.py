"""Label checks: each fault by its name, and sound memories without any."""

from __future__ import annotations

import random

import pytest
from taskmem_train.home import home_stream
from taskmem_train.judges.labels import FAULTS, label_faults

from taskmem_ros.home import memory_text

KNOWN = ["In the kitchen, the red mug is on the counter and Anna is wearing a blue coat."]


def faults(text, memories=(), **options):
    return label_faults(text, memories, lambda words: len(words.split()), **options)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("In the kitchen, there is a red mug on the counter.", "repeat"),
        ("The tv is on. In the kitchen, Anna is wearing a blue coat.", "repeat"),
        ("In the office, the door is open and the door is open.", "repeat"),
        ("A mug stands at [120, 44, 180, 90].", "coordinates"),
        ("A mug stands at (0.25, 0.75).", "coordinates"),
        ("The bounding box of the mug is small.", "coordinates"),
        ("The mug is at x=12.", "coordinates"),
        ("In this clip, Anna waves.", "meta"),
        ("The video shows Anna.", "meta"),
        ("As an AI, no person is known to me.", "meta"),
        ("Here is a description of Anna.", "meta"),
        ("Speaker 1: Hello, Anna.", "transcript"),
        ("Anna waves. Narrator: She is here.", "transcript"),
        ("[00:12] Anna waves.", "transcript"),
        ("00:01:02,500 --> 00:01:04,000 Anna waves.", "transcript"),
        ("Anna probably lives here.", "conclusion"),
        ("Anna takes the mug, suggesting that she is thirsty.", "conclusion"),
        ("Anna seems to be late.", "conclusion"),
        ("Anna sits down because it is late.", "conclusion"),
        ("Anna is happy.", "conclusion"),
        ("<person_1> waves.", "tags"),
        ("<person_1 waves.", "tags"),
        ("Anna waves.<|im_end|>", "tags"),
        ("mug " * 151, "long"),
    ],
)
def test_a_fault_has_its_name(text, fault):
    assert fault in FAULTS and faults(text, KNOWN) == (fault,)


@pytest.mark.parametrize(
    "text",
    [
        "In the kitchen, the red mug is on the table.",
        "In the office, the red mug is on the counter.",
        "In the kitchen, Anna is wearing a blue shirt. Ben is wearing a blue coat.",
        "At 10:30 Anna took two (2) mugs from the shelf, and Ben's picture hangs on the wall.",
        "The tv is off. The monitor is on.",
        "Anna puts the camera into a box and may well wave: she holds the lid up.",
        "mug " * 150,
    ],
)
def test_sound_memories_have_none(text):
    assert faults(text, ["In the kitchen, the red mug is on the counter.", "The tv is on."]) == ()


def test_tags_that_are_known_are_sound_and_lengths_are_counted_as_told():
    assert faults("<person_1> waves.", tags={"<person_1>"}) == ()
    assert faults("<person_2> waves.", tags={"<person_1>"}) == ("tags",)
    assert faults("Anna waves at Ben.", max_tokens=3) == ("long",)
    assert faults("Speaker 1: the video shows it.") == ("meta", "transcript")


def test_what_the_demo_home_says_is_sound_until_it_is_said_again():
    rng = random.Random(2)
    for seed in range(1_000_000, 1_000_004):
        for seen in home_stream(seed).seen:
            facts = list(dict.fromkeys(seen.facts))
            assert faults(memory_text(facts, rng)) == ()
            # However it is worded the second time.
            repeated = memory_text([rng.choice(facts)], rng)
            assert faults(repeated, [memory_text(facts, rng)]) == ("repeat",)
