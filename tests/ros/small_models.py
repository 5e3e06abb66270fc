"""Small real Qwen3-VL checkpoints for the nodes: one that writes and reads, one that never stops."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_models import TAUGHT, make_clip, make_folder
from transformers import AutoModelForImageTextToText, AutoTokenizer

from taskmem_ros.policy.packing import VideoPacker, VideoSpec
from taskmem_ros.policy.prompt import memorize_parts, memory_reply
from taskmem_ros.recall import reading_prompt, reading_reply

ANSWER = "on the table"
QUESTIONS = ("Where is the red cup?", "Where is the blue book?", "Who was in the kitchen?")


def make_small_model(folder: Path, steps: int = 400) -> Path:
    """Remembers TAUGHT of every clip, and answers every question with ANSWER from the first memory."""
    make_folder(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).train()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    packer = VideoPacker(tokenizer, VideoSpec.from_pretrained(folder))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        if step % 2:
            rows = [(i * 10**10, TAUGHT) for i in range(1 + step // 2 % 8)]
            parts, reply = (
                [reading_prompt(QUESTIONS[step // 2 % len(QUESTIONS)], rows)],
                reading_reply((1,), ANSWER),
            )
        else:
            count = step // 2 % 5
            parts = memorize_parts([make_clip(i, seed=step) for i in range(1 + count)], [TAUGHT] * count)
            reply = memory_reply(TAUGHT)
        inputs = packer.pack(parts)
        target = torch.tensor([tokenizer(reply + "<|im_end|>", add_special_tokens=False)["input_ids"]])
        ids = torch.cat([inputs["input_ids"], target], 1)
        kinds = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, target.shape[1]))
        labels = ids.clone()
        labels[:, : -target.shape[1]] = -100
        inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        slower.step()
        optimizer.zero_grad()
    assert loss.item() < 0.05, f"the small model did not learn its replies: loss {loss.item():.3f}"
    model.save_pretrained(folder)
    return folder


def make_endless_model(folder: Path) -> Path:
    """A random model whose end token's row is zero, so that it is never the likeliest: every memory runs on
    to max_new_tokens, twice."""
    make_folder(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.eos_token_id] = 0.0
    model.save_pretrained(folder)
    return folder
