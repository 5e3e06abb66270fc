"""A ROS domain for a test: processes with their logs, and a node that listens, asks and publishes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from taskmem.msg import Coverage, Memory, Task

from taskmem_ros.nodes import qos
from taskmem_ros.nodes.loopback import loopback_environment

# Generous: the machine may be busy with a training run. Nothing waits this long on one that is not.
LONG_S = 120.0

# Images of a test must not get lost, as a camera's may.
_OVERRIDES = "qos_overrides./camera/image_raw.subscription"
RELIABLE = {f"{_OVERRIDES}.reliability": "reliable", f"{_OVERRIDES}.depth": 100}


class Process:
    """A child with its output in a file."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self.log = log
        self._file = open(log, "ab")  # noqa: SIM115 - closed in close()
        self.popen = subprocess.Popen(
            command, stdout=self._file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def send(self, sign: int) -> None:
        self.popen.send_signal(sign)

    def wait(self, seconds: float = LONG_S) -> int:
        return self.popen.wait(seconds)

    def end(self, sign: int = signal.SIGINT) -> int:
        """Ask it to end and return its exit code."""
        if self.popen.poll() is None:
            self.send(sign)
        return self.wait()

    def close(self) -> None:
        """Kill it if it does not end by itself; it was asked to."""
        try:
            self.wait(20.0)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.wait(20.0)
        self._file.close()


class Ros:
    """`with Ros(tmp_path, domain)`: start() processes, wait() for conditions, send() images."""

    def __init__(self, folder: Path, domain: int) -> None:
        self.folder, self.domain = folder, domain
        own = {
            **loopback_environment(domain),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "RCUTILS_LOGGING_USE_STDOUT": "1",
            "HOME": str(folder),
        }
        self.environment = {**os.environ, **own}
        self.processes: list[Process] = []
        self.health: dict[str, Any] = {}
        self.beats: list[tuple[float, dict[str, dict[str, str]]]] = []

    def __enter__(self) -> Ros:
        os.environ.update(loopback_environment(self.domain))  # the reading of rclpy.init
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self.node = Node("test", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.send(signal.SIGINT)
        for process in self.processes:
            process.close()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)
        if exception[0] is not None:
            for process in self.processes:
                print(f"--- {process.log.name}\n{process.output()[-6000:]}")

    def run(self, module: str, *words: str, name: str = "", before: Sequence[str] = ()) -> Process:
        """Start `python -m module words`; before: a command that starts it, such as nice."""
        log = self.folder / f"{name or module.rpartition('.')[2]}-{len(self.processes)}.log"
        command = [*before, sys.executable, "-m", module, *words]
        self.processes.append(Process(command, log, self.environment))
        return self.processes[-1]

    def agent(self, *, autostart: bool = True, before: Sequence[str] = (), **parameters: Any) -> Process:
        words = _parameters({"autostart": autostart, **parameters})
        return self.run("taskmem_ros.nodes.agent", "--ros-args", *words, before=before)

    def home(self, **parameters: Any) -> Process:
        return self.run("taskmem_ros.nodes.home_camera", "--ros-args", *_parameters(parameters))

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = LONG_S) -> Any:
        """Spin until `condition` holds and return it; fails when it takes too long or a process fails."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            dead = [p for p in self.processes if p.popen.poll() not in (None, 0, -signal.SIGKILL)]
            assert not dead, f"{dead[0].log.name} ended with {dead[0].popen.returncode} before: {what}"
            self._executor.spin_once(timeout_sec=0.1)
        return value

    def memories(self, namespace: str = "") -> list[Any]:
        return self.listen(Memory, f"{namespace}/memories".lstrip("/"), qos.memories())

    def coverage(self) -> list[Any]:
        return self.listen(Coverage, "coverage", 100)

    def tasks(self) -> list[Any]:
        return self.listen(Task, "tasks", 100)

    def listen(self, kind: type, topic: str, profile: Any) -> list[Any]:
        """A list that grows by each message."""
        heard: list[Any] = []
        self.node.create_subscription(kind, topic, heard.append, profile)
        return heard

    def call(self, kind: type, service: str, request: Any, seconds: float = LONG_S) -> Any:
        future = self.call_async(kind, service, request)
        self.wait(future.done, f"a reply of {service}", seconds)
        return future.result()

    def call_async(self, kind: type, service: str, request: Any) -> Any:
        client = self.node.create_client(kind, service)
        self.wait(client.service_is_ready, f"service {service}")
        return client.call_async(request)

    def change_state(self, transition: str, node: str = "taskmem_agent") -> bool:
        number = getattr(Transition, f"TRANSITION_{transition.upper()}")
        request = ChangeState.Request(transition=Transition(id=number))
        return self.call(ChangeState, f"{node}/change_state", request).success

    def state(self, node: str = "taskmem_agent") -> str:
        return self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label

    def active(self, node: str = "taskmem_agent") -> None:
        """Wait until the agent listens."""
        self.wait(
            lambda: self.health.get(f"{node}: agent", ("", {}))[1].get("state") == "active", f"{node} active"
        )

    def value(self, component: str, key: str, node: str = "taskmem_agent") -> str:
        """A value of /diagnostics, "" before the first."""
        return self.health.get(f"{node}: {component}", ("", {}))[1].get(key, "")

    def _on_diagnostics(self, array: Any) -> None:
        now = {
            status.name: (status.message, {pair.key: pair.value for pair in status.values})
            for status in array.status
        }
        self.health.update(now)
        self.beats.append((array.header.stamp.sec + array.header.stamp.nanosec / 1e9, now))


class Camera:
    """Publishes images of made-up seconds, as fast as the test wants."""

    def __init__(self, ros: Ros, topic: str = "camera/image_raw", profile: Any = 100) -> None:
        self._publisher = ros.node.create_publisher(Image, topic, profile)
        ros.wait(lambda: self._publisher.get_subscription_count(), f"a subscriber of {topic}")

    def send(self, second: float, **wrong: Any) -> None:
        """One 64x48 picture of this second; `wrong` overrides fields of the message."""
        picture = np.random.default_rng(int(second * 10)).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        image = Image(height=48, width=64, encoding="rgb8", step=192, data=picture.tobytes())
        image.header.stamp = Time(sec=int(second), nanosec=round(second % 1 * 1e9))
        for name, value in wrong.items():
            setattr(image, name, value)
        self._publisher.publish(image)

    def pass_time(self, first: float, last: float, step: float = 2.5) -> None:
        """A picture every `step` made-up seconds, from `first` to before `last`."""
        for number in range(int(np.ceil((last - first) / step))):
            self.send(first + number * step)


def _parameters(values: dict[str, Any]) -> list[str]:
    words = []
    for name, value in values.items():
        text = (
            str(value).lower()
            if isinstance(value, bool)
            else f'"{value}"'
            if isinstance(value, (str, Path))
            else value
        )
        words += ["-p", f"{name}:={text}"]
    return words
