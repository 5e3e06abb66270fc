"""launch/agent.launch.py: what it declares, and what its nodes really get.

Runs where launch_ros is installed.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip(
    "launch_ros", reason="launch and launch_ros come with a ROS 2 installation, not with its wheels"
)
rclpy = pytest.importorskip("rclpy", reason="no ROS 2 is sourced")

LAUNCH_FILE = Path(__file__).parents[2] / "launch" / "agent.launch.py"
LAUNCH = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

service = LaunchService()
service.include_launch_description(IncludeLaunchDescription(
    PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=[word.split(":=") for word in sys.argv[2:]]))
sys.exit(service.run())
"""


def test_every_argument_is_declared_with_a_description():
    spec = importlib.util.spec_from_file_location("agent_launch", LAUNCH_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = {a.name: a for a in module.generate_launch_description().get_launch_arguments()}
    assert set(arguments) >= {
        "namespace", "params_file", "use_sim_time", "autostart", "log_level", "use_respawn", "model",
        "quantization", "device", "database", "cameras", "image_topic", "image_transport", "sync", "exchange",
        "demo", "video",
    }  # fmt: skip
    assert all(len(a.description) > 10 and a.default_value is not None for a in arguments.values())
    assert arguments["image_transport"].choices == ("raw", "compressed")


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Starts the launch file with these arguments; all ends with the test, and must end well."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    processes = []

    def start(*words: str) -> None:
        command = [sys.executable, "-c", LAUNCH, str(LAUNCH_FILE), *words]
        out = (tmp_path / "out").open("w")
        processes.append(
            subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        )

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGINT)  # to all of them, as Ctrl-C in a terminal
        assert process.wait(timeout=30) == 0, (tmp_path / "out").read_text()


@pytest.mark.parametrize("namespace", ["", "/robot1"])
def test_arguments_win_over_the_file_only_when_given(launched, tmp_path, namespace):
    from rcl_interfaces.srv import GetParameters

    settings = tmp_path / "robot.yaml"
    settings.write_text(
        "/**/taskmem_agent:\n"
        "  ros__parameters: {model: of-the-file, device: cpu, autostart: false, window: 3}\n"
        "/**/taskmem_sync:\n  ros__parameters: {autostart: false, exchange: /of-the-file, robot: of-file}\n"
        f"{namespace}/home_camera:\n  ros__parameters: {{seed: 2000007, camera: of-the-file}}\n"
    )
    launched(
        f"namespace:={namespace[1:]}",
        f"params_file:={settings}",
        "model:=given",
        "cameras:=front,back",
        "demo:=true",
        f"database:={tmp_path / 'memory.db'}",
        "image_transport:=compressed",
        f"exchange:={tmp_path}",
    )
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("asker", context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    try:

        def ask(target: str, *names: str) -> list:
            client = node.create_client(GetParameters, f"{namespace}/{target}/get_parameters")
            assert client.wait_for_service(60), f"{target} did not start:\n{(tmp_path / 'out').read_text()}"
            future = client.call_async(GetParameters.Request(names=names))
            rclpy.spin_until_future_complete(node, future, executor, timeout_sec=30)
            return [rclpy.parameter.parameter_value_to_python(value) for value in future.result().values]

        names = ("model", "device", "window", "cameras", "image_transport", "autostart")
        given = ["given", "cpu", 3, ["front", "back"], "compressed", False]
        assert ask("taskmem_agent", *names) == given
        sync = ask("taskmem_sync", "exchange", "robot", "database", "autostart")
        assert sync == [str(tmp_path), "of-file", str(tmp_path / "memory.db"), False]
        assert ask("home_camera", "seed", "camera") == [2000007, "front"]
        deadline = time.monotonic() + 20
        while not node.get_publishers_info_by_topic(f"{namespace}/front/image_raw/compressed"):
            assert time.monotonic() < deadline, "the home camera does not publish in its namespace"
            time.sleep(0.1)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
