"""DPO on an adapter alone, through TRL's DPOTrainer, from pairs of memories of one context.

TRL knows image columns, not videos, and would tokenize them itself. So rows carry a context's id and two
replies, and the collator makes the batch that TRL expects: chosen rows, then rejected ones, with a completion
mask.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from bitsandbytes.nn import Linear4bit
from datasets import Dataset, load_from_disk
from peft import LoraConfig, PeftConfig
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from taskmem_ros.policy.load import Checkpoint
from taskmem_ros.policy.prompt import memorize_parts
from taskmem_ros.policy.steer import steer_config
from taskmem_train.contexts import Context
from taskmem_train.prompts import PromptBatch

_REFERENCES = ("ref_chosen_logps", "ref_rejected_logps")
LORA_TARGETS = r"model\.language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"


@dataclass(frozen=True)
class Preference:
    """Two replies to one context, as the policy wrote them, and which is better."""

    context: str
    chosen: str
    rejected: str


class PreferenceTrainer(DPOTrainer):
    """DPOTrainer over rows that its collator makes into batches."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for parameter in self.model.parameters():
            if parameter.requires_grad:  # bfloat16, which TRL takes on a quantized model, loses small steps
                parameter.data = parameter.data.float()

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset


class PreferenceCollator:
    """Rows of `Preference` -> one batch for `PreferenceTrainer`."""

    def __init__(self, checkpoint: Checkpoint, contexts: Mapping[str, Context]):
        self._batch, self._contexts = PromptBatch(checkpoint), contexts

    def __call__(self, rows: Sequence[Mapping]) -> dict:
        contexts = [self._contexts[row["context"]] for row in rows]
        prompts = [memorize_parts(context.clips, context.memories) for context in contexts]
        replies = [row["chosen"] for row in rows] + [row["rejected"] for row in rows]
        batch = self._batch.replies(prompts * 2, replies)
        for name in _REFERENCES:
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch


def adapter_config(model, kind: str, layer: int, rank: int) -> PeftConfig:
    """PEFT's configuration of a "steer" (after `layer`) or "lora" (of `rank`) adapter. Raises ValueError."""
    if kind == "steer":
        return steer_config(model, layer)
    if kind == "lora":
        return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=LORA_TARGETS)
    raise ValueError(f"adapter {kind!r} is not known; use steer or lora")


def keep_differentiable(model) -> None:
    """Where weights are in 4 bits on a CPU: have them stay as they are, before the first forward pass.

    In eval mode bitsandbytes would pack them for its bfloat16 product; gradients are silently wrong then.
    Raises ValueError where that has happened.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            if getattr(module.weight.quant_state, "packing_format_for_cpu", False):
                raise ValueError(
                    "the model's 4-bit weights are packed for writing and give no gradients; "
                    "load it again, and call keep_differentiable before it writes"
                )
            module.support_avx512bf16_for_cpu = False


def fit_preferences(
    checkpoint: Checkpoint,
    peft_config: PeftConfig,
    preferences: Sequence[Preference],
    contexts: Mapping[str, Context],
    args: DPOConfig,
    callbacks: Sequence[TrainerCallback] = (),
    resume: Path | None = None,
) -> PreferenceTrainer:
    """Train one adapter on the frozen model of a checkpoint, which must not have one yet.

    resume: a checkpoint of the same training to go on from. Afterwards the adapter, on, is in the model.
    Raises ValueError for a model whose weights give no gradients; see `keep_differentiable`.
    """
    keep_differentiable(checkpoint.model)
    with _set_for_training(checkpoint):
        trainer = PreferenceTrainer(
            model=checkpoint.model,
            args=args,
            data_collator=PreferenceCollator(checkpoint, contexts),
            train_dataset=_on_disk(preferences, args),
            processing_class=checkpoint.tokenizer,
            peft_config=peft_config,
            callbacks=list(callbacks),
        )
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return trainer


@contextlib.contextmanager
def _set_for_training(checkpoint: Checkpoint) -> Iterator[None]:
    """Afterwards the model computes as before: its own attention and forward, which TRL replaces."""
    model = checkpoint.model
    attention, forward = model.config.get_text_config()._attn_implementation, vars(model).get("forward")
    if checkpoint.device.type == "cpu":  # the fused attention's gradient is slow there
        model.set_attn_implementation({"text_config": "eager"})
    try:
        yield
    finally:
        model.set_attn_implementation({"text_config": attention})
        vars(model).pop("forward", None)
        if forward is not None:
            model.forward = forward


def _on_disk(preferences: Sequence[Preference], args: DPOConfig) -> Dataset:
    """In the run's folder: TRL keeps the reference's likelihoods beside it, where all processes find them."""
    folder = Path(args.output_dir) / "preferences"
    with args.main_process_first():
        if args.process_index == 0:
            Dataset.from_list([vars(preference) for preference in preferences]).save_to_disk(folder)
    return load_from_disk(folder)
