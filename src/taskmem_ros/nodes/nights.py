"""`taskmem nights`: the whole loop in demo homes. The robot goes from home to home and is asked things by
day, a workstation learns from it by night, and the robot takes over what it learned; then its role changes.
"""

from __future__ import annotations

import argparse
import json
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
from taskmem_ros.home import ROLES, STEP_NS, HomeQuestion, is_right
from taskmem_ros.home.visits import Seen, Visit, Visits

from . import qos
from .conversions import nanoseconds
from .demo_transcript import Transcript
from .stage import PlayFailed, Stage, play, shown

START_S = 180.0
ASK_S = 40.0
NIGHT_S = 1500.0
MOST_NIGHTS = 3  # for one role
SYNC_S = 300.0
HOUR_NS = 3600 * 1_000_000_000
ROBOT = "demo"
BARE = "the bare model"


@dataclass(frozen=True)
class Asked:
    """One question, and whether the robot's answer was right."""

    role: str
    right: bool


@dataclass(frozen=True)
class Gain:
    """What a night gave a role: the shares of its questions that memories of two writers answer."""

    role: str
    before: str
    questions: int
    share_before: float
    after: str
    share_after: float

    def __str__(self) -> str:
        return (
            f"of the {self.role}'s {self.questions} questions {self.share_before:.0%} right of what "
            f"{self.before} writes, {self.share_after:.0%} of what {self.after} does"
        )


