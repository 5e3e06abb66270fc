"""`taskmem demo`: an agent and a home camera in processes of their own; this one watches and asks."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from taskmem import msg, srv

from taskmem_ros.home import STEP_NS, HomeQuestion, HomeSim, look_up, observations, questions, read_memory
from taskmem_ros.memory import Store

from . import qos
from .conversions import nanoseconds
from .demo_transcript import FAILED, RIGHT, Outcome, Transcript
from .stage import PlayFailed, Stage, play, shown

START_S = 180.0  # until the service is there: importing and loading a model on a busy machine
ASK_S = 30.0


def main(argv: Sequence[str] | None = None) -> int:
    options, transcript = parser().parse_args(argv), Transcript()
    database = Path(options.database).expanduser().resolve()

    def run(log) -> int:
        transcript.title("taskmem: a robot's memory, in its demo home")
        deadline = time.monotonic() + options.limit
        with Stage("demo", transcript, log, deadline) as stage:
            return _Demo(options, transcript, stage, database).run()

    return play(run, transcript, database.with_name("demo.log"))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskmem demo", description="A robot in its demo home: it watches, remembers and answers."
    )
    parser.add_argument("--seed", type=int, default=2_000_001, help="which home (default: %(default)s)")
    parser.add_argument(
        "--clips", type=int, default=30, help="10 s clips to watch before asking (default: %(default)s)"
    )
    parser.add_argument("--questions", type=int, default=12, help="how many to ask (default: %(default)s)")
    parser.add_argument(
        "--speed", type=float, default=5.0, help="home seconds per second (default: %(default)s)"
    )
    parser.add_argument(
        "--model", default="demo", help="hub id or folder of a Qwen3-VL (default: %(default)s)"
    )
    parser.add_argument("--quantization", default="none", choices=("none", "nf4", "int8"))
    parser.add_argument(
        "--database", default="demo/memory.db", help="made anew each time (default: %(default)s)"
    )
    parser.add_argument(
        "--limit", type=float, default=280.0, help="seconds after which it fails (default: %(default)s)"
    )
    return parser


class _Demo:
    """Steps of the demo; each raises PlayFailed when it cannot be done."""

    def __init__(
        self, options: argparse.Namespace, transcript: Transcript, stage: Stage, database: Path
    ) -> None:
        self._options, self._say, self._stage, self._database = options, transcript, stage, database
        self._sim = HomeSim(options.seed)
        self._memories: dict[int, msg.Memory] = {}
        self._policy: dict[str, str] = {}

    def run(self) -> int:
        say, options, wait = self._say, self._options, self._stage.wait
        for suffix in ("", "-wal", "-shm"):
            self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)
        self._start_processes()
        self._connect()
        wait(self._ask.service_is_ready, START_S, "the service ask_memory did not appear")
        wait(lambda: self._policy, 10.0, "the agent sent no /diagnostics")
        say.step(self._model())
        say.title(f"What it remembers, live ({options.speed:g} times as fast as life)")
        end_ns = self._sim.epoch_ns + options.clips * STEP_NS
        wait(
            lambda: self._newest_ns() >= end_ns,
            self._stage.seconds_left,
            f"not {options.clips} clips were remembered in time",
        )
        say.title("Questions, while the camera keeps running")
        outcomes = self._ask_all()
        self._stage.end()
        return self._finish(outcomes)

    def _start_processes(self) -> None:
        agent = {
            "autostart": True,
            "use_sim_time": True,
            "database": str(self._database),
            "model": self._options.model,
            "quantization": self._options.quantization,
        }
        camera = {"seed": self._options.seed, "speed": float(self._options.speed), "wait": True}
        self._stage.start("taskmem_agent", agent)
        self._stage.start("home_camera", camera)
        self._say.step(
            f"they talk over DDS in domain {os.environ['ROS_DOMAIN_ID']}, on this machine only; "
            f"their log: {shown(self._database.with_name('demo.log'))}"
        )

    def _connect(self) -> None:
        node = self._stage.node
        node.create_subscription(msg.Memory, "memories", self._on_memory, qos.memories())
        node.create_subscription(msg.Coverage, "coverage", self._say.gap, 100)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._ask = node.create_client(srv.AskMemory, "ask_memory")

    def _on_memory(self, memory: msg.Memory) -> None:
        if memory.id not in self._memories:
            self._memories[memory.id] = memory
            self._say.memory(memory)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.endswith(": policy"):
                self._policy = {value.key: value.value for value in status.values}

    def _model(self) -> str:
        p = self._policy
        held = (
            "not quantized"
            if p["quantization"] == "none"
            else f"{float(p['quantized share']):.0%} in {p['quantization']}"
        )
        return (
            f"the model is loaded: {p['model']} ({int(p['parameters']) / 1e6:.1f} M parameters, {held}, "
            f"{int(p['model bytes']) / 1e6:.0f} MB, {p['dtype']})"
        )

    def _newest_ns(self) -> int:
        return max((nanoseconds(memory.end) for memory in self._memories.values()), default=0)

    def _ask_all(self) -> list[Outcome]:
        until_ns = self._newest_ns() - self._sim.epoch_ns
        asked = questions(self._sim, until_ns, self._options.questions, seed=self._options.seed)
        outcomes = []
        for number, question in enumerate(asked, 1):
            outcomes.append(self._ask_one(question))
            self._say.outcome(number, outcomes[-1])
        return outcomes

    def _ask_one(self, question: HomeQuestion) -> Outcome:
        began = time.monotonic()
        reply = self._stage.call(self._ask, srv.AskMemory.Request(question=question.text), ASK_S + 10.0)
        seconds = time.monotonic() - began
        self._stage.wait(
            lambda: reply.watermark in self._memories, 10.0, f"memory {reply.watermark} was never published"
        )
        # The truth is what the camera had seen by the end of the newest memory that could be read.
        seen = observations(self._sim, nanoseconds(self._memories[reply.watermark].end) - self._sim.epoch_ns)
        finding = look_up(question.query, seen)
        truth = finding and finding.answer
        texts = [
            self._memories[number].text for number in sorted(self._memories) if number <= reply.watermark
        ]
        written = look_up(question.query, [read_memory(text)[0] for text in texts]) is not None
        return Outcome(dataclasses.replace(question, answer=truth), reply, truth, written, seconds)

    def _facts(self) -> tuple[int, int]:
        """(facts stated in the memories, those of them that were to be seen)."""
        seen = observations(self._sim, self._newest_ns() - self._sim.epoch_ns)
        stated = true = 0
        for memory in self._memories.values():
            facts, unread = read_memory(memory.text)
            clip = (nanoseconds(memory.start) - self._sim.epoch_ns) // STEP_NS
            stated += len(facts) + len(unread)
            true += sum(fact in seen[clip] for fact in facts)
        return stated, true

    def _finish(self, outcomes: Sequence[Outcome]) -> int:
        say = self._say
        with Store.open(self._database, create=False, read_only=True) as store:
            problems = store.check()
            summary = store.summary()
        say.title("How it went")
        say.summary(outcomes, *self._facts())
        say.line()
        say.line(
            "A clip shows far more than one memory holds; "
            "what is worth remembering is for the robot's tasks to teach."
        )
        place = shown(self._database)
        say.line(
            f"{summary.memories} memories and {summary.tasks} questions are in {place}. Look around in it:"
        )
        say.line(f"  taskmem timeline --database {place}")
        say.line(f'  taskmem ask --database {place} "{outcomes[0].question.text}"')
        verdicts = [outcome.verdict for outcome in outcomes]
        missing = [number for number in self._memories if number > summary.memories]
        if problems or missing:
            raise PlayFailed(
                " ".join(problems) or f"Memories {missing} were published and are not in {place}."
            )
        if FAILED in verdicts:
            raise PlayFailed(f"{verdicts.count(FAILED)} of {len(verdicts)} questions timed out or failed.")
        if RIGHT not in verdicts:
            raise PlayFailed("Not one question about what the camera had seen was answered rightly.")
        return 0


if __name__ == "__main__":
    sys.exit(main())
