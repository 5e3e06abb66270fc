"""Feedback: what somebody said of an answer, and which answer is known to be right by it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlite_utils import Database

from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.rows import clean
from taskmem_ros.memory.tasks import select_tasks
from taskmem_ros.memory.types import QUEUED, RIGHT, VERDICTS, WRONG, Feedback, StoreError, Task

# The robot said something that can be right: also that it does not know.
_JUDGED = ("answered", "not_in_memory", "not_watching")


class FeedbackRows:
    """The part of a Store that keeps feedback."""

    _connections: Connections

    def add_feedback(
        self,
        task_id: int,
        verdict: str,
        answer: str | None = None,
        source: str = "",
        *,
        given_ns: int | None = None,
    ) -> Feedback:
        """Write what somebody said of a task's outcome, and return it with its id.

        verdict: one of VERDICTS; "right" of an abstention says that it was right to abstain. answer: the
        right one, where the verdict is "wrong" and it is known. source: who says so. given_ns: None is now.
        The task stays as it is. Raises StoreError where there is no such task, ValueError where verdict and
        answer cannot be of it.
        """
        answer = clean(answer).strip() or None if answer else None
        if verdict not in VERDICTS:
            raise ValueError(f"The verdict {verdict!r} is unknown; use one of {', '.join(VERDICTS)}.")
        given = time.time_ns() if given_ns is None else given_ns
        with self._connections.write() as db:
            task = next(iter(select_tasks(db, "id = :id", {"id": task_id})), None)
            if task is None:
                raise StoreError(f"{self._connections.path} has no task {task_id}; see `taskmem tasks`.")
            row = {"task_id": task_id, "verdict": verdict, "answer": _checked(task, verdict, answer)}
            row |= {"source": clean(source), "given_ns": given}
            return Feedback(id=db["feedback"].insert(row).last_pk, **row)

    def feedback(self, task_id: int | None = None) -> list[Feedback]:
        """What was said of this task, or of all (None), in the order of saying."""
        with self._connections.read() as db:
            return select_feedback(db, "1" if task_id is None else "task_id = :task", {"task": task_id})


def known_answer(task: Task, feedback: Iterable[Feedback] = ()) -> str | None:
    """The right answer of a task, as far as anybody knows: what the newest feedback of it says, or where
    there is none, what the asker said; None where it is not known.

    Newest feedback: "right" makes the robot's own answer the known one, "wrong" the one that was given with
    it. feedback: of any tasks, in any order. The only place where this is decided.
    """
    said = max((item for item in feedback if item.task_id == task.id), key=lambda item: item.id, default=None)
    if said is None:
        return task.known_answer
    return task.answer if said.verdict == RIGHT else said.answer


def select_feedback(db: Database, where: str, values: dict[str, object]) -> list[Feedback]:
    """The feedback for which `where` (SQL) holds, by id."""
    return [Feedback(**row) for row in db.query(f"SELECT * FROM feedback WHERE {where} ORDER BY id", values)]


def _checked(task: Task, verdict: str, answer: str | None) -> str | None:
    """The right answer as it is kept. Raises ValueError where that cannot be of the task."""
    if task.status == QUEUED and task.kind == "question":
        raise ValueError(f"Task {task.id} is not answered yet; give feedback when it is.")
    if verdict == RIGHT:
        if task.status not in _JUDGED:
            raise ValueError(
                f"Task {task.id} has no answer that could be right (it is {task.status}); "
                f"say {WRONG} with the right answer, where you know it."
            )
        if answer is not None and not _same(answer, task.answer):
            raise ValueError(
                f"Task {task.id} cannot be right and the right answer {answer!r}, when the robot's was "
                f"{task.answer!r}; say {WRONG} with that answer, or {RIGHT} without one."
            )
        return None
    if answer is None:
        if task.status not in _JUDGED:
            raise ValueError(
                f"Task {task.id} has no answer that could be wrong (it is {task.status}); "
                "add the right answer, where you know it."
            )
        return None
    if _same(answer, task.answer):
        raise ValueError(
            f"Task {task.id} cannot be wrong: {answer!r} is what the robot answered; say {RIGHT}, "
            "or give the right answer."
        )
    if not task.choices:
        return answer
    chosen = next((choice for choice in task.choices if _same(answer, choice)), None)
    if chosen is None:
        raise ValueError(
            f"{answer!r} is none of the choices of task {task.id}; give one of {', '.join(task.choices)}."
        )
    return chosen


def _same(one: str, other: str | None) -> bool:
    return other is not None and one.casefold() == other.strip().casefold()
