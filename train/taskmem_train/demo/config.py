"""The shape of the demo model, and a checkpoint folder that Hugging Face's classes open."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import GenerationConfig, Qwen3VLConfig, Qwen3VLForConditionalGeneration

from taskmem_ros.policy.packing import VideoSpec

# Every frame becomes 160 x 128 pixels, 10 x 8 patches: 20 tokens for a pair of frames.
FRAME_TOKENS = 24
SPEC = VideoSpec(max_frame_tokens=FRAME_TOKENS)
GRID = (8, 10)


def demo_config(tokenizer) -> Qwen3VLConfig:
    """8 M parameters: a vision tower of 4 layers and a language model of 6."""
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in _TOKENS.items()}
    return Qwen3VLConfig(
        vision_config={
            "depth": 4,
            "hidden_size": 192,
            "intermediate_size": 576,
            "num_heads": 3,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 256,
            "num_position_embeddings": 144,
            "deepstack_visual_indexes": [1],
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 256,
            "intermediate_size": 768,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 100000.0,
                "mrope_section": [12, 10, 10],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": True,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        tie_word_embeddings=True,
        **ids,
    )


_TOKENS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}


def save_checkpoint(folder: Path, model: Qwen3VLForConditionalGeneration, tokenizer) -> None:
    """Weights in bfloat16 safetensors, tokenizer, processor and generation settings."""
    folder.mkdir(parents=True, exist_ok=True)
    half = Qwen3VLForConditionalGeneration(model.config).to(torch.bfloat16)
    half.load_state_dict(model.state_dict())  # copied to the CPU, wherever the model is
    half.config.dtype = torch.bfloat16
    half.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.7,
        top_p=0.8,
        top_k=20,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, processor in (
        ("preprocessor_config.json", {"image_processor_type": "Qwen2VLImageProcessor"}),
        ("video_preprocessor_config.json", {"video_processor_type": "Qwen3VLVideoProcessor", **_VIDEO}),
    ):
        text = json.dumps({"processor_class": "Qwen3VLProcessor", **_PIXELS, **processor}, indent=2)
        (folder / name).write_text(text + "\n", encoding="utf-8")


_PIXELS = {
    "patch_size": SPEC.patch_size,
    "temporal_patch_size": SPEC.temporal_patch_size,
    "merge_size": SPEC.merge_size,
    "image_mean": list(SPEC.mean),
    "image_std": list(SPEC.std),
    "size": {"shortest_edge": SPEC.min_pixels, "longest_edge": SPEC.max_pixels},
}
_VIDEO = {"cap_pixels_per_frame": True, "max_video_tokens": FRAME_TOKENS, "do_sample_frames": False}
