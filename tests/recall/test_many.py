"""Questions over many memories: how many times, how long, when, first, before and after, and where last."""

import datetime as dt
import json
import re

import pytest

from taskmem_ros.clips import Pose
from taskmem_ros.memory import Store
from taskmem_ros.recall import Recall

UTC = dt.timezone.utc
S = 1_000_000_000


class Reply:
    confidence, finished, ended = 0.7, True, "stop"

    def __init__(self, cited, answer):
        self.text = json.dumps({"memories": cited, "answer": answer})


class Copier:
    """Says what the newest memory that it is given says of the question's last word, as a small model does
    that knows no "first" and no "before".
    """

    def __init__(self):
        self.prompts = []

    def __call__(self, prompt, *, max_new_tokens, deadline):
        self.prompts.append(prompt)
        question = prompt.rpartition("Question: ")[2]
        lines = re.findall(r"^\[(\d+)\] (.*) \(.*\)$", prompt, re.MULTILINE)
        thing = question.rstrip("?").split()[-1]
        for number, text in reversed(lines):
            if question.startswith("Who") and (said := re.search(rf"(\w+) \w+ the {thing}", text)):
                return Reply([int(number)], said[1])
            if question.startswith("Where") and (said := re.search(rf"{thing} is (.*?)\.", text)):
                return Reply([int(number)], said[1])
        return Reply([], "not in memory")


def nobody(prompt, *, max_new_tokens, deadline):
    raise AssertionError("no reader is needed")


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as opened:
        yield opened


def remember(store, *texts, start=0, step=10, camera="hall", pose=None):
    return [
        store.add_memory(camera, 0, (start + i * step) * S, (start + i * step + 10) * S, text, pose=pose).id
        for i, text in enumerate(texts)
    ]


def ask(store, question, reader=nobody, **more):
    answer = Recall(store, reader, timezone=UTC, now_ns=lambda: 7200 * S).ask(question, **more)
    return answer, [evidence.memory.id for evidence in answer.evidence]


def test_how_many_times(store):
    remember(
        store,
        "Anna opened the door.",
        "Anna is by the door and the window is open.",
        "Ben opened the door.",
        "Anna came in. She opened the door.",
        "Anna did not open the door.",
        "Anna opens the door and waves.",
    )
    answer, cited = ask(store, "How many times did Anna open the door?")
    assert (answer.status, answer.text, answer.confidence, cited) == ("answered", "3", 1.0, [1, 4, 6])
    assert "3 memories say it, from Thu 01 Jan 1970 00:00:00 to" in answer.message
    assert ask(store, "How often did Anna open the door?", until_ns=10 * S)[0].text == "1"


def test_what_goes_on_is_counted_once(store):
    remember(store, "Ben is sitting on the sofa.", "Ben is sitting on the sofa. He reads.", "Ben went out.")
    remember(store, "Ben sat down. Ben is sitting on the sofa.", start=600)
    answer, cited = ask(store, "How many times was Ben sitting on the sofa?")
    assert (answer.text, cited) == ("2", [1, 2, 4]) and "counted once" in answer.message


def test_many_more_than_are_read(store):
    for hour in range(30):
        remember(store, "Anna took the mug.", "Ben waved.", start=hour * 3600)
    answer, cited = ask(store, "How many times did Anna take the mug?")
    assert (answer.text, len(cited)) == ("30", 30)


def test_what_is_not_said_is_not_counted(store):
    remember(store, "Anna opened the door.")
    answer, _ = ask(store, "How many times did Clara open the door?", Copier())
    assert (answer.status, answer.text) == ("not_in_memory", "")


def test_how_long(store):
    remember(store, "The lamp is on.", "Anna waved. The lamp is on.", "The lamp is on.", "The lamp is off.")
    remember(store, "The lamp is on.", start=1000)
    answer, cited = ask(store, "How long was the lamp on the table?", Copier())
    assert answer.status == "not_in_memory"
    remember(store, "Ben is asleep on the sofa.", "Ben is asleep on the sofa.", start=2000, step=70)
    remember(store, *["Ben is asleep on the sofa."] * 12, start=3000)
    answer, cited = ask(store, "How long was Ben asleep on the sofa?")
    assert (answer.text, len(cited)) == ("at least 2 min", 12)
    assert "from Thu 01 Jan 1970 00:50:00 to 00:52:00" in answer.message


def test_when(store):
    first, _, last = remember(store, "Anna took the mug.", "Ben waved.", "Anna took the mug.", start=3600)
    answer, cited = ask(store, "When did Anna take the mug?")
    assert (answer.text, cited) == ("Thu 01 Jan 1970 01:00:20", [last])
    answer, cited = ask(store, "When did Anna first take the mug?")
    assert (answer.text, cited) == ("Thu 01 Jan 1970 01:00:00", [first])
    assert ask(store, "How long ago did Anna take the mug?")[0].text == "59 min 40 s ago"


def test_the_first_of_many(store):
    remember(store, "The cat slept.", "Clara opened the door.")
    remember(store, *["Anna opened the door."] * 40, start=100)
    reader = Copier()
    answer, cited = ask(store, "Who opened the door first?", reader)
    assert (answer.text, cited) == ("Clara", [2])
    assert ask(store, "Who opened the door?", Copier())[0].text == "Anna"


def test_before_and_after_an_event(store):
    remember(store, "The mug is on the desk.", "The mug is on the shelf.", "Anna took the mug.", "Ben waved.")
    remember(store, "The mug is in the sink.", "The mug is on the bed.", start=100)
    answer, cited = ask(store, "Where was the mug before Anna took it?", Copier())
    assert (answer.text, cited) == ("on the shelf", [2, 3]), "the event itself is evidence too"
    answer, cited = ask(store, "Where was the mug after Anna took it?", Copier())
    assert (answer.text, cited) == ("in the sink", [5, 3])
    assert ask(store, "Where is the mug?", Copier())[0].text == "on the bed"
    answer, cited = ask(store, "What happened after Anna took the mug?")
    assert (answer.text, cited) == ("Ben waved.", [4, 3])
    answer, cited = ask(store, "What happened before Anna took the mug?")
    assert (answer.text, cited) == ("The mug is on the shelf.", [2, 3])
    answer, _ = ask(store, "What happened before the mug was on the desk?", Copier())
    assert (
        answer.status == "not_in_memory" and "time before that (Thu 01 Jan 1970 00:00:00)" in answer.message
    )


def test_the_newest_sighting_wins_and_says_when_and_where(store):
    at = Pose("map", 1.0, -2.0, 0, 0, 0, 0, 1, "home")
    remember(store, "The mug is on the desk.", pose=at)
    remember(store, "The mug is in the sink.", start=100, pose=at)

    def old(prompt, *, max_new_tokens, deadline):
        """Points at all there is, and answers from the first."""
        lines = re.findall(r"^\[(\d+)\] The mug is (.*)\. \(.*\)$", prompt, re.MULTILINE)
        return Reply([int(number) for number, _ in lines], lines[0][1])

    answer, cited = ask(store, "Where is the mug?", old)
    assert (answer.text, cited) == ("in the sink", [2])
    assert answer.message == "Seen Thu 01 Jan 1970 00:01:40 from (1.0, -2.0) in home, by hall."


def test_a_newer_memory_that_says_nothing_of_it_changes_nothing(store):
    remember(store, "The mug is in the sink.", "Anna looks for the mug.")
    assert ask(store, "Where is the mug?", Copier())[0].text == "in the sink"
