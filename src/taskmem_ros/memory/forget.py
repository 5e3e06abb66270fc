"""Forgetting on purpose: what was remembered of a time, a camera or a place, gone from the file's bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.erase import erase
from taskmem_ros.memory.outgoing import note_forget, outbox_folder
from taskmem_ros.memory.ring import ClipRing
from taskmem_ros.memory.rows import span_filter
from taskmem_ros.memory.steps import Steps, give_back_pages, settle_words
from taskmem_ros.memory.traces import PATIENCE_S, remove_traces
from taskmem_ros.memory.types import Memory

WITHDRAWN = "What this answer stood on has been forgotten."
_UNFINISHED = "forgetting"  # key in `meta` from the first deletion until no trace is left
_NO_MEMORY = 2**63 - 1
_CITING = "SELECT task_id FROM task_evidence WHERE memory_id IN ({numbers})"


@dataclass(frozen=True)
class Place:
    """All within `radius` metres of (x, y), at any height. map_id: only in this map (or frame), "" in any."""

    x: float
    y: float
    radius: float
    map_id: str = ""

    def __post_init__(self) -> None:
        if not (all(map(math.isfinite, (self.x, self.y, self.radius))) and self.radius >= 0):
            raise ValueError(
                f"The place {self.x:g},{self.y:g},{self.radius:g} is none; "
                "x and y are metres in the map and the radius is 0 or more."
            )


@dataclass(frozen=True)
class Selection:
    """What overlaps [since_ns, until_ns), is of the camera and was seen from the place; None is any.

    A memory whose pose is unknown is at no place.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    camera: str | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Forgotten:
    """How much a selection takes: rows of each kind. first_ns, last_ns: None without a memory.

    clips: in the ring beside the store. answers: that were withdrawn, because they stood on one of the
    memories. unplaced: memories of the time and camera that stay because nobody knows where they were.
    """

    memories: int = 0
    thumbnails: int = 0
    vectors: int = 0
    failures: int = 0
    clips: int = 0
    answers: int = 0
    unplaced: int = 0
    first_ns: int | None = None
    last_ns: int | None = None


class Forgetting:
    """The part of a Store that forgets on purpose."""

    _connections: Connections

    def to_forget(self, what: Selection) -> Forgotten:
        """What `forget` would take. Writes nothing."""
        where, values = _memories_where(what)
        with self._connections.read() as db:
            row = next(db.query(f"""SELECT count(*) AS memories, min(m.start_ns) AS first_ns,
                max(m.end_ns) AS last_ns, count(t.memory_id) AS thumbnails, count(v.memory_id) AS vectors
                FROM memories AS m LEFT JOIN thumbnails AS t ON t.memory_id = m.id
                LEFT JOIN vectors AS v ON v.memory_id = m.id WHERE {where}""", values))  # fmt: skip
            answers = f"""SELECT count(*) FROM tasks WHERE status = 'answered' AND id IN (SELECT task_id
                FROM task_evidence WHERE memory_id IN (SELECT m.id FROM memories AS m WHERE {where}))"""
            row["answers"] = db.execute(answers, values).fetchone()[0]
            failed, its_values = _failures_where(what)
            row["failures"] = db.execute(
                f"SELECT count(*) FROM failures AS f WHERE {failed}", its_values
            ).fetchone()[0]
            if what.place is not None:
                near, its_values = span_filter("m", what.since_ns, what.until_ns, what.camera)
                sql = f"SELECT count(*) FROM memories AS m WHERE {near} AND m.x IS NULL"
                row["unplaced"] = db.execute(sql, its_values).fetchone()[0]
        return Forgotten(**row, clips=ClipRing(self).to_forget(what))

    def some_to_forget(self, what: Selection, limit: int) -> list[Memory]:
        """The first of the memories that `forget` would take, without pictures."""
        where, values = _memories_where(what)
        sql = f"SELECT m.id FROM memories AS m WHERE {where} ORDER BY m.start_ns LIMIT {int(limit)}"
        with self._connections.read() as db:
            numbers = [row["id"] for row in db.query(sql, values)]
        found = self.memories_of(numbers, thumbnails=False)
        return [found[number] for number in numbers if number in found]

    def forget(self, what: Selection, *, patience_s: float = PATIENCE_S) -> Forgotten:
        """Delete what is selected, so that nothing of it is left in the bytes of the file and its log.

        Memories go with their words, places, pictures and vectors; failed clips with what was written of
        them (with a place: all of the time and camera, for nobody knows where they were); the clips that were
        kept of that. Bundles that did not leave yet are deleted and made anew without it. The time becomes
        coverage with the reason "forgotten". An answer that stood on one of the memories is withdrawn: the
        question stays, its status is "not_in_memory". Explanations of other answers that are newer than the
        first of the memories are cleared, for a reader may have repeated it there. Questions, choices and
        known answers are the asker's and stay.

        In short steps: others read and write meanwhile. Cut off, it is finished by any later `forget`.
        Raises StoreError where the traces in the log cannot be removed because somebody reads it for longer
        than patience_s.
        """
        gone, ring = self.to_forget(what), ClipRing(self)
        with self._connections.aside() as db:
            steps = Steps(db)
            self._erase_all(steps, what)
            failed, values = _failures_where(what)
            steps.run(lambda db, size: _delete_failures(db, failed, values, size))
            if (first := self._unfinished()) is not None:
                steps.run(lambda db, size: _clear_messages(db, first, size))
                settle_words(steps)
                steps.run(give_back_pages, first=64)
                remove_traces(self._connections.path, patience_s)
            # After the memories: from then on no clip of that time is added.
            ring.forget(what, patience_s=patience_s)
            if gone.memories or gone.failures or gone.clips or first is not None:
                self._delete_bundles()
            if first is not None:
                db.execute("DELETE FROM meta WHERE key = ?", [_UNFINISHED])
        return gone

    def unfinished_forgetting(self) -> bool:
        """Whether a `forget` was cut off, so that traces of what it deleted may be left in the file."""
        return self._unfinished() is not None or ClipRing(self).unfinished_forgetting()

    def _delete_bundles(self) -> None:
        """Those that are still here; what is in them goes with the next one, without what is forgotten. One
        that is being made now is made anew.
        """
        with self._connections.write() as db:
            note_forget(db)
        for waiting in self.outgoing(pushed=False):
            Path(waiting.file).unlink(missing_ok=True)  # cut off here, the bundle is made anew, too
            self.take_back(waiting.sequence)
        for left in outbox_folder(self._connections.path).glob("*.bundle*"):  # of one that was cut off, too
            left.unlink(missing_ok=True)

    def _unfinished(self) -> int | None:
        """The lowest memory that was erased since the last time that no trace was left."""
        with self._connections.read() as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", [_UNFINISHED]).fetchone()
        return int(row[0]) if row else None

    def _erase_all(self, steps: Steps, what: Selection) -> None:
        where, values = _memories_where(what)
        sql = f"SELECT m.id FROM memories AS m WHERE {where} ORDER BY m.camera, m.start_ns"
        while True:  # what is written meanwhile may belong to it
            with self._connections.read() as db:
                numbers = [row["id"] for row in db.query(sql, values)]
            if not numbers:
                return
            steps.run(lambda db, size, left=numbers[::-1]: _erase_some(db, left, size))