def main(argv: Sequence[str] | None = None) -> int:
    options, transcript = parser().parse_args(argv), Transcript()
    for name in ("homes", "clips", "questions"):
        if getattr(options, name) < 1:
            raise ValueError(f"{name} is {getattr(options, name)}; it must be at least 1")
    folder = Path(options.folder).expanduser().resolve()
    _clear(folder)

    def run(log: TextIO) -> int:
        transcript.title("taskmem: days and nights of a robot in the demo homes")
        with Stage("nights", transcript, log, time.monotonic() + options.limit) as stage:
            return _Nights(options, transcript, stage, folder, log).run()

    return play(run, transcript, folder / "nights.log")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskmem nights",
        description="Two days and their nights: asked by day, learned by night, better.",
    )
    parser.add_argument("--seed", type=int, default=2_000_003, help="the first home (default: %(default)s)")
    parser.add_argument("--homes", type=int, default=6, help="that it sees to (default: %(default)s)")
    parser.add_argument(
        "--roles", nargs=2, default=["finder", "steward"], choices=list(ROLES), metavar="ROLE",
        help="what it is asked for at first, and later (default: finder steward)",
    )  # fmt: skip
    parser.add_argument("--clips", type=int, default=12, help="10 s clips of a visit (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=10, help="at its end (default: %(default)s)")
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
        homes = range(options.seed, options.seed + options.homes)
        self._visits = Visits(homes, f"nights {options.seed}")
        self._status: msg.AdapterStatus | None = None
        self._asked: list[list[Asked]] = []  # of each day
        self._asked_ns = (0, 0)  # from when to when in the last round
        self._decisions = 0  # lines of the workstation's log that were shown

    def run(self) -> int:
        first, second = self._options.roles
        self._open()
        self._day(first)
        early = self._learned(first)
        self._day(first)
        gains = [self._compare(first, None, early)]
        self._round(second)
        late = self._learned(second)
        self._day(second)
        gains.append(self._compare(second, early, late))
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
            "cameras": self._visits.cameras,
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
        seen = Seen(memory.camera, nanoseconds(memory.start), nanoseconds(memory.end))
        self._visits.note(memory.id, seen)

    def _on_status(self, status: msg.AdapterStatus) -> None:
        self._status = status

    def _day(self, role: str) -> None:
        """A day that begins with a round."""
        self._asked.append([])
        self._say.title(f"Day {len(self._asked)}")
        self._round(role)

    def _round(self, role: str) -> None:
        """A visit to each home; at the end of each that role's questions."""
        asked: list[Asked] = []
        visits = list(self._visits.round(len(self._asked) - 1, self._options.clips))
        for number, visit in enumerate(visits, 1):
            of_visit = self._visit(visit, role)
            asked += of_visit
            self._say.step(
                f"home {number} of {len(visits)}: {self._options.clips} clips, remembered with "
                f"{self._in_use()}; the {role}'s {len(of_visit)} questions: {_right(of_visit)} right"
            )
        end_ns = max(map(self._visits.remembered_until, visits)) + HOUR_NS
        self._asked_ns = (visits[0].start_ns, end_ns)
        self._asked[-1] += asked

    def _visit(self, visit: Visit, role: str) -> list[Asked]:
        camera = self._stage.start(
            "home_camera",
            {
                "camera": visit.camera,
                "seed": visit.home.seed,
                "speed": self._options.speed,
                "start": visit.start_s,
                "wait": True,
            },
            quiet=True,
        )
        until_ns = visit.start_ns + self._options.clips * STEP_NS
        self._stage.wait(
            lambda: self._visits.remembered_until(visit) >= until_ns,
            self._stage.seconds_left,
            f"{self._options.clips} clips of {visit.camera} were not remembered in time",
        )
        questions = self._visits.questions(visit, role, self._options.questions)
        asked = [self._ask_one(role, question) for question in questions]
        self._stage.end(camera)
        return asked

    def _ask_one(self, role: str, question: HomeQuestion) -> Asked:
        """Ask it, and tell the robot whether its answer was right."""
        request = srv.AskMemory.Request(question=question.text)
        reply = self._stage.call(self._ask, request, ASK_S)
        if reply.status in (reply.STATUS_FAILED, reply.STATUS_TIMED_OUT):
            raise PlayFailed(f"{question.text!r} was not answered: {reply.message}")
        self._stage.wait(
            lambda: self._visits.knows(reply.watermark), ASK_S, f"no memory {reply.watermark} came"
        )
        known = self._visits.with_truth(question, reply.watermark)
        right = is_right(known, reply.answer or None)
        feedback = srv.GiveFeedback.Request(task_id=reply.question_id, source="the people of the home")
        feedback.verdict = feedback.VERDICT_RIGHT if right else feedback.VERDICT_WRONG
        feedback.answer = "" if right else known.answer or ""
        told = self._stage.call(self._feedback, feedback, ASK_S)
        if not told.success:
            raise PlayFailed(f"feedback on question {reply.question_id} was refused: {told.message}")
        return Asked(role, right)

    def _learned(self, role: str) -> Path:
        """Nights until one gives an adapter; its folder on the robot. Another one costs a day like it."""
        for number in range(MOST_NIGHTS):
            if number:
                self._say.step("nothing was published, the robot goes on as it is: another such day")
                self._day(role)
            if adapter := self._night():
                return adapter
        raise PlayFailed(f"in {MOST_NIGHTS} nights nothing was published for the {role}; see the reports")

    def _night(self) -> Path | None:
        """Out with the tasks, train, in with the adapter; its folder on the robot, None if none was
        published.
        """
        self._say.title(f"Night {len(self._asked)}")
        before, published = self._in_use(), self._published()
        self._say.step(f"robot: {self._sync_once()}")
        recipe = self._options.recipe or str(_recipe())
        self._say.step(f"workstation: at work for some minutes; follow it in {shown(Path(self._log.name))}")
        self._run(
            "taskmem_train.cli", "nightly", self._workstation, "--exchange", self._exchange.as_uri(),
            "--key", self._key, "--config", recipe, "--home-seed", *self._visits.home_seeds,
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

    def _compare(self, role: str, before: Path | None, after: Path) -> Gain:
        """The last round's frames once more, for that role's questions: with what was in use before that
        role's night (None: the bare model), and with what the night gave.
        """
        day = len(self._asked)
        bundle = self._folder / f"day{day}-{role}.bundle"
        since, until = (f"@{ns / 1e9:.3f}" for ns in self._asked_ns)
        self._run(
            "taskmem_ros.cli", "bundle", self._database, "-o", bundle,
            "--robot", ROBOT, "--since", since, "--until", until,
        )  # fmt: skip
        scores = [self._score(bundle, adapter) for adapter in (before, after)]
        gain = Gain(role, before.name if before else BARE, *scores[0], after.name, scores[1][1])
        self._say.step(f"day {day}'s frames again: {gain}")
        return gain

    def _score(self, bundle: Path, adapter: Path | None) -> tuple[int, float]:
        """(how many questions a bundle has, the share that memories written with an adapter answer)."""
        out = bundle.with_name(f"{bundle.stem}-{adapter.name if adapter else 'bare'}")
        writer = ["--systems", "--adapter", adapter] if adapter else ["--systems", "policy"]
        self._run(
            "taskmem_train.cli", "bench", out, "--dataset", "bundle", "--bundle", bundle, "--model",
            self._options.model, "--home-seed", *self._visits.home_seeds, *writer,
        )  # fmt: skip
        rows = json.loads((out / "results.json").read_text(encoding="utf-8"))["rows"]
        (row,) = (row for row in rows if row["kind"] == "all")
        return row["questions"], row["accuracy"]["value"]

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
        return self._status.adapter if self._status and self._status.adapter else BARE

    def _finish(self, gains: Sequence[Gain]) -> int:
        say = self._say
        say.title("How it went")
        for day, asked in enumerate(self._asked, 1):
            for role in dict.fromkeys(one.role for one in asked):
                of_role = [one for one in asked if one.role == role]
                say.line(f"  day {day}: the {role}'s {len(of_role)} questions, {_right(of_role)} right live")
        say.line("The same frames with what was in use before and after that role's night:")
        for gain in gains:
            say.line(f"  {gain.role}: {gain.share_before:.0%} -> {gain.share_after:.0%} of {gain.questions}")
        say.line(f"Reports of the nights: {shown(self._workstation / 'reports')}")
        say.line(f"  taskmem adapters list --database {shown(self._database)}")
        least = self._options.gain / 100
        poor = [gain.role for gain in gains if gain.share_after - gain.share_before <= least]
        if poor:
            raise PlayFailed(
                f"What was learned for the {poor[0]} gave no more than {least:.0%} on the next day."
            )
        return 0


def _right(asked: Sequence[Asked]) -> int:
    return sum(one.right for one in asked)


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
