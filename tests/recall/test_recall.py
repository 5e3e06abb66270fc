"""The four ways a question ends, and that no answer stands without a memory that says it.

The reader here is a rule that reads the real prompt; the model's own tests are in test_demo_model.py.
"""

import datetime as dt
import json
import re
import time
from dataclasses import dataclass

import pytest

from taskmem_ros.clips import Gap
from taskmem_ros.memory import Store
from taskmem_ros.recall import Recall, answer_task, unwatched

S = 1_000_000_000


@dataclass
class Reply:
    text: str
    confidence: float = 0.8
    finished: bool = True
    ended: str = "stop"


class RuleReader:
    """Answers "Where is the X?" with what the newest numbered memory says after "X is "."""

    def __init__(self):
        self.prompts = []

    def __call__(self, prompt, *, max_new_tokens, deadline):
        self.prompts.append(prompt)
        thing = re.search(r"Question: Where is the (\w+)", prompt)[1]
        lines = re.findall(r"^\[(\d+)\] (.*) \(\d\d:\d\d\)$", prompt, re.MULTILINE)
        said = [(int(n), found[1]) for n, text in lines if (found := re.search(rf"{thing} is (.*?)\.", text))]
        cited, answer = ([said[-1][0]], said[-1][1]) if said else ([], "not in memory")
        return Reply(json.dumps({"memories": cited, "answer": answer}))


class Scripted:
    """Gives the replies in turn."""

    def __init__(self, *replies):
        self.replies, self.calls = list(replies), []

    def __call__(self, prompt, *, max_new_tokens, deadline):
        self.calls.append((prompt, max_new_tokens, deadline))
        reply = self.replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return reply if isinstance(reply, Reply) else Reply(reply)


def says(cited, answer):
    return json.dumps({"memories": cited, "answer": answer})


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as opened:
        yield opened


def remember(store, *texts, start=0, camera="hall"):
    for index, text in enumerate(texts):
        store.add_memory(camera, 0, start + index * 10 * S, start + (index + 1) * 10 * S, text)


def test_an_answer_with_its_evidence(store):
    remember(store, "The mug is on the desk.", "The lamp is on.", "The mug is in the sink.")
    answer = Recall(store, RuleReader()).ask("Where is the mug?")
    assert (answer.status, answer.text, answer.confidence, answer.watermark) == (
        "answered",
        "in the sink",
        0.8,
        3,
    )
    assert [(e.memory.id, e.memory.text) for e in answer.evidence] == [(3, "The mug is in the sink.")]
    assert answer.evidence[0].score > 0


def test_the_reader_sees_the_best_memories_oldest_first(store):
    remember(store, *(f"Nothing happened, number {i}." for i in range(30)))
    remember(store, "The mug is on the desk.", start=5 * S)
    remember(store, *(f"The mug is at place {i}." for i in range(3)), start=400 * S)
    reader = RuleReader()
    answer = Recall(store, reader, timezone=dt.timezone.utc).ask("Where is the mug?")
    lines = re.findall(r"^\[\d+\] .*$", reader.prompts[0], re.MULTILINE)
    assert len(lines) == 8
    assert lines[0] == "[1] The mug is on the desk. (00:00)"
    assert lines[-1] == "[8] The mug is at place 2. (00:07)" and "number 29" in lines[-4]
    assert answer.text == "at place 2"


def test_the_newest_of_equal_memories_is_read(store):
    remember(
        store,
        *(f"Anna was in the kitchen. The mug is at place {i}{' and so on' * (i % 7)}." for i in range(150)),
    )
    assert Recall(store, RuleReader()).ask("Where is the mug?").text.startswith("at place 149")


def test_the_newest_is_read_though_many_shorter_ones_match(store):
    remember(store, *(f"The mug is at place {i}." for i in range(300)))
    long = "Ben came in with a box, sat down, stood up and went out again, and the mug is under the bed."
    remember(store, long, start=3000 * S)
    remember(store, *(f"The lamp is on, number {i}." for i in range(150)), start=3010 * S)
    assert Recall(store, RuleReader()).ask("Where is the mug?").text == "under the bed"


