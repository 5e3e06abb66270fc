"""A task bundle: one SQLite file with what a workstation needs to learn from a robot's tasks.

Tasks with their answers, the clips as the policy saw them, the memories around, the time that nobody watched,
and a manifest with a hash over all rows. A bundle is written once and never changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from sqlite_utils import Database

from taskmem_ros.clips import FAILED, FORGOTTEN, NS, Clip, Gap
from taskmem_ros.exchange import rows
from taskmem_ros.exchange.types import FORMAT, BundledClip, BundleError, Manifest
from taskmem_ros.exchange.writer import BundleWriter, new_bundle
from taskmem_ros.memory import Memory, Store, Task

AROUND_NS = 60 * NS  # before and after a clip; a window of five clips is 50 s


class Bundle:
    """An open bundle, whole when it was opened. Not thread-safe. Reading raises BundleError."""

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
        memories: Iterable[Memory] = (),
        gaps: Iterable[Gap] = (),
        robot: str = "",
        created_ns: int | None = None,
        overwrite: bool = False,
    ) -> Bundle:
        """Write a bundle and open it. robot: its name; created_ns: None is now.

        The file gets its name when all of it is on the disk. Raises BundleError.
        """
        path = Path(path).expanduser()
        with new_bundle(path, robot=robot, created_ns=created_ns, overwrite=overwrite) as writer:
            for clip in clips:
                writer.add_clip(clip)
            writer.add_tasks(tasks)
            writer.add_memories(memories)
            writer.add_gaps(gaps)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Open a bundle to read it. Raises BundleError where it is none, or not as it was written."""
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


def build_bundle(
    store: Store,
    recordings: Iterable[Iterable[Clip]],
    path: str | Path,
    *,
    robot: str = "",
    since_ns: int | None = None,
    until_ns: int | None = None,
    created_ns: int | None = None,
    overwrite: bool = False,
) -> Bundle:
    """A bundle of the tasks asked in [since_ns, until_ns), and of those clips that the store knows.

    recordings: each one run of clips, at whose first the policy's window was empty. A clip is kept where a
    memory was written of it, or could not be; what was never watched, and what was forgotten since, stays
    out. With the clips come the memories and gaps within AROUND_NS of them, and the memories that the tasks'
    answers stand on. Raises BundleError, also where the store knows none of the clips, and StoreError.
    """
    path = Path(path).expanduser()
    with new_bundle(path, robot=robot, created_ns=created_ns, overwrite=overwrite) as writer:
        spans, seen = _add_known(writer, store, recordings)
        if seen and not spans:
            raise BundleError(
                f"{store.path} has no memory of any of the {seen} clips; were they remembered into it, with "
                "the same camera, start and clip settings?"
            )
        tasks = list(store.each_task(since_ns, until_ns))
        memories = store.memories_of({number for task in tasks for number in task.evidence}, thumbnails=False)
        gaps: dict[Gap, None] = {}
        for camera, start, end in _joined(spans):
            memories |= {memory.id: memory for memory in store.each_memory(start, end, camera)}
            gaps |= dict.fromkeys(store.each_gap(start, end, camera))
        writer.add_tasks(tasks)
        writer.add_memories(memories.values())
        writer.add_gaps(gaps)
    return Bundle.open(path)


def _add_known(
    writer: BundleWriter, store: Store, recordings: Iterable[Iterable[Clip]]
) -> tuple[list[tuple[str, int, int]], int]:
    """Add the clips that the store knows; returns their (camera, start, end), and how many there were."""
    spans, seen = [], 0
    for recording in recordings:
        opens = True
        for clip in recording:
            seen += 1
            if _is_known(store, clip):
                writer.add_clip(clip, opens)
                spans.append((clip.camera, clip.start_ns, clip.end_ns))
                opens = False
    return spans, seen


def _is_known(store: Store, clip: Clip) -> bool:
    span = (clip.start_ns, clip.end_ns, clip.camera)
    gaps = store.coverage(*span)
    if any(gap.reason == FORGOTTEN for gap in gaps):
        return False
    if any(_is_of(memory, clip) for memory in store.memories(*span, thumbnails=False)):
        return True
    return any(
        (gap.reason, gap.episode) == (FAILED, clip.episode)
        and gap.start_ns <= clip.start_ns
        and clip.end_ns <= gap.end_ns
        for gap in gaps
    )


def _is_of(memory: Memory, clip: Clip) -> bool:
    """Whether the memory was written of this clip."""
    return (memory.camera, memory.episode, memory.start_ns, memory.end_ns) == (
        clip.camera, clip.episode, clip.start_ns, clip.end_ns,
    )  # fmt: skip


def _joined(spans: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The spans with AROUND_NS at both ends, those that overlap as one."""
    joined: list[tuple[str, int, int]] = []
    for camera, start, end in sorted(spans):
        start, end = start - AROUND_NS, end + AROUND_NS
        if joined and joined[-1][0] == camera and start <= joined[-1][2]:
            start, end = joined[-1][1], max(end, joined.pop()[2])
        joined.append((camera, start, end))
    return joined


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
    found = rows.row_hash(db, manifest.robot, told)
    counts = {table: db[table].count for table in rows.ORDER}
    if found != manifest.sha256 or manifest.id != found[:16] or len(told) != len(kinds):
        raise BundleError(f"{path} is damaged: its rows are not those that its manifest names; get it again")
    if manifest.format != FORMAT or any(getattr(manifest, table) != n for table, n in counts.items()):
        raise BundleError(f"{path} is damaged: its manifest counts other rows than it has; get it again")
    return manifest


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Whatever a damaged or foreign file makes SQLite, json or the values raise, in one sentence."""
    try:
        yield
    except BundleError:
        raise
    except (sqlite3.Error, ValueError, TypeError, KeyError, AttributeError) as error:
        if "not a database" in str(error):
            raise BundleError(f"{path} is no task bundle (not a SQLite file); choose another") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{path} is damaged ({reason}); get it again") from error
