"""Real Qwen3-VL checkpoints, made in the test run: random ones, and one that was taught a reply."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import make_folder, teach

from taskmem_ros.policy import MemoryPolicy


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory) -> Path:
    """A random dense Qwen3-VL: it talks nonsense and seldom stops, which shows every disturbance."""
    return make_folder(tmp_path_factory.mktemp("random") / "model")


@pytest.fixture(scope="session")
def moe_folder(tmp_path_factory) -> Path:
    """A random mixture-of-experts Qwen3-VL."""
    return make_folder(tmp_path_factory.mktemp("moe") / "model", moe=True)


@pytest.fixture(scope="session")
def thinking_folder(tmp_path_factory) -> Path:
    """A random Qwen3-VL whose chat template opens the thoughts, as Thinking checkpoints do."""
    return make_folder(tmp_path_factory.mktemp("thinking") / "model", thinking=True)


@pytest.fixture(scope="session")
def taught_folder(tmp_path_factory) -> Path:
    """A Qwen3-VL that was taught to write the memory TAUGHT."""
    folder = make_folder(tmp_path_factory.mktemp("taught") / "model")
    teach(folder)
    return folder


@pytest.fixture(scope="session")
def random_policy(random_folder) -> MemoryPolicy:
    return MemoryPolicy.load(str(random_folder), device="cpu")


@pytest.fixture(scope="session")
def taught_policy(taught_folder) -> MemoryPolicy:
    return MemoryPolicy.load(str(taught_folder), device="cpu")