def test_an_empty_store_is_not_asked(store):
    reader = Scripted()
    answer = Recall(store, reader).ask("Where is the mug?")
    assert (answer.status, answer.text, answer.evidence, answer.watermark) == ("not_in_memory", "", (), 0)
    assert answer.message and not reader.calls


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(store, question):
    with pytest.raises(ValueError, match="question is empty"):
        Recall(store, Scripted()).ask(question)


def test_what_the_memories_do_not_say_is_not_in_memory(store):
    remember(store, "The mug is on the desk.")
    answer = Recall(store, RuleReader()).ask("Where is the kettle?")
    assert (answer.status, answer.text, answer.evidence, answer.confidence) == ("not_in_memory", "", (), 0.0)


def test_only_the_time_asked_about_counts(store):
    remember(store, "The mug is on the desk.", "The mug is in the sink.")
    recall = Recall(store, RuleReader())
    assert recall.ask("Where is the mug?", until_ns=10 * S).text == "on the desk"
    assert recall.ask("Where is the mug?", since_ns=10 * S).text == "in the sink"


def test_a_time_that_nobody_watched(store):
    remember(store, "The mug is on the desk.")
    store.add_gap(Gap("hall", 0, 10 * S, 40 * S, "dropped"))
    store.add_gap(Gap("hall", 0, 40 * S, 60 * S, "inactive"))
    reader = Scripted()
    recall = Recall(store, reader, timezone=dt.timezone.utc)
    answer = recall.ask("Where is the mug?", since_ns=20 * S, until_ns=50 * S)
    assert (answer.status, answer.text, reader.calls) == ("not_watching", "", [])
    assert "from 01 Jan 00:00:10 to 00:00:40 the model was slower than the camera (dropped)" in answer.message
    assert "inactive" in answer.message


def test_watched_or_not(store):
    assert unwatched(store, 0, 10 * S) is None, "an empty record knows nothing yet"
    store.add_gap(Gap("hall", 0, 50 * S, 60 * S, "no_frames"))
    remember(store, "The mug is on the desk.", start=100 * S)
    assert unwatched(store, None, None) is None
    assert "no_frames" in unwatched(store, 50 * S, 60 * S)
    assert "no agent ran" in unwatched(store, 70 * S, 80 * S), "the record went on after it"
    assert "no agent ran" in unwatched(store, None, 40 * S)
    assert unwatched(store, 90 * S, 105 * S) is None, "a memory is of a part of it"
    assert unwatched(store, 105 * S, None) is None
    assert unwatched(store, 200 * S, 210 * S) is None, "its memory may still come"
    store.add_gap(Gap("hall", 0, 200 * S, 210 * S, "dropped"))
    assert "dropped" in unwatched(store, 202 * S, 210 * S)
    assert unwatched(store, 202 * S, 215 * S) is None
    assert unwatched(store, 50 * S, 60 * S, camera="attic") is None


def test_a_clip_that_still_waits_for_the_model_was_watched(store):
    remember(store, "The mug is on the desk.")
    # The camera fell silent at 17 s; the clip from 10 s to there is not written yet, its gap is.
    store.add_gap(Gap("hall", 0, 17 * S, 30 * S, "no_frames"))
    assert unwatched(store, 12 * S, 16 * S) is None
    assert Recall(store, Scripted()).ask("Where?", since_ns=12 * S, until_ns=16 * S).status == "not_in_memory"
    remember(store, "The lamp is on.", start=30 * S)
    assert "no agent ran" in unwatched(store, 12 * S, 16 * S), "a later clip was written, this one never was"


def test_not_in_memory_tells_of_gaps_in_the_time_asked_about(store):
    remember(store, "The lamp is on.")
    store.add_gap(Gap("hall", 0, 10 * S, 20 * S, "dropped"))
    answer = Recall(store, RuleReader()).ask("Where is the mug?", since_ns=0, until_ns=20 * S)
    assert answer.status == "not_in_memory" and "dropped" in answer.message


def test_a_reader_that_is_too_slow(store):
    remember(store, "The lamp is on.", "The mug is on the desk.")

    def slow(prompt, *, max_new_tokens, deadline):
        while time.monotonic() < deadline:
            time.sleep(0.01)
        return Reply("", confidence=0.0, finished=False, ended="deadline")

    started = time.monotonic()
    answer = Recall(store, slow).ask("Where is the mug?", timeout_s=0.1)
    assert 0.1 <= time.monotonic() - started < 1
    assert (answer.status, answer.text) == ("timed_out", "")
    assert [e.memory.text for e in answer.evidence] == ["The mug is on the desk."]


