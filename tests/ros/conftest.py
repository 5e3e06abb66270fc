"""Real DDS, real processes: every test in a ROS domain of its own, on this machine only.

Nothing here imports rclpy before a fixture is used: each module of tests skips by itself where ROS 2 is
missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / room) for room in ("policy", "recall"))]

DEMO_MODEL = HERE.parents[1] / "models" / "demo"


@pytest.fixture
def ros(tmp_path):
    """A domain with a node to listen and ask in, and processes that are ended with the test."""
    from ros_helpers import Ros

    from taskmem_ros.nodes.loopback import free_domain

    with Ros(tmp_path, domain=free_domain()) as ros:
        yield ros


@pytest.fixture
def demo_model() -> str:
    """models/demo, and nothing else will do."""
    if not (DEMO_MODEL / "config.json").is_file():
        pytest.skip("models/demo is not there")
    return "demo"


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """models/demo; without it, a small one that always remembers and answers the same."""
    if (DEMO_MODEL / "config.json").is_file():
        return "demo"
    from small_models import make_small_model

    return str(make_small_model(tmp_path_factory.mktemp("small") / "model"))


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory) -> str:
    """One that never comes to the end of a memory."""
    from small_models import make_endless_model

    return str(make_endless_model(tmp_path_factory.mktemp("endless") / "model"))
