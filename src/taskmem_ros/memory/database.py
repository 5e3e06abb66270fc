"""The connections to one store file, and every way in which opening or using it can fail, in a sentence.

Threads: one connection writes and one reads, each behind its own lock, whichever thread calls. SQLite has one
writer anyway, and in WAL mode a reader never waits for a writer; so a search never waits for a memory's
fsync, and there are no connections to count or to leak with threads that come and go.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from taskmem_ros.memory import schema
from taskmem_ros.memory.types import StoreError

BUSY_SECONDS = 5.0  # how long another process may hold the file before we give up


def default_database() -> Path:
    """The store used where none is named: $TASKMEM_DATABASE, else ~/.taskmem/memory.db."""
    return Path(os.environ.get("TASKMEM_DATABASE") or "~/.taskmem/memory.db").expanduser()


class Connections:
    """The writing and the reading connection of one store file.

    `write()` and `read()` are context managers.
    """

    def __init__(self, path: Path, *, create: bool, read_only: bool, busy_seconds: float = BUSY_SECONDS):
        self.path, self.read_only = path, read_only
        self._busy_ms = int(busy_seconds * 1000)
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        self._writer: Database | None = None
        self._reader: Database | None = None
        self._check_path(create and not read_only)
        try:
            with self._sentences():
                if not read_only:
                    self._writer = self._open_writer()
                self._reader = self._open_reader()
                self._check_schema(self._reader.conn)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def write(self) -> Iterator[Database]:
        """A transaction: committed and on the disk when the block ends, undone when it raises."""
        if self.read_only:
            raise StoreError(f"{self.path} was opened for reading only; open it without read_only to write.")
        with self._sentences(), self._write_lock:
            if self._writer is None:
                raise StoreError(f"{self.path} was closed; open the store again.")
            # IMMEDIATE: take the write lock now, so that waiting for it happens here and never half way.
            self._writer.conn.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.conn.execute("COMMIT")
            except BaseException:
                self._writer.conn.rollback()
                raise

    @contextmanager
    def read(self) -> Iterator[Database]:
        """The last committed state. Fetch all rows inside the block."""
        with self._sentences(), self._read_lock:
            if self._reader is None:
                raise StoreError(f"{self.path} was closed; open the store again.")
            yield self._reader

    @contextmanager
    def aside(self) -> Iterator[Database]:
        """A writing connection of its own, closed with the block: for long work in many short transactions,
        begun and ended by the caller, during which `write` goes on.

        A power cut may take its last transactions back, each as a whole; with the next `write` they are safe.
        """
        if self.read_only:
            raise StoreError(f"{self.path} was opened for reading only; open it without read_only to write.")
        with self._sentences():
            db = self._open_writer()
            try:
                db.conn.execute("PRAGMA synchronous = NORMAL")  # an fsync each would keep others waiting
                yield db
            finally:
                db.conn.close()

    @contextmanager
    def snapshot(self) -> Iterator[Database]:
        """A reading connection of its own that sees one state of the file as long as the block lasts.

        Others write meanwhile; the log grows by what they write.
        """
        with self._sentences():
            db = self._open_reader()
            try:
                db.conn.execute("BEGIN")
                db.conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # from here on
                yield db
            finally:
                db.conn.close()

    def close(self) -> None:
        """Close both connections, the writer last: the last to go folds the log back into the file."""
        with self._read_lock:
            if self._reader is not None:
                self._reader.conn.close()
            self._reader = None
        with self._write_lock:
            if self._writer is not None:
                self._writer.conn.close()
            self._writer = None

    def _check_path(self, create: bool) -> None:
        if self.path.is_dir():
            raise StoreError(
                f"{self.path} is a folder; name a file in it, such as {self.path / 'memory.db'}."
            )
        if not self.path.exists() and not create:
            raise StoreError(
                f"There is no store at {self.path}; start the agent or `taskmem ingest` to make one."
            )
        try:
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder {self.path.parent} cannot be made ({error.strerror}); choose another database."
            ) from error

    def _open_writer(self) -> Database:
        fresh = not self.path.exists() or self.path.stat().st_size == 0
        connection = self._connect("rwc")
        try:
            if (
                fresh
            ):  # only possible before the first table: lets a later version give freed pages back in steps
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._check_owner(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk, not only in the kernel
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            if connection.execute("PRAGMA user_version").fetchone()[0] < schema.SCHEMA_VERSION:
                schema.migrate(connection)
        except BaseException:
            connection.close()
            raise
        return Database(connection, execute_plugins=False)

    def _open_reader(self) -> Database:
        if not self.read_only:
            connection = self._connect("rw")
            connection.execute("PRAGMA query_only = ON")
            return Database(connection, execute_plugins=False)
        connection = self._connect("ro")
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            log = self.path.with_name(self.path.name + "-wal")
            if "locked" in str(error) or (log.exists() and log.stat().st_size):
                raise
            # WAL wants a file beside the store; on a medium that takes none, and with no log, nothing can
            # change.
            connection = self._connect("ro&immutable=1")
        return Database(connection, execute_plugins=False)

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        connection.execute(f"PRAGMA busy_timeout = {self._busy_ms}")
        return connection

    def _check_owner(self, connection: sqlite3.Connection) -> None:
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if tables and owner != schema.APPLICATION_ID:
            raise StoreError(f"{self.path} is a SQLite database of another program; choose another database.")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > schema.SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema version {version} and this taskmem knows {schema.SCHEMA_VERSION}; "
                "update taskmem."
            )

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        self._check_owner(connection)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version < schema.SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema version {version} and {schema.SCHEMA_VERSION} is needed; "
                "run `taskmem doctor --upgrade` on it (or start the agent) to upgrade it."
            )

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(self._sentence(error)) from error

    def _sentence(self, error: sqlite3.DatabaseError) -> str:
        reason = str(error)
        if "not a database" in reason:
            return f"{self.path} is not a taskmem store (not a SQLite file); choose another database."
        if "locked" in reason or "busy" in reason:
            return (
                f"{self.path} has been locked by another program for more than {self._busy_ms / 1000:g} s; "
                "end that program or try again."
            )
        if "unable to open" in reason or "readonly" in reason:
            return f"{self.path} cannot be used ({reason}); make it and its folder readable and writable."
        if "full" in reason:
            return f"The disk of {self.path} is full ({reason}); make room on it."
        if "disk I/O" in reason:  # a quota or a limit of file sizes, too
            return (
                f"The disk of {self.path} did not take or give what it should ({reason}); "
                "make room on it, or have it checked."
            )
        if "malformed" in reason:
            return f"{self.path} is damaged ({reason}); run `taskmem doctor` on it."
        return f"{self.path} refused a statement ({reason}); this is a bug in taskmem, please report it."
