"""Homes that the robot of `taskmem nights` sees to in turn: when it is where, what its camera saw there, what
people ask it and what is true.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from taskmem_ros.home.facts import Fact
from taskmem_ros.home.questions import HomeQuestion, look_up, observations, queries_about
from taskmem_ros.home.roles import ROLES
from taskmem_ros.home.world import STEP_NS, HomeSim

DAY_NS = 24 * 3600 * 1_000_000_000
BETWEEN_NS = 600 * 1_000_000_000  # from one home to the next, at least


@dataclass(frozen=True)
class Visit:
    """Some clips in one home from `start_ns` on. Times are those of the camera's stamps."""

    home: HomeSim
    start_ns: int

    @property
    def camera(self) -> str:
        """Each home has a camera of its own: it is another place."""
        return camera_of(self.home.seed)

    @property
    def start_s(self) -> float:
        """By the home's own clock, in seconds: the parameter `start` of home_camera."""
        return (self.start_ns - self.home.epoch_ns) / 1e9


@dataclass(frozen=True)
class Seen:
    """What there is a memory of: [start_ns, end_ns) of a camera."""

    camera: str
    start_ns: int
    end_ns: int


class Visits:
    """The robot's way through its homes. seeds: of the homes. salt: of what is asked."""

    def __init__(self, seeds: range, salt: str) -> None:
        self._homes = sorted((HomeSim(seed) for seed in seeds), key=lambda home: home.epoch_ns)
        self._of_camera = {camera_of(home.seed): home for home in self._homes}
        self._rng = random.Random(salt)
        self._free_ns = 0
        self._seen: dict[int, Seen] = {}

    @property
    def cameras(self) -> list[str]:
        return list(self._of_camera)

    @property
    def home_seeds(self) -> list[str]:
        """Which home each camera shows, as `--home-seed` of taskmem-train takes it."""
        return [f"{camera}={home.seed}" for camera, home in self._of_camera.items()]

    def round(self, day: int, clips: int) -> Iterator[Visit]:
        """A visit to each home on that day (0-based), each as early as its hour and the robot allow."""
        for home in self._homes:
            visit = Visit(home, max(home.epoch_ns + day * DAY_NS, self._free_ns))
            self._free_ns = visit.start_ns + clips * STEP_NS + BETWEEN_NS
            yield visit

    def note(self, memory: int, seen: Seen) -> None:
        """A memory was written."""
        self._seen[memory] = seen

    def knows(self, memory: int) -> bool:
        return memory in self._seen

    def remembered_until(self, visit: Visit) -> int:
        """The end of the newest memory of a visit; its start while there is none."""
        of_visit = [seen.end_ns for seen in self._seen.values() if _belongs(seen, visit)]
        return max(of_visit, default=visit.start_ns)

    def questions(self, visit: Visit, role: str, count: int) -> list[HomeQuestion]:
        """What that role asks in a home: of what the clips remembered in this visit so far show."""
        shown = self._shown(seen for seen in self._seen.values() if _belongs(seen, visit))
        queries = dict.fromkeys(query for facts in shown for fact in facts for query in queries_about(fact))
        chosen = [query for query in queries if query.form in ROLES[role]]
        self._rng.shuffle(chosen)
        return [
            HomeQuestion(query.text(self._rng), query.kind, look_up(query, shown).answer, query)
            for query in chosen[:count]
        ]

    def with_truth(self, question: HomeQuestion, watermark: int) -> HomeQuestion:
        """The question with what all remembered clips show by the newest memory that could be read."""
        shown = self._shown(seen for memory, seen in self._seen.items() if memory <= watermark)
        found = look_up(question.query, shown)
        return replace(question, answer=found.answer if found else None)

    def _shown(self, clips: Iterable[Seen]) -> list[list[Fact]]:
        """The truth of clips, oldest first."""
        facts = []
        for seen in sorted(clips, key=lambda seen: seen.start_ns):
            home = self._of_camera[seen.camera]
            facts += observations(home, seen.end_ns - home.epoch_ns, seen.start_ns - home.epoch_ns)
        return facts


def camera_of(seed: int) -> str:
    return f"home_{seed}"


def _belongs(seen: Seen, visit: Visit) -> bool:
    return seen.camera == visit.camera and seen.start_ns >= visit.start_ns
