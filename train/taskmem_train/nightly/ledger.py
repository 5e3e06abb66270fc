"""OUT/nightly.db: which bundles came, which tasks they hold, what was trained of them and what became of it.

A run's plan is in it before anything is trained, and each step after it was done: whatever ends this process,
the next pass goes on with the same run, in the same folder, under the same name.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from taskmem_ros.exchange import Bundle
from taskmem_ros.memory import Feedback, Task, known_answer
from taskmem_train.bundles import task_uid
from taskmem_train.nightly.decisions import Decisions

VERSION = 1
TAKEN, REFUSED, TIDIED = "taken", "refused", "tidied"  # of bundles; TIDIED: the file is gone
# Of runs: what was done last. The first four go on; PUBLISHED, DECLINED (by the gate) and FAILED have ended.
PLANNED, TRAINED, PASSED, PACKED = "planned", "trained", "passed", "packed"
PUBLISHED, DECLINED, FAILED = "published", "declined", "failed"
OPEN = (PLANNED, TRAINED, PASSED, PACKED)

_SCHEMA = (
    """CREATE TABLE bundles (
        robot TEXT NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL, sha256 TEXT NOT NULL,
        state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', file TEXT NOT NULL DEFAULT '',
        tasks INTEGER NOT NULL DEFAULT 0, clips INTEGER NOT NULL DEFAULT 0,
        memories INTEGER NOT NULL DEFAULT 0, revision TEXT NOT NULL DEFAULT '',
        adapter TEXT NOT NULL DEFAULT '', last_ns INTEGER, came_ns INTEGER NOT NULL,
        PRIMARY KEY (robot, sequence, id, sha256)) STRICT, WITHOUT ROWID""",
    # By robot: no robot can stand in the way of another one's tasks.
    """CREATE TABLE tasks (
        robot TEXT NOT NULL, uid TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL,
        question TEXT NOT NULL, asked_ns INTEGER NOT NULL, answer TEXT, known_answer TEXT,
        run INTEGER, fitted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (robot, uid)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE feedback (
        robot TEXT NOT NULL, uid TEXT NOT NULL, id INTEGER NOT NULL, verdict TEXT NOT NULL, answer TEXT,
        PRIMARY KEY (robot, uid, id)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
        plan TEXT NOT NULL, settings TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
        adapter TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
        created_ns INTEGER NOT NULL, ended_ns INTEGER, reported INTEGER NOT NULL DEFAULT 0) STRICT""",
    """CREATE TABLE decisions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, robot TEXT NOT NULL,
        decision TEXT NOT NULL, reason TEXT NOT NULL, logged INTEGER NOT NULL DEFAULT 0,
        reported INTEGER NOT NULL DEFAULT 0) STRICT""",
)


@dataclass(frozen=True)
class TakenBundle:
    """A bundle that is used. file: under OUT; last_ns: the newest time in it, by the robot's
    clock, None in an empty one and in one of feedback alone. came_ns: wall time.
    """

    robot: str
    sequence: int
    id: str
    file: str
    tasks: int
    clips: int
    memories: int
    revision: str
    adapter: str
    last_ns: int | None
    came_ns: int = 0


@dataclass(frozen=True)
class SeenTask:
    """A task as far as a plan looks at it. known: its right answer is. used: a run was planned with it as
    new. fitted: a run was fitted to it.
    """

    robot: str
    uid: str
    sequence: int
    kind: str
    question: str
    asked_ns: int
    known: bool
    used: bool = False
    fitted: bool = False


@dataclass(frozen=True)
class Plan:
    """What one run does. bundles: files under OUT. learn, ask: uids of tasks that are fitted to and held out.

    in_use: id of the adapter that the robots use, "" for none or unknown. revision: of their base model.
    new: how many tasks were new; kinds: of which there were enough, and whose new tasks are used by this run.
    """

    robots: tuple[str, ...]
    bundles: tuple[str, ...]
    bundle_ids: tuple[str, ...]
    learn: tuple[str, ...]
    ask: tuple[str, ...]
    new: int
    kinds: tuple[str, ...]
    in_use: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Run:
    """A run, its state one of those above. settings: JSON of those that it was planned with. adapter: its id,
    once the gate let it through. tries: that were begun, with the one that goes on. created_ns: wall time.
    """

    number: int
    name: str
    state: str
    plan: Plan
    settings: str
    tries: int
    adapter: str
    reason: str
    created_ns: int

    @property
    def about(self) -> str:
        """Whose run it is, for people."""
        return "+".join(self.plan.robots)


class Ledger(Decisions):
    """Not thread-safe. Every method is one transaction."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a run that is published was published
        self._db = Database(connection, execute_plugins=False)
        with self._transaction() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise ValueError(f"{path} has version {version} and this taskmem reads {VERSION}; update it")
            for statement in _SCHEMA if version == 0 else ():
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        self._db.close()

    # bundles and their tasks

    def knows(self, robot: str, sequence: int, id: str, sha256: str) -> bool:
        """Whether this very bundle came before, for good or not."""
        key = [robot, sequence, id, sha256]
        return bool(self._rows("bundles", "robot = ? AND sequence = ? AND id = ? AND sha256 = ?", key))

    def ids(self, robot: str) -> set[str]:
        """Of the bundles that were taken, also of those whose files are gone."""
        return {row["id"] for row in self._rows("bundles", "robot = ? AND state != ?", [robot, REFUSED])}

    def tidied(self, bundle: TakenBundle) -> None:
        """Note that a bundle is not used any more, and its file is gone or about to be."""
        with self._transaction() as db:
            where = "robot = ? AND sequence = ? AND id = ? AND state = ?"
            key = [bundle.robot, bundle.sequence, bundle.id, TAKEN]
            db.execute(f"UPDATE bundles SET state = '{TIDIED}' WHERE {where}", key)

    def refuse(self, robot: str, sequence: int, id: str, sha256: str, reason: str) -> None:
        """Remember that a bundle is not used, and why: it is never pulled again."""
        row = {"robot": robot, "sequence": sequence, "id": id, "sha256": sha256, "state": REFUSED}
        with self._transaction() as db:
            db["bundles"].insert(row | {"reason": reason, "came_ns": time.time_ns()})
            self._decide(db, robot, "refused a bundle", f"{sequence:08d}-{id}: {reason}")

    def take(self, bundle: Bundle, sha256: str, file: str) -> None:
        """Keep a bundle, its feedback, and those of its tasks that no bundle of the robot had before."""
        about, tasks, said = bundle.manifest, bundle.tasks(), bundle.feedback()
        store = about.store_id or about.id
        row = {
            "robot": about.robot, "sequence": about.sequence, "id": about.id, "sha256": sha256,
            "state": TAKEN, "file": file, "tasks": about.tasks, "clips": about.clips,
            "memories": about.memories, "revision": about.revision, "adapter": about.adapter,
            "last_ns": _last_ns(bundle, tasks), "came_ns": time.time_ns(),
        }  # fmt: skip
        with self._transaction() as db:
            db["bundles"].insert(row)
            self._tell_of_others(db, bundle, tasks)
            before = db["tasks"].count
            db["tasks"].insert_all(
                (_task_row(about.robot, about.sequence, task_uid(bundle, task), task) for task in tasks),
                ignore=True,
            )
            new = db["tasks"].count - before
            told = f"{new} new of {len(tasks)} tasks" if new != len(tasks) else f"{new} tasks"
            told = f"{about.sequence:08d}-{about.id}: {told}, {len(said)} times feedback, {about.clips} clips"
            self._decide(db, about.robot, "took a bundle", told)
            db["feedback"].insert_all(
                (
                    {"robot": about.robot, "uid": f"{store}/{one.task_id}", "id": one.id,
                     "verdict": one.verdict, "answer": one.answer}
                    for one in said
                ),
                ignore=True,
            )  # fmt: skip

    def _tell_of_others(self, db: Database, bundle: Bundle, tasks: Sequence[Task]) -> None:
        """Tasks with the uid of another one cannot be told from it; nothing else says they are lost."""
        robot = bundle.manifest.robot
        known = {row["uid"]: row["asked_ns"] for row in db["tasks"].rows_where("robot = ?", [robot])}
        uids = [(task_uid(bundle, task), task.asked_ns) for task in tasks]
        others = [uid for uid, asked_ns in uids if known.get(uid, asked_ns) != asked_ns]
        if others:
            told = f"{len(others)} tasks, {others[0]} for one, have numbers of earlier ones and are not used"
            why = "was an older copy of the robot's database put back? A new database has numbers of its own"
            self._decide(db, robot, "lost tasks", f"{told}; {why}")

    def bundles(self, robot: str | None = None) -> list[TakenBundle]:
        """Those that are used, by robot and sequence."""
        names = ", ".join(TakenBundle.__dataclass_fields__)
        where = "state = :state AND (:robot IS NULL OR robot = :robot) ORDER BY robot, sequence, id"
        found = self._db.query(f"SELECT {names} FROM bundles WHERE {where}", {"state": TAKEN, "robot": robot})
        return [TakenBundle(**row) for row in found]

    def tasks(self, robot: str) -> list[SeenTask]:
        """Of a robot, in the order of asking; with what is known by all feedback that came until now."""
        said: dict[str, list[Feedback]] = {}
        for row in self._rows("feedback", "robot = ?", [robot]):
            one = Feedback(row["id"], 0, row["verdict"], row["answer"], "", 0)
            said.setdefault(row["uid"], []).append(one)
        found = []
        for row in self._rows("tasks", "robot = ? ORDER BY asked_ns, sequence, uid", [robot]):
            task = Task(0, row["question"], row["kind"], (), "", row["asked_ns"], answer=row["answer"])
            known = known_answer(replace(task, known_answer=row["known_answer"]), said.get(row["uid"], ()))
            about = {name: row[name] for name in ("robot", "uid", "sequence", "kind", "question", "asked_ns")}
            used, fitted = row["run"] is not None, bool(row["fitted"])
            found.append(SeenTask(**about, known=bool(known), used=used, fitted=fitted))
        return found

    # runs

    def plan(self, plan: Plan, name: str, settings: str) -> Run:
        """Fix a run: from now on it is done, in this folder, with these tasks. name: of its folder."""
        with self._transaction() as db:
            row = {"name": name, "state": PLANNED, "plan": json.dumps(asdict(plan)), "settings": settings}
            row["created_ns"] = time.time_ns()
            number = db["runs"].insert(row).last_pk
            for robot in plan.robots:
                new = [task for task in self.tasks(robot) if task.known and not task.used]
                for uid in {*(task.uid for task in new if task.kind in plan.kinds), *plan.learn}:
                    db.execute(
                        "UPDATE tasks SET run = coalesce(run, ?), fitted = max(fitted, ?) "
                        "WHERE robot = ? AND uid = ?",
                        [number, int(uid in plan.learn), robot, uid],
                    )
            learned, asked = len(plan.learn), len(plan.ask)
            reason = (
                f"{plan.new} new tasks with a known answer; {learned} to fit to, {asked} held out; run {name}"
            )
            self._decide(db, "+".join(plan.robots), "train", reason)
        return self.run(number)

    def run(self, number: int) -> Run:
        return _run(self._rows("runs", "number = ?", [number])[0])

    def runs(self, states: Sequence[str]) -> list[Run]:
        """In the order of planning."""
        marks = ", ".join("?" * len(states))
        return [_run(row) for row in self._rows("runs", f"state IN ({marks}) ORDER BY number", states)]

    def ended(self, before_ns: int) -> list[Run]:
        """Runs that had ended by then, wall time."""
        return [_run(row) for row in self._rows("runs", "ended_ns < ? ORDER BY number", [before_ns])]

    def unreported(self) -> list[Run]:
        """Runs that have ended and stand in no report yet."""
        where = "reported = 0 AND ended_ns IS NOT NULL ORDER BY number"
        return [_run(row) for row in self._rows("runs", where, [])]

    def advance(
        self, run: Run, state: str, *, adapter: str = "", reason: str = "", decision: str = ""
    ) -> Run:
        """Note that a step was done. decision: for the log, where this is one."""
        ended = None if state in OPEN else time.time_ns()
        with self._transaction() as db:
            row = {"state": state, "adapter": adapter or run.adapter, "reason": reason, "ended_ns": ended}
            db["runs"].update(run.number, row)
            if decision:
                self._decide(db, run.about, decision, reason)
        return self.run(run.number)

    def begin(self, run: Run, most: int) -> Run:
        """Count a try before it begins, so that one whose process is killed counts too; after the last one
        the run has failed for good.
        """
        if run.tries >= most:
            return self.failed(run, "whatever worked on it was killed; has it too little memory?", most)
        return self._tried(run, run.tries + 1)

    def put_off(self, run: Run) -> Run:
        """A try that was neither well nor failed: it was ended in good form, or the exchange or a
        server that judges is away.
        """
        return self._tried(run, max(0, self.run(run.number).tries - 1))

    def failed(self, run: Run, reason: str, most: int) -> Run:
        """A try failed, which `begin` has counted; the last one for good."""
        with self._transaction() as db:
            over = run.tries >= most
            row = {"reason": reason} | ({"state": FAILED, "ended_ns": time.time_ns()} if over else {})
            db["runs"].update(run.number, row)
            then = "given up" if over else "tried again in the next pass"
            said = f"run {run.name}, try {run.tries} of {most}: {reason}"
            self._decide(db, run.about, f"failed, {then}", said)
        return self.run(run.number)

    def _tried(self, run: Run, tries: int) -> Run:
        with self._transaction() as db:
            db["runs"].update(run.number, {"tries": tries})
        return self.run(run.number)

    def reported(self, runs: Iterable[Run], decisions: Iterable[Mapping[str, Any]]) -> None:
        """Note that these stand in a report that is written."""
        with self._transaction() as db:
            for run in runs:
                db["runs"].update(run.number, {"reported": 1})
            for row in decisions:
                db["decisions"].update(row["id"], {"reported": 1})


def _task_row(robot: str, sequence: int, uid: str, task: Task) -> dict[str, Any]:
    about = {name: getattr(task, name) for name in ("kind", "question", "asked_ns", "answer", "known_answer")}
    return {"robot": robot, "uid": uid, "sequence": sequence} | about


def _last_ns(bundle: Bundle, tasks: Sequence[Task]) -> int | None:
    """The newest time in a bundle, by the robot's clock. What is there of feedback alone is as old as the
    task that it is about, and tells nothing.
    """
    if not tasks and not bundle.manifest.clips:
        return None
    times = [task.asked_ns for task in tasks] + [memory.end_ns for memory in bundle.memories()]
    return max(times, default=None)


def _run(row: Mapping[str, Any]) -> Run:
    plan = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(row["plan"]).items()
    }
    names = ("number", "name", "state", "settings", "tries", "adapter", "reason", "created_ns")
    return Run(plan=Plan(**plan), **{name: row[name] for name in names})