def test_a_reader_that_raises_a_timeout(store):
    remember(store, "The mug is on the desk.")
    assert Recall(store, Scripted(TimeoutError())).ask("Where is the mug?", timeout_s=1).status == "timed_out"


def test_a_reply_that_cannot_be_read_is_tried_once_more_in_other_words(store):
    remember(store, "The mug is on the desk.")
    reader = Scripted("well, let me see", says([1], "on the desk"))
    assert Recall(store, reader).ask("Where is the mug?").text == "on the desk"
    (first, *_), (second, *_) = reader.calls
    assert second != first and second.startswith(first)


def test_a_reply_that_was_cut_off_gets_more_tokens(store):
    remember(store, "The mug is on the desk.")
    reader = Scripted(Reply("hm, hm", ended="length"), says([1], "on the desk"))
    assert Recall(store, reader, max_new_tokens=10).ask("Where is the mug?").status == "answered"
    assert [tokens for _, tokens, _ in reader.calls] == [10, 20]


def test_two_replies_that_cannot_be_read_are_a_failure_with_the_raw_text(store):
    remember(store, "The mug is on the desk.")
    answer = Recall(store, Scripted("first nonsense", "second nonsense")).ask("Where is the mug?")
    assert (answer.status, answer.text, answer.evidence) == ("failed", "", ())
    assert "second nonsense" in answer.message


def test_an_answer_without_a_memory_needs_one_that_says_it(store):
    remember(store, "The red mug is on the desk.", "The red mug is on the desk.", "The lamp is on.")
    ask = lambda reply: Recall(store, Scripted(reply)).ask("Where is the mug?")  # noqa: E731
    said = ask(says([], "on the desk"))
    assert (said.status, [e.memory.id for e in said.evidence]) == ("answered", [2])
    for made_up in (
        says([], "in the kitchen"),
        says([9], "in the kitchen"),
        says([], "on the desk in the kitchen"),
    ):
        answer = ask(made_up)
        assert (answer.status, answer.evidence, answer.text) == ("not_in_memory", (), "")
        assert "kitchen" in answer.message
    assert ask(says([], "it is")).status == "not_in_memory"


def test_those_cited_that_say_it_are_evidence_newest_first(store):
    remember(store, "The mug is red.", "The mug is on the desk.", "A red mug is there.", "The lamp is on.")
    answer = Recall(store, Scripted(says([1, 2, 3, 7], "a red one"))).ask("Which mug?")
    assert [e.memory.id for e in answer.evidence] == [3, 1]


def test_choices(store):
    remember(store, "The mug is on the desk.")
    choices = ("in the sink", "on the desk")

    def ask(*replies):
        return Recall(store, Scripted(*replies)).ask("Where is the mug?", choices=choices)

    for reply in ("B", "(b) on the desk", "On the desk.", "the mug is on the desk", "on desk"):
        answer = ask(says([1], reply))
        assert (answer.status, answer.text) == ("answered", "on the desk"), reply
    assert ask(says([], "not in memory")).status == "not_in_memory"
    assert ask(says([], "under the bed")).status == "not_in_memory"
    assert ask(says([1], "under the bed"), says([1], "B")).text == "on the desk"
    failed = ask(says([1], "under the bed"), says([1], "under the bed"))
    assert failed.status == "failed" and "none of the choices" in failed.message


def test_a_question_that_is_kept(store):
    remember(store, "The mug is on the desk.")
    recall = Recall(store, RuleReader())
    task = store.add_task("Where is the mug?", source="test")
    answer, done = answer_task(store, recall, task, model="rule")
    assert store.task(task.id) == done
    assert (done.status, done.answer, done.evidence, done.watermark) == ("answered", "on the desk", (1,), 1)
    assert answer.text == done.answer
    other = store.add_task("Where is the kettle?")
    done = answer_task(store, recall, other)[1]
    assert (done.status, done.answer) == ("not_in_memory", None) and done.message
    broken = store.add_task("Where is the lamp?")
    with pytest.raises(RuntimeError, match="no power"):
        answer_task(store, Recall(store, Scripted(RuntimeError("no power"))), broken)
    assert store.task(broken.id).status == "failed" and "no power" in store.task(broken.id).message
