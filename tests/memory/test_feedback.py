"""Feedback: what may be said of which task, and which answer is the known one then."""

from __future__ import annotations

import pytest

from taskmem_ros.memory import Feedback, Store, StoreError, known_answer


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        yield store


def asked(store, status="answered", answer="on the table", **more):
    task = store.add_task("Where is the mug?", **more)
    return store.finish_task(task.id, status, answer=answer if status == "answered" else None)


def test_the_newest_feedback_says_what_is_known(store):
    task, other = asked(store, known_answer="in the cellar"), asked(store)
    assert known_answer(task) == known_answer(task, store.feedback()) == "in the cellar"
    assert known_answer(other, store.feedback()) is None
    said = store.add_feedback(task.id, "right", source="Anna", given_ns=5)
    assert said == Feedback(1, task.id, "right", None, "Anna", 5)
    assert known_answer(task, store.feedback()) == "on the table"
    second = store.add_feedback(task.id, "wrong", " under the bed ", source="Ben", given_ns=4)
    third = store.add_feedback(other.id, "wrong")
    assert known_answer(task, store.feedback()[::-1]) == "under the bed", "the order of saying, not of clocks"
    assert known_answer(other, store.feedback()) is None
    store.add_feedback(task.id, "wrong")
    assert known_answer(task, store.feedback()) is None, "all that is known is that it was wrong"
    assert store.feedback(task.id)[:2] == [said, second] and store.feedback(other.id) == [third]
    assert [item.id for item in store.feedback()] == [1, 2, 3, 4]
    assert store.task(task.id) == task, "the task stays as it was given"


def test_an_abstention_may_be_right(store):
    for status in ("not_in_memory", "not_watching"):
        task = asked(store, status, known_answer="in the cellar")
        store.add_feedback(task.id, "right")
        assert known_answer(task, store.feedback()) is None
        store.add_feedback(task.id, "wrong", "in the hall")
        assert known_answer(task, store.feedback()) == "in the hall"


def test_a_choice_is_kept_as_it_was_offered(store):
    task = asked(store, answer="Ben", choices=("Ben", "Änne"))
    assert store.add_feedback(task.id, "wrong", "änne ").answer == "Änne"
    with pytest.raises(ValueError, match="none of the choices of task 1; give one of Ben, Änne"):
        store.add_feedback(task.id, "wrong", "Carl")
    assert len(store.feedback()) == 1


REFUSED = {
    ("answered", "good", None): "verdict 'good' is unknown; use one of right, wrong",
    ("answered", "wrong", "On the Table "): "cannot be wrong: 'On the Table' is what the robot answered",
    ("answered", "right", "in the hall"): "say wrong with that answer",
    ("not_in_memory", "right", "in the hall"): "say wrong with that answer",
    ("failed", "right", None): r"has no answer that could be right \(it is failed\)",
    ("timed_out", "wrong", None): r"has no answer that could be wrong \(it is timed_out\)",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_said_in_one_sentence(store, case):
    status, verdict, answer = case
    task = asked(store, status)
    with pytest.raises(ValueError, match=REFUSED[case]) as caught:
        store.add_feedback(task.id, verdict, answer)
    assert "\n" not in str(caught.value) and store.feedback() == []


def test_tasks_that_are_not_there_or_not_done(store):
    with pytest.raises(StoreError, match="has no task 7; see `taskmem tasks`"):
        store.add_feedback(7, "right")
    waiting = store.add_task("Where is the mug?")
    with pytest.raises(ValueError, match="Task 1 is not answered yet"):
        store.add_feedback(waiting.id, "wrong", "in the hall")
    errand = store.add_task("Bring the mug", kind="task")
    store.add_feedback(errand.id, "wrong", "the red one")
    assert known_answer(errand, store.feedback()) == "the red one"
    assert known_answer(asked(store, "failed"), store.feedback()) is None
    assert store.add_feedback(3, "wrong", "in the hall").answer == "in the hall", (
        "the robot failed, a person knows"
    )
    assert store.add_feedback(3, "wrong", "  in the\x00hall\udc80 ").answer == "in the hall?"
