"""The file of kept clips: opened for each use, never larger than it may be, begun anew where it is of no use.

It is a cache: what is in it can be lost, and the robot remembers all the same. So a damaged file is thrown
away, and there is no connection that outlives a use: nothing of it is in memory between two clips, and SQLite
folds its log away each time.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from sqlite_utils import Database

from taskmem_ros.memory.steps import give_back_pages
from taskmem_ros.memory.types import StoreError

log = logging.getLogger(__name__)

BUSY_MS = 2000
PAGE = 4096
FULL = 100_000  # bytes free: not enough to evict a clip
FREE = 200_000_000  # bytes of the disk that are not the ring's, however large it may be
_APPLICATION_ID = 0x544D5246  # "TMRF"
_VERSION = 1
_SHARED = 1 << 15  # bytes of the file that connections share beside a log
_SPARE_PAGES = 16  # of the b-trees, the free list and the like, that one transaction may write
_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    # AUTOINCREMENT: an id is never given again, so that `after` means one clip or none.
    """CREATE TABLE clips (
        id INTEGER PRIMARY KEY AUTOINCREMENT, after INTEGER, camera TEXT NOT NULL, episode INTEGER NOT NULL,
        start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, bytes INTEGER NOT NULL,
        UNIQUE (camera, episode, start_ns)) STRICT""",
    """CREATE TABLE frames (
        id INTEGER PRIMARY KEY, clip_id INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        stamp_ns INTEGER NOT NULL, frame_id TEXT, map_id TEXT, x REAL, y REAL, z REAL, qx REAL, qy REAL,
        qz REAL, qw REAL, jpeg BLOB NOT NULL) STRICT""",
    "CREATE INDEX frames_clip ON frames (clip_id)",
)


class RingError(StoreError):
    """The ring cannot do what was asked; the store beside it may be as well as ever."""


class RingFile:
    """The file at `path`, of a store. store_id: tells the store's id. Every method may raise RingError."""

    def __init__(self, path: Path, store_id: Callable[[], str]):
        self.path, self._tell_store_id = path, store_id

    @property
    def bytes(self) -> int:
        """On the disk, with all that SQLite has beside it."""
        return sum(map(_size, self._files()))

    @contextmanager
    def read(self) -> Iterator[Database | None]:
        """The last committed state; None where there is no file, or one of another store."""
        if not self.path.exists():
            yield None
            return
        with self._sentences():
            connection = self._readable()
            try:
                db = Database(connection, execute_plugins=False)
                yield db if self._is_ours(db) else None
            finally:
                connection.close()

    @contextmanager
    def write(self) -> Iterator[Database]:
        """A connection to write with, in transactions begun and ended by the caller; the file is made where
        there is none.
        """
        with self._sentences():
            try:
                db = self._writable()
            except sqlite3.DatabaseError as error:
                if not _is_damaged(error):
                    raise
                log.warning("%s is damaged (%s) and begun anew", self.path, error)
                self.remove()
                db = self._writable()
            try:
                yield db
            finally:
                db.conn.close()

    def check_room(self, needed: int) -> None:
        """Raises RingError where a new file with so many pages would not leave FREE bytes of the disk."""
        free = shutil.disk_usage(self.path.parent).free
        if not self.path.exists() and free - FREE < needed * PAGE:
            raise self._no_room(free)

    @contextmanager
    def given_up_when_full(self) -> Iterator[None]:
        """Remove the file where the disk is so full that not even an old clip can be evicted."""
        try:
            yield
        except RingError:
            # What SQLite says then is not always that: it may be unable to open a log, or to write one.
            if shutil.disk_usage(self.path.parent).free < FULL:
                log.warning("the disk is full; the clips in %s are given up for memories", self.path)
                self.remove()
            raise

    @contextmanager
    def transaction(self, db: Database) -> Iterator[None]:
        """Of a `write` connection; afterwards its pages are in the file, and the log is cut to nothing."""
        db.conn.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.conn.execute("COMMIT")
        except BaseException:
            db.conn.rollback()
            raise
        fold_log(db)

    def make_room(self, db: Database, needed: int, max_bytes: int) -> None:
        """Evict the oldest clips until `needed` pages more can be written, the file with its log stays within
        max_bytes, and FREE bytes of the disk are left: memories need them more. Raises RingError where one
        clip is too much for that.
        """
        free = shutil.disk_usage(self.path.parent).free
        on_disk = self.bytes + free - FREE
        max_bytes, disk = min(max_bytes, on_disk), on_disk < max_bytes
        largest = db.execute("SELECT coalesce(max(bytes), 0) FROM clips").fetchone()[0]
        # The log holds what one transaction writes: a new clip, or zeros where an evicted one was.
        in_log = (max(needed, largest // PAGE) + _SPARE_PAGES) * (PAGE + 24)
        limit = (max_bytes - _SHARED - in_log) // PAGE
        while (short := _used(db) + needed - limit) > 0:
            with self.transaction(db):
                evicted = db.execute("DELETE FROM clips WHERE id = (SELECT min(id) FROM clips)").rowcount
            if not evicted and disk:
                raise self._no_room(free)
            if not evicted:
                raise RingError(
                    f"{self.path} may have {max_bytes / 1e6:.1f} MB, and one clip needs "
                    f"{short * PAGE / 1e6:.1f} MB more; give it more (frames.gigabytes), or turn it off (0)."
                )
        # Free pages are filled first; the file shrinks where it must become smaller than it was.
        while (over := _pages(db) + max(0, needed - _free(db)) - limit) > 0 and _free(db):
            with self.transaction(db):
                give_back_pages(db, min(over, _SPARE_PAGES))

    def remove(self) -> None:
        """Delete the file, with all that SQLite has beside it."""
        try:
            for file in self._files():
                file.unlink(missing_ok=True)
        except OSError as error:
            raise RingError(f"{self.path} cannot be removed ({error.strerror}); remove it.") from error

    @cached_property
    def _store_id(self) -> str:
        return self._tell_store_id()

    def _no_room(self, free: int) -> RingError:
        return RingError(
            f"{self.path} has no room for a clip: {free / 1e6:.0f} MB free on its disk, of which "
            f"{FREE / 1e6:.0f} MB are left to memories; make room on it."
        )

    def _files(self) -> list[Path]:
        return [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm")]

    def _writable(self) -> Database:
        connection = self._connect("rwc")
        try:
            fresh = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if fresh:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            elif connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
                raise RingError(
                    f"{self.path} is a SQLite database of another program, and the ring of clips would be "
                    "there; move it, or turn the ring off (frames.gigabytes: 0)."
                )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # the last clips may be lost, nothing else
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            db = Database(connection, execute_plugins=False)
            if not fresh and not self._is_ours(db):
                connection.close()
                log.warning("%s is of another store and begun anew", self.path)
                self.remove()
                return self._writable()
            if fresh:
                with self.transaction(db):
                    for statement in _SCHEMA:
                        db.execute(statement)
                    db["meta"].insert({"key": "store_id", "value": self._store_id})
                    db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                    db.execute(f"PRAGMA user_version = {_VERSION}")
            return db
        except BaseException:
            connection.close()
            raise

    def _readable(self) -> sqlite3.Connection:
        connection = self._connect("ro")
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            if "unable to open" not in str(error):
                raise
            return self._connect("ro&immutable=1")  # a medium that takes no file beside it

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        return connection

    def _is_ours(self, db: Database) -> bool:
        if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            return False  # or still empty
        if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            return False
        row = db.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone()
        return row == (self._store_id,)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise RingError(f"The ring of clips, {self.path}, cannot be used ({error}).") from error


def fold_log(db: Database) -> None:
    """Have all in the file, and cut its log to nothing; left for the next time where somebody reads it."""
    db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def pages_of(sizes: list[int]) -> int:
    """At most as many pages as a clip of frames of these sizes (bytes) takes."""
    return sum(size // (PAGE - 4) + 2 for size in sizes) + 2


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # a log goes whenever somebody closes the file
        return 0


def _is_damaged(error: sqlite3.DatabaseError) -> bool:
    return "malformed" in str(error) or "not a database" in str(error)


def _pages(db: Database) -> int:
    return db.execute("PRAGMA page_count").fetchone()[0]


def _free(db: Database) -> int:
    return db.execute("PRAGMA freelist_count").fetchone()[0]


def _used(db: Database) -> int:
    return _pages(db) - _free(db)
