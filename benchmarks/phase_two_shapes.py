"""Qwen3-VL at its published shapes with random weights, for `phase_two_speed.py`: nothing is fetched.

Layers are made, and quantized, one by one on the device: no more is held at any time than the model and one
layer. The tokenizer and what belongs to it are the demo model's.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from taskmem_train.preference import keep_differentiable
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.quantizers import AutoHfQuantizer, HfQuantizer

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.choices import quantizer
from taskmem_ros.policy.load import DEMO, Checkpoint, count_parameters, find_checkpoint
from taskmem_ros.policy.packing import VideoPacker, VideoSpec


class Tower(NamedTuple):
    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    deepstack_visual_indexes: list[int]


class Shape(NamedTuple):
    """intermediate: of an expert where there are `experts`, of which each token takes 8."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    tied: bool
    tower: Tower
    experts: int = 0
    vocabulary: int = 151936


_TINY = Tower(2, 32, 64, 2, [0, 1])
_SMALL, _LARGE = Tower(24, 1024, 4096, 16, [5, 11, 17]), Tower(27, 1152, 4304, 16, [8, 16, 24])
SHAPES = {
    "tiny": Shape(64, 3, 2, 1, 128, True, _TINY, vocabulary=1024),
    "tiny-moe": Shape(64, 3, 2, 1, 64, False, _TINY, experts=16, vocabulary=1024),
    "2B": Shape(2048, 28, 16, 8, 6144, True, _SMALL),
    "4B": Shape(2560, 36, 32, 8, 9728, True, _SMALL),
    "8B": Shape(4096, 36, 32, 8, 12288, False, _LARGE),
    "30B-A3B": Shape(2048, 48, 32, 4, 768, False, _LARGE, experts=128),
}


def make_config(shape: Shape, tokenizer) -> PreTrainedConfig:
    """transformers' configuration of a shape, with this tokenizer's ids."""
    rope = {
        "rope_type": "default",
        "rope_theta": 5e6,
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    }
    text = dict(
        hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, head_dim=128, intermediate_size=shape.intermediate,
        vocab_size=shape.vocabulary, max_position_embeddings=262144, rope_parameters=rope,
        tie_word_embeddings=shape.tied,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    if shape.experts:
        text |= dict(moe_intermediate_size=shape.intermediate, num_experts=shape.experts)
        text |= dict(num_experts_per_tok=8, decoder_sparse_step=1)
    vision = shape.tower._asdict() | dict(
        patch_size=16, spatial_merge_size=2, temporal_patch_size=2, num_position_embeddings=2304,
        out_hidden_size=shape.hidden,
    )  # fmt: skip
    tokens = {"image": "image_pad", "video": "video_pad"} | {k: k for k in ("vision_start", "vision_end")}
    ids = {f"{k}_token_id": tokenizer.convert_tokens_to_ids(f"<|{name}|>") for k, name in tokens.items()}
    kind = "qwen3_vl_moe" if shape.experts else "qwen3_vl"
    return AutoConfig.for_model(
        kind, text_config=text, vision_config=vision, tie_word_embeddings=shape.tied, **ids
    )


def make_policy(
    name: str, weights: str, device: torch.device, frame_tokens: int = 256, reply: int = 1
) -> MemoryPolicy:
    """A policy of the shape of this name, its weights random and in bf16 or nf4.

    frame_tokens: the most that a frame may take. reply: the fewest tokens that it writes.
    """
    started, folder, dtype = time.monotonic(), find_checkpoint(DEMO)[0], torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = make_config(SHAPES[name], tokenizer)
    parameters = count_parameters(config)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype)
    bits = quantizer("nf4", dtype) if weights == "nf4" else None
    _fill(model, bits and AutoHfQuantizer.from_config(bits), device)
    keep_differentiable(model)  # as Phase Two loads it
    model.generation_config = GenerationConfig.from_pretrained(folder, min_new_tokens=reply)
    return MemoryPolicy(
        Checkpoint(
            model=model,
            tokenizer=tokenizer,
            packer=VideoPacker(tokenizer, VideoSpec(max_frame_tokens=frame_tokens)),
            name=name,
            local=False,
            revision="random",
            device=device,
            dtype=dtype,
            quantization="nf4" if bits else "none",
            parameters=parameters,
            eos=(tokenizer.eos_token_id,),
            seconds=time.monotonic() - started,
        )
    )


def _fill(model: PreTrainedModel, hf_quantizer: HfQuantizer | None, device: torch.device) -> None:
    """Give a model on the meta device random weights, as from_pretrained gives one its stored ones."""
    if hf_quantizer:
        hf_quantizer.preprocess_model(model, device_map={"": str(device)})
        model.hf_quantizer = hf_quantizer
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, Linear4bit):
            whole = torch.empty(module.out_features, module.in_features, dtype=model.dtype, device=device)
            four_bits = Params4bit(whole.normal_(0, 0.02), requires_grad=False, **vars(module.weight))
            module.weight = four_bits.to(device)  # here it is quantized
        else:
            module.to_empty(device=device, recurse=False)
            model._init_weights(module)  # of this one alone, and the buffers that no checkpoint holds
    model.tie_weights()
    if hf_quantizer:
        hf_quantizer.postprocess_model(model)
    model.eval().requires_grad_(False)
