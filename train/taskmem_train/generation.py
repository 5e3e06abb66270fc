"""Continuations of prompts, many at once, each prompt read once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from transformers import DynamicCache

from taskmem_ros.policy.load import Checkpoint


@torch.no_grad()
def continue_prompts(
    checkpoint: Checkpoint, inputs: dict, count: int, max_new_tokens: int, **sampling
) -> list[list[int]]:
    """`count` replies to each prompt, those of one prompt next to each other, as `whole` token ids.

    inputs: as `PromptBatch.prompts` gives them. sampling: of `generate`.
    """
    model = checkpoint.model
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    cache = DynamicCache(config=model.config.get_text_config())
    # All but the last token, which generate() reads itself for each reply.
    short = {name: inputs[name][:, :-1] for name in ("input_ids", "attention_mask", "mm_token_type_ids")}
    model(**inputs | short, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(count)
    model.model.rope_deltas = model.model.rope_deltas.repeat_interleave(count, 0)
    output = model.generate(
        input_ids=ids.repeat_interleave(count, 0),
        attention_mask=mask.repeat_interleave(count, 0),
        past_key_values=cache,
        max_new_tokens=max_new_tokens,
        **sampling,
    )
    return [whole(row, checkpoint.eos) for row in output[:, ids.shape[1] :].tolist()]


def whole(ids: Sequence[int], eos: Collection[int]) -> list[int]:
    """A reply up to its first end token; what follows is padding. One that was cut off has none."""
    end = next((at for at, token in enumerate(ids) if token in eos), len(ids))
    return list(ids[: end + 1])
