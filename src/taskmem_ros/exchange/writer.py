"""Writing a bundle: into a partial file, which gets its name when all of it is on the disk."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from taskmem_ros.clips import Clip, Gap
from taskmem_ros.exchange import rows
from taskmem_ros.exchange.jpeg import rgb_to_jpeg
from taskmem_ros.exchange.types import FORMAT, BundleError
from taskmem_ros.memory import Memory, Task


class BundleWriter:
    """Takes the content of a bundle in any order. Raises BundleError for what is there already."""

    def __init__(self, path: Path, db: Database):
        self._path, self._db = path, db

    def add_clip(self, clip: Clip, opens: bool = False) -> None:
        """Keep a clip's frames. opens: the policy's window was empty before it."""
        what = f"the clip of camera {clip.camera!r} at {clip.start_ns} ns"
        self._insert("clips", [rows.clip_row(clip, opens)], what)
        jpegs = ((frame, rgb_to_jpeg(frame.image)) for frame in clip.frames)
        frames = (rows.frame_row(clip, frame.stamp_ns, frame.pose, jpeg) for frame, jpeg in jpegs)
        self._insert("frames", frames, f"a frame of {what}")

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        self._insert("tasks", (rows.task_row(task) for task in tasks), "a task")

    def add_memories(self, memories: Iterable[Memory]) -> None:
        """Keep memories; their thumbnails stay behind."""
        self._insert("memories", (rows.memory_row(memory) for memory in memories), "a memory")

    def add_gaps(self, gaps: Iterable[Gap]) -> None:
        self._insert("gaps", (vars(gap) for gap in gaps), "a gap")

    def finish(self, robot: str, created_ns: int) -> None:
        """Write the manifest."""
        names = ", ".join(rows.WRITER)
        newest = self._db.execute(f"SELECT {names} FROM memories ORDER BY id DESC LIMIT 1").fetchone()
        writer = dict(zip(rows.WRITER, newest or [""] * len(rows.WRITER)))
        digest = rows.row_hash(self._db, robot, writer)
        about: dict[str, Any] = {"format": FORMAT, "id": digest[:16], "robot": robot, "sha256": digest}
        about |= writer | {"created_ns": created_ns} | {table: self._db[table].count for table in rows.ORDER}
        self._insert("manifest", ({"key": key, "value": str(value)} for key, value in about.items()), "a key")
        try:
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise _not_written(self._path, error) from error

    def _insert(self, table: str, found: Iterable[dict[str, Any]], what: str) -> None:
        try:
            self._db[table].insert_all(found)
        except sqlite3.IntegrityError as error:
            raise BundleError(f"{what} comes twice in {self._path} ({error}); give each once") from error
        except sqlite3.DatabaseError as error:
            raise _not_written(self._path, error) from error


@contextmanager
def new_bundle(
    path: Path, *, robot: str, created_ns: int | None = None, overwrite: bool = False
) -> Iterator[BundleWriter]:
    """A writer for the block; after it the file has its name, and with any error there is none.

    created_ns: None is now. Raises BundleError where there is a file already and not `overwrite`, and where
    the disk does not take it.
    """
    _check_target(path, overwrite)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        connection = _connect(path, partial)
        try:
            writer = BundleWriter(path, Database(connection, execute_plugins=False))
            yield writer
            writer.finish(robot, time.time_ns() if created_ns is None else created_ns)
        finally:
            connection.close()
        _check_target(path, overwrite)  # writing takes a while
        try:
            _sync(partial)
            partial.replace(path)
            _sync(path.parent)
        except OSError as error:
            raise _not_written(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _connect(path: Path, partial: Path) -> sqlite3.Connection:
    """A new file, empty but for its tables, in a transaction."""
    try:
        partial.unlink(missing_ok=True)
        connection = sqlite3.connect(partial, isolation_level=None)
        connection.execute("PRAGMA journal_mode = OFF")  # what is cut off is thrown away
        connection.execute("PRAGMA synchronous = OFF")  # it is synced as a whole
        connection.execute(f"PRAGMA application_id = {rows.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("BEGIN")
        for statement in rows.SCHEMA:
            connection.execute(statement)
        return connection
    except (OSError, sqlite3.DatabaseError) as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: Exception) -> BundleError:
    return BundleError(f"{path} cannot be written ({error}); make room, or name another folder")


def _check_target(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise BundleError(f"{path} is a folder; name a file in it, such as {path / 'tasks.bundle'}")
    if not path.parent.is_dir():
        raise BundleError(f"there is no folder {path.parent}; make it, or name another")
    if path.exists() and not overwrite:
        raise BundleError(f"{path} is there already; name another file, or overwrite it")


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
