"""`taskmem nights`: the whole loop in the demo home. The robot is asked things by day, a workstation learns
from it by night, and the robot takes over what it learned; then its role changes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from std_srvs.srv import Trigger
from taskmem import msg, srv

from taskmem_ros.exchange.keys import SigningKey
from taskmem_ros.home import (
    ROLES,
    STEP_NS,
    HomeQuestion,
    HomeSim,
    is_right,
    look_up,
    observations,
    queries_about,
)
from taskmem_ros.memory import Store

from . import qos
from .conversions import nanoseconds
from .demo_transcript import Transcript
from .stage import PlayFailed, Stage, play, shown

START_S = 180.0
ASK_S = 40.0
NIGHT_S = 1500.0
MOST_NIGHTS = 3  # for one role
SYNC_S = 300.0
MS = 1_000_000  # ns; the command line takes times of this grain
DAY_NS = 24 * 3600 * 1_000_000_000
ROBOT = "demo"


@dataclass(frozen=True)
class Asked:
    """One question, its task on the robot, and whether the robot's answer was right."""

    role: str
    task: int
    right: bool


def main(argv: Sequence[str] | None = None) -> int:
    options, transcript = parser().parse_args(argv), Transcript()
    folder = Path(options.folder).expanduser().resolve()
    _clear(folder)

    def run(log: TextIO) -> int:
        transcript.title("taskmem: days and nights of a robot in its demo home")
        with Stage("nights", transcript, log, time.monotonic() + options.limit) as stage:
            return _Nights(options, transcript, stage, folder, log).run()

    return play(run, transcript, folder / "nights.log")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskmem nights",
        description="Two days and their nights: asked by day, learned by night, better.",
    )
    parser.add_argument("--seed", type=int, default=2_000_003, help="which home (default: %(default)s)")
    parser.add_argument(
        "--roles", nargs=2, default=["finder", "steward"], choices=list(ROLES), metavar="ROLE",
        help="what it is asked for at first, and later (default: finder steward)",
    )  # fmt: skip
    parser.add_argument("--clips", type=int, default=24, help="10 s clips of a part of a day (default: 24)")
    parser.add_argument("--parts", type=int, default=3, help="of a day, each with questions (default: 3)")
    parser.add_argument("--questions", type=int, default=16, help="after each part (default: 16)")
    parser.add_argument("--speed", type=float, default=10.0, help="home seconds per second (default: 10)")
    parser.add_argument("--model", default="demo", help="hub id or folder of a Qwen3-VL (default: demo)")
    parser.add_argument(
        "--recipe", default="", help="of `taskmem-train nightly` (default: train/recipes/nightly-demo.yaml)"
    )
    parser.add_argument(
        "--gain", type=float, default=0.0,
        help="points that an adapter must give more than on the next day, or the play fails (default: 0)",
    )  # fmt: skip
    parser.add_argument("--folder", default="demo/nights", help="made anew (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds (default: %(default)g)")
    return parser


