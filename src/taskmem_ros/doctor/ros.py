"""Which ROS 2 this Python sees, looked at in a child process: importing rclpy can end or restart a
process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from taskmem_ros.doctor.check import FAIL, OK, WARN, Check

SOURCE = "Source /opt/ros/DISTRO/setup.bash, or run `make setup` and source scripts/env.sh."
BUILD = (
    "Build and source this package: `make build` and scripts/env.sh, or colcon build and install/setup.bash."
)
OPTIONAL = {
    "launch_ros": "`taskmem up` starts the same nodes as `ros2 launch`",
    "tf2_ros": "taskmem listens to /tf itself",
    "cv_bridge": "rosbags-image converts the images",
}
_PROBE = """
import importlib, json
found = {}
for name in ("rclpy", "taskmem.msg", "taskmem.srv", "launch_ros", "tf2_ros", "cv_bridge"):
    try:
        importlib.import_module(name)
        found[name] = ""
    except BaseException as error:
        found[name] = f"{type(error).__name__}: {error}"
if not found["rclpy"]:
    try:
        import rclpy
        found["rmw"] = rclpy.get_rmw_implementation_identifier()
    except BaseException as error:
        found["rmw_error"] = f"{type(error).__name__}: {error}"
print("\\n" + json.dumps(found))
"""


def check_ros() -> Iterator[Check]:
    """ROS distribution, rclpy, middleware, this package's messages, and the packages that are used where
    present.
    """
    found, error = _probe()
    if error:
        yield Check("ros", "rclpy", FAIL, error, SOURCE)
        return
    if found["rclpy"]:
        text = f"no ROS 2 here ({found['rclpy']}): ask, timeline, tasks, search and ingest work, nodes do not"
        yield Check("ros", "rclpy", WARN, text, SOURCE)
        return
    distro = os.environ.get("ROS_DISTRO", "")
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    yield Check("ros", "rclpy", OK, f"{distro or 'distribution not named ($ROS_DISTRO)'}, domain {domain}")
    if "rmw" in found:
        yield Check("ros", "middleware", OK, found["rmw"])
    else:
        fix = "Unset RMW_IMPLEMENTATION, or install the one it names."
        yield Check("ros", "middleware", FAIL, found["rmw_error"], fix)
    broken = found["taskmem.msg"] or found["taskmem.srv"]
    yield Check(
        "ros",
        "interfaces",
        FAIL if broken else OK,
        broken or "taskmem.msg, taskmem.srv",
        BUILD if broken else "",
    )
    for name, use in OPTIONAL.items():
        missing = found[name]
        text = f"is not there, and not needed: {use} ({missing})" if missing else "is there"
        yield Check("ros", name, OK, text)


def _probe() -> tuple[dict[str, str], str]:
    try:
        child = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return {}, "importing rclpy did not end within 60 s"
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines() or ["no message"]
        return {}, f"importing rclpy ended Python with status {child.returncode}: {lines[-1]}"
    return json.loads(child.stdout.strip().splitlines()[-1]), ""
