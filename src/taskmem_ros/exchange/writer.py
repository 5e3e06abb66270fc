"""Writing a bundle: into a partial file, which gets its name when all of it is on the disk."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from taskmem_ros.clips import Clip, Gap
from taskmem_ros.clips.jpeg import JpegClip
from taskmem_ros.durable import sync
from taskmem_ros.exchange import rows
from taskmem_ros.exchange.types import CONTENTS, FORMAT, FRAMES, BundleError
from taskmem_ros.memory import Feedback, Memory, Task


@dataclass(frozen=True)
class About:
    """What a bundle's manifest says beside its rows; see `Manifest`.

    writer: the model, revision, adapter and prompt_hash of the robot's newest memory; None: of the bundle's.
    """

    robot: str = ""
    store_id: str = ""
    sequence: int = 0
    contents: str = FRAMES
    writer: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.contents not in CONTENTS:
            raise BundleError(f"the contents {self.contents!r} are unknown; use one of {', '.join(CONTENTS)}")


class BundleWriter:
    """Takes the content of a bundle in any order. Raises BundleError for what is there already."""

    def __init__(self, path: Path, db: Database):
        self._path, self._db = path, db

    def add_clip(self, clip: Clip | JpegClip, opens: bool | None = None) -> None:
        """Keep a clip's frames. opens: nothing before it belongs to its window; None is as the clip says."""
        if isinstance(clip, Clip):
            clip = JpegClip.of(clip)
        if opens is not None:
            clip = replace(clip, opens=opens)
        what = f"the clip of camera {clip.camera!r} at {clip.start_ns} ns"
        self._insert("clips", [rows.clip_row(clip)], what)
        self._insert("frames", (rows.frame_row(clip, frame) for frame in clip.frames), f"a frame of {what}")

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        self._insert("tasks", (rows.task_row(task) for task in tasks), "a task")

    def add_feedback(self, feedback: Iterable[Feedback]) -> None:
        self._insert("feedback", (vars(item) for item in feedback), "a feedback")

    def add_memories(self, memories: Iterable[Memory]) -> None:
        """Keep memories; their thumbnails stay behind."""
        self._insert("memories", (rows.memory_row(memory) for memory in memories), "a memory")

    def add_gaps(self, gaps: Iterable[Gap]) -> None:
        self._insert("gaps", (vars(gap) for gap in gaps), "a gap")

    def bytes(self) -> int:
        """How large the file is by now, pages that are not on the disk yet included."""
        pages, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
        return pages * size

    def finish(self, about: About, created_ns: int) -> None:
        """Write the manifest."""
        names = ", ".join(rows.WRITER)
        newest = self._db.execute(f"SELECT {names} FROM memories ORDER BY id DESC LIMIT 1").fetchone()
        wrote = about.writer or dict(zip(rows.WRITER, newest or [""] * len(rows.WRITER)))
        named = {"robot": about.robot, "store_id": about.store_id, "sequence": about.sequence}
        named |= {"contents": about.contents} | wrote
        digest = rows.row_hash(self._db, named)
        counts = {table: self._db[table].count for table in rows.ORDER}
        told = {"format": FORMAT, "id": digest[:16], "sha256": digest, "created_ns": created_ns}
        told |= named | counts
        self._insert("manifest", ({"key": key, "value": str(value)} for key, value in told.items()), "a key")
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
    path: Path, about: About = About(), *, created_ns: int | None = None, overwrite: bool = False
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
            writer.finish(about, time.time_ns() if created_ns is None else created_ns)
        finally:
            connection.close()
        _check_target(path, overwrite)  # writing takes a while
        try:
            sync(partial)
            partial.replace(path)
            sync(path.parent)
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
