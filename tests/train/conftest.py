"""Tests of training make small Qwen3-VL models as the tests of the policy do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "policy")]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A random dense Qwen3-VL."""
    from tiny_models import make_folder

    return make_folder(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_moe_folder(tmp_path_factory) -> Path:
    """A random mixture-of-experts Qwen3-VL."""
    from tiny_models import make_folder

    return make_folder(tmp_path_factory.mktemp("tiny-moe") / "model", moe=True)
