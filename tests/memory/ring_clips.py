"""Clips of noise, which as JPEG are large and all different, for tests of the ring."""

from __future__ import annotations

import numpy as np

from taskmem_ros.clips import Clip, Frame, Pose
from taskmem_ros.memory import Store

S = 1_000_000_000


def clip(
    number: int, camera: str = "hall", *, size: int = 64, frames: int = 4, x: float | None = None
) -> Clip:
    """Ten seconds from 10 * number on. size: height and width of its pictures. x: of the observer."""
    start, noise = 10 * number * S, np.random.default_rng(number)
    pose = None if x is None else Pose("map", x, 1.0, 0, 0, 0, 0, 1)
    stamps = [start + k * 10 * S // frames for k in range(frames)]
    pictures = [noise.integers(0, 256, (size, size, 3), np.uint8) for _ in stamps]
    made = tuple(Frame(stamp, camera, picture, pose) for stamp, picture in zip(stamps, pictures))
    return Clip(camera, 0, start, start + 10 * S, made)


def remember(store: Store, clip: Clip, text: str = "") -> None:
    span = (clip.camera, clip.episode, clip.start_ns, clip.end_ns)
    store.add_memory(*span, text or f"Number {clip.start_ns // (10 * S)}.", pose=clip.pose)
