"""The demo home as a training ground: streams of its clips with their truth, and the questions of
its roles.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from taskmem_ros.home import (
    ROLES,
    Fact,
    HomeQuestion,
    HomeSim,
    look_up,
    queries_about,
)
from taskmem_train.demo.samples import TRAIN_SEEDS, SeenClip, watch

STREAM_CLIPS = 12  # two minutes: the robot comes through most rooms once


@dataclass(frozen=True)
class HomeStream:
    """Some clips of a home in a row. id: seed and first step; the camera's name. seen: clips and truth."""

    id: str
    seen: tuple[SeenClip, ...]

    @property
    def observations(self) -> list[tuple[Fact, ...]]:
        """What the camera saw, for each clip: what `look_up` answers from."""
        return [seen.facts for seen in self.seen]


@lru_cache(maxsize=64)
def home_stream(seed: int, clips: int = STREAM_CLIPS) -> HomeStream:
    """A stream of a world that no model was trained on. Raises ValueError for a seed that may have been."""
    if seed < TRAIN_SEEDS:
        raise ValueError(f"home {seed} is for training the demo model; take seeds from {TRAIN_SEEDS} on")
    rng = random.Random(f"stream {seed}")
    first = rng.randrange(40)
    name = f"home-{seed}-{first}"
    return HomeStream(name, tuple(_named(seen, name) for seen in watch(HomeSim(seed), first, clips, rng)))


def _named(seen: SeenClip, camera: str) -> SeenClip:
    """The clip as of a camera of its own: homes are different places."""
    frames = tuple(replace(frame, camera=camera) for frame in seen.clip.frames)
    return replace(seen, clip=replace(seen.clip, camera=camera, frames=frames))


def role_questions(stream: HomeStream, role: str, count: int, seed: int = 0) -> list[HomeQuestion]:
    """Up to `count` different questions of a role that the camera saw the answer to, in a random order.

    Raises ValueError for an unknown role.
    """
    if role not in ROLES:
        raise ValueError(f"role {role!r} is not known; use one of {', '.join(ROLES)}")
    rng = random.Random(f"{role} {stream.id} {seed}")
    seen = stream.observations
    about = dict.fromkeys(query for facts in seen for fact in facts for query in queries_about(fact))
    queries = [query for query in about if query.form in ROLES[role]]
    rng.shuffle(queries)
    found = [(query, look_up(query, seen)) for query in queries[:count]]
    return [HomeQuestion(query.text(rng), query.kind, finding.answer, query) for query, finding in found]


def recent_questions(role: str, seeds: Sequence[int], count: int = 5) -> list[HomeQuestion]:
    """The first `count` questions that a role asks, one of each home in turn."""
    asked: list[HomeQuestion] = []
    for seed in seeds:
        asked += role_questions(home_stream(seed), role, 1, seed)
        if len(asked) >= count:
            break
    return asked[:count]
