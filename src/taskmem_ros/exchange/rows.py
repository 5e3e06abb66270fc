"""The tables of a bundle, its values as their rows, and the hash over all of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlite_utils import Database

from taskmem_ros.clips import Pose
from taskmem_ros.clips.jpeg import JpegClip, JpegFrame
from taskmem_ros.exchange.types import FORMAT
from taskmem_ros.memory import VERDICTS, Feedback, Memory, Task

APPLICATION_ID = 0x544D4244  # "TMBD": tells bundles from stores and other databases

SCHEMA = (
    "CREATE TABLE manifest (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE tasks (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, question TEXT NOT NULL, choices TEXT NOT NULL,
        source TEXT NOT NULL, asked_ns INTEGER NOT NULL, since_ns INTEGER, until_ns INTEGER,
        known_answer TEXT, status TEXT NOT NULL, answer TEXT, message TEXT NOT NULL, confidence REAL NOT NULL,
        evidence TEXT NOT NULL, watermark INTEGER NOT NULL, answered_ns INTEGER) STRICT""",
    # Of tasks of this bundle, and of bundles before it.
    """CREATE TABLE feedback (
        id INTEGER PRIMARY KEY, task_id INTEGER NOT NULL, verdict TEXT NOT NULL, answer TEXT,
        source TEXT NOT NULL, given_ns INTEGER NOT NULL) STRICT""",
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
    "feedback": "id",
    "clips": "camera, episode, start_ns",
    "frames": "camera, episode, start_ns, stamp_ns",
    "memories": "id",
    "gaps": "camera, start_ns, episode, end_ns, reason",
}
WRITER = ("model", "revision", "adapter", "prompt_hash")
# What the manifest says beside the rows, and the hash is over, too.
NAMED = ("robot", "store_id", "sequence", "contents", *WRITER)


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


def row_hash(db: Database, named: Mapping[str, Any]) -> str:
    """The sha256 (hex) of all that the bundle says, apart from when it was written. named: has NAMED."""
    digest = hashlib.sha256(_line("bundle", [FORMAT, *(str(named[name]) for name in NAMED)]))
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


def feedback_of(row: dict[str, Any]) -> Feedback:
    if row["verdict"] not in VERDICTS:
        raise ValueError(f"feedback {row['id']} has the verdict {row['verdict']!r}")
    return Feedback(**row)


def clip_row(clip: JpegClip) -> dict[str, Any]:
    return _clip_key(clip) | {"end_ns": clip.end_ns, "opens": int(clip.opens)}


def frame_row(clip: JpegClip, frame: JpegFrame) -> dict[str, Any]:
    return _clip_key(clip) | {
        "stamp_ns": frame.stamp_ns, "pose": _pose_json(frame.pose), "jpeg": frame.jpeg,
    }  # fmt: skip


def frame_of(row: dict[str, Any]) -> JpegFrame:
    return JpegFrame(row["stamp_ns"], row["jpeg"], _parsed(row, {"pose": _pose})["pose"])


def _clip_key(clip: JpegClip) -> dict[str, Any]:
    return {"camera": clip.camera, "episode": clip.episode, "start_ns": clip.start_ns}


def _pose(values: dict[str, Any]) -> Pose:
    return Pose(**values)


def _pose_json(pose: Pose | None) -> str | None:
    return None if pose is None else _json(vars(pose))


def _parsed(row: dict[str, Any], kinds: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The row with its columns of JSON as values; null stays None."""
    return row | {name: row[name] and make(json.loads(row[name])) for name, make in kinds.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