class _Nights:
    """Steps of the play; each raises PlayFailed when it cannot be done."""

    def __init__(
        self, options: argparse.Namespace, transcript: Transcript, stage: Stage, folder: Path, log: TextIO
    ) -> None:
        self._options, self._say, self._stage = options, transcript, stage
        self._folder, self._log = folder, log
        self._database, self._exchange = folder / "robot" / "memory.db", folder / "exchange"
        self._workstation, self._key = folder / "workstation", folder / "workstation.pem"
        self._keyring = folder / "robot" / "trusted_keys"
        self._sim, self._rng = HomeSim(options.seed), random.Random(f"nights {options.seed}")
        self._newest_ns = 0
        self._ends: dict[int, int] = {}  # memory id -> end of its clip
        self._days: list[int] = []  # start of each, world time
        self._status: msg.AdapterStatus | None = None
        self._asked: list[list[Asked]] = []  # of each day
        self._decisions = 0  # lines of the workstation's log that were shown

    def run(self) -> int:
        first, second = self._options.roles
        parts = self._options.parts
        self._open()
        self._day([first] * parts)
        before = self._learned(first)
        self._day([first] * (parts - 1) + [second] * (parts - 1))
        gains = [self._compare(first, before)]
        after = self._learned(second)
        self._day([second] * (parts - 1))
        gains.append(self._compare(second, after))
        self._stage.end()
        return self._finish(gains)

    def _open(self) -> None:
        """Keys, an empty exchange, the robot's two processes."""
        for folder in (self._database.parent, self._exchange, self._workstation):
            folder.mkdir(parents=True)
        key = SigningKey.generate()
        key.write(self._key)
        self._keyring.write_text(key.public_line("workstation") + "\n", encoding="utf-8")
        self._say.step(f"the robot trusts the workstation's key {key.id}")
        common = {"autostart": True, "database": str(self._database)}
        agent = common | {
            "use_sim_time": True,
            "model": self._options.model,
            "frames.gigabytes": 0.5,
            "adapters.keyring": str(self._keyring),
            "adapters.trial_clips": 6,
            "adapters.watch_clips": min(20, self._options.clips),
        }
        sync = common | {
            "exchange": self._exchange.as_uri(),
            "robot": ROBOT,
            "contents": "frames",
            "sync_at": "",
            "keyring": str(self._keyring),
        }
        self._stage.start("taskmem_agent", agent)
        self._stage.start("taskmem_sync", sync)
        node = self._stage.node
        node.create_subscription(msg.Memory, "memories", self._on_memory, qos.memories())
        node.create_subscription(msg.AdapterStatus, "adapter_status", self._on_status, qos.newest())
        self._ask = node.create_client(srv.AskMemory, "ask_memory")
        self._feedback = node.create_client(srv.GiveFeedback, "give_feedback")
        self._sync = node.create_client(Trigger, "sync_adapter")
        for client in (self._ask, self._feedback, self._sync):
            self._stage.wait(client.service_is_ready, START_S, f"{client.srv_name} did not appear")

    def _on_memory(self, memory: msg.Memory) -> None:
        self._ends[memory.id] = nanoseconds(memory.end)
        self._newest_ns = max(self._newest_ns, nanoseconds(memory.end))

    def _on_status(self, status: msg.AdapterStatus) -> None:
        self._status = status

    def _day(self, roles: Sequence[str]) -> None:
        """A day of as many parts as there are roles; after each, that role's questions."""
        start_ns = len(self._days) * DAY_NS
        self._days.append(start_ns)
        self._asked.append([])
        self._say.title(f"Day {len(self._days)}")
        camera = self._stage.start(
            "home_camera",
            {
                "seed": self._options.seed,
                "speed": self._options.speed,
                "start": start_ns / 1e9,
                "wait": True,
            },
        )
        for part, role in enumerate(roles, 1):
            until_ns = start_ns + part * self._options.clips * STEP_NS
            self._stage.wait(
                lambda until_ns=until_ns: self._newest_ns >= self._sim.epoch_ns + until_ns,
                self._stage.seconds_left,
                f"day {len(self._days)} was not remembered in time",
            )
            asked = [self._ask_one(role, question) for question in self._questions(role, until_ns)]
            self._asked[-1] += asked
            right = sum(one.right for one in asked)
            self._say.step(
                f"{part * self._options.clips} clips seen, remembered with {self._in_use()}; "
                f"the {role}'s {len(asked)} questions: {right} right"
            )
        self._stage.end(camera)

    def _questions(self, role: str, until_ns: int) -> list[HomeQuestion]:
        """What that role asks by then: of what was to be seen on this day."""
        today = observations(self._sim, until_ns, self._days[-1])
        queries = dict.fromkeys(query for facts in today for fact in facts for query in queries_about(fact))
        chosen = [query for query in queries if query.form in ROLES[role]]
        self._rng.shuffle(chosen)
        return [
            HomeQuestion(query.text(self._rng), query.kind, look_up(query, today).answer, query)
            for query in chosen[: self._options.questions]
        ]

    def _ask_one(self, role: str, question: HomeQuestion) -> Asked:
        """Ask it, and tell the robot whether its answer was right."""
        request = srv.AskMemory.Request(question=question.text)
        reply = self._stage.call(self._ask, request, ASK_S)
        if reply.status in (reply.STATUS_FAILED, reply.STATUS_TIMED_OUT):
            raise PlayFailed(f"{question.text!r} was not answered: {reply.message}")
        self._stage.wait(lambda: reply.watermark in self._ends, ASK_S, f"no memory {reply.watermark} came")
        # The truth is what the camera had seen by the end of the newest memory that could be read.
        until_ns = self._ends[reply.watermark] - self._sim.epoch_ns
        truth = look_up(question.query, self._seen(until_ns)).answer
        right = is_right(
            HomeQuestion(question.text, question.kind, truth, question.query), reply.answer or None
        )
        feedback = srv.GiveFeedback.Request(task_id=reply.question_id, source="the people of the home")
        feedback.verdict = feedback.VERDICT_RIGHT if right else feedback.VERDICT_WRONG
        feedback.answer = "" if right else truth
        told = self._stage.call(self._feedback, feedback, ASK_S)
        if not told.success:
            raise PlayFailed(f"feedback on question {reply.question_id} was refused: {told.message}")
        return Asked(role, reply.question_id, right)

    def _seen(self, until_ns: int) -> list:
        """What the camera saw on all days by then; it was off at night."""
        ends = [*(start + DAY_NS for start in self._days[:-1]), until_ns]
        spans = [self._camera_span(start, end) for start, end in zip(self._days, ends)]
        return [facts for start, end in spans for facts in observations(self._sim, end, start)]

    def _camera_span(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        of_day = [end for end in self._ends.values() if start_ns < end - self._sim.epoch_ns <= end_ns]
        return start_ns, max(of_day, default=start_ns + self._sim.epoch_ns) - self._sim.epoch_ns

    def _learned(self, role: str) -> Path:
        """Nights until one gives an adapter; its folder on the robot. A refusal costs another day."""
        for number in range(MOST_NIGHTS):
            if number:
                self._say.step("the gate let nothing through, the robot goes on as it is: another such day")
                self._day([role] * self._options.parts)
            if adapter := self._night():
                return adapter
        raise PlayFailed(f"in {MOST_NIGHTS} nights nothing was published for the {role}; see the reports.")

    def _night(self) -> Path | None:
        """Out with the tasks, train, in with the adapter; its folder on the robot, None if none was let
        through.
        """
        self._say.title(f"Night {len(self._days)}")
        before, published = self._in_use(), self._published()
        self._say.step(f"robot: {self._sync_once()}")
        recipe = self._options.recipe or str(_recipe())
        self._say.step(f"workstation: at work for some minutes; follow it in {shown(Path(self._log.name))}")
        self._run(
            "taskmem_train.cli", "nightly", self._workstation, "--exchange", self._exchange.as_uri(),
            "--key", self._key, "--config", recipe, "--home-seed", self._options.seed,
        )  # fmt: skip
        for line in self._new_decisions():
            self._say.step(f"workstation: {line}")
        if self._published() == published:
            return None
        self._say.step(f"robot: {self._sync_once()}")
        self._stage.wait(
            lambda: (
                self._status is not None
                and self._status.phase != msg.AdapterStatus.PHASE_TRIAL
                and self._in_use() != before
            ),
            SYNC_S,
            "the robot did not take the adapter over; "
            f"it says: {self._status.message if self._status else 'nothing'}",
        )
        self._say.step(f"robot: {self._status.message}")
        return self._database.parent / "adapters" / self._status.adapter

    def _published(self) -> int:
        """How many adapters are in the exchange."""
        return len(list(self._exchange.glob("adapters/*/manifest.sig")))

    def _sync_once(self) -> str:
        reply = self._stage.call(self._sync, Trigger.Request(), SYNC_S)
        if not reply.success:
            raise PlayFailed(f"the sync failed: {reply.message}")
        return reply.message

    def _new_decisions(self) -> list[str]:
        path = self._workstation / "decisions.log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        known, self._decisions = self._decisions, len(lines)
        return lines[known:]

    def _compare(self, role: str, adapter: Path) -> tuple[str, float, float, int]:
        """The last day's frames once more, with the bare model and with the adapter, for that role's
        questions: (role, accuracy without, with, questions).
        """
        day = len(self._days)
        with Store.open(self._database, read_only=True) as store:
            asked = [store.task(one.task).asked_ns for one in self._asked[-1] if one.role == role]
        bundle = self._folder / f"day{day}-{role}.bundle"
        since, until = (f"@{ns / 1e9:.3f}" for ns in (min(asked) - MS, max(asked) + MS))
        self._run(
            "taskmem_ros.cli", "bundle", self._database, "-o", bundle,
            "--robot", ROBOT, "--since", since, "--until", until,
        )  # fmt: skip
        out = self._folder / f"day{day}-{role}"
        self._run(
            "taskmem_train.cli", "bench", out, "--dataset", "bundle", "--bundle", bundle, "--model",
            self._options.model, "--systems", "policy", "--adapter", adapter, "--home-seed",
            self._options.seed,
        )  # fmt: skip
        rows = json.loads((out / "results.json").read_text(encoding="utf-8"))["rows"]
        found = {row["system"]: row for row in rows if row["kind"] == "all"}
        without, within = (found[name]["accuracy"]["value"] for name in ("policy", "adapter"))
        questions = found["policy"]["questions"]
        self._say.step(
            f"day {day}'s frames again, the {role}'s {questions} questions: {without:.0%} right of what the "
            f"bare model writes, {within:.0%} with the adapter"
        )
        return role, without, within, questions

    def _run(self, module: str, *arguments: object) -> None:
        """A command in a process of its own, while the robot goes on."""
        command = [sys.executable, "-m", module, *map(str, arguments)]
        self._log.write(f"$ {' '.join(command[1:])}\n")
        self._log.flush()
        with subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT) as process:
            try:
                self._stage.wait(lambda: process.poll() is not None, NIGHT_S, f"{module} takes too long")
            finally:
                if process.poll() is None:
                    process.kill()
        if process.returncode:
            raise PlayFailed(f"{' '.join(command[2:5])} ended with exit code {process.returncode}.")

    def _in_use(self) -> str:
        return self._status.adapter if self._status and self._status.adapter else "the bare model"

    def _finish(self, gains: Sequence[tuple[str, float, float, int]]) -> int:
        say = self._say
        say.title("How it went")
        for day, asked in enumerate(self._asked, 1):
            for role in dict.fromkeys(one.role for one in asked):
                of_role = [one.right for one in asked if one.role == role]
                say.line(f"  day {day}: the {role}'s {len(of_role)} questions, {sum(of_role)} right live")
        for role, without, within, questions in gains:
            say.line(
                f"  the same frames with the adapter fitted to the {role}'s questions: {without:.0%} -> "
                f"{within:.0%} of {questions}"
            )
        say.line(f"Reports of the nights: {shown(self._workstation / 'reports')}")
        say.line(f"  taskmem adapters list --database {shown(self._database)}")
        least = self._options.gain / 100
        poor = [role for role, without, within, _ in gains if within - without <= least]
        if poor:
            raise PlayFailed(
                f"What was learned for the {poor[0]} gave no more than {least:.0%} on the next day."
            )
        return 0


def _recipe() -> Path:
    """The recipe of this checkout or installation."""
    for parent in Path(__file__).resolve().parents:
        if (found := parent / "train" / "recipes" / "nightly-demo.yaml").is_file():
            return found
    raise PlayFailed("train/recipes/nightly-demo.yaml is not here; name a recipe with --recipe")


def _clear(folder: Path) -> None:
    """Remove an earlier play; what is something else stays, and is an error."""
    if not folder.exists():
        return
    if not (folder / "nights.log").is_file():
        raise ValueError(f"{folder} is there and holds no earlier `taskmem nights`; name another --folder")
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
