"""A play: nodes in processes of their own, and a node of this process that watches and asks them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from .bringup import NodePlan
from .demo_transcript import Transcript
from .loopback import loopback_environment
from .up import Child


class PlayFailed(Exception):
    """The play cannot go on; the sentence says why."""


class Stage:
    """Its processes hear each other and nobody else does. Use it in a `with`: at the end all are ended.

    deadline: in time.monotonic() seconds; what waits past it fails. node: of this process, for publishers,
    subscriptions and clients.
    """

    def __init__(self, name: str, transcript: Transcript, log: TextIO, deadline: float) -> None:
        self._name, self._say, self._log, self._deadline = name, transcript, log, deadline
        self._children: list[Child] = []

    def __enter__(self) -> Stage:
        os.environ.update(loopback_environment())
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the children are ended in either case
        # Ctrl-C is Python's alone: rclpy's handler would take the context away while it is in use.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self.node: Node = rclpy.create_node(self._name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        return self

    def __exit__(self, *exception: object) -> None:
        for child in self._children:
            child.stop()
        for child in self._children:
            child.wait()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def start(
        self, executable: str, parameters: Mapping[str, Any], name: str = "", quiet: bool = False
    ) -> Child:
        """Start a node of this package; what it prints goes into the log. quiet: nothing is told of it."""
        plan = NodePlan(
            executable,
            name or executable,
            parameters=parameters,
            namespace="",
            params_file="",
            log_level="info",
        )
        child = Child(plan, self._log, environment={"TZ": "UTC"})
        self._children.append(child)
        if not quiet:
            self._say.step(f"{plan.name} started, process {child.process.pid}")
        return child

    def end(self, *children: Child) -> None:
        """End nodes (none: all); PlayFailed where one did not end well."""
        for child in children or self._children:
            self._check(child)
        for child in children or self._children:
            child.stop()
        for child in children or list(self._children):
            self._children.remove(child)
            if code := child.wait():
                raise PlayFailed(f"{child.node.name} did not end well: exit code {code}.")

    def wait(self, condition: Callable[[], Any], seconds: float, failure: str) -> None:
        """Spin until `condition`; PlayFailed when it takes too long or a process dies."""
        until = min(time.monotonic() + seconds, self._deadline)
        while not condition():
            for child in self._children:
                self._check(child)
            if time.monotonic() > until:
                raise PlayFailed(f"{failure} ({seconds:.0f} s).")
            self._executor.spin_once(timeout_sec=0.1)

    def call(self, client: Any, request: Any, seconds: float) -> Any:
        """The reply of a service; PlayFailed where none comes."""
        future = client.call_async(request)
        self.wait(future.done, seconds, f"{client.srv_name} sent no reply")
        return future.result()

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return self._deadline - time.monotonic()

    def _check(self, child: Child) -> None:
        if child.ended() is not None:
            raise PlayFailed(f"{child.node.name} ended with exit code {child.ended()}.")


def play(run: Callable[[TextIO], int], transcript: Transcript, log_path: Path) -> int:
    """`run(log)` with its failures as text: the exit code."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with open(log_path, "w", encoding="utf-8") as log:
        try:
            return run(log)
        except PlayFailed as error:
            log.flush()
            transcript.title("The demo failed")
            transcript.line(str(error))
            transcript.line(f"The last lines of {log_path}:")
            for line in tail(log_path, 25):
                transcript.line(f"  {line}")
            return 1
        except KeyboardInterrupt:
            transcript.line("interrupted")
            return 130


def tail(path: Path, lines: int) -> Sequence[str]:
    """The last lines of a text file."""
    return path.read_text(encoding="utf-8").splitlines()[-lines:]


def shown(path: Path) -> str:
    """A path for people: from here, where it lies below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
