"""`taskmem demo`: an agent and a home camera in processes of their own; this one watches and asks."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from taskmem import msg, srv

from taskmem_ros.home import STEP_NS, HomeQuestion, HomeSim, look_up, observations, questions, read_memory
from taskmem_ros.memory import Store

from . import qos
from .bringup import NodePlan
from .conversions import nanoseconds
from .demo_transcript import FAILED, RIGHT, Outcome, Transcript
from .loopback import loopback_environment
from .up import Child

START_S = 180.0  # until the service is there: importing and loading a model on a busy machine
ASK_S = 30.0


class DemoFailed(Exception):
    """The demo cannot go on; the sentence says why."""


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    os.environ.update(loopback_environment())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the children are ended in either case
    transcript = Transcript()
    children: list[Child] = []
    folder = Path(options.database).expanduser().resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "demo.log", "w", encoding="utf-8") as log:
        try:
            return _Demo(options, transcript, children, log).run()
        except DemoFailed as error:
            log.flush()
            transcript.title("The demo failed")
            transcript.line(str(error))
            transcript.line(f"The last lines of {log.name}:")
            for line in Path(log.name).read_text(encoding="utf-8").splitlines()[-25:]:
                transcript.line(f"  {line}")
            return 1
        except KeyboardInterrupt:
            transcript.line("interrupted")
            return 130
        finally:
            for child in children:
                child.stop()
            for child in children:
                child.wait()


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
    """Steps of the demo; each raises DemoFailed when it cannot be done."""

    def __init__(
        self, options: argparse.Namespace, transcript: Transcript, children: list[Child], log: TextIO
    ) -> None:
        self._options, self._say, self._children, self._log = options, transcript, children, log
        self._deadline = time.monotonic() + options.limit
        self._database = Path(options.database).expanduser().resolve()
        self._sim = HomeSim(options.seed)
        self._memories: dict[int, msg.Memory] = {}
        self._policy: dict[str, str] = {}

    def run(self) -> int:
        say, options = self._say, self._options
        say.title("taskmem: a robot's memory, in its demo home")
        for suffix in ("", "-wal", "-shm"):
            self._database.with_name(self._database.name + suffix).unlink(missing_ok=True)
        self._start_processes()
        # Ctrl-C is Python's alone: rclpy's handler would take the context away while it is in use.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        try:
            self._connect(rclpy.create_node("demo"))
            self._wait(self._ask.service_is_ready, START_S, "the service ask_memory did not appear")
            self._wait(lambda: self._policy, 10.0, "the agent sent no /diagnostics")
            say.step(self._model())
            say.title(f"What it remembers, live ({options.speed:g} times as fast as life)")
            start_ns = self._sim.epoch_ns
            end_ns = start_ns + options.clips * STEP_NS
            self._wait(
                lambda: self._newest_ns() >= end_ns,
                self._deadline - time.monotonic(),
                f"not {options.clips} clips were remembered in time",
            )
            say.title("Questions, while the camera keeps running")
            outcomes = self._ask_all()
            self._close()
        finally:
            rclpy.try_shutdown()
        return self._finish(outcomes)

    def _start_processes(self) -> None:
        common = dict(namespace="", params_file="", log_level="info")
        agent = NodePlan(
            "taskmem_agent",
            "taskmem_agent",
            parameters={
                "autostart": True,
                "use_sim_time": True,
                "database": str(self._database),
                "model": self._options.model,
                "quantization": self._options.quantization,
            },
            **common,
        )
        camera = NodePlan(
            "home_camera",
            "home_camera",
            parameters={"seed": self._options.seed, "speed": float(self._options.speed), "wait": True},
            **common,
        )
        for node in (agent, camera):
            self._children.append(Child(node, self._log, environment={"TZ": "UTC"}))
            self._say.step(f"{node.name} started, process {self._children[-1].process.pid}")
        self._say.step(
            f"they talk over DDS in domain {os.environ['ROS_DOMAIN_ID']}, on this machine only; "
            f"their log: {self._shown(Path(self._log.name))}"
        )

    def _connect(self, node: Node) -> None:
        self._node, self._executor = node, SingleThreadedExecutor()
        self._executor.add_node(node)
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
        future = self._ask.call_async(srv.AskMemory.Request(question=question.text))
        self._wait(future.done, ASK_S + 10.0, f"ask_memory sent no reply to {question.text!r}")
        seconds = time.monotonic() - began
        reply = future.result()
        self._wait(
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

    def _wait(self, condition: Callable[[], Any], seconds: float, failure: str) -> None:
        """Spin until `condition`; DemoFailed when it takes too long or a process dies."""
        until = min(time.monotonic() + seconds, self._deadline)
        while not condition():
            for child in self._children:
                if child.ended() is not None:
                    raise DemoFailed(f"{child.node.name} ended with exit code {child.ended()}.")
            if time.monotonic() > until:
                raise DemoFailed(f"{failure} ({seconds:.0f} s).")
            self._executor.spin_once(timeout_sec=0.1)

    def _close(self) -> None:
        for child in self._children:
            if child.ended() is not None:
                raise DemoFailed(f"{child.node.name} ended with exit code {child.ended()}.")
        for child in self._children:
            child.stop()
        for child in self._children:
            if code := child.wait():
                raise DemoFailed(f"{child.node.name} did not end well: exit code {code}.")
        self._executor.shutdown()
        self._node.destroy_node()

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
        shown = self._shown(self._database)
        say.line(
            f"{summary.memories} memories and {summary.tasks} questions are in {shown}. Look around in it:"
        )
        say.line(f"  taskmem timeline --database {shown}")
        say.line(f'  taskmem ask --database {shown} "{outcomes[0].question.text}"')
        verdicts = [outcome.verdict for outcome in outcomes]
        missing = [number for number in self._memories if number > summary.memories]
        if problems or missing:
            raise DemoFailed(
                " ".join(problems) or f"Memories {missing} were published and are not in {shown}."
            )
        if FAILED in verdicts:
            raise DemoFailed(f"{verdicts.count(FAILED)} of {len(verdicts)} questions timed out or failed.")
        if RIGHT not in verdicts:
            raise DemoFailed("Not one question about what the camera had seen was answered rightly.")
        return 0

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    sys.exit(main())
