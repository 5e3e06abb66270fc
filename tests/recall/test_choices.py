"""Which choice an answer means."""

import pytest

from taskmem_ros.recall import match_choice

COLOURS = ("red", "dark red", "blue")
PLACES = ("on the kitchen counter", "in the bathroom", "on the desk")


@pytest.mark.parametrize(
    ("answer", "choices", "meant"),
    [
        ("red", COLOURS, "red"),
        ("RED.", COLOURS, "red"),
        ("dark red", COLOURS, "dark red"),
        ("a dark red mug", COLOURS, "dark red"),
        ("A", COLOURS, "red"),
        ("b", COLOURS, "dark red"),
        ("(C)", COLOURS, "blue"),
        ("C.", COLOURS, "blue"),
        ("B: dark red", COLOURS, "dark red"),
        ("C) it was blue", COLOURS, "blue"),
        ("Option B", COLOURS, "dark red"),
        ("The answer is C", COLOURS, "blue"),
        ("The correct answer is (b).", COLOURS, "dark red"),
        ("Answer: C", COLOURS, "blue"),
        ("**C**", COLOURS, "blue"),
        ("The answer is C. red", COLOURS, None),
        ("The answer is red", COLOURS, "red"),
        ("The answer is B, not C", COLOURS, None),
        ("C. red", COLOURS, None),
        ("D", COLOURS, None),
        ("green", COLOURS, None),
        ("red or blue", COLOURS, None),
        ("not red", COLOURS, None),
        ("kitchen counter", PLACES, "on the kitchen counter"),
        ("the kitchen", PLACES, "on the kitchen counter"),
        ("on", PLACES, None),
        ("", PLACES, None),
        ("no, it was not", ("yes", "no"), "no"),
        ("Yes.", ("yes", "no"), "yes"),
        ("no", ("yes", "no"), "no"),
        ("A", ("B", "A"), "A"),
        ("2", ("1", "2", "3"), "2"),
        ("12", ("1", "2", "3"), None),
        ("a", ("a", "the"), "a"),
        ("blue", (), None),
    ],
)
def test_the_choice_meant(answer, choices, meant):
    assert match_choice(answer, choices) == meant
