"""A task bundle: one SQLite file with what a workstation needs to learn from a robot's tasks.

Tasks with their answers and what people said of these, the clips as the policy saw them, the memories
around, the time that nobody watched, and a manifest with a hash over all rows. A bundle is written once and
never changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from sqlite_utils import Database

from taskmem_ros.clips import Clip, Gap
from taskmem_ros.exchange import rows
from taskmem_ros.exchange.types import CONTENTS, FORMAT, FRAMES, BundledClip, BundleError, Manifest
from taskmem_ros.exchange.writer import About, new_bundle
from taskmem_ros.memory import Feedback, Memory, Task

# What SQLite says where the disk or the system failed, which passes; not of what is in the file.
_OF_THIS_MACHINE = ("disk i/o error", "unable to open database", "is locked", "disk is full", "interrupted")
_SHORT_READ = 522  # an "I/O error" too, of a file that is cut short


class Bundle:
    """An open bundle, whole when it was opened. Not thread-safe. Reading raises BundleError, and OSError
    where this machine's disk fails, which may pass.
    """

    def __init__(self, path: Path, db: Database, manifest: Manifest):
        self.path, self.manifest = path, manifest
        self._db = db

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        clips: Iterable[Clip] = (),
        tasks: Iterable[Task] = (),
        feedback: Iterable[Feedback] = (),
        memories: Iterable[Memory] = (),
        gaps: Iterable[Gap] = (),
        robot: str = "",
        store_id: str = "",
        sequence: int = 0,
        contents: str = FRAMES,
        created_ns: int | None = None,
        overwrite: bool = False,
    ) -> Bundle:
        """Write a bundle and open it. robot ... contents: see `Manifest`; created_ns: None is now.

        The file gets its name when all of it is on the disk. Raises BundleError.
        """
        path = Path(path).expanduser()
        about = About(robot, store_id, sequence, contents)
        with new_bundle(path, about, created_ns=created_ns, overwrite=overwrite) as writer:
            for clip in clips:
                writer.add_clip(clip)
            writer.add_tasks(tasks)
            writer.add_feedback(feedback)
            writer.add_memories(memories)
            writer.add_gaps(gaps)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Open a bundle to read it. Raises BundleError where it is none, or not as it was written, OSError
        where it cannot be read now.
        """
        path = Path(path).expanduser()
        if not path.is_file():
            raise BundleError(f"there is no bundle at {path}; make one with `taskmem bundle`")
        with _sentences(path):
            # immutable: a bundle is never written again, and may lie where SQLite can put no files beside it.
            uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            with _sentences(path):
                connection.execute("PRAGMA trusted_schema = OFF")
                db = Database(connection, execute_plugins=False)
                return cls(path, db, _checked_manifest(path, db))
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self._db.conn.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def tasks(self) -> list[Task]:
        """By id, as the robot numbered them."""
        with _sentences(self.path):
            return [rows.task_of(row) for row in self._rows("tasks")]

    def feedback(self) -> list[Feedback]:
        """By id; also of tasks that are in earlier bundles of the robot."""
        with _sentences(self.path):
            return [rows.feedback_of(row) for row in self._rows("feedback")]

    def memories(self) -> list[Memory]:
        """By id; without thumbnails."""
        with _sentences(self.path):
            return [rows.memory_of(row) for row in self._rows("memories")]

    def gaps(self) -> list[Gap]:
        """By camera and start."""
        with _sentences(self.path):
            return [Gap(**row) for row in self._rows("gaps")]

    def clips(self) -> Iterator[BundledClip]:
        """By camera, episode and start, one at a time: the pictures of a bundle may not fit into memory."""
        where = "camera = :camera AND episode = :episode AND start_ns = :start_ns"
        with _sentences(self.path):
            for row in self._rows("clips"):
                found = self._db["frames"].rows_where(where, row, order_by="stamp_ns")
                frames = tuple(rows.frame_of(frame) for frame in found)
                yield BundledClip(**row | {"opens": bool(row["opens"]), "frames": frames})

    def _rows(self, table: str) -> Iterator[dict]:
        return self._db[table].rows_where(order_by=rows.ORDER[table])


def _checked_manifest(path: Path, db: Database) -> Manifest:
    if db.execute("PRAGMA application_id").fetchone()[0] != rows.APPLICATION_ID:
        raise BundleError(f"{path} is no task bundle; make one with `taskmem bundle`")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        raise BundleError(
            f"{path} has format {version} and this taskmem reads {FORMAT}; update the older of the two"
        )
    if rows.schema_of(db) != rows.expected_schema():
        raise BundleError(f"{path} has other tables than a bundle; get it again")
    told = {row["key"]: row["value"] for row in db["manifest"].rows}
    kinds = {item.name: int if item.type == "int" else str for item in fields(Manifest)}
    manifest = Manifest(**{name: kind(told[name]) for name, kind in kinds.items()})
    found = rows.row_hash(db, told)
    counts = {table: db[table].count for table in rows.ORDER}
    if found != manifest.sha256 or manifest.id != found[:16] or len(told) != len(kinds):
        raise BundleError(f"{path} is damaged: its rows are not those that its manifest names; get it again")
    if (manifest.format, manifest.contents in CONTENTS) != (FORMAT, True) or any(
        getattr(manifest, table) != n for table, n in counts.items()
    ):
        raise BundleError(f"{path} is damaged: its manifest counts other rows than it has; get it again")
    return manifest


def _of_this_machine(error: sqlite3.OperationalError) -> bool:
    if getattr(error, "sqlite_errorcode", None) == _SHORT_READ:
        return False
    return any(text in str(error).lower() for text in _OF_THIS_MACHINE)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Whatever a damaged or foreign file makes SQLite, json or the values raise, in one sentence."""
    try:
        yield
    except BundleError:
        raise
    except sqlite3.OperationalError as error:
        if not _of_this_machine(error):
            raise BundleError(f"{path} is damaged ({error}); get it again") from error
        raise OSError(
            f"{path} cannot be read now ({error}); that is no fault of the bundle: see to this machine's "
            "disk and open files, and try again"
        ) from error
    except (sqlite3.Error, ValueError, TypeError, KeyError, AttributeError) as error:
        if "not a database" in str(error):
            raise BundleError(f"{path} is no task bundle (not a SQLite file); choose another") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{path} is damaged ({reason}); get it again") from error
