"""Real DDS, real processes: every test in a ROS domain of its own, on this machine only."""
from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "policy")]

from ros_helpers import Ros  # noqa: E402
from small_models import make_endless_model, make_small_model  # noqa: E402

DEMO_MODEL = HERE.parents[1] / "models" / "demo"
_domains = itertools.count(os.getpid())


@pytest.fixture
def ros(tmp_path):
    """A domain with a node to listen and ask in, and processes that are ended with the test."""
    with Ros(tmp_path, domain=next(_domains) % 101 + 1) as ros:
        yield ros


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """models/demo; before it is trained, a small one that always remembers and answers the same."""
    if (DEMO_MODEL / "config.json").is_file():
        return "demo"
    return str(make_small_model(tmp_path_factory.mktemp("small") / "model"))


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory) -> str:
    """One that never comes to the end of a memory."""
    return str(make_endless_model(tmp_path_factory.mktemp("endless") / "model"))
