"""The package's own papers agree with each other: interfaces, requirements, parameters."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def requirements(text: str) -> list[Requirement]:
    return [
        Requirement(line) for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line
    ]


def test_every_interface_is_built():
    built = set(re.findall(r"\b(?:msg|srv)/\w+\.(?:msg|srv)", (ROOT / "CMakeLists.txt").read_text()))
    assert built == {f"{kind}/{path.name}" for kind in ("msg", "srv") for path in (ROOT / kind).iterdir()}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_every_requirement_is_pinned_once_for_each_python(python):
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    pins: dict[str, Requirement] = {}
    for pin in requirements((ROOT / "constraints.txt").read_text()):
        if pin.marker is None or pin.marker.evaluate(environment):
            assert canonicalize_name(pin.name) not in pins, f"{pin.name} is pinned twice for Python {python}"
            pins[canonicalize_name(pin.name)] = pin
    named = re.findall(
        r'^ +"([\w-]+(?:\[\w+\])?(?:>=[\d.]+)?)",$', (ROOT / "setup.py").read_text(), re.MULTILINE
    )
    assert {"torch>=2.6", "rosbags>=0.11"} <= set(named)
    for wanted in [*map(Requirement, named), *requirements((ROOT / "requirements-ros.txt").read_text())]:
        pin = pins[canonicalize_name(wanted.name)]
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier))
        assert wanted.specifier.contains(str(pin.specifier)[2:], prereleases=True), f"{pin} is not {wanted}"


def test_the_manifest_is_for_apt_alone():
    names = {
        element.text
        for element in ElementTree.parse(ROOT / "package.xml").getroot()
        if "depend" in element.tag
    }
    assert {"rclpy", "cv_bridge", "launch_ros", "tf2_ros_py"} <= names
    assert not [name for name in names if name.endswith("-pip")]


def test_the_parameters_file_has_every_parameter_with_its_default():
    parameters = pytest.importorskip("taskmem_ros.nodes.agent_parameters")
    ((node, content),) = yaml.safe_load((ROOT / "config" / "agent.yaml").read_text()).items()
    written = content["ros__parameters"]
    # autostart is true in the file, as in the launch file's arguments: who takes it wants a running agent.
    assert written.pop("autostart") is True and written.pop("use_sim_time") is False
    defaults = {spec.name: spec.default for spec in parameters.AGENT if spec.name != "autostart"}
    for group in [name for name, value in written.items() if isinstance(value, dict)]:
        written |= {f"{group}.{name}": value for name, value in written.pop(group).items()}
    assert written == {name: list(v) if isinstance(v, tuple) else v for name, v in defaults.items()}
    assert node == "/**/taskmem_agent"


def test_status_and_kind_are_the_same_numbers_everywhere():
    messages = pytest.importorskip(
        "taskmem.msg", reason="the interfaces are not built, or no ROS 2 is sourced"
    )
    services = pytest.importorskip("taskmem.srv")
    for other in (services.AskMemory.Response, services.SubmitTask.Request):
        names = re.findall(r"(?:STATUS|KIND)_\w+", " ".join(dir(other)) + " ".join(dir(type(other))))
        assert names
        assert {name: getattr(other, name) for name in names} == {
            name: getattr(messages.Task, name) for name in names
        }


def test_the_launch_file_needs_neither_cv2_nor_rosbags():
    """ros2 launch runs under the system's Python, not that of the virtual environment."""
    code = "import sys; sys.modules.update(dict.fromkeys(('cv2', 'rosbags', 'torch', 'rclpy'), None)); "
    code += "from taskmem_ros.nodes.bringup import ARGUMENTS, plan; plan({'demo': 'true'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_same_everywhere():
    manifest = ElementTree.parse(ROOT / "package.xml").findtext("version")
    assert re.findall(r'version="([\d.]+)"', (ROOT / "setup.py").read_text()) == [manifest]
    assert re.findall(r'__version__ = "(.+)"', (ROOT / "src/taskmem_ros/__init__.py").read_text()) == [
        manifest
    ]
