"""Vectors of memories, and the memories whose vectors are nearest to another.

Every vector is kept whole, in ten bits a number (quantization.py), and as a code: one bit for the sign of
each number. A search compares codes (all of them, from main memory: see codes.py) and then the vectors of the
best some hundred. The codes stand in the file in blocks by memory id, so that a million are read in a moment.
All of it is plain tables and numpy: many Pythons are built without loadable SQLite extensions, and a store
must open, and forget, wherever it is carried to.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

import numpy as np
from sqlite_utils import Database

from taskmem_ros.memory.codes import Codes, codes_of, read_codes
from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.quantization import coarse, nearest, quantize
from taskmem_ros.memory.schema import CODES_IN_BLOCK
from taskmem_ros.memory.scope import EVERYTHING, Scope, indexed, scope_filter, scope_ids

RESCORED = 600  # codes whose whole vectors are compared,
RESCORED_OF = 600  # and one more for every so many memories: the farther among many are the best ten
FEW = 50_000  # memories of a scope that are told apart one by one


class VectorRows:
    """The part of a Store that keeps vectors. All of a store are of one encoder."""

    _connections: Connections
    _codes: Codes

    def use_encoder(self, name: str, dimensions: int) -> int:
        """Say which encoder the vectors are of; those of another are deleted, to be made anew.

        dimensions: a multiple of 64. Returns how many were deleted.
        """
        if dimensions <= 0 or dimensions % 64:
            raise ValueError(f"vectors of {dimensions} numbers cannot be kept; use a multiple of 64")
        with self._connections.write() as db:
            known = db.execute("SELECT name, dimensions FROM encoders").fetchall()
            if known == [(name, dimensions)]:
                return 0
            count = db["vectors"].count
            db.execute("DELETE FROM vectors")
            db.execute("DELETE FROM vector_codes")
            db.execute("DELETE FROM encoders")
            db.execute("INSERT INTO encoders (name, dimensions) VALUES (?, ?)", [name, dimensions])
        return count

    def encoder(self) -> tuple[str, int] | None:
        """(name, dimensions) of the encoder in use, None where there never was one."""
        with self._connections.read() as db:
            return db.execute("SELECT name, dimensions FROM encoders").fetchone()

    def without_vector(
        self, limit: int = 64, *, above: int | None = None, upto: int | None = None
    ) -> list[tuple[int, str]]:
        """(id, text) of memories that have no vector: the oldest above an id, or the newest up to one."""
        order = "DESC" if above is None else "ASC"
        sql = f"""SELECT m.id, m.text FROM memories AS m LEFT JOIN vectors AS v ON v.memory_id = m.id
            WHERE v.memory_id IS NULL AND m.id > :above AND m.id <= :upto
            ORDER BY m.id {order} LIMIT :limit"""
        values = {"above": above or 0, "upto": 2**63 - 1 if upto is None else upto, "limit": limit}
        with self._connections.read() as db:
            return db.conn.execute(sql, values).fetchall()

    def add_vectors(self, numbers: Sequence[int], vectors: np.ndarray) -> None:
        """Keep vectors (memories, dimensions), float, of any length above 0.

        A memory that is gone by now is passed over.
        """
        vectors = np.asarray(vectors, np.float32)
        rows = [(int(n), quantize(vector)) for n, vector in zip(numbers, vectors)]
        with self._connections.write() as db:
            encoder = db.execute("SELECT id, dimensions FROM encoders").fetchone()
            if encoder is None or np.shape(vectors) != (len(rows), encoder[1]):
                raise ValueError(
                    f"vectors of shape {np.shape(vectors)} are not of the store's encoder {encoder}"
                )
            db.conn.executemany(
                """INSERT OR REPLACE INTO vectors SELECT ?, ?, ? WHERE EXISTS
                    (SELECT 1 FROM memories WHERE id = ?)""",
                [(number, encoder[0], vector, number) for number, vector in rows],
            )
            newest = db.execute("SELECT max(id) FROM memories").fetchone()[0] or 0
            touched = {number // CODES_IN_BLOCK for number, _ in rows}
            for block in sorted(touched | _unsealed(db, newest)):
                if block < newest // CODES_IN_BLOCK:  # the newest block still grows
                    db.execute(
                        "INSERT OR REPLACE INTO vector_codes VALUES (?, ?)",
                        [block, _block_codes(db.conn, block, encoder[1]).tobytes()],
                    )
        whole = coarse([vector for _, vector in rows], encoder[1])
        self._codes.put(np.array([number for number, _ in rows]), codes_of(whole))

    def nearest(self, vector: np.ndarray, limit: int, scope: Scope = EVERYTHING) -> list[tuple[int, float]]:
        """(memory id, cosine) of the memories of a scope whose vectors are nearest, nearest first."""
        with self._connections.read() as db:
            if limit <= 0 or not self._codes.load(db):
                return []
            by_id = scope.first_id is not None and scope == Scope(
                scope.since_ns, scope.until_ns, first_id=scope.first_id, last_id=scope.last_id
            )
            among = None if by_id else _few(db, scope)
            loose = scope != EVERYTHING and not by_id and (among is None or not indexed(scope))
            numbers, ids, blobs = self._compared(db, vector, limit, scope, among, loose)
            if by_id and len(ids) < len(numbers) / 2:  # memories of other times lie between
                among = _few(db, scope)
                numbers, ids, blobs = self._compared(db, vector, limit, scope, among, among is None)
        if scope == EVERYTHING and len(ids) < len(numbers):
            self._codes.drop(np.setdiff1d(numbers, ids))  # forgotten by another process
        return nearest(blobs, ids, vector, limit) if ids else []

    def _compared(
        self,
        db: Database,
        vector: np.ndarray,
        limit: int,
        scope: Scope,
        among: np.ndarray | None,
        loose: bool,
    ) -> tuple[np.ndarray, list[int], list[bytes]]:
        """(ids by their codes, those of them that are of the scope, their vectors).

        loose: only some of the ids may be of the scope, so that more are compared.
        """
        first, last = scope.first_id or 0, self._codes.last if scope.last_id is None else scope.last_id
        of = max(0, last - first) if among is None else len(among)
        count = max(RESCORED + of // RESCORED_OF, 2 * limit) * (4 if loose else 1)
        numbers = self._codes.nearest(vector, count, first, last, among)
        return numbers, *_vectors(db, numbers, scope)


def _few(db: Database, scope: Scope) -> np.ndarray | None:
    """The ids of a scope, and perhaps of some more, ascending; None where they are too many."""
    found = scope_ids(scope)
    if found is None:
        return None
    rows = db.conn.execute(f"{found[0]} LIMIT {FEW + 1}", found[1]).fetchall()
    return np.sort(np.array(rows, np.int64).reshape(-1)) if len(rows) <= FEW else None


def _vectors(db: Database, numbers: np.ndarray, scope: Scope) -> tuple[list[int], list[bytes]]:
    """(ids, vectors) of those of the numbers that are of the scope."""
    where, values = scope_filter(scope)
    join = "" if scope == EVERYTHING else "CROSS JOIN memories AS m ON m.id = v.memory_id"
    sql = f"""SELECT v.memory_id, v.vector FROM json_each(:ids) AS j
        CROSS JOIN vectors AS v ON v.memory_id = j.value {join} WHERE {where}"""
    rows = db.conn.execute(sql, values | {"ids": json.dumps(numbers.tolist())}).fetchall()
    return [number for number, _ in rows], [vector for _, vector in rows]


def _unsealed(db: Database, newest: int) -> set[int]:
    """A whole block that lost its codes when a vector was deleted, if there is one."""
    sealed = {row[0] for row in db.execute("SELECT block FROM vector_codes")}
    sql = "SELECT 1 FROM vectors WHERE memory_id >= ? AND memory_id < ? LIMIT 1"
    for block in range(newest // CODES_IN_BLOCK):
        first = block * CODES_IN_BLOCK
        if block not in sealed and db.execute(sql, [first, first + CODES_IN_BLOCK]).fetchone():
            return {block}
    return set()


def _block_codes(connection: sqlite3.Connection, block: int, dimensions: int) -> np.ndarray:
    """Codes (CODES_IN_BLOCK, dimensions / 8) uint8 of a block; rows of zeros where there is no vector."""
    first = block * CODES_IN_BLOCK
    numbers, codes = read_codes(connection, first, first + CODES_IN_BLOCK, dimensions)
    whole = np.zeros((CODES_IN_BLOCK, dimensions // 8), np.uint8)
    whole[numbers - first] = codes
    return whole
