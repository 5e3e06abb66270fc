"""Adapters in the store: those that came, which one is in use, and all that became of them.

Which one is in use, what was before it, pinned or not and the highest serial belong to one base model: with
another base they are put aside, and are there again when it comes back.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.rows import clean
from taskmem_ros.memory.types import StoreError

STAGED, TRIAL, WATCHED, GOOD, REFUSED, ROLLED_BACK = ADAPTER_STATES = (
    "staged", "trial", "watched", "good", "refused", "rolled_back",
)  # fmt: skip
BARE = ""  # the id of no adapter
_OF_BASE = ("adapter_in_use", "adapter_previous", "adapter_pinned", "adapter_serial", "adapter_starts")


@dataclass(frozen=True)
class AdapterRow:
    """An adapter that came to this robot.

    manifest: its JSON. folder: where its files are. state: one of ADAPTER_STATES: staged (verified, not
    tried), trial, watched (in use, on probation), good, refused, rolled_back. reason: why that, "" where
    nothing went wrong. changed_ns: of the state, wall time.
    """

    id: str
    serial: int
    manifest: str
    folder: Path
    state: str
    reason: str
    changed_ns: int


@dataclass(frozen=True)
class AdapterEvent:
    """What happened to an adapter ("" is the bare model): one sentence."""

    id: int
    at_ns: int
    adapter: str
    event: str
    message: str


@dataclass(frozen=True)
class AdapterUse:
    """Which adapter is in use ("" is the bare model) and which one a rollback goes back to.

    serial: the highest that this robot ever took over by itself, 0 before the first. base_model,
    base_revision: what all this is about, "" before the first start of an agent.
    """

    in_use: str
    previous: str
    pinned: bool
    serial: int
    base_model: str
    base_revision: str


@dataclass(frozen=True)
class Writing:
    """How a robot wrote and answered for a while.

    words: of each memory. failures: clips without one. answered: questions; abstained: those that memory had
    nothing for.
    """

    words: tuple[int, ...] = ()
    failures: int = 0
    answered: int = 0
    abstained: int = 0


class AdapterRows:
    """The part of a Store that keeps adapters."""

    _connections: Connections

    def set_base(self, model: str, revision: str) -> str:
        """Say what the policy's model is; returns the adapter that was in use with another one, "" for none.

        With another revision, use and history begin anew, or go on where they were when it was in use last.
        """
        use = self.adapter_use()
        if (use.base_model, use.base_revision) == (model, revision):
            return BARE  # nothing to write, which a full disk would not take
        with self._connections.write() as db:
            before = _get(db, "base_revision")
            _put(db, "base_model", model)
            _put(db, "base_revision", revision)
            if before in ("", revision):
                return BARE
            left = _get(db, "adapter_in_use")
            for key in _OF_BASE:
                _put(db, f"{key} {before}", _get(db, key))
                _put(db, key, _get(db, f"{key} {revision}"))
            if left:
                _note(db, "put_aside", left, f"it was made for the base model {before}; now it is {revision}")
            return left

    def adapter_use(self) -> AdapterUse:
        """Which adapter is in use, and with which base model."""
        with self._connections.read() as db:
            return _use(db)

    def add_adapter(self, manifest: str | bytes, folder: str | Path) -> AdapterRow:
        """A verified adapter has come: its manifest's JSON and the folder of its files. State "staged".

        One that is known stays in its state. Raises ValueError for a manifest without id and serial, or with
        the id of another adapter.
        """
        text = manifest.decode() if isinstance(manifest, bytes) else manifest
        about = json.loads(text)
        id, serial = about.get("id"), about.get("serial")
        if not isinstance(id, str) or not id or type(serial) is not int:
            raise ValueError(
                f"a manifest with id {id!r} and serial {serial!r} names no adapter; check it first"
            )
        row = {"id": id, "serial": serial, "manifest": text, "folder": self._relative(folder)}
        with self._connections.write() as db:
            known = self._row(db, id)
            if known is None:
                db["adapters"].insert(row | {"state": STAGED, "changed_ns": time.time_ns()})
                _note(db, STAGED, id, f"adapter {id} (serial {serial}) has come")
            elif known.manifest != text:
                raise ValueError(f"adapter {id} is known with another manifest; its id must be its own")
            return self._row(db, id)

    def adapter(self, id: str) -> AdapterRow | None:
        """The adapter with this id, or None."""
        with self._connections.read() as db:
            return self._row(db, id)

    def adapters(self, state: str | None = None) -> list[AdapterRow]:
        """All that came, by serial; those in a state."""
        where, values = ("state = ?", [state]) if state else ("1", [])
        with self._connections.read() as db:
            rows = list(db["adapters"].rows_where(where, values, order_by="serial, id"))
        return [self._of(row) for row in rows]

    def set_adapter_state(self, id: str, state: str, reason: str = "") -> AdapterRow:
        """Write what became of an adapter, and an event of that name. Raises StoreError for an unknown id."""
        with self._connections.write() as db:
            self._set(db, id, state, reason)
            return self._row(db, id)

    def note_adapter(self, event: str, id: str, message: str) -> None:
        """Write an event that changes no state."""
        with self._connections.write() as db:
            _note(db, event, id, message)

    def adapter_events(self, id: str | None = None, limit: int | None = None) -> list[AdapterEvent]:
        """What happened, newest first; to this adapter."""
        where, values = ("adapter = ?", [id]) if id is not None else ("1", [])
        with self._connections.read() as db:
            rows = db["adapter_events"].rows_where(where, values, order_by="id DESC", limit=limit)
            return [AdapterEvent(**row) for row in rows]

    def take_over(self, id: str) -> AdapterUse:
        """The agent takes an adapter over by itself: in use and "watched"; its serial is the highest now.

        One transaction, as the next two are. What a rollback goes back to is what was in use, unless that
        was on probation itself.
        """
        with self._connections.write() as db:
            row = self._known(db, id)
            self._use_instead(db, id)
            self._set(db, id, WATCHED, "", event="taken_over", message=f"adapter {id} was taken over")
            _put(db, "adapter_serial", str(max(row.serial, _use(db).serial)))
            return _use(db)

    def activate_adapter(self, id: str) -> AdapterUse:
        """A person has an adapter used, or none (""): it counts as good, whatever it was before."""
        with self._connections.write() as db:
            self._use_instead(db, id)
            if id == BARE:
                _note(db, "activated", id, "a person had the bare model used")
            else:
                self._set(db, id, GOOD, "", event="activated", message=f"a person had adapter {id} used")
            return _use(db)

    def roll_back(self, reason: str, state: str = ROLLED_BACK) -> AdapterUse:
        """The adapter in use is given up for good, and the one before it is in use again.

        state: "rolled_back", or "refused" for one that can no longer be had. With the bare model nothing
        changes.
        """
        with self._connections.write() as db:
            use = _use(db)
            if use.in_use == BARE:
                return use
            self._set(db, use.in_use, state, reason)
            _put(db, "adapter_in_use", use.previous)
            _put(db, "adapter_previous", self._good_before(db, use.previous))
            _put(db, "adapter_starts", "0")
            return _use(db)

    def pin_adapter(self, pinned: bool) -> AdapterUse:
        """The one in use stays, whatever comes; or no longer."""
        with self._connections.write() as db:
            use = _use(db)
            if use.pinned != pinned:
                _put(db, "adapter_pinned", "1" if pinned else "")
                event, who = "pinned" if pinned else "unpinned", use.in_use or "the bare model"
                _note(db, event, use.in_use, f"a person {event} {who}")
                now = self._row(db, use.in_use)
                if pinned and now is not None and now.state == WATCHED:
                    self._set(db, now.id, GOOD, "")  # a person has judged
            return _use(db)

    def count_adapter_start(self) -> int:
        """An agent starts with an adapter on probation: how often that is by now, since it was taken over or
        an agent last ended in good order.
        """
        with self._connections.write() as db:
            starts = int(_get(db, "adapter_starts") or 0) + 1
            _put(db, "adapter_starts", str(starts))
            return starts

    def forgive_adapter_starts(self) -> None:
        """The agent ends in good order with an adapter on probation: its starts are counted anew."""
        with self._connections.write() as db:
            _put(db, "adapter_starts", "0")

    def taken_over_ns(self, id: str) -> int | None:
        """When an adapter was last taken over by itself, wall time; None where it never was."""
        with self._connections.read() as db:
            sql = "SELECT max(at_ns) FROM adapter_events WHERE adapter = ? AND event = 'taken_over'"
            return db.execute(sql, [id]).fetchone()[0]

    def writing(self, until_ns: int, memories: int, tasks: int) -> Writing:
        """How the policy with the present base wrote its last clips, and how the last questions ended, all
        before until_ns (wall time of writing and answering). memories (with failures), tasks: at most.
        """
        by = "JOIN provenance AS p ON p.id = provenance_id WHERE created_ns < :until AND source_id IS NULL"
        clips = " UNION ALL ".join(
            f"""SELECT * FROM (SELECT created_ns, {text} AS text FROM {table} AS t {by}
                AND p.revision = :revision ORDER BY t.id DESC LIMIT :count)"""
            for table, text in (("memories", "text"), ("failures", "NULL"))
        )
        asked = """SELECT status FROM tasks WHERE kind = 'question' AND status IN ('answered',
            'not_in_memory') AND answered_ns < :until ORDER BY id DESC LIMIT :count"""
        values = {"until": until_ns}
        with self._connections.read() as db:
            values["revision"] = _get(db, "base_revision")
            rows = db.execute(
                f"SELECT text FROM ({clips}) ORDER BY created_ns DESC LIMIT :count",
                values | {"count": memories},
            )
            texts = [row[0] for row in rows]
            ended = [row[0] for row in db.execute(asked, values | {"count": tasks})]
        return Writing(
            words=tuple(len(text.split()) for text in texts if text is not None),
            failures=texts.count(None),
            answered=ended.count("answered"),
            abstained=ended.count("not_in_memory"),
        )

    def _use_instead(self, db: Database, id: str) -> None:
        """`id` in the place of what is in use; the transaction's other half is up to the caller."""
        if id != BARE:
            self._known(db, id)
        use = _use(db)
        if use.in_use == id:
            return
        now = self._row(db, use.in_use)
        if now is not None and now.state == WATCHED:
            self._set(db, now.id, STAGED, f"replaced by {id or 'the bare model'} before it had proved itself")
        else:
            _put(db, "adapter_previous", use.in_use)
        if id == BARE or _get(db, "adapter_previous") == id:
            _put(db, "adapter_previous", self._good_before(db, id))
        _put(db, "adapter_in_use", id)
        _put(db, "adapter_starts", "0")

    def _good_before(self, db: Database, id: str) -> str:
        """The good adapter that was in use before this one came into use, "" for none."""
        if id == BARE:
            return BARE
        came = "SELECT max(id) FROM adapter_events WHERE adapter = ? AND event IN ('taken_over', 'activated')"
        sql = f"""SELECT e.adapter FROM adapter_events AS e JOIN adapters AS a ON a.id = e.adapter
            WHERE e.event IN ('taken_over', 'activated') AND a.state = 'good' AND a.id <> ?
            AND json_extract(a.manifest, '$.base_revision') IS (
                SELECT json_extract(manifest, '$.base_revision') FROM adapters WHERE id = ?)
            AND e.id < ({came}) ORDER BY e.id DESC LIMIT 1"""
        row = db.execute(sql, [id, id, id]).fetchone()
        return row[0] if row else BARE

    def _set(
        self, db: Database, id: str, state: str, reason: str, event: str = "", message: str = ""
    ) -> None:
        if state not in ADAPTER_STATES:
            raise ValueError(f"The state {state!r} is unknown; use one of {', '.join(ADAPTER_STATES)}.")
        self._known(db, id)
        db["adapters"].update(id, {"state": state, "reason": clean(reason), "changed_ns": time.time_ns()})
        said = f"adapter {id} is {state.replace('_', ' ')}" + (f": {reason}" if reason else "")
        _note(db, event or state, id, message or said)

    def _known(self, db: Database, id: str) -> AdapterRow:
        row = self._row(db, id)
        if row is None:
            raise StoreError(
                f"{self._connections.path} has no adapter {id!r}; `taskmem adapters list` has all."
            )
        return row

    def _row(self, db: Database, id: str) -> AdapterRow | None:
        row = next(iter(db["adapters"].rows_where("id = ?", [id])), None)
        return self._of(row) if row else None

    def _of(self, row: dict[str, Any]) -> AdapterRow:
        return AdapterRow(**row | {"folder": self._connections.path.absolute().parent / row["folder"]})

    def _relative(self, folder: str | Path) -> str:
        """Beside the store a folder moves with it."""
        path, home = Path(folder).absolute(), self._connections.path.absolute().parent
        return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)


def _use(db: Database) -> AdapterUse:
    return AdapterUse(
        in_use=_get(db, "adapter_in_use"),
        previous=_get(db, "adapter_previous"),
        pinned=_get(db, "adapter_pinned") == "1",
        serial=int(_get(db, "adapter_serial") or 0),
        base_model=_get(db, "base_model"),
        base_revision=_get(db, "base_revision"),
    )


def _get(db: Database, key: str) -> str:
    row = db.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
    return row[0] if row else ""


def _put(db: Database, key: str, value: str) -> None:
    db.execute("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
               [key, value])  # fmt: skip


def _note(db: Database, event: str, id: str, message: str) -> None:
    row = {"at_ns": time.time_ns(), "adapter": id, "event": event, "message": clean(message)}
    db["adapter_events"].insert(row)
