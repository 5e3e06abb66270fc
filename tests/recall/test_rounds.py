"""A reader that searches again, and what it is told."""

import datetime as dt
import json

import pytest

from taskmem_ros.clips import Pose
from taskmem_ros.memory import Store
from taskmem_ros.recall import Recall, rounds_for
from taskmem_ros.recall.rounds import Wish, parse_wish

S = 1_000_000_000
UTC = dt.timezone.utc


class Reply:
    confidence, ended = 0.7, "stop"

    def __init__(self, text, finished=True):
        self.text, self.finished = text if isinstance(text, str) else json.dumps(text), finished


class Scripted:
    def __init__(self, *replies):
        self.replies, self.prompts = list(replies), []

    def __call__(self, prompt, *, max_new_tokens, deadline):
        self.prompts.append(prompt)
        reply = self.replies.pop(0)
        return reply if isinstance(reply, Reply) else Reply(reply)


@pytest.fixture
def store(tmp_path):
    """Twenty memories of nothing much, 100 s apart from 01:00 on; the cup's place, once, before them."""
    with Store.open(tmp_path / "memory.db") as opened:
        here = Pose("map", 5.0, 5.0, 0, 0, 0, 0, 1)
        opened.add_memory("hall", 0, 3000 * S, 3010 * S, "A mug stands in the sink.", pose=here)
        opened.add_memory("attic", 0, 3010 * S, 3020 * S, "Ben sleeps.", pose=here)
        for i in range(20):
            at = (3600 + 100 * i) * S
            far = Pose("map", 50.0 + i, 5.0, 0, 0, 0, 0, 1)
            opened.add_memory("hall", 0, at, at + 10 * S, f"Nothing happened, number {i}.", pose=far)
        yield opened


def ask(store, reader, question="Where is the cup?", rounds=3, **more):
    return Recall(store, reader, rounds=rounds, timezone=UTC, now_ns=lambda: 7200 * S).ask(question, **more)


def test_it_searches_with_other_words(store):
    reader = Scripted({"search": {"words": "mug"}}, {"memories": [9], "answer": "in the sink"})
    answer = ask(store, reader)
    assert (answer.status, answer.text, [e.memory.id for e in answer.evidence]) == (
        "answered",
        "in the sink",
        [1],
    )
    first, second = reader.prompts
    assert '"search"' in first and "2 more times" in first and "sink" not in first
    assert "[9] A mug stands in the sink. (Thu 01 Jan 1970 00:50:00 to 00:50:10, hall)" in second
    assert "Searched (words mug, best first): memories 9 to 10." in second and "1 more time." in second
    assert "Now it is Thu 01 Jan 1970 02:00:00." in first


@pytest.mark.parametrize(
    ("wish", "texts", "note"),
    [
        ({"order": "oldest"}, ["A mug stands in the sink.", "Ben sleeps."], ""),
        ({"since": "1970-01-01 00:49", "until": "1970-01-01 00:51"}, ["A mug stands in", "Ben sleeps."], ""),
        ({"since": "two hours ago", "order": "oldest"}, ["A mug stands in the sink."], ""),
        ({"words": "mugs stand", "order": "newest"}, ["A mug stands in the sink."], ""),
        ({"near": [5.0, 5.0]}, ["A mug stands in the sink.", "Ben sleeps."], ""),
        ({"words": "elephant"}, [], "nothing new"),
        ({"since": "whenever"}, [], "'whenever' is no time"),
        ({"near": 99}, [], "where that was is not known"),
    ],
)  # fmt: skip
def test_what_it_may_ask_for(store, wish, texts, note):
    reader = Scripted({"search": wish}, {"memories": [], "answer": "not in memory"})
    assert ask(store, reader).status == "not_in_memory"
    assert all(text in reader.prompts[1] for text in texts) and note in reader.prompts[1]


def test_near_a_memory_that_was_read(store):
    reader = Scripted(
        {"search": {"words": "sleeps"}}, {"search": {"near": 9}}, {"memories": [10], "answer": "in the sink"}
    )
    answer = ask(store, reader)
    assert (answer.text, [e.memory.id for e in answer.evidence]) == ("in the sink", [1])
    assert "You have searched enough" in reader.prompts[2]


def test_nothing_is_searched_beyond_the_time_asked_about(store):
    reader = Scripted({"search": {"words": "mug"}}, {"memories": [], "answer": "not in memory"})
    ask(store, reader, since_ns=3600 * S)
    assert "A mug" not in reader.prompts[1]


def test_one_that_only_searches_finds_no_answer(store):
    reader = Scripted(*[{"search": {"words": f"mug{i}"}} for i in range(4)])
    answer = ask(store, reader)
    assert answer.status == "not_in_memory" and len(reader.prompts) == 4


def test_one_round_is_told_nothing_of_searching(store):
    reader = Scripted({"memories": [], "answer": "not in memory"})
    ask(store, reader, rounds=1)
    assert reader.prompts[0].startswith("Answer from a robot's memories alone;")
    assert "search" not in reader.prompts[0]


def test_timed_out_with_what_was_found_so_far(store):
    reader = Scripted({"search": {"words": "mug"}}, Reply("", finished=False))
    answer = ask(store, reader)
    assert (answer.status, answer.text) == ("timed_out", "")
    assert [e.memory.id for e in answer.evidence] == [1] and "1 that may say it" in answer.message


def test_an_answer_that_no_memory_says_is_asked_for_again(store):
    wrong, right = {"memories": [1], "answer": "in Paris"}, {"memories": [8], "answer": "nothing happened"}
    reader = Scripted(wrong, right)
    answer = ask(store, reader, "What happened?")
    assert answer.text == "nothing happened" and "do not say 'in Paris'" in reader.prompts[1]
    answer = ask(store, Scripted(wrong, wrong), "What happened?")
    assert (answer.status, answer.evidence) == ("not_in_memory", ()) and "in Paris" in answer.message


def test_choices_in_other_words(store):
    choices = ("It was washed up.", "It stands in the sink.")
    found = {"search": {"words": "mug"}}
    answer = ask(store, Scripted(found, {"memories": [9], "answer": "B"}), choices=choices)
    assert (answer.status, answer.text) == ("answered", choices[1])
    other = {"memories": [9], "answer": "A"}
    assert ask(store, Scripted(found, other, other), choices=choices).status == "not_in_memory"
    yes = {"memories": [9], "answer": "A"}
    said = ask(store, Scripted(found, yes), "Is it in the kitchen?", choices=("Probably", "Hardly"))
    assert (said.status, said.text) == ("answered", "Probably")


@pytest.mark.parametrize(
    ("reply", "wish"),
    [
        ('{"search": {"words": ["red", "mug"], "near": "3"}}', Wish("red mug", near=3)),
        ('<think>hm {"search": {}}</think>{"search": "red mug"}', Wish("red mug")),
        ('{"search": {"query": "mug", "order": "upward", "near": true}}', Wish("mug")),
        ('{"memories": [1], "answer": "on the desk"}', None),
        ("on the desk", None),
        ("", None),
    ],
)
def test_reading_a_wish(reply, wish):
    assert parse_wish(reply) == wish


def test_a_small_model_reads_once():
    assert (rounds_for(8_300_000), rounds_for(2_000_000_000)) == (1, 3)
    with pytest.raises(ValueError, match="rounds is 0"):
        Recall(None, None, rounds=0)
