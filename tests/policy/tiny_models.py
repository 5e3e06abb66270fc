"""Makes real, small Qwen3-VL checkpoints, teaches them a reply, and makes clips for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)

from taskmem_ros.clips import Clip, Frame
from taskmem_ros.policy.packing import VideoPacker, VideoSpec
from taskmem_ros.policy.prompt import GIVEN, INSTRUCTION, memorize_parts, memory_reply

TAUGHT = "a person puts the red cup on the table"
SPECIALS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VISION = dict(
    depth=2,
    hidden_size=32,
    intermediate_size=64,
    num_heads=2,
    patch_size=16,
    spatial_merge_size=2,
    temporal_patch_size=2,
    deepstack_visual_indexes=[0, 1],
    num_position_embeddings=64,
)
TEXT = dict(
    intermediate_size=128,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=32,
    rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [6, 5, 5]},
    max_position_embeddings=4096,
)


def make_tokenizer(thinking: bool = False) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([GIVEN, INSTRUCTION, memory_reply(TAUGHT)] * 3, trainer)
    tokenizer.add_tokens(["<think>", "</think>"])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    wrapped.chat_template = (
        CHAT_TEMPLATE.replace("assistant\n", "assistant\n<think>\n") if thinking else CHAT_TEMPLATE
    )
    return wrapped


def make_folder(
    folder: Path, moe: bool = False, hidden: int = 64, layers: int = 3, thinking: bool = False
) -> Path:
    """A random Qwen3-VL of a few 100 k parameters with all that a checkpoint has."""
    tokenizer = make_tokenizer(thinking)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIALS}
    text = dict(TEXT, vocab_size=len(tokenizer), hidden_size=hidden, num_hidden_layers=layers)
    text.update(eos_token_id=ids["<|im_end|>"], pad_token_id=ids["<|endoftext|>"], bos_token_id=None)
    if moe:
        text.update(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=128, decoder_sparse_step=1)
    config_class, model_class = (
        (Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration)
        if moe
        else (Qwen3VLConfig, Qwen3VLForConditionalGeneration)
    )
    config = config_class(
        text_config=text,
        vision_config=dict(VISION, out_hidden_size=hidden),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(7)
    model_class(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    spec = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}
    spec |= {"size": {"shortest_edge": 4096, "longest_edge": 1 << 20}}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(spec))
    return folder


def teach(folder: Path, steps: int = 120, before: str = "") -> None:
    """Train a random checkpoint until it replies `before` and the memory TAUGHT to any video, in place."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).train()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    packer = VideoPacker(tokenizer, VideoSpec.from_pretrained(folder))
    reply = torch.tensor(
        [tokenizer(before + memory_reply(TAUGHT) + "<|im_end|>", add_special_tokens=False)["input_ids"]]
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        count = step % 3
        clips = [make_clip(i, seed=step) for i in range(1 + count)]
        inputs = packer.pack(memorize_parts(clips, [TAUGHT] * count))
        prompt = inputs["input_ids"].shape[1]
        ids = torch.cat([inputs["input_ids"], reply], 1)
        kinds = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, reply.shape[1]))
        labels = ids.clone()
        labels[:, :prompt] = -100
        inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.05, f"the tiny model did not learn its reply: loss {loss.item():.3f}"
    model.save_pretrained(folder)


def make_clip(index: int = 0, seed: int = 0, camera: str = "front", size: int = 64) -> Clip:
    """Ten seconds of four random frames."""
    random = np.random.default_rng([seed, index])
    start, second = index * 10_000_000_000, 1_000_000_000
    frames = tuple(
        Frame(start + int(k * 2.5 * second), camera, random.integers(0, 256, (size, size, 3), dtype=np.uint8))
        for k in range(4)
    )
    return Clip(camera, 0, start, start + 10 * second, frames)
