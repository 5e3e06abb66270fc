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
    STEP_NS,
    Fact,
    HomeQuestion,
    HomeSim,
    look_up,
    queries_about,
    visible_facts,
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


@lru_cache(maxsize=8)
def robots_home(seed: int) -> HomeSim:
    """The home of a robot in the demo: the one that `home_camera` shows with this seed."""
    return HomeSim(seed)


def shown_in(seed: int, stamps_ns: Sequence[int]) -> tuple[Fact, ...]:
    """What pictures that `home_camera` took of its home at these times show, by the home's own clock.

    stamps_ns: of a clip's frames, ascending, as the camera sends them together with /clock. Raises ValueError
    for times before the home began, and of no single step of it: those pictures are not of this home.
    """
    sim = robots_home(seed)
    times = [stamp - sim.epoch_ns for stamp in stamps_ns]
    if not times or times[0] < 0 or times[0] // STEP_NS != times[-1] // STEP_NS:
        raise ValueError(
            f"the pictures of {stamps_ns[0] if times else 'a clip without any'} ns are of no 10 s of home "
            f"{seed}; give the home_seed of the robot's camera, or take another judge than truth"
        )
    return tuple(visible_facts(sim, times))
