"""Whether a file is whole: its pages, and that every index agrees with the memories, in both directions."""

from __future__ import annotations

import re
from typing import Any

from sqlite_utils import Database

from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.schema import CODES_IN_BLOCK

WORDS_TRIED = 100  # memories that are looked up by one of their words

# Tables and indices that are looked at in a quick check; the pictures are most of a file.
_SMALL = ("meta", "provenance", "sources", "memories", "tasks", "task_evidence", "coverage", "failures")

# SQL that counts what disagrees, and the sentence for it.
_DISAGREEMENTS = (
    (
        "SELECT count(*) FROM memories WHERE id NOT IN (SELECT id FROM memories_fts_docsize)",
        "{n} memories are not in the word index.",
    ),
    (
        "SELECT count(*) FROM memories_fts_docsize WHERE id NOT IN (SELECT id FROM memories)",
        "The word index has {n} memories that are gone.",
    ),
    (
        """SELECT count(*) FROM memories WHERE x IS NOT NULL
            AND id NOT IN (SELECT id FROM memory_places)""",
        "{n} memories with a pose are not in the index of places.",
    ),
    (
        """SELECT count(*) FROM memory_places
            WHERE id NOT IN (SELECT id FROM memories WHERE x IS NOT NULL)""",
        "The index of places has {n} memories that are gone or have no pose.",
    ),
    (
        """SELECT count(*) FROM memory_places AS p CROSS JOIN memories AS m ON m.id = p.id
            WHERE NOT (m.x BETWEEN p.min_x AND p.max_x AND m.y BETWEEN p.min_y AND p.max_y)""",
        "The index of places has {n} memories at another place than their pose.",
    ),
    (
        "SELECT count(*) FROM thumbnails WHERE memory_id NOT IN (SELECT id FROM memories)",
        "{n} pictures are of memories that are gone.",
    ),
    (
        "SELECT count(*) FROM vectors WHERE memory_id NOT IN (SELECT id FROM memories)",
        "{n} vectors are of memories that are gone.",
    ),
    (
        """SELECT count(*) FROM vectors AS v LEFT JOIN encoders AS e ON e.id = v.encoder_id
            WHERE e.id IS NULL
            OR length(v.vector) NOT IN (e.dimensions + 4, e.dimensions + 4 + e.dimensions / 4)""",
        "{n} vectors are of another length than their encoder says.",
    ),
    (
        f"""SELECT count(*) FROM vector_codes, encoders
            WHERE length(codes) <> {CODES_IN_BLOCK} * dimensions / 8""",
        "{n} blocks of codes are of another length than their encoder says.",
    ),
)


class Checks:
    """The part of a Store that tells whether its file is whole."""

    _connections: Connections

    def check(self, full: bool = True) -> list[str]:
        """What is wrong with the file, one sentence each; [] where it is whole.

        full: read every page and index. Otherwise pictures and the inside of the word index are left unread;
        what is found then is as true, but not all that could be.
        """
        path = self._connections.path
        with self._connections.read() as db:
            problems = [f"{path} is damaged: {text}." for text in _pages(db, full)]
            if problems:  # the indices of a damaged file say nothing more
                return problems
            if full:
                problems += [
                    f"Row {row['rowid']} of {row['table']} names a row of {row['parent']} that is gone."
                    for row in db.query("PRAGMA foreign_key_check")
                    if row["table"] not in ("thumbnails", "vectors")  # counted below
                ]
            for sql, sentence in _DISAGREEMENTS:
                if number := _value(db, sql):
                    problems.append(sentence.format(n=number))
            if missed := _not_found_by_a_word(db):
                which = ", ".join(map(str, missed[:5]))
                problems.append(f"The word index does not find {len(missed)} memories, such as {which}.")
        return problems


def _pages(db: Database, full: bool) -> list[str]:
    if full:
        found = [row["integrity_check"] for row in db.query("PRAGMA integrity_check")]
        found += [_value(db, "SELECT rtreecheck('memory_places')")]
    else:
        found = [row["quick_check"] for table in _SMALL for row in db.query(f"PRAGMA quick_check({table})")]
    return [text.strip().replace("\n", "; ") for text in found if text != "ok"]


def _not_found_by_a_word(db: Database) -> list[int]:
    """Of memories spread over the store, those that the word index does not find by their longest word."""
    last = _value(db, "SELECT coalesce(max(id), 0) FROM memories")
    missed = []
    for step in range(WORDS_TRIED):
        sql = "SELECT id, text FROM memories WHERE id >= ? ORDER BY id LIMIT 1"
        row = db.execute(sql, [1 + last * step // WORDS_TRIED]).fetchone()
        # ASCII: what Python and SQLite take for a word of other scripts may differ.
        words = [word for word in re.findall(r"[^\W_]+", row[1]) if word.isascii()] if row else []
        if not words or (missed and missed[-1] == row[0]):
            continue
        found = "SELECT 1 FROM memories_fts WHERE memories_fts MATCH ? AND rowid = ?"
        if db.execute(found, [f'"{max(words, key=len)}"', row[0]]).fetchone() is None:
            missed.append(row[0])
    return missed


def _value(db: Database, sql: str) -> Any:
    return db.execute(sql).fetchone()[0]
