"""A store with a short past, and a real model to remember and read with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from past import DAY, TEXTS, S

from taskmem_ros.clips import Gap, Pose
from taskmem_ros.memory import Store

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / room) for room in ("ros", "policy", "recall")]
DEMO_MODEL = HERE.parents[1] / "models" / "demo"


@pytest.fixture(autouse=True)
def no_store_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("TASKMEM_DATABASE", str(tmp_path / "default.db"))


@pytest.fixture
def database(tmp_path) -> str:
    """Three memories of the hall from 08:00 on, a gap in between, one of the attic on the next day; two
    tasks.
    """
    path, start = tmp_path / "past.db", DAY + 8 * 3600 * S
    with Store.open(path) as store:
        for index, text in enumerate(TEXTS):
            pose = Pose("map", 1.0 + index, -2.0, 0, 0, 0, 0, 1) if index else None
            at = start + index * 60 * S
            store.add_memory("hall", 0, at, at + 10 * S, text, pose=pose, model="m", thumbnail=b"jpeg")
        store.add_memory("attic", 1, start + 86400 * S, start + 86410 * S, "A cat sleeps.", model="m")
        store.add_gap(Gap("hall", 0, start + 10 * S, start + 60 * S, "dropped"))
        task = store.add_task("Where is the mug?", choices=("table", "desk"), asked_ns=start + 200 * S)
        store.finish_task(task.id, "answered", answer="table", confidence=0.9, evidence=[(1, 1.0)])
        store.add_task("Who is it?", asked_ns=start + 300 * S)
        store.add_failure("hall", 0, start, start + 10 * S, raw="{oops", error="the reply is not JSON")
    return str(path)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """models/demo; before it is trained, a small one that always remembers and answers the same."""
    if (DEMO_MODEL / "config.json").is_file():
        return "demo"
    from small_models import make_small_model

    return str(make_small_model(tmp_path_factory.mktemp("small") / "model"))


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """For child processes: no ROS, UTC."""
    return {**os.environ, "TZ": "UTC", "OMP_NUM_THREADS": "1"}
