"""How much of what memories state is so, by a judge that sees their clips."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from taskmem_ros.clips import Clip
from taskmem_ros.memory import Store
from taskmem_ros.recall.statements import statements
from taskmem_train.bench.types import Dataset, StreamItem, context_id, digest
from taskmem_train.bench.writing import memory_file
from taskmem_train.contexts import Context
from taskmem_train.judges.types import JudgeError, QualityJudge

FAILURES_IN_A_ROW = 3  # clips; then the judge is gone


@dataclass(frozen=True)
class Truth:
    """stated, true: judged statements, and those that are so. ungraded: memories without a grade."""

    stated: int = 0
    true: int = 0
    ungraded: int = 0


def judged(
    dataset: Dataset, folders: Mapping[str, Path], judge: QualityJudge, identity: str, ledger: Path
) -> dict[str, Truth]:
    """The truth of the memories in each folder of `run_stream_benchmark`: name -> folder.

    What was graded stays in `ledger`, under identity, which tells this judge's grades from another's. Raises
    ValueError when the judge fails again and again; run it again then.
    """
    ledger.parent.mkdir(parents=True, exist_ok=True)
    book = _Book(Database(sqlite3.connect(ledger)), judge, identity)
    try:
        totals = {name: [0, 0, 0] for name in folders}
        for stream in dataset.streams:
            written = {name: _texts(memory_file(folder, stream)) for name, folder in folders.items()}
            for clip, told in _told(stream, written):
                grades = book.grades(stream, clip, list(dict.fromkeys(told.values())))
                for name, text in told.items():
                    for place, count in enumerate(grades[text]):
                        totals[name][place] += count
    finally:
        book.close()
    return {name: Truth(*counts) for name, counts in totals.items()}


def _texts(memories: Path) -> dict[int, str]:
    with Store.open(memories, create=False) as store:
        return {memory.start_ns: memory.text for memory in store.memories(thumbnails=False)}


def _told(
    stream: StreamItem, written: Mapping[str, Mapping[int, str]]
) -> Iterator[tuple[Clip, dict[str, str]]]:
    """Each clip with what was written of it: name -> memory."""
    for piece in stream.observe():
        if isinstance(piece, Clip):
            told = {name: texts[piece.start_ns] for name, texts in written.items() if piece.start_ns in texts}
            if told:
                yield piece, told


class _Book:
    """Grades, asked for once."""

    def __init__(self, db: Database, judge: QualityJudge, identity: str):
        self._db, self._judge, self._identity, self._failed = db, judge, identity, 0
        db["grades"].create({"key": str, "stated": int, "true": int}, pk="key", if_not_exists=True)

    def close(self) -> None:
        self._db.close()

    def grades(self, stream: StreamItem, clip: Clip, texts: list[str]) -> dict[str, tuple[int, int, int]]:
        """text -> (stated, true, ungraded)."""
        keys = {text: digest([self._identity, stream.fingerprint, clip.start_ns, text]) for text in texts}
        found = {text: row for text in texts if (row := self._row(keys[text]))}
        missing = [text for text in texts if text not in found]
        for text, row in zip(missing, self._ask(stream, clip, missing)):
            found[text] = (*row, 0) if row else (0, 0, 1)
            if row:
                kept = {"key": keys[text], "stated": row[0], "true": row[1]}
                self._db["grades"].upsert(kept, pk="key")
        return found

    def _row(self, key: str) -> tuple[int, int, int] | None:
        row = next(self._db["grades"].rows_where("key = ?", [key]), None)
        return (row["stated"], row["true"], 0) if row else None

    def _ask(self, stream: StreamItem, clip: Clip, texts: list[str]) -> list[tuple[int, int] | None]:
        if not texts:
            return []
        context = Context(context_id(stream.id, clip), (clip,), ())
        try:
            grades = self._judge.grade(context, texts)
        except JudgeError as error:
            grades = [error] * len(texts)
        errors = [grade for grade in grades if isinstance(grade, JudgeError)]
        self._failed = self._failed + 1 if len(errors) == len(texts) else 0
        if self._failed >= FAILURES_IN_A_ROW:
            raise ValueError(
                f"the judge of quality failed on {self._failed} clips in a row, the last time with "
                f"{errors[-1]}; run again to go on from here"
            )
        return [_counts(text, grade) for text, grade in zip(texts, grades)]


def _counts(text: str, grade) -> tuple[int, int] | None:
    """(statements of a memory, how many are so): a grade is their share."""
    if isinstance(grade, JudgeError):
        return None
    stated = max(1, len(statements(text)))
    return stated, round(grade.score * stated)
