"""What left the robot in bundles: each task and each feedback once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.feedback import select_feedback
from taskmem_ros.memory.tasks import select_tasks
from taskmem_ros.memory.types import Feedback, Task

# A task that is no question is never answered, so there is nothing to wait for.
_NEW_TASKS = """(status <> 'queued' OR kind <> 'question')
    AND id NOT IN (SELECT number FROM bundled WHERE kind = 'task') ORDER BY id"""
_FORGETS = "forgets"  # key in `meta`
_NEW_FEEDBACK = "id NOT IN (SELECT number FROM bundled WHERE kind = 'feedback')"


@dataclass(frozen=True)
class Outgoing:
    """A bundle that was made. sequence: counts a robot's bundles, from 1. file: where it lies until pushed.

    sha256, bytes: of the file. contents: as in the bundle's manifest. last_memory: the newest memory's id
    when it was made. pushed_ns: None until it is where it is to go.
    """

    sequence: int
    bundle_id: str
    file: str
    sha256: str
    bytes: int
    contents: str
    tasks: int
    last_memory: int
    created_ns: int
    pushed_ns: int | None = None


def outbox_folder(database: Path) -> Path:
    """Where the bundles of a store are made and wait; no other store's are in it."""
    path = database.absolute()
    return path.with_name(f"{path.name}.outbox")


class OutgoingRows:
    """The part of a Store that knows what left the robot."""

    _connections: Connections

    def store_id(self) -> str:
        """The uuid of this store: with a task's id it names the task everywhere."""
        with self._connections.read() as db:
            return db["meta"].get("store_id")["value"]

    def never_sent(self) -> tuple[list[Task], list[Feedback]]:
        """The tasks that are finished and the feedback, by id, that are in no bundle yet."""
        with self._connections.read() as db:
            return select_tasks(db, _NEW_TASKS, {}), select_feedback(db, _NEW_FEEDBACK, {})

    def next_sequence(self) -> int:
        """The number of the next bundle; a number that was given once is not given again."""
        with self._connections.read() as db:
            row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'bundles'").fetchone()
            return (row[0] if row else 0) + 1

    def spans_after(self, memory: int) -> set[tuple[str, int, int]]:
        """(camera, episode, start_ns) of the memories that are newer than the one with this id."""
        with self._connections.read() as db:
            sql = "SELECT camera, episode, start_ns FROM memories WHERE id > ?"
            return set(db.execute(sql, [memory]).fetchall())

    def forgets(self) -> int:
        """How often something was forgotten on purpose."""
        with self._connections.read() as db:
            return count_forgets(db)

    def add_outgoing(
        self, made: Outgoing, tasks: Sequence[Task], feedback: Sequence[Feedback], *, forgets: int
    ) -> bool:
        """Write down a bundle and what is in it, all or nothing.

        forgets: `forgets` before the bundle was made; where that has changed, nothing is written, for the
        bundle may have what is forgotten, and False is returned. Raises StoreError where its number is given
        already, or something of it is in another bundle.
        """
        with self._connections.write() as db:
            if count_forgets(db) != forgets:
                return False
            db["bundles"].insert(vars(made))
            for kind, items in (("task", tasks), ("feedback", feedback)):
                db["bundled"].insert_all(
                    {"kind": kind, "number": item.id, "sequence": made.sequence} for item in items
                )
            return True

    def outgoing(self, *, pushed: bool | None = None) -> list[Outgoing]:
        """The bundles that were made, by number. pushed: only those that were, or were not."""
        where = {None: "1", True: "pushed_ns IS NOT NULL", False: "pushed_ns IS NULL"}[pushed]
        with self._connections.read() as db:
            return [Outgoing(**row) for row in db["bundles"].rows_where(where, order_by="sequence")]

    def note_pushed(self, sequence: int) -> None:
        """The bundle is where it is to go."""
        with self._connections.write() as db:
            sql = "UPDATE bundles SET pushed_ns = ? WHERE sequence = ? AND pushed_ns IS NULL"
            db.execute(sql, [time.time_ns(), sequence])

    def take_back(self, sequence: int) -> None:
        """The bundle will not be pushed: what is in it is to go with the next one. Without effect for one
        that was pushed.
        """
        with self._connections.write() as db:
            if db["bundles"].count_where("sequence = ? AND pushed_ns IS NULL", [sequence]):
                db.execute("DELETE FROM bundled WHERE sequence = ?", [sequence])
                db.execute("DELETE FROM bundles WHERE sequence = ?", [sequence])


def count_forgets(db: Database) -> int:
    row = db.execute("SELECT value FROM meta WHERE key = ?", [_FORGETS]).fetchone()
    return int(row[0]) if row else 0


def note_forget(db: Database) -> None:
    """In the caller's transaction, after something was forgotten and before waiting bundles are deleted."""
    db["meta"].insert({"key": _FORGETS, "value": str(count_forgets(db) + 1)}, replace=True)
