"""The store: one SQLite file with all a robot remembers, was asked and did not watch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from taskmem_ros.clips import Pose
from taskmem_ros.memory import schema
from taskmem_ros.memory.adapters import AdapterRows
from taskmem_ros.memory.codes import Codes
from taskmem_ros.memory.coverage import CoverageRows
from taskmem_ros.memory.database import BUSY_SECONDS, Connections, default_database
from taskmem_ros.memory.feedback import FeedbackRows
from taskmem_ros.memory.index import IndexRows
from taskmem_ros.memory.outgoing import OutgoingRows
from taskmem_ros.memory.rows import clean, provenance_id, span_filter
from taskmem_ros.memory.sources import SourceRows
from taskmem_ros.memory.tasks import TaskRows
from taskmem_ros.memory.types import Memory, Summary
from taskmem_ros.memory.upkeep import Upkeep
from taskmem_ros.memory.vectors import VectorRows

_POSE = ("frame_id", "x", "y", "z", "qx", "qy", "qz", "qw", "map_id")  # in the order of Pose
_MEMORY = f"""SELECT m.id, m.camera, m.episode, m.start_ns, m.end_ns, m.text, p.model, p.revision, p.adapter,
    p.prompt_hash, {{thumbnail}}, m.created_ns, {", ".join(f"m.{name}" for name in _POSE)}
    FROM memories AS m JOIN provenance AS p ON p.id = m.provenance_id {{join}}"""
_PLAIN = ("camera", "episode", "start_ns", "end_ns", "text", "created_ns")
_COLUMNS = (*_PLAIN, *_POSE, "provenance_id", "source_id")
_INSERT = f"INSERT INTO memories ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{c}' for c in _COLUMNS)})"


class Store(
    TaskRows, FeedbackRows, OutgoingRows, AdapterRows, CoverageRows, SourceRows, IndexRows, VectorRows, Upkeep
):
    """An open store. Every method may be called from any thread; every method may raise StoreError.

    What a method has written is on the disk when it returns: kill -9 or a power cut cannot take it back.
    """

    def __init__(self, connections: Connections):
        self._connections = connections
        self._codes = Codes()

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        create: bool = True,
        read_only: bool = False,
        busy_seconds: float = BUSY_SECONDS,
    ) -> Store:
        """Open the file (None: the default one), make it and its folders where there is none and `create`.

        read_only: never writes, makes or upgrades the file; works while an agent writes to it.
        busy_seconds: how long to wait for another process that holds the file.
        """
        chosen = default_database() if path is None else Path(path).expanduser()
        return cls(Connections(chosen, create=create, read_only=read_only, busy_seconds=busy_seconds))

    @property
    def path(self) -> Path:
        return self._connections.path

    @property
    def read_only(self) -> bool:
        return self._connections.read_only

    def close(self) -> None:
        self._connections.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add_memory(
        self,
        camera: str,
        episode: int,
        start_ns: int,
        end_ns: int,
        text: str,
        *,
        pose: Pose | None = None,
        model: str = "",
        revision: str = "",
        adapter: str = "",
        prompt_hash: str = "",
        thumbnail: bytes = b"",
        source_id: int | None = None,
    ) -> Memory:
        """Write one memory and return it with its id.

        Raises ValueError on an empty text or an impossible span or pose.
        """
        memory = Memory(
            0, camera, episode, start_ns, end_ns, text, pose, model, revision, adapter, prompt_hash, thumbnail
        )
        return self.add_memories([memory], source_id=source_id)[0]

    def add_memories(self, memories: Iterable[Memory], *, source_id: int | None = None) -> list[Memory]:
        """Write memories in one transaction, all or none, and return them with the ids and the time of
        writing that they got; what they had is not looked at.

        Many times as quick as one by one: the disk is waited for once. All are in main memory, and other
        writers wait meanwhile: some thousand at a time are enough. Raises ValueError as `add_memory` does.
        """
        now = time.time_ns()
        new = [_checked(replace(memory, id=0, created_ns=now)) for memory in memories]
        poses = [_pose_row(memory.pose) for memory in new]
        writers: dict[tuple[str, ...], int] = {}
        written = []
        with self._connections.write() as db:
            for memory, pose in zip(new, poses):
                by = (memory.model, memory.revision, memory.adapter, memory.prompt_hash)
                if by not in writers:
                    writers[by] = provenance_id(db, *by)
                row = {name: getattr(memory, name) for name in _PLAIN} | pose
                row |= {"provenance_id": writers[by], "source_id": source_id}
                number = db.conn.execute(_INSERT, row).lastrowid
                if memory.thumbnail:
                    sql = "INSERT INTO thumbnails (memory_id, jpeg) VALUES (?, ?)"
                    db.conn.execute(sql, [number, memory.thumbnail])
                written.append(replace(memory, id=number))
        return written

    def memory(self, number: int) -> Memory | None:
        """The memory with this id, or None."""
        with self._connections.read() as db:
            row = db.conn.execute(_select() + " WHERE m.id = ?", [number]).fetchone()
        return _memory(row) if row else None

    def memories_of(self, numbers: Iterable[int], thumbnails: bool = True) -> dict[int, Memory]:
        """The memories with these ids; those that are gone are left out."""
        marks = ",".join(str(int(number)) for number in numbers)
        with self._connections.read() as db:
            rows = db.conn.execute(f"{_select(thumbnails)} WHERE m.id IN ({marks})")
            return {row[0]: _memory(row) for row in rows}

    def memories(
        self,
        since_ns: int | None = None,
        until_ns: int | None = None,
        camera: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        thumbnails: bool = True,
    ) -> list[Memory]:
        """The memories that overlap [since_ns, until_ns), by start.

        thumbnails=False leaves the pictures unread.
        """
        where, values = span_filter("m", since_ns, until_ns, camera)
        order = "DESC" if newest_first else "ASC"
        sql = f"{_select(thumbnails)} WHERE {where} ORDER BY m.start_ns {order}, m.id {order} LIMIT :limit"
        values["limit"] = -1 if limit is None else limit
        with self._connections.read() as db:
            return [_memory(row) for row in db.conn.execute(sql, values)]

    def watermark(self) -> int:
        """The id of the newest memory, 0 where there is none: two answers with one watermark saw the same
        memories.
        """
        with self._connections.read() as db:
            return _value(db, "SELECT coalesce(max(id), 0) FROM memories")

    def summary(self) -> Summary:
        with self._connections.read() as db:
            counts = {t: db[t].count for t in ("memories", "tasks", "failures", "coverage")}
            queued = _value(db, "SELECT count(*) FROM tasks WHERE status = 'queued'")
            first = _value(db, "SELECT min(start_ns) FROM memories")
            last = _value(db, "SELECT (SELECT end_ns FROM memories ORDER BY start_ns DESC LIMIT 1)")
        files = [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal")]
        size = sum(file.stat().st_size for file in files if file.exists())
        return Summary(
            counts["memories"], counts["tasks"], queued, counts["failures"], counts["coverage"],
            first, last, schema.SCHEMA_VERSION, size,
        )  # fmt: skip


def _select(thumbnails: bool = True) -> str:
    join = "LEFT JOIN thumbnails AS t ON t.memory_id = m.id" if thumbnails else ""
    return _MEMORY.format(thumbnail="t.jpeg" if thumbnails else "NULL", join=join)


def _value(db: Database, sql: str, values: Sequence[Any] = ()) -> Any:
    return db.execute(sql, list(values)).fetchone()[0]


def _checked(memory: Memory) -> Memory:
    """The memory as it can be stored. Raises ValueError where it cannot."""
    text, span = clean(memory.text).strip(), f"from {memory.start_ns} to {memory.end_ns}"
    if not text:
        raise ValueError(f"The memory of {memory.camera!r} {span} is empty; record a failure instead.")
    if memory.end_ns < memory.start_ns:
        raise ValueError(f"The memory of {memory.camera!r} {span} ends before its start.")
    return replace(memory, text=text, thumbnail=bytes(memory.thumbnail))


def _pose_row(pose: Pose | None) -> dict[str, Any]:
    if pose is None:
        return dict.fromkeys(_POSE)
    row = {name: getattr(pose, name) for name in _POSE}
    if not all(math.isfinite(row[name]) for name in _POSE[1:-1]):
        raise ValueError(f"The pose {pose} has a number that is not finite; an unknown pose is None.")
    return row | {name: float(row[name]) for name in _POSE[1:-1]}


def _memory(row: Sequence[Any]) -> Memory:
    """Of a row as _MEMORY has it."""
    number, camera, episode, start_ns, end_ns, text, *writer, thumbnail, created_ns = row[:12]
    pose = None if row[12] is None else Pose(*row[12:])
    return Memory(
        number, camera, episode, start_ns, end_ns, text, pose, *writer, thumbnail or b"", created_ns
    )
