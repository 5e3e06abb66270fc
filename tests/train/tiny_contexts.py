"""Contexts of random clips for tiny models."""

from __future__ import annotations

from taskmem_train.contexts import Context
from tiny_models import make_clip

MEMORIES = ("a red cup is on the table", "Anna is here", "the lamp is on", "a person puts the cup away")


def window(count: int, seed: int = 0) -> Context:
    """A window of `count` clips, with a memory of each but the last."""
    clips = tuple(make_clip(index, seed) for index in range(count))
    return Context(f"window-{count}-{seed}", clips, MEMORIES[: count - 1])
