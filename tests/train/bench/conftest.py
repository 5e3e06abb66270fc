"""The demo model, and small benchmarks that show what a run does with their memories and questions."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import pytest
from taskmem_train.bench.command import token_counter

from taskmem_ros.home import HomeCamera, HomeSim
from taskmem_ros.policy import MemoryPolicy

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(scope="session")
def policy() -> MemoryPolicy:
    return MemoryPolicy.load("demo")


@pytest.fixture(scope="session")
def count_tokens(policy):
    return token_counter(policy)


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """film(path, home, first_s, seconds): what the camera of a demo home sees, as an mp4 of 2 Hz."""

    def make(path: Path, home: int = 7_100_000, first_s: int = 0, seconds: int = 20) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        camera = HomeCamera(HomeSim(home))
        frames = [camera.frame(int((first_s + i / 2) * 1e9)) for i in range(seconds * 2)]
        height, width = frames[0].shape[:2]
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 2, (width, height))
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        return path

    return make
