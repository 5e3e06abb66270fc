"""The part of the ledger that keeps decisions, until they stand in the log and in a report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlite_utils import Database


class Decisions:
    """Every method is one transaction."""

    _db: Database

    def decide(self, robot: str, decision: str, reason: str, *, once: bool = False) -> None:
        """Keep a decision for the log. once: not where it is the robot's last one already."""
        reason = " ".join(reason.split())
        with self._transaction() as db:
            last = next(db["decisions"].rows_where("robot = ?", [robot], order_by="id DESC", limit=1), None)
            if not once or last is None or (last["decision"], last["reason"]) != (decision, reason):
                self._decide(db, robot, decision, reason)

    def decide_ever(self, robot: str, decision: str, reason: str) -> None:
        """Keep a decision for the log, but not where it was ever made before, whatever came in between."""
        reason = " ".join(reason.split())
        if not self._rows(
            "decisions", "robot = ? AND decision = ? AND reason = ?", [robot, decision, reason]
        ):
            self.decide(robot, decision, reason)

    def unlogged(self) -> list[dict[str, Any]]:
        """Decisions that are not in the log file yet."""
        return self._rows("decisions", "logged = 0 ORDER BY id", [])

    def logged(self, ids: Iterable[int]) -> None:
        with self._transaction() as db:
            for number in ids:
                db["decisions"].update(number, {"logged": 1})

    def to_report(self) -> list[dict[str, Any]]:
        """Decisions that stand in no report yet."""
        return self._rows("decisions", "reported = 0 ORDER BY id", [])

    def _decide(self, db: Database, robot: str, decision: str, reason: str) -> None:
        row = {
            "at_ns": time.time_ns(),
            "robot": robot,
            "decision": decision,
            "reason": " ".join(reason.split()),
        }
        db["decisions"].insert(row)

    def _rows(self, table: str, where: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        return list(self._db[table].rows_where(where, values))

    @contextmanager
    def _transaction(self) -> Iterator[Database]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
