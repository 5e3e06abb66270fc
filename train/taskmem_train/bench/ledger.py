"""OUT/run.db: what every memory cost, every answer and every verdict, so that a run goes on where it was cut
off.

What is kept stands under a key of all that it depends on: another model, adapter, prompt or reader finds none
of it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlite_utils import Database


class Ledger:
    """The tables of a run. Every method may be called from any thread."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = Database(sqlite3.connect(path, check_same_thread=False))
        drafts = {"bank": str, "stream": str, "start_ns": int, "tokens": int, "memory_tokens": int}
        self._create("drafts", drafts | {"seconds": float, "error": str}, ("bank", "stream", "start_ns"))
        answer = {"key": str, "system": str, "stream": str, "question": str, "status": str, "text": str}
        self._create("answers", answer | {"message": str, "tokens": int, "seconds": float}, "key")
        verdict = {"key": str, "judge": str, "right": int, "error": str}
        self._create("verdicts", verdict, ("key", "judge"))

    def _create(self, name: str, columns: dict[str, type], key: str | tuple[str, ...]) -> None:
        self._db[name].create(columns, pk=key, if_not_exists=True)

    def close(self) -> None:
        self._db.close()

    def keep_drafts(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows of bank, stream, start_ns, tokens (generated), memory_tokens, seconds, error."""
        with self._lock:
            self._db["drafts"].upsert_all(rows, pk=("bank", "stream", "start_ns"))

    def drafts(self, bank: str, streams: Iterable[str]) -> list[dict[str, Any]]:
        """What the memories of some streams cost, in one bank."""
        wanted = set(streams)
        with self._lock:
            rows = list(self._db["drafts"].rows_where("bank = ?", [bank]))
        return [row for row in rows if row["stream"] in wanted]

    def answer(self, key: str) -> dict[str, Any] | None:
        """The row of an answer, or None."""
        with self._lock:
            return next(self._db["answers"].rows_where("key = ?", [key]), None)

    def keep_answer(self, row: Mapping[str, Any]) -> None:
        with self._lock:
            self._db["answers"].upsert(row, pk="key")

    def verdict(self, key: str, judge: str) -> dict[str, Any] | None:
        with self._lock:
            return next(self._db["verdicts"].rows_where("key = ? AND judge = ?", [key, judge]), None)

    def keep_verdict(self, key: str, judge: str, right: bool | None, error: str = "") -> None:
        """right: None where the judge failed; then error says how."""
        row = {"key": key, "judge": judge, "right": None if right is None else int(right), "error": error}
        with self._lock:
            self._db["verdicts"].upsert(row, pk=("key", "judge"))
