"""Judges by a model on this machine: the policy's own, with its adapter off, or any causal language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.prompt import PromptPart
from taskmem_train.judges.asking import Complete
from taskmem_train.judges.grading import SeeingJudge
from taskmem_train.judges.pairwise import PairwiseJudge
from taskmem_train.judges.types import JudgeError

MAX_NEW_TOKENS = 1024


def policy_complete(policy: MemoryPolicy, max_new_tokens: int = MAX_NEW_TOKENS) -> Complete:
    """A `Complete` by a loaded policy, video included."""

    def complete(parts: Sequence[PromptPart]) -> str:
        completion = policy.complete(parts, max_new_tokens=max_new_tokens)
        if completion.ended == "length":
            raise JudgeError(f"the judge's reply was cut off at {max_new_tokens} tokens; allow it more")
        return completion.text

    return complete


def causal_complete(
    folder: str | Path, *, device: str = "cpu", dtype: str = "auto", max_new_tokens: int = MAX_NEW_TOKENS
) -> Complete:
    """A `Complete` by a text-only model's folder, which needs a tokenizer with a chat template.

    device: as torch names it. Raises OSError for a folder that is no model, ValueError without a template.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise ValueError(f"{folder} has no chat template; a judge must be a chat model")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True).eval().to(device)

    def complete(parts: Sequence[PromptPart]) -> str:
        if not all(isinstance(part, str) for part in parts):
            raise JudgeError(f"{folder} reads text only; judge quality with a model that sees")
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": "".join(parts)}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        ).to(device)
        prompt = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            output = model.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens)
        if output.shape[1] - prompt >= max_new_tokens:
            raise JudgeError(f"the judge's reply was cut off at {max_new_tokens} tokens; allow it more")
        return tokenizer.decode(output[0, prompt:], skip_special_tokens=True)

    return complete


def local_helpfulness(complete: Complete) -> PairwiseJudge:
    """A judge of helpfulness; one comparison at a time, for there is one model."""
    return PairwiseJudge(complete)


def local_quality(complete: Complete) -> SeeingJudge:
    """A judge of quality; the model must take video, as `policy_complete`'s does."""
    return SeeingJudge(complete)
