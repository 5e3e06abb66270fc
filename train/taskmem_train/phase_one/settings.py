"""Settings of `taskmem-train phase-one`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _setting(default: Any, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"help": help, **more})


@dataclass(frozen=True)
class PhaseOneConfig:
    """Defaults are the paper's where it has one; see train/recipes for the demo home and for 30B-A3B."""

    model: str = _setting("demo", "demo, a folder or a hub id to start from")
    dtype: str = _setting("float32", "of weights and likelihoods", choices=("float32", "bfloat16"))
    autocast: bool = _setting(False, "compute in bfloat16 where that is safe, weights as they are")
    device: str = _setting("auto", "auto, cpu, cuda or cuda:N")
    train: str = _setting("full", "all text parameters, or LoRA on them", choices=("full", "lora"))
    lora_rank: int = _setting(32, "rank of LoRA, alpha twice as much")

    bundle: tuple[str, ...] = _setting((), "a robot's task bundles to learn from, instead of demo homes")
    judge: str = _setting(
        "truth", "of quality and richness; truth is the demo home's", choices=("truth", "endpoint", "local")
    )
    judge_model: str = _setting("", "of an endpoint or local judge")
    judge_url: str = _setting("", "base URL of an endpoint judge")
    homes: int = _setting(1_000_000, "first of the demo homes to learn from; each stream is the next one's")
    stream_clips: int = _setting(12, "clips of a stream")
    frame_size: tuple[int, ...] = _setting((), "WIDTH HEIGHT to which a home's frames are reduced at once")
    window: int = _setting(5, "clips of a context, the newest among them")
    off_policy_steps: int = _setting(60, "steps over an earlier run's contexts")
    on_policy_steps: int = _setting(40, "steps after those, over the policy's own")

    contexts: int = _setting(32, "contexts of a step")
    generations: int = _setting(8, "candidates of each context")
    iterations: int = _setting(1, "updates by the same candidates")
    accumulate: int = _setting(1, "parts in which a step's gradient is computed, for less memory")
    temperature: float = _setting(1.0, "at which candidates are sampled")
    max_new_tokens: int = _setting(2560, "of a candidate, thoughts included")
    lr: float = _setting(1e-6, "learning rate")
    warmup: int = _setting(5, "steps over which it rises")
    beta2: float = _setting(0.999, "of AdamW")
    max_grad_norm: float = _setting(1.0, "at which gradients are clipped")
    epsilon: float = _setting(0.2, "how far a ratio of likelihoods may fall")
    epsilon_high: float = _setting(0.28, "how far it may rise")
    gate: bool = _setting(True, "leave candidates alone that are worse than their group but good")
    gradient_checkpointing: bool = _setting(False, "less memory for more time")

    richness: float = _setting(0.05, "weight of richness; 0 is a run without it")
    thinking_limit: int = _setting(1200, "tokens of thoughts that cost nothing")
    length_limit: int = _setting(150, "tokens of a good memory")
    rehearse: int = _setting(0, "conversations about memories at each step, so that reading is not forgotten")

    save_every: int = _setting(20, "steps between checkpoints")
    measure_every: int = _setting(10, "steps between measures on homes never trained on; 0 is never")
    measure_homes: int = _setting(2_500_000, "the first of those")
    measure_streams: int = _setting(16, "how many")
    measure_clips: int = _setting(8, "clips of each")
    seed: int = _setting(0, "of everything that is drawn")

    def __post_init__(self) -> None:
        if self.bundle and self.judge == "truth":
            raise ValueError(
                "only the demo home's truth is known; for a bundle take --judge endpoint or local"
            )
        if self.judge != "truth" and not self.judge_model:
            raise ValueError(f"--judge {self.judge} needs --judge-model")
        if self.judge == "endpoint" and not self.judge_url:
            raise ValueError("--judge endpoint needs --judge-url, as in http://localhost:8000/v1")
        if self.generations < 2:
            raise ValueError(f"generations is {self.generations}; a group needs at least 2 to be compared")
        if self.save_every % self.iterations:
            raise ValueError(
                f"save_every {self.save_every} falls between updates by the same candidates; "
                f"make it a multiple of iterations {self.iterations}"
            )

    @property
    def steps(self) -> int:
        """Generations of candidates in the whole run."""
        return self.off_policy_steps + self.on_policy_steps
