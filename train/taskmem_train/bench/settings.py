"""The settings of `taskmem-train bench`."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskmem_ros.clips import ClipSettings
from taskmem_train.shown import HOMES_HELP, ShownHomes

DATASETS = ("home", "bundle", "videomme", "egolife", "egotempo")
SYSTEMS = ("policy", "task-prompt", "describe-everything", "oracle")
JUDGES = ("auto", "exact", "endpoint")


def _field(default, help: str, **more):
    return field(default=default, metadata={"help": help, **more})


@dataclass(frozen=True)
class BenchConfig:
    """What is measured, on what, and by what. See each field's help."""

    dataset: str = _field("home", "which", choices=DATASETS)
    systems: tuple[str, ...] = _field(SYSTEMS[:3], f"of {', '.join(SYSTEMS)}; the first is compared with")
    model: str = _field("demo", "demo, a folder or a hub id")
    revision: str | None = _field(None, "of a model from the hub")
    quantization: str = _field("none", "of the model", choices=("none", "nf4", "int8"))
    device: str = _field("auto", "auto, cpu, cuda or cuda:N")
    dtype: str = _field("auto", "auto, float32, bfloat16 or float16")
    adapter: tuple[str, ...] = _field(
        (), "FOLDER, or KIND=FOLDER for one kind of questions: the system `adapter`, beside the others"
    )
    temperature: float | None = _field(None, "of memorizing; without it, what the checkpoint says")
    max_new_tokens: int | None = _field(None, "of a memory and its thoughts; none is what the robot allows")
    reader_tokens: int | None = _field(None, "of a reading and its thoughts; none is what the robot allows")

    bundle: tuple[str, ...] = _field((), "bundle: task bundles of a robot; their tasks with a known answer")
    home_seed: tuple[str, ...] = _field((), f"bundle: {HOMES_HELP}")

    annotations: str | None = _field(None, "the dataset's annotation file, as published")
    videos: str | None = _field(None, "folder of the dataset's videos")
    limit: int | None = _field(None, "so many videos at most (egolife: questions)")
    durations: tuple[str, ...] = _field(("short", "medium"), "videomme: which of short, medium, long")
    sample_rate: float = _field(ClipSettings.sample_rate, "frames a second that are looked at")
    clip_seconds: float = _field(ClipSettings.clip_seconds, "length of a clip")
    window: int = _field(5, "clips that the policy sees")

    seeds: str = _field("7000000-7000019", "home: which homes, FIRST-LAST, at or above 1000000")
    roles: tuple[str, ...] = _field((), "home: which roles; none is all")
    questions: int = _field(4, "home: of each role about each home")
    clips: int = _field(12, "home: of 10 s, of each home")

    reader_url: str | None = _field(None, "OpenAI-compatible endpoint that reads, instead of the model")
    reader_model: str | None = _field(None, "its model's name")
    judge: str = _field("auto", "of open answers; auto: home's own, else exact", choices=JUDGES)
    judge_url: str | None = _field(None, "OpenAI-compatible endpoint that judges")
    judge_model: str | None = _field(None, "its model's name")

    at_once: int = _field(16, "streams in lock-step, and questions in a batch")
    confidence: float = _field(0.95, "of the intervals")
    resamples: int = _field(2000, "of the bootstrap")
    seed: int = _field(0, "of sampling and of the bootstrap")

    def __post_init__(self):
        for system in self.systems:
            if system not in SYSTEMS:
                raise ValueError(f"system {system!r} is not known; use some of {', '.join(SYSTEMS)}")
        if "oracle" in self.systems and self.dataset != "home":
            raise ValueError(f"the oracle knows what the demo home shows; dataset {self.dataset!r} has none")
        if "describe-everything" in self.systems and "policy" not in self.systems:
            raise ValueError("describe-everything has policy's budget of tokens; add policy to systems")
        if (self.dataset == "bundle") != bool(self.bundle):
            raise ValueError(f"dataset is {self.dataset!r}; --dataset bundle and --bundle FILE go together")
        if self.dataset not in ("home", "bundle") and not (self.annotations and self.videos):
            raise ValueError(f"dataset {self.dataset!r} needs --annotations and --videos, as published")
        ShownHomes.of(self.home_seed)  # raises for what is no home
        if self.home_seed and not self.bundle:
            raise ValueError(f"home_seed is {' '.join(self.home_seed)}; it goes with --dataset bundle")
        for name in ("reader", "judge"):
            url, model = getattr(self, f"{name}_url"), getattr(self, f"{name}_model")
            if bool(url) != bool(model):
                raise ValueError(f"--{name}-url and --{name}-model go together; the other one is missing")
        if (self.judge == "endpoint") != bool(self.judge_url):
            raise ValueError(f"judge is {self.judge!r}; --judge endpoint and --judge-url go together")
        for name in ("at_once", "window", "questions", "clips", "resamples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
