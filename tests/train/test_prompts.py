"""A batch of prompts with video is, row by row, what the robot gives its model one by one."""

from __future__ import annotations

import pytest
import torch
from taskmem_train.prompts import PromptBatch
from tiny_contexts import window

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.prompt import memorize_parts, memory_reply

SIZES = (3, 1, 5, 2, 4)
REPLIES = [memory_reply("a cup " * size) for size in SIZES]


@pytest.fixture(scope="module", params=["tiny_folder", "tiny_moe_folder"])
def checkpoint(request):
    folder = request.getfixturevalue(request.param)
    return MemoryPolicy.load(str(folder), device="cpu", dtype="float32").checkpoint


@pytest.fixture(scope="module")
def prompts() -> list[list]:
    contexts = [window(size, seed=size) for size in SIZES]
    return [memorize_parts(context.clips, context.memories) for context in contexts]


@torch.no_grad()
def alone(checkpoint, parts, reply: str = "") -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, logits) of one prompt and its reply, as the robot packs it."""
    inputs = checkpoint.packer.pack(parts)
    after = checkpoint.tokenizer(reply, add_special_tokens=False, return_tensors="pt")["input_ids"].long()
    inputs["input_ids"] = torch.cat([inputs["input_ids"], after], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["mm_token_type_ids"] = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, after.shape[1]))
    return inputs["input_ids"][0], checkpoint.model(**inputs).logits[0]


def test_prompts_of_all_sizes_padded_on_the_left_have_the_logits_of_each_alone(checkpoint, prompts):
    batch = PromptBatch(checkpoint).prompts(prompts)
    assert batch["attention_mask"][:, -1].all() and not batch["attention_mask"][:, 0].all()
    with torch.no_grad():
        logits = checkpoint.model(**batch).logits
    for row, parts in enumerate(prompts):
        ids, expected = alone(checkpoint, parts)
        assert torch.equal(batch["input_ids"][row, -len(ids) :], ids)
        assert batch["attention_mask"][row].sum() == len(ids)
        assert (logits[row, -len(ids) :] - expected).abs().max() < 1e-4


def test_replies_padded_on_the_right_have_the_logits_of_each_alone(checkpoint, prompts):
    batch = PromptBatch(checkpoint).replies(prompts, REPLIES)
    assert batch["attention_mask"][:, 0].all() and not batch["attention_mask"][:, -1].all()
    with torch.no_grad():
        logits = checkpoint.model(**batch).logits
    for row, (parts, reply) in enumerate(zip(prompts, REPLIES)):
        ids, expected = alone(checkpoint, parts, f"{reply}<|im_end|>")
        assert torch.equal(batch["input_ids"][row, : len(ids)], ids)
        assert (logits[row, : len(ids)] - expected).abs().max() < 1e-4
        learned = batch["input_ids"][row][batch["completion_mask"][row] == 1]
        assert checkpoint.tokenizer.decode(learned) == f"{reply}<|im_end|>"


def test_text_alone_needs_no_video(checkpoint):
    batch = PromptBatch(checkpoint).prompts([["Where is the cup?"], ["Who is there, and since when?"]])
    assert "mm_encoder_outputs" not in batch
    with torch.no_grad():
        logits = checkpoint.model(**batch).logits
    ids, expected = alone(checkpoint, ["Where is the cup?"])
    assert (logits[0, -len(ids) :] - expected).abs().max() < 1e-4


@pytest.fixture
def seen(checkpoint):
    """How many clips the vision tower has seen in each of its calls."""
    counts: list[int] = []
    hook = checkpoint.model.model.visual.register_forward_pre_hook(
        lambda module, args, kwargs: counts.append(len(kwargs.get("grid_thw", args[-1]))), with_kwargs=True
    )
    yield counts
    hook.remove()


def test_a_clip_goes_through_the_vision_tower_once(checkpoint, prompts, seen):
    batch = PromptBatch(checkpoint)
    batch.prompts(prompts)
    assert sum(seen) == sum(SIZES)
    batch.prompts(prompts[::-1])
    batch.replies(prompts * 2, REPLIES * 2)
    assert sum(seen) == sum(SIZES)
    grown = window(5, seed=3)
    batch.prompts([memorize_parts(grown.clips[:3], grown.memories[:2])] * 2)
    batch.prompts([memorize_parts(grown.clips, grown.memories)])
    assert sum(seen) == sum(SIZES) + 5


def test_of_the_clips_those_used_last_are_kept(checkpoint, seen):
    batch = PromptBatch(checkpoint, clips_kept=2)
    parts = [memorize_parts(window(1, seed).clips, ()) for seed in range(3)]
    batch.prompts(parts[:2])
    batch.prompts(parts[:1])  # now the second is the oldest
    batch.prompts(parts[2:])
    assert sum(seen) == 3
    batch.prompts(parts[:1])
    assert sum(seen) == 3
    batch.prompts(parts[1:2])
    assert sum(seen) == 4
    # More clips in one batch than are kept: all are there for it.
    assert len(batch.prompts(parts)["video_grid_thw"]) == 3
