"""A consistent copy of a store, made while an agent writes to it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from taskmem_ros.durable import sync
from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.types import StoreError

STEP_PAGES = 2048  # copied at once, 8 MB


class Backups:
    """The part of a Store that copies its file."""

    _connections: Connections

    def backup(
        self,
        target: str | Path,
        *,
        overwrite: bool = False,
        progress: Callable[[int, int], None] = lambda done, pages: None,
    ) -> Path:
        """Copy the file as it is now to `target`, check the copy, and only then give it its name.

        Nobody is held up: the copy is of one state, whatever is written meanwhile. progress(done, pages) is
        called between steps. Raises StoreError where there is a file already and not `overwrite`, where there
        is no room, or where the copy is not whole; then nothing is left behind.
        """
        target = Path(target).expanduser().absolute()
        self._check_target(target, overwrite)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            self._copy(partial, progress)
            _check(partial)
            partial.chmod(self._connections.path.stat().st_mode & 0o777)
            sync(partial)
            self._check_target(target, overwrite)  # a copy takes a while
            partial.replace(target)
            sync(target.parent)
        except OSError as error:
            raise StoreError(f"The copy {target} cannot be written ({error.strerror or error}).") from error
        finally:
            partial.unlink(missing_ok=True)
        return target

    def _check_target(self, target: Path, overwrite: bool) -> None:
        source = self._connections.path
        if target.is_dir():
            raise StoreError(f"{target} is a folder; name a file in it, such as {target / source.name}.")
        if not target.parent.is_dir():
            raise StoreError(f"There is no folder {target.parent}; make it, or name another.")
        if not target.exists():
            return
        if target.samefile(source):
            raise StoreError(f"{target} is the store itself; name another file for its copy.")
        if not overwrite:
            raise StoreError(f"{target} is there already; name another file, or overwrite it with --force.")
        log = target.with_name(target.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise StoreError(f"{target} is in use (it has a log, {log.name}); name another file.")

    def _copy(self, partial: Path, progress: Callable[[int, int], None]) -> None:
        with self._connections.snapshot() as source:
            pages, size = (
                source.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
            )
            free = shutil.disk_usage(partial.parent).free
            if free < pages * size:
                room = f"{free / 1e6:.0f} MB free; make room or name another folder"
                raise StoreError(
                    f"The copy needs {pages * size / 1e6:.0f} MB and {partial.parent} has {room}."
                )
            copy = sqlite3.connect(partial, isolation_level=None)
            try:
                copy.execute("PRAGMA journal_mode = OFF")  # a copy that is cut off is thrown away
                copy.execute("PRAGMA synchronous = OFF")  # it is synced as a whole
                source.conn.backup(
                    copy,
                    pages=STEP_PAGES,
                    progress=lambda _status, left, total: progress(total - left, total),
                )
            except sqlite3.DatabaseError as error:
                raise StoreError(f"The copy cannot be written to {partial.parent} ({error}).") from error
            finally:
                copy.close()


def _check(copy: Path) -> None:
    connection = sqlite3.connect(f"{copy.as_uri()}?immutable=1", uri=True)
    try:
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    finally:
        connection.close()
    if found != "ok":
        raise StoreError(
            f"The copy is not whole ({found}), so it is not kept; run `taskmem doctor` on the store."
        )
