"""The tables of a bundle, its values as their rows, and the hash over all of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlite_utils import Database

from taskmem_ros.clips import Clip, Pose
from taskmem_ros.exchange.types import FORMAT, BundledFrame
from taskmem_ros.memory import Memory, Task

APPLICATION_ID = 0x544D4244  # "TMBD": tells bundles from stores and other databases

SCHEMA = (
    "CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE tasks (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, question TEXT NOT NULL, choices TEXT NOT NULL,
        source TEXT NOT NULL, asked_ns INTEGER NOT NULL, since_ns INTEGER, until_ns INTEGER,
        known_answer TEXT, status TEXT NOT NULL, answer TEXT, message TEXT NOT NULL, confidence REAL NOT NULL,
        evidence TEXT NOT NULL, watermark INTEGER NOT NULL, answered_ns INTEGER) STRICT""",
    """CREATE TABLE clips (
        camera TEXT NOT NULL, episode INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
        opens INTEGER NOT NULL, PRIMARY KEY (camera, episode, start_ns)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE frames (
        camera TEXT NOT NULL, episode INTEGER NOT NULL, start_ns INTEGER NOT NULL, stamp_ns INTEGER NOT NULL,
        pose TEXT, jpeg BLOB NOT NULL, PRIMARY KEY (camera, episode, start_ns, stamp_ns)) STRICT""",
    """CREATE TABLE memories (
        id INTEGER PRIMARY KEY, camera TEXT NOT NULL, episode INTEGER NOT NULL, start_ns INTEGER NOT NULL,
        end_ns INTEGER NOT NULL, text TEXT NOT NULL, pose TEXT, model TEXT NOT NULL, revision TEXT NOT NULL,
        adapter TEXT NOT NULL, prompt_hash TEXT NOT NULL, created_ns INTEGER NOT NULL) STRICT""",
    """CREATE TABLE gaps (
        camera TEXT NOT NULL, episode INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
        reason TEXT NOT NULL, PRIMARY KEY (camera, episode, start_ns, end_ns, reason)) STRICT,
        WITHOUT ROWID""",
)
# The order of rows in the hash, and in which they are read.
ORDER = {
    "tasks": "id",
    "clips": "camera, episode, start_ns",
    "frames": "camera, episode, start_ns, stamp_ns",
    "memories": "id",
    "gaps": "camera, start_ns, episode, end_ns, reason",
}
WRITER = ("model", "revision", "adapter", "prompt_hash")


def schema_of(db: Database) -> set[tuple]:
    """What the file's tables, indices, views and triggers are."""
    return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall())


def expected_schema() -> set[tuple]:
    """`schema_of` a bundle of this format."""
    db = Database(memory=True)
    try:
        for statement in SCHEMA:
            db.execute(statement)
        return schema_of(db)
    finally:
        db.conn.close()


def row_hash(db: Database, robot: str, writer: Mapping[str, str]) -> str:
    """The sha256 (hex) of all that the bundle says, apart from when it was written."""
    digest = hashlib.sha256(_line("bundle", [FORMAT, robot, *(writer[name] for name in WRITER)]))
    for table, order in ORDER.items():
        for row in db.execute(f"SELECT * FROM {table} ORDER BY {order}"):
            digest.update(_line(table, [_short(value) for value in row]))
    return digest.hexdigest()


def _line(table: str, values: list[Any]) -> bytes:
    return (json.dumps([table, *values]) + "\n").encode()


def _short(value: Any) -> Any:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value


def task_row(task: Task) -> dict[str, Any]:
    lists = {"choices": _json(task.choices), "evidence": _json(task.evidence)}
    return vars(task) | lists


def task_of(row: dict[str, Any]) -> Task:
    return Task(**_parsed(row, {"choices": tuple, "evidence": tuple}))


def memory_row(memory: Memory) -> dict[str, Any]:
    row = vars(memory) | {"pose": _pose_json(memory.pose)}
    del row["thumbnail"]  # the frames are there
    return row


def memory_of(row: dict[str, Any]) -> Memory:
    return Memory(**_parsed(row, {"pose": _pose}))


def clip_row(clip: Clip, opens: bool) -> dict[str, Any]:
    key = {"camera": clip.camera, "episode": clip.episode, "start_ns": clip.start_ns}
    return key | {"end_ns": clip.end_ns, "opens": int(opens)}


def frame_row(clip: Clip, stamp_ns: int, pose: Pose | None, jpeg: bytes) -> dict[str, Any]:
    key = {"camera": clip.camera, "episode": clip.episode, "start_ns": clip.start_ns}
    return key | {"stamp_ns": stamp_ns, "pose": _pose_json(pose), "jpeg": jpeg}


def frame_of(row: dict[str, Any]) -> BundledFrame:
    return BundledFrame(row["stamp_ns"], row["jpeg"], _parsed(row, {"pose": _pose})["pose"])


def _pose(values: dict[str, Any]) -> Pose:
    return Pose(**values)


def _pose_json(pose: Pose | None) -> str | None:
    return None if pose is None else _json(vars(pose))


def _parsed(row: dict[str, Any], kinds: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The row with its columns of JSON as values; null stays None."""
    return row | {name: row[name] and make(json.loads(row[name])) for name, make in kinds.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
