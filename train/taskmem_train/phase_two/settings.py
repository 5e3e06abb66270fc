"""Settings of Phase Two. Defaults are for the demo model; recipes for real ones are in train/recipes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from taskmem_ros.home import ROLES
from taskmem_train.shown import HOMES_HELP, ShownHomes

ADAPTERS, JUDGES, QUALITIES = ("steer", "lora"), ("truth", "answerability", "local", "endpoint", "random"), (
    "truth", "local", "endpoint", "none",
)  # fmt: skip


def _setting(default, help: str, **metadata):
    return field(default=default, metadata={"help": help, **metadata})


@dataclass(frozen=True)
class LearnConfig:
    """How an adapter is learned from contexts and tasks, wherever those come from."""

    model: str = _setting("demo", "demo, a folder or a hub id")
    quantization: str = _setting("none", "none or nf4", choices=("none", "nf4"))
    dtype: str = _setting("auto", "auto, float32, bfloat16")
    device: str = _setting("auto", "auto, cpu, cuda")
    questions: int = _setting(5, "recent questions that are learned from")
    contexts: int = _setting(0, "at most so many contexts, 0: all")
    candidates: int = _setting(8, "memories sampled for each context")
    temperature: float = _setting(1.0, "of the candidates")
    sampler: str = _setting("", "base URL of an OpenAI-compatible endpoint that samples; else transformers")
    sampler_model: str = _setting("", "its model")
    rollouts: str = _setting("", "file of candidates and verdicts, for runs to share; else OUT/rollouts.db")
    rows: int = _setting(64, "candidates sampled at once")
    max_new_tokens: int = _setting(256, "of a candidate")
    judge: str = _setting(
        "truth", "of helpfulness; truth is the demo home's, random a control", choices=JUDGES
    )
    quality: str = _setting("truth", "who checks that memories are true", choices=QUALITIES)
    judge_model: str = _setting("", "of a local or endpoint judge")
    judge_url: str = _setting("", "base URL of an endpoint judge")
    home_seed: tuple[str, ...] = _setting((), f"bundles: {HOMES_HELP}")
    true_only: bool = _setting(True, "choose no memory that states anything untrue")
    truth_pairs: float = _setting(
        0.5, "pairs of a true memory over a false one, for each pair of the judge's"
    )
    length_difference: int = _setting(8, "tokens by which the two of a pair differ less")
    longer: int = _setting(-1, "tokens that the better one of a pair may have more; -1: any")
    adapter: str = _setting("lora", "steer: one vector after one layer; lora", choices=ADAPTERS)
    layer: int = _setting(-1, "of steer, 0-based; -1: at 0.46 of the depth, as in TaskMem")
    rank: int = _setting(8, "of lora")
    beta: float = _setting(0.1, "of DPO")
    sft: float = _setting(0.3, "weight of the chosen memory's own likelihood beside DPO")
    stop_below: float = _setting(-0.05, "reward of chosen memories, mean of three updates, at which to stop")
    lr: float = _setting(1e-3, "learning rate")
    schedule: str = _setting("linear", "of the learning rate, as in transformers")
    warmup: int = _setting(2, "steps")
    epochs: float = _setting(2.0, "times through the pairs")
    steps: int = _setting(0, "instead of epochs, if above 0")
    batch: int = _setting(8, "pairs of a step on one device")
    accumulation: int = _setting(2, "such batches of one update")
    scale: float = _setting(1.0, "what a steering vector is multiplied by at the end")
    bf16: bool = _setting(True, "compute in bfloat16 where weights are float32")
    save_steps: int = _setting(10, "checkpoint every so many updates")
    seed: int = _setting(0, "of sampling and training")

    def __post_init__(self) -> None:
        for item in fields(self):
            value, choices = getattr(self, item.name), item.metadata.get("choices")
            if choices and value not in choices:
                raise ValueError(f"{item.name} is {value!r}; it must be one of {', '.join(choices)}")
        ShownHomes.of(self.home_seed)  # raises for what is no home
        if self.candidates < 2:
            raise ValueError(f"candidates is {self.candidates}; a preference needs at least 2")
        if self.adapter == "lora" and self.scale != 1.0:
            raise ValueError(f"scale is {self.scale}; only a steering vector is scaled")
        if bool(self.sampler) != bool(self.sampler_model):
            raise ValueError("--sampler and --sampler-model go together: the server's address and its model")
        for name in ("judge", "quality"):
            kind = getattr(self, name)
            if kind in ("local", "endpoint") and not self.judge_model:
                raise ValueError(f"--{name} {kind} needs --judge-model")
            if kind == "endpoint" and not self.judge_url:
                raise ValueError(f"--{name} endpoint needs --judge-url, as in http://localhost:8000/v1")

    def check_truth(self) -> None:
        """Raise ValueError where truth is to judge a bundle, and nobody said which home it shows."""
        if not self.home_seed and "truth" in (self.judge, self.quality):
            raise ValueError(
                "only the demo home's truth is known; for a bundle take another judge and quality, or name "
                "the home that it shows with --home-seed"
            )

    def layer_of(self, layers: int) -> int:
        """The steering vector's layer in a model of so many."""
        return layers * 22 // 48 if self.layer < 0 else self.layer


@dataclass(frozen=True)
class PhaseTwoConfig(LearnConfig):
    """Everything that the result follows from, besides the model and the clips themselves."""

    bundle: tuple[str, ...] = _setting((), "task bundles to learn from")
    tasks: tuple[str, ...] = _setting((), "their tasks, STORE_ID/TASK_ID, that may be learned from; else all")
    home: str = _setting("", f"or a role of the demo home, several joined by +: {', '.join(ROLES)}")
    home_seeds: str = _setting("2400000-2400029", "the homes whose clips are learned from, FIRST-LAST")
    home_clips: int = _setting(6, "clips of each home")
    asked_seeds: str = _setting("2450000-2450039", "the homes that the recent questions are about")
    home_answers: int = _setting(4, "answered questions of each role about each home, for answerability")

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.home) == bool(self.bundle):
            raise ValueError("give either --home ROLE or --bundle FILE to learn from")
        if unknown := [role for role in self.roles if role not in ROLES]:
            raise ValueError(f"home role {unknown[0]!r} is not known; use {', '.join(ROLES)}, joined by +")
        if self.bundle:
            self.check_truth()
        if not self.bundle and (self.tasks or self.home_seed):
            raise ValueError("--tasks and --home-seed are about bundles; give them with --bundle FILE")

    @property
    def roles(self) -> tuple[str, ...]:
        """Of the demo home; empty for bundles."""
        return tuple(self.home.split("+")) if self.home else ()
