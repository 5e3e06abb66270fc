"""Bags and films that were read into the store: which ones, how far, and how to take one out again."""

from __future__ import annotations

import time

from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.types import Source

_COLUMNS = "id, name, fingerprint, camera, started_ns, finished_ns"


class SourceRows:
    """The part of a Store that keeps sources."""

    _connections: Connections

    def add_source(self, name: str, fingerprint: str, camera: str) -> Source:
        """Begin to read a source.

        Raises StoreError where this fingerprint and camera are in the store already.
        """
        row = {"name": name, "fingerprint": fingerprint, "camera": camera, "started_ns": time.time_ns()}
        with self._connections.write() as db:
            number = db["sources"].insert(row).last_pk
        return Source(id=number, finished_ns=None, **row)

    def finish_source(self, source_id: int) -> None:
        """Say that all of the source was read."""
        with self._connections.write() as db:
            db["sources"].update(source_id, {"finished_ns": time.time_ns()})

    def source(self, fingerprint: str, camera: str) -> Source | None:
        """The source with this content, read as this camera, or None."""
        sql = f"SELECT {_COLUMNS} FROM sources WHERE fingerprint = ? AND camera = ?"
        with self._connections.read() as db:
            return next((Source(**row) for row in db.query(sql, [fingerprint, camera])), None)

    def forget_source(self, source_id: int) -> int:
        """Delete a source and all that was written from it, in one transaction.

        Returns how many memories that was.
        """
        with self._connections.write() as db:
            count = db["memories"].count_where("source_id = ?", [source_id])
            for table in ("memories", "coverage", "failures"):
                db[table].delete_where("source_id = ?", [source_id])
            db["sources"].delete(source_id)
        return count
