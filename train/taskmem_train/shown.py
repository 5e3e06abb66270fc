"""The demo homes that a robot's cameras show: what was to be seen is known, so truth can judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from taskmem_ros.home import STEP_NS, Fact, HomeSim, visible_facts

HOMES_HELP = "the demo home that the robot's camera shows, SEED; of several CAMERA=SEED"


@dataclass(frozen=True)
class ShownHomes:
    """Seeds of `home_camera`. by_camera: of a camera's name. other: of all other cameras."""

    by_camera: Mapping[str, int] = field(default_factory=dict)
    other: int | None = None

    @classmethod
    def of(cls, values: Sequence[str]) -> ShownHomes | None:
        """values: SEED at most once, and CAMERA=SEED; without any: None. Raises ValueError for others."""
        seeds: dict[str, int] = {}
        for value in values:
            camera, _, seed = value.rpartition("=")
            if not (seed.isascii() and seed.isdigit()):
                raise ValueError(f"home_seed is {value!r}; write SEED, or CAMERA=SEED, as in 2000003")
            if camera in seeds:
                about = f"camera {camera!r}" if camera else "all cameras"
                raise ValueError(f"home_seed {value!r} is the second one of {about}; each shows one home")
            seeds[camera] = int(seed)
        other = seeds.pop("", None)
        return cls(seeds, other) if values else None

    def seed(self, camera: str) -> int:
        """Raises ValueError for a camera of which nobody said what it shows."""
        if (seed := self.by_camera.get(camera, self.other)) is None:
            raise ValueError(
                f"nobody said which home camera {camera!r} shows; add {camera}=SEED to home_seed, or take "
                "another judge than truth"
            )
        return seed

    def facts(self, camera: str, stamps_ns: Sequence[int]) -> tuple[Fact, ...]:
        """What pictures that `home_camera` took of its home at these times show, by the home's own clock.

        stamps_ns: of a clip's frames, ascending, as the camera sends them together with /clock. Raises
        ValueError for times before the home began, and of no single step of it: those pictures are not of
        this home.
        """
        seed = self.seed(camera)
        sim = _home(seed)
        times = [stamp - sim.epoch_ns for stamp in stamps_ns]
        if not times or times[0] < 0 or times[0] // STEP_NS != times[-1] // STEP_NS:
            raise ValueError(
                f"the pictures of {stamps_ns[0] if times else 'a clip without any'} ns are of no 10 s of "
                f"home {seed}; give the home_seed of the robot's camera, or take another judge than truth"
            )
        return tuple(visible_facts(sim, times))


@lru_cache(maxsize=16)
def _home(seed: int) -> HomeSim:
    return HomeSim(seed)
