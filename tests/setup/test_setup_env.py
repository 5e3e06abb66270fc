"""scripts/setup_env.py where the system lacks something: it says what, at once, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "checkout" / "scripts")
    return tmp_path / "checkout"


def setup(checkout: Path, path: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ROS_", "AMENT_", "PYTHON", "_ROS")) and name != "CXX"
    }
    script = checkout / "scripts" / "setup_env.py"
    clean |= {"PATH": path, **environment}
    return subprocess.run([sys.executable, script], text=True, capture_output=True, env=clean, timeout=60)


def test_each_missing_tool_is_one_line(checkout, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "make").symlink_to(shutil.which("make"))
    done = setup(checkout, str(tmp_path / "bin"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "setup: the system lacks",
        "  - a C++ compiler: sudo apt install g++",
        "  - git: sudo apt install git",
    ]
    assert not (checkout / ".venv").exists()


def test_a_ros_that_does_not_import_is_named(checkout, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to("/bin/false")
    (checkout / "rclpy.py").write_text("raise ImportError('broken')")
    done = setup(checkout, str(tmp_path / "bin"), ROS_DISTRO="humble", PYTHONPATH=str(checkout))
    assert done.returncode == 1
    assert "ROS_DISTRO=humble is set, but no python3 here can `import rclpy`" in done.stderr
