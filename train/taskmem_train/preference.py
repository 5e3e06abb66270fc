"""DPO on an adapter alone, through TRL's DPOTrainer, from pairs of memories of one context.

TRL knows image columns, not videos, and would tokenize them itself. So rows carry a context's id and two
replies, and the collator makes the batch that TRL expects: chosen rows, then rejected ones, with a completion
mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from bitsandbytes.nn import Linear4bit
from datasets import Dataset
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


def fit_preferences(
    checkpoint: Checkpoint,
    peft_config: PeftConfig,
    preferences: Sequence[Preference],
    contexts: Mapping[str, Context],
    args: DPOConfig,
    callbacks: Sequence[TrainerCallback] = (),
    resume: bool = False,
) -> PreferenceTrainer:
    """Train one adapter on the frozen model of a checkpoint, which must not have one yet.

    Afterwards the adapter, on, is in the checkpoint's model; `save_adapter` writes it and takes it out.
    """
    for module in checkpoint.model.modules():
        if isinstance(module, Linear4bit):
            # Else a forward pass in eval mode packs the weights into a form whose gradient is silently wrong.
            module.support_avx512bf16_for_cpu = False
    if checkpoint.device.type == "cpu":  # the fused attention's gradient is slow there
        checkpoint.model.set_attn_implementation({"text_config": "eager"})
    trainer = PreferenceTrainer(
        model=checkpoint.model,
        args=args,
        data_collator=PreferenceCollator(checkpoint, contexts),
        train_dataset=Dataset.from_list([vars(preference) for preference in preferences]),
        processing_class=checkpoint.tokenizer,
        peft_config=peft_config,
        callbacks=list(callbacks),
    )
    trainer.train(resume_from_checkpoint=resume or None)
    return trainer
