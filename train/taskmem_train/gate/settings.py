"""The settings of `taskmem-train gate`: what is asked, who judges, and the rules."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from taskmem_ros.home import ROLES
from taskmem_train.bench.settings import JUDGES
from taskmem_train.gate.measures import FEW_STREAMS
from taskmem_train.gate.rules import GateRules
from taskmem_train.shown import HOMES_HELP, ShownHomes

QUALITIES = ("none", "endpoint", "local")
HELD_OUT = OTHER, REST = ("other", "rest")


def _setting(default, help: str, **metadata):
    return field(default=default, metadata={"help": help, **metadata})


@dataclass(frozen=True, kw_only=True)
class GateConfig(GateRules):
    """What held-out tasks are asked, of whom, and what the gate asks of the numbers."""

    publish: str = field(metadata={"help": "folder for published adapters; it goes to its folder NAME"})
    name: str = _setting("", "of the adapter; else that of RUN")
    adapter_in_use: str = _setting("", "folder of the adapter that it is to replace; else the bare policy")

    home: str = _setting("", f"a role of the demo home, several joined by +: {', '.join(ROLES)}")
    seeds: str = _setting("7000000-7000039", "home: homes that were not trained on, FIRST-LAST")
    questions: int = _setting(4, "home: of each role about each home")
    clips: int = _setting(12, "home: of each home")
    bundle: tuple[str, ...] = _setting((), "or task bundles; their tasks with a known answer are asked")
    held_out: str = _setting(
        "other",
        "bundle: refuse bundles with tasks that were trained on (other), or ask all but those (rest)",
        choices=HELD_OUT,
    )
    tasks: tuple[str, ...] = _setting((), "bundle: the tasks that are asked, STORE_ID/TASK_ID; else all")
    home_seed: tuple[str, ...] = _setting((), f"bundle: {HOMES_HELP}")
    repeats: int = _setting(
        1, "each way to memorize lives through the streams so often: what it writes is drawn by chance"
    )
    block: int = _setting(
        0, f"below {FEW_STREAMS} streams: so many consecutive questions are drawn as one; 0: streams are"
    )

    quality: str = _setting("none", "bundle: who checks that memories are true", choices=QUALITIES)
    quality_model: str = _setting("", "of an endpoint, or a model that sees (local)")
    quality_url: str = _setting("", "base URL of an OpenAI-compatible endpoint")
    judge: str = _setting("auto", "of open answers; auto: home's own, else exact", choices=JUDGES)
    judge_url: str = _setting("", "base URL of an OpenAI-compatible endpoint that judges answers")
    judge_model: str = _setting("", "its model")
    reader_url: str = _setting("", "base URL of an endpoint that answers from memory; else the policy does")
    reader_model: str = _setting("", "its model")

    device: str = _setting("auto", "auto, cpu, cuda or cuda:N")
    dtype: str = _setting("", "auto, float32, bfloat16 or float16; else the run's")
    temperature: float | None = _setting(None, "of memorizing; without it, what the checkpoint says")
    window: int = _setting(5, "clips that the policy sees")
    at_once: int = _setting(16, "streams in lock-step, and questions in a batch")
    seed: int = _setting(0, "of sampling and of the bootstrap")

    def __post_init__(self) -> None:
        if bool(self.home) == bool(self.bundle):
            raise ValueError("give either --home ROLE or --bundle FILE to ask about")
        if unknown := [role for role in self.roles if role not in ROLES]:
            raise ValueError(f"home role {unknown[0]!r} is not known; use {', '.join(ROLES)}, joined by +")
        ShownHomes.of(self.home_seed)  # raises for what is no home
        if (self.home or self.home_seed) and self.quality != "none":
            raise ValueError(f"quality is {self.quality!r}; the demo home's truth is known, so leave it away")
        if self.held_out not in HELD_OUT:
            raise ValueError(f"held_out is {self.held_out!r}; it must be one of {', '.join(HELD_OUT)}")
        if self.home and (self.tasks or self.home_seed or self.held_out != OTHER):
            raise ValueError("--tasks, --home-seed and --held-out are about bundles; give --bundle FILE")
        if not 1 <= self.repeats <= self.at_once:
            raise ValueError(
                f"repeats is {self.repeats} and at_once {self.at_once}; it must be from 1 to at_once, so "
                "that memories of the same stream are drawn together, and differ"
            )
        if self.block < 0:
            raise ValueError(f"block is {self.block}; it must be 0 or more questions")
        if (self.quality != "none") != bool(self.quality_model):
            raise ValueError(f"quality is {self.quality!r}; it and --quality-model go together")
        if (self.quality == "endpoint") != bool(self.quality_url):
            raise ValueError(f"quality is {self.quality!r}; --quality endpoint and --quality-url go together")

    @property
    def roles(self) -> tuple[str, ...]:
        """Of the demo home; empty for bundles."""
        return tuple(self.home.split("+")) if self.home else ()

    @property
    def rules(self) -> GateRules:
        return GateRules(**{item.name: getattr(self, item.name) for item in fields(GateRules)})
