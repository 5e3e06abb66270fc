"""Contexts for tests of judges and pairs."""

from __future__ import annotations

import numpy as np
from taskmem_train.contexts import Context

from taskmem_ros.clips import Clip, Frame

S = 1_000_000_000


def context(*memories: str, id: str = "home-1", index: int = 0) -> Context:
    """A context whose window is one grey clip of ten seconds."""
    start = index * 10 * S
    frame = Frame(start, "camera", np.full((96, 128, 3), 128, np.uint8))
    return Context(id, (Clip("camera", 0, start, start + 10 * S, (frame,)),), memories)
