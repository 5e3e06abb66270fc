"""Ids of memories by their words, their place and their time, and what stands beside them.

Every list ends at its limit and none weighs all memories: with a million of them a common word is in hundred
thousands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.scope import EVERYTHING, Box, Scope, scope_filter, scope_ids, scope_rows


class Neighbour(NamedTuple):
    """A memory beside others in time."""

    id: int
    camera: str
    episode: int
    start_ns: int
    text: str


class IndexRows:
    """The part of a Store that finds memories. match: an FTS5 expression (see words.py)."""

    _connections: Connections

    def narrowed(self, scope: Scope) -> Scope:
        """The same scope with the first and the last id that its time and camera can have.

        The index of words is by id: so it reads only a part of what a common word is in.
        """
        found = scope_ids(Scope(scope.since_ns, scope.until_ns, scope.camera))
        if found is None or scope.first_id is not None:
            return scope
        with self._connections.read() as db:
            sql = f"SELECT min(id), max(id) FROM ({found[0]})"
            first, last = db.conn.execute(sql, found[1]).fetchone()
        return replace(scope, first_id=1 if first is None else first, last_id=last or 0)

    def ids_matching(self, match: str, limit: int, scope: Scope = EVERYTHING) -> list[int]:
        """Ids of memories whose words match, the last written first."""
        tables, where, values = "memories_fts", "1", {}
        if scope != EVERYTHING:
            # CROSS JOIN fixes the order: first the words, then the rows that have them.
            tables += " CROSS JOIN memories AS m ON m.id = memories_fts.rowid"
            where, values = scope_filter(self.narrowed(scope), "memories_fts.rowid")
        sql = f"""SELECT memories_fts.rowid FROM {tables} WHERE memories_fts MATCH :match AND {where}
            ORDER BY memories_fts.rowid DESC LIMIT :limit"""
        with self._connections.read() as db:
            rows = db.conn.execute(sql, values | {"match": match, "limit": limit})
            return [row[0] for row in rows]

    def ids_by_bm25(self, match: str, limit: int, scope: Scope = EVERYTHING) -> list[int]:
        """Ids of memories whose words match, best BM25 first. Weighs every match: for rare words."""
        tables, where, values = "memories_fts", "1", {}
        if scope != EVERYTHING:
            tables += " CROSS JOIN memories AS m ON m.id = memories_fts.rowid"
            where, values = scope_filter(self.narrowed(scope), "memories_fts.rowid")
        sql = f"""SELECT memories_fts.rowid FROM {tables} WHERE memories_fts MATCH :match AND {where}
            ORDER BY bm25(memories_fts), memories_fts.rowid DESC LIMIT :limit"""
        with self._connections.read() as db:
            rows = db.conn.execute(sql, values | {"match": match, "limit": limit})
            return [row[0] for row in rows]

    def ids_in(self, scope: Scope, limit: int) -> list[int]:
        """Ids of the memories of a scope, the latest first."""
        tables, where, values = scope_rows(scope)
        sql = f"SELECT m.id FROM {tables} WHERE {where} ORDER BY m.start_ns DESC, m.id DESC LIMIT :limit"
        with self._connections.read() as db:
            return [row[0] for row in db.conn.execute(sql, values | {"limit": limit})]

    def positions(
        self, box: Box, limit: int, scope: Scope = EVERYTHING
    ) -> list[tuple[int, float, float, float]]:
        """(id, x, y, z) of up to `limit` memories of a scope written from inside a box, in no order."""
        tables, where, values = scope_rows(
            Scope(scope.since_ns, scope.until_ns, scope.camera, scope.episode, box)
        )
        sql = f"SELECT m.id, m.x, m.y, m.z FROM {tables} WHERE {where} LIMIT :limit"
        with self._connections.read() as db:
            return db.conn.execute(sql, values | {"limit": limit}).fetchall()

    def newest_ns(self) -> int:
        """When the latest memory starts; 0 where there is none."""
        with self._connections.read() as db:
            return db.execute("SELECT coalesce(max(start_ns), 0) FROM memories").fetchone()[0]

    def neighbours(
        self, numbers: Sequence[int], reach: int = 2, scope: Scope = EVERYTHING
    ) -> dict[int, Neighbour]:
        """The memories of a scope with these ids, and with up to `reach` ids before and after them."""
        wanted = {number + step for number in numbers for step in range(-reach, reach + 1)}
        where, values = scope_filter(scope)
        sql = f"""SELECT m.id, m.camera, m.episode, m.start_ns, m.text FROM json_each(:ids) AS j
            CROSS JOIN memories AS m ON m.id = j.value WHERE {where}"""
        values["ids"] = json.dumps(sorted(wanted))
        with self._connections.read() as db:
            return {row[0]: Neighbour._make(row) for row in db.conn.execute(sql, values)}
