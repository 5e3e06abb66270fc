"""What the parts of `phase_two.py` share: homes kept apart, fits made once, the benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskmem_train.bench import RecallReader, Result, run_stream_benchmark
from taskmem_train.bench.command import token_counter
from taskmem_train.bench.home import home_dataset
from taskmem_train.bench.run import System
from taskmem_train.phase_two.fit import ADAPTER, phase_two
from taskmem_train.phase_two.settings import PhaseTwoConfig

from taskmem_ros.home import ROLES
from taskmem_ros.policy import MemoryPolicy

# Homes that clips are learned from, that recent questions are about, and that are held out: never the same.
LEARNED, ASKED, HELD_OUT, DAYS = 2_400_000, 2_450_000, 2_500_000, 2_550_000
APART = 1000  # between two seeds


@dataclass(frozen=True)
class Scale:
    """How much is done. homes, clips: learned from. held_out: homes, with so many questions of each role."""

    homes: int = 80
    clips: int = 6
    steps: int = 24
    held_out: int = 14
    questions: int = 5


SMALL = Scale(homes=24, steps=20, held_out=8, questions=4)


class Lab:
    """One seed of the experiment, in OUT/seed-N. What was made already is not made again."""

    def __init__(self, policy: MemoryPolicy, out: Path, seed: int, scale: Scale):
        self.policy, self.out, self.seed, self.scale = policy, out / f"seed-{seed}", seed, scale
        self.out.mkdir(parents=True, exist_ok=True)

    def homes(self, first: int, count: int) -> range:
        return range(first + APART * self.seed, first + APART * self.seed + count)

    def fit(self, name: str, home: str, **changes) -> Path:
        """An adapter for a role (or roles, joined by +), fitted once. changes: of PhaseTwoConfig."""
        run = self.out / name
        learned, asked = self.homes(LEARNED, self.scale.homes), self.homes(ASKED, 40)
        settings = {
            "home": home, "home_seeds": _range(learned), "home_clips": self.scale.clips,
            "asked_seeds": _range(asked), "steps": self.scale.steps, "seed": self.seed,
            "rollouts": str(self.out / "rollouts.db"), **changes,
        }  # fmt: skip
        if not (run / "done.json").exists():
            report = phase_two(PhaseTwoConfig(**settings), run, self.policy)
            (run / "done.json").write_text(json.dumps(report), encoding="utf-8")
        return run / ADAPTER

    def report(self, name: str) -> dict:
        """What the fit of that name came to."""
        return json.loads((self.out / name / "done.json").read_text(encoding="utf-8"))

    def bench(
        self,
        name: str,
        systems: Mapping[str, System],
        roles: Sequence[str] = tuple(ROLES),
        homes: Sequence[int] | None = None,
        asked: Sequence[int] | None = None,
    ) -> Result:
        """The streaming benchmark on held-out homes; the task prompt has the adapters' questions."""
        dataset = self.dataset(roles, homes, asked)
        return run_stream_benchmark(
            dataset, systems, RecallReader.of_policy(self.policy), self.out / name,
            count_tokens=token_counter(self.policy), progress=False,
        )  # fmt: skip

    def dataset(self, roles=tuple(ROLES), homes=None, asked=None):
        return home_dataset(
            homes or self.homes(HELD_OUT, self.scale.held_out),
            questions=self.scale.questions,
            roles=roles,
            recent_seeds=asked or self.homes(ASKED, 40),
        )


def _range(seeds: range) -> str:
    return f"{seeds[0]}-{seeds[-1]}"
