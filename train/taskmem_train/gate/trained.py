"""The folder of a Phase Two run, and held-out tasks that it was not trained on."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskmem_ros.exchange import Bundle
from taskmem_ros.memory import Task
from taskmem_ros.policy.adapter import CONFIG_FILE, WEIGHTS_FILE
from taskmem_train.bench.bundle import bundle_dataset, task_id
from taskmem_train.bench.home import home_dataset
from taskmem_train.bench.types import Dataset
from taskmem_train.bundles import task_uid
from taskmem_train.gate.settings import REST, GateConfig
from taskmem_train.phase_two.settings import PhaseTwoConfig
from taskmem_train.seeds import seed_range
from taskmem_train.settings import read_settings
from taskmem_train.shown import ShownHomes

ADAPTER = "adapter"  # in the run's folder
BundledClipKey = tuple[str, str, int, int]  # robot, camera, episode, start_ns
_HOME = re.compile(r"home-(\d+)-\d+")  # a camera of `bundles.home_bundle`


@dataclass(frozen=True)
class TrainedRun:
    """A finished run. questions: the recent ones that it was fitted to, oldest first."""

    folder: Path
    config: PhaseTwoConfig
    questions: tuple[str, ...]

    @classmethod
    def read(cls, folder: str | Path) -> TrainedRun:
        """Raises ValueError where the folder is of no finished run, and OSError."""
        folder = Path(folder).expanduser()
        for name in ("config.yaml", "yield.json", f"{ADAPTER}/{CONFIG_FILE}", f"{ADAPTER}/{WEIGHTS_FILE}"):
            if not (folder / name).is_file():
                raise ValueError(
                    f"{folder} has no {name}: it is no finished run; run `taskmem-train phase-two {folder}`"
                )
        config = read_settings(Namespace(config=folder / "config.yaml"), PhaseTwoConfig)
        try:
            questions = tuple(json.loads((folder / "yield.json").read_text(encoding="utf-8"))["questions"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{folder}/yield.json has no questions ({error!r}); run phase-two again"
            ) from error
        return cls(folder, config, questions)

    @property
    def adapter(self) -> Path:
        return self.folder / ADAPTER

    def bundles(self) -> list[Path]:
        """The bundles that it was trained on. Raises ValueError where one is not there any more."""
        paths = [Path(path).expanduser() for path in self.config.bundle]
        for path in paths:
            if not path.is_file():
                raise ValueError(
                    f"{path}, which {self.folder} was trained on, is not there; put it back, or nobody can "
                    "tell which tasks are held out"
                )
        return paths


@dataclass(frozen=True)
class HeldOutTasks:
    """dataset: what to ask. clips, clips_trained_on: of bundles, and how many of them the run has seen.

    left_out: tasks of the bundles that were trained on, and so are not asked.
    """

    dataset: Dataset
    clips: int = 0
    clips_trained_on: int = 0
    left_out: int = 0


def held_out_tasks(config: GateConfig, run: TrainedRun) -> HeldOutTasks:
    """The homes or bundles of the settings.

    Raises ValueError that names a home or a task that was trained on, and BundleError. Where the rest of
    bundles' tasks is asked, tasks that were trained on are left out, and their clips may be the same.
    """
    trained, asked = _clips(run.bundles()), _clips(config.bundle)
    seeds = seed_range(config.seeds) if config.home else ()
    rest = config.held_out == REST
    _check_homes(run, _homes(trained), {*seeds, *(() if rest else _homes(asked))})
    left_out = 0
    if config.home:
        how = {"questions": config.questions, "clips": config.clips, "roles": config.roles}
        dataset = home_dataset(seeds, **how, recent_seeds=())
    else:
        fitted_to = _fitted_to(run)
        names = {uid: task_id(robot, task) for uid, (robot, task) in _all_tasks(config.bundle).items()}
        chosen = {uid for uid in names if not config.tasks or uid in config.tasks}
        if rest:
            left_out = sum(names[uid] in fitted_to for uid in chosen)
            chosen = {uid for uid in chosen if names[uid] not in fitted_to}
        homes = ShownHomes.of(config.home_seed)
        dataset = bundle_dataset(config.bundle, wanted=chosen.__contains__, homes=homes)
        _check_tasks(run, fitted_to, dataset)
    return HeldOutTasks(dataset, len(asked), len(asked & trained), left_out)


def _check_homes(run: TrainedRun, bundled: set[int], asked: set[int]) -> None:
    trained = {"home_seeds": run.config.home_seeds, "asked_seeds": run.config.asked_seeds}
    known = {name: set(seed_range(seeds)) for name, seeds in trained.items()} if run.config.home else {}
    for name, seeds in (known | {"bundle": bundled}).items():
        if both := asked & seeds:
            raise ValueError(
                f"home {min(both)} was trained on ({name} in {run.folder}/config.yaml); take other homes"
            )


def _check_tasks(run: TrainedRun, fitted_to: Mapping[str, str], dataset: Dataset) -> None:
    for stream in dataset.streams:
        for question in stream.questions:
            if question.id in fitted_to:
                raise ValueError(
                    f"task {fitted_to[question.id]} was trained on ({question.text!r}, bundle in "
                    f"{run.folder}/config.yaml); take bundles of other tasks, or ask the rest of them "
                    "(--held-out rest)"
                )


def _fitted_to(run: TrainedRun) -> dict[str, str]:
    """task_id -> number and bundle of the tasks that a run was fitted to, as of `read_source`: the newest,
    and where the judge knew answers, all. Of those that it might learn from, if its settings name them.
    """
    found: list[tuple[str, str]] = []
    allowed = set(run.config.tasks)
    for path in run.bundles():
        with Bundle.open(path) as bundle:
            found += [
                (task_id(bundle.manifest.robot, task), f"{task.id} of {path.name}")
                for task in bundle.tasks()
                if not allowed or task_uid(bundle, task) in allowed
            ]
    return dict(found if run.config.judge == "answerability" else found[-run.config.questions :])


def _all_tasks(paths: Sequence[str | Path]) -> dict[str, tuple[str, Task]]:
    """uid -> (robot, task) of all tasks in some bundles."""
    found: dict[str, tuple[str, Task]] = {}
    for path in paths:
        with Bundle.open(path) as bundle:
            robot = bundle.manifest.robot
            found |= {task_uid(bundle, task): (robot, task) for task in bundle.tasks()}
    return found


def _clips(paths: Sequence[str | Path]) -> set[BundledClipKey]:
    found: set[BundledClipKey] = set()
    for path in paths:
        with Bundle.open(path) as bundle:
            robot = bundle.manifest.robot
            found |= {(robot, clip.camera, clip.episode, clip.start_ns) for clip in bundle.clips()}
    return found


def _homes(clips: Iterable[BundledClipKey]) -> set[int]:
    """The demo homes among the cameras of bundles."""
    cameras = (_HOME.fullmatch(camera) for robot, camera, *_ in clips if robot == "demo-home")
    return {int(found[1]) for found in cameras if found}
