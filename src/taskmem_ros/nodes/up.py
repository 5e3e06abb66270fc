"""`taskmem up`: the nodes of a bring-up as child processes, for where ros2 launch is not installed."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from .bringup import ARGUMENTS, NodePlan, plan

MODULES = {
    "taskmem_agent": "taskmem_ros.nodes.agent",
    "taskmem_sync": "taskmem_ros.nodes.sync",
    "home_camera": "taskmem_ros.nodes.home_camera",
    "video_camera": "taskmem_ros.nodes.video_camera",
}
RESPAWN_DELAY_S = 2.0
GRACE_S = 40.0  # until a child that was asked to end is killed; the agent waits 30 s for a token of its model


class Child:
    """One node's process; its output comes out line by line behind its name."""

    def __init__(
        self, node: NodePlan, out: IO[str] = sys.stdout, environment: Mapping[str, str] | None = None
    ) -> None:
        self.node, self._out, self._environment = node, out, environment or {}
        self.restart_at = 0.0
        self.start()

    def start(self) -> None:
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "RCUTILS_LOGGING_USE_STDOUT": "1",
            **self._environment,
        }
        # Its own session: a Ctrl-C in the terminal reaches only the supervisor, which passes it on once.
        self.process = subprocess.Popen(
            self.command(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._say(f"process started with pid [{self.process.pid}]")
        self.reader = threading.Thread(target=self._copy, args=(self.process.stdout,), daemon=True)
        self.reader.start()

    def command(self) -> list[str]:
        given_file = ""
        if self.node.params_file and (given := self.node.given_yaml()):
            self._folder = tempfile.TemporaryDirectory(prefix="taskmem-")  # removed with this object
            given_file = os.path.join(self._folder.name, "given.yaml")
            with open(given_file, "w", encoding="utf-8") as file:
                file.write(given)
        return [sys.executable, "-m", MODULES[self.node.executable], *self.node.ros_arguments(given_file)]

    def stop(self, sign: int = signal.SIGINT) -> None:
        if self.process.poll() is None:
            self.process.send_signal(sign)

    def wait(self, seconds: float = GRACE_S) -> int:
        """The exit code, in the end; what does not end within `seconds` is killed."""
        try:
            self.process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            self._say("did not end in time and is killed")
            self.stop(signal.SIGKILL)
            self.process.wait()
        self.reader.join(timeout=2.0)
        return self.process.returncode

    def ended(self) -> int | None:
        """The exit code (negative: the signal that killed it), or None while it runs."""
        return self.process.poll()

    def _copy(self, stream: IO[str]) -> None:
        for line in stream:
            self._say(line.rstrip("\n"))

    def _say(self, line: str) -> None:
        self._out.write(f"[{self.node.name}] {line}\n")
        self._out.flush()


class Supervisor:
    """Runs children until one that is required ends, or a signal comes."""

    def __init__(self, nodes: Sequence[NodePlan], respawn: bool = False) -> None:
        self._nodes, self._respawn = nodes, respawn
        self._signal: int | None = None

    def run(self) -> int:
        """Returns 0 after a signal when all ended well, else the exit code of the first child that failed."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        children = [Child(node) for node in self._nodes]
        code = 0
        try:
            while self._signal is None and children:
                time.sleep(0.1)
                code, children = self._look(children)
                if code is not None:
                    break
        finally:
            failed = self._end(children)
        return code or failed

    def _look(self, children: list[Child]) -> tuple[int | None, list[Child]]:
        """What has ended: respawn it, go on without it, or give the exit code that ends all."""
        left = []
        for child in children:
            code = child.ended()
            if code is None:
                left.append(child)
                continue
            if not child.restart_at:
                child.reader.join(timeout=2.0)
                print(f"[{child.node.name}] process has ended with exit code {code}", flush=True)
                if not self._respawn or (code == 0 and not child.node.lasting):
                    if child.node.required:
                        return _shell_code(code), [c for c in children if c.ended() is None]
                    continue
                child.restart_at = time.monotonic() + RESPAWN_DELAY_S
            if time.monotonic() >= child.restart_at:
                child.restart_at = 0.0
                child.start()
            left.append(child)
        return None, left

    def _end(self, children: Sequence[Child]) -> int:
        children = [child for child in children if child.ended() is None]
        sign = self._signal or signal.SIGINT
        for child in children:
            child.stop(sign)
        deadline = time.monotonic() + GRACE_S
        codes = [child.wait(deadline - time.monotonic()) for child in children]
        # One that was still importing has no handler yet and ends by the signal itself, as it was asked to.
        return next((_shell_code(code) for code in codes if code not in (0, -sign)), 0)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signal = number


def _shell_code(code: int) -> int:
    return 128 - code if code < 0 else code


def parser() -> argparse.ArgumentParser:
    """Arguments as `ros2 launch` takes them (name:=value), or as --name value."""
    parser = argparse.ArgumentParser(
        prog="taskmem up",
        allow_abbrev=False,
        description="Start the agent, and a camera or the sync node where asked for, as ros2 launch would.",
        epilog="Each argument may also be written as in ros2 launch: demo:=true.",
    )
    for argument in ARGUMENTS:
        parser.add_argument(
            _option(argument.name),
            dest=argument.name,
            choices=argument.choices or None,
            metavar=None if argument.choices else "VALUE",
            help=f"{argument.description} (default: {argument.default or 'none'})",
            default=argparse.SUPPRESS,
        )
    return parser


def arguments(words: Sequence[str]) -> dict[str, str]:
    """The arguments of a command line in both spellings; argparse ends the program on a wrong one."""
    options = []
    for word in words:
        name, separator, value = word.partition(":=")
        if separator and not word.startswith("-"):
            options.append(f"{_option(name)}={value}")
        elif word.startswith("--"):
            name, separator, value = word[2:].partition("=")
            options.append(_option(name) + separator + value)
        else:
            options.append(word)
    return vars(parser().parse_args(options))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def main(argv: Sequence[str] | None = None) -> int:
    try:
        given = arguments(sys.argv[1:] if argv is None else argv)
        nodes = plan(given)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        import rclpy  # noqa: F401  (each child would fail with the same, less clearly)
    except ImportError as error:
        print(
            f"error: ROS 2 is not there for {sys.executable} ({error}); source a ROS 2, or run make setup.",
            file=sys.stderr,
        )
        return 2
    return Supervisor(nodes, respawn=given.get("use_respawn") == "true").run()


if __name__ == "__main__":
    sys.exit(main())