def _memories_where(what: Selection) -> tuple[str, dict[str, Any]]:
    where, values = span_filter("m", what.since_ns, what.until_ns, what.camera)
    if what.place is not None:
        at = what.place
        where += """ AND m.id IN (SELECT id FROM memory_places WHERE max_x >= :west AND min_x <= :east
            AND max_y >= :south AND min_y <= :north)
            AND (m.x - :x) * (m.x - :x) + (m.y - :y) * (m.y - :y) <= :radius * :radius"""
        values |= {"x": at.x, "y": at.y, "radius": at.radius, "west": at.x - at.radius}
        values |= {"east": at.x + at.radius, "south": at.y - at.radius, "north": at.y + at.radius}
        if at.map_id:
            where += " AND :map IN (m.map_id, m.frame_id)"
            values["map"] = at.map_id
    return where, values


def _failures_where(what: Selection) -> tuple[str, dict[str, Any]]:
    return span_filter("f", what.since_ns, what.until_ns, what.camera)


def _erase_some(db: Database, left: list[int], size: int) -> int:
    """The next of `left`, from its end, with the answers that stood on them."""
    if not left:
        return 0
    numbers = left[-size:]
    _begin(db, min(numbers))
    erase(db, numbers)
    citing = _CITING.format(numbers=",".join(map(str, numbers)))
    db.execute(f"UPDATE tasks SET message = ? WHERE status <> 'queued' AND id IN ({citing})", [WITHDRAWN])
    db.execute(
        f"""UPDATE tasks SET status = 'not_in_memory', answer = NULL, confidence = 0
            WHERE status = 'answered' AND id IN ({citing})"""
    )
    del left[-size:]
    return len(numbers)


def _delete_failures(db: Database, where: str, values: dict[str, Any], size: int) -> int:
    sql = f"SELECT f.id FROM failures AS f WHERE {where} LIMIT :size"
    numbers = [row["id"] for row in db.query(sql, values | {"size": size})]
    if numbers:
        _begin(db, _NO_MEMORY)
        db.execute(f"DELETE FROM failures WHERE id IN ({','.join(map(str, numbers))})")
    return len(numbers)


def _clear_messages(db: Database, first: int, size: int) -> int:
    sql = """UPDATE tasks SET message = '' WHERE id IN (SELECT id FROM tasks WHERE message NOT IN ('', ?)
        AND (watermark >= ? OR status = 'failed') AND status NOT IN ('queued', 'not_watching') LIMIT ?)"""
    return db.execute(sql, [WITHDRAWN, first, size]).rowcount


def _begin(db: Database, first: int) -> None:
    """Note, in the transaction of a deletion, that its traces are to be removed."""
    sql = """INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key)
        DO UPDATE SET value = min(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))"""
    db.execute(sql, [_UNFINISHED, str(first)])
