"""adapter_config.json, PEFT's settings of an adapter: only what this project's trainer writes is let through.

PEFT's settings can name modules to import, files to load and other weights to replace; so a setting that is
not known here, or has another value, is refused by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from taskmem_ros.exchange.manifest import CONFIG_FILE, LORA, STEER, PackageError
from taskmem_ros.exchange.strict import read_json
from taskmem_ros.exchange.tensors import Limits

PEFT_TYPES = {STEER: "BEFT", LORA: "LORA"}
LORA_TARGETS = r"model\.language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
# After which product of a decoder layer a steering vector is added: of a dense layer, of one with experts.
STEER_MODULES = ("mlp.down_proj", "mlp")

_BASES = {
    "Qwen3VLForConditionalGeneration": "transformers.models.qwen3_vl.modeling_qwen3_vl",
    "Qwen3VLMoeForConditionalGeneration": "transformers.models.qwen3_vl_moe.modeling_qwen3_vl_moe",
}
_OFF: dict[str, Any] = {
    "modules_to_save": None,
    "revision": None,
    "task_type": None,
}
# PEFT's LoRA has many variants; all of them are off.
_LORA_OFF: dict[str, Any] = {
    "alora_invocation_tokens": None,
    "alpha_pattern": {},
    "arrow_config": None,
    "bias": "none",
    "corda_config": None,
    "ensure_weight_tying": False,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "init_lora_weights": True,
    "kasa_config": None,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_bias": False,
    "lora_dropout": 0.0,
    "lora_ga_config": None,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "monteclora_config": None,
    "qalora_group_size": 16,
    "rank_pattern": {},
    "target_parameters": None,
    "trainable_token_indices": None,
    "use_bdlora": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
    "velora_config": None,
}
_NOT_HANDED_ON = ("auto_mapping", "base_model_name_or_path", "peft_version", "revision", "task_type")


def check_config(data: bytes, kind: str, layer: int | None, limits: Limits) -> dict[str, Any]:
    """What PEFT is to be given of adapter_config.json: nothing in it names a model, a file or a module to
    import. Raises PackageError.

    kind, layer: as the manifest says.
    """
    try:
        told = read_json(data)
    except ValueError as error:
        raise PackageError(f"its {CONFIG_FILE} cannot be read ({error}); get it again") from error
    if not isinstance(told, dict):
        raise PackageError(f"its {CONFIG_FILE} is no object of settings; get it again")
    rules = _rules(kind, layer, limits.rank)
    for name, value in told.items():
        if name not in rules:
            raise PackageError(
                f"its {CONFIG_FILE} has the setting {name[:80]!r}, which this taskmem does not know; make "
                "the adapter with this one's trainer"
            )
        if not rules[name](value):
            raise PackageError(
                f"its {CONFIG_FILE} has {name} {repr(value)[:120]}, which a {kind} adapter of this taskmem "
                "never has; make it with this one's trainer"
            )
    needed = ["peft_type", "target_modules"] + ["r", "lora_alpha"] * (kind != STEER)
    if missing := [name for name in needed if name not in told]:
        raise PackageError(f"its {CONFIG_FILE} has no {missing[0]}; get it again")
    if kind != STEER and told["lora_alpha"] > limits.scale * told["r"]:
        raise PackageError(
            f"its {CONFIG_FILE} has lora_alpha {told['lora_alpha']} with r {told['r']}, more than "
            f"{limits.scale:g} times as much; make the adapter with this taskmem's trainer"
        )
    return {name: told[name] for name in told if name not in _NOT_HANDED_ON} | {"inference_mode": True}


def _rules(kind: str, layer: int | None, rank: int) -> dict[str, Callable[[Any], bool]]:
    """What each setting may be."""
    rules = {name: _same(value) for name, value in _OFF.items()}
    rules |= {
        "auto_mapping": _is_base,
        "base_model_name_or_path": lambda value: value is None or isinstance(value, str),
        "inference_mode": lambda value: isinstance(value, bool),
        "peft_type": _same(PEFT_TYPES[kind]),
        "peft_version": lambda value: isinstance(value, str),
    }
    if kind == STEER:
        allowed = [re.escape(f"model.language_model.layers.{layer}.{name}") for name in STEER_MODULES]
        return rules | {"init_weights": _same(True), "target_modules": _same(*allowed)}
    return (
        rules
        | {name: _same(value) for name, value in _LORA_OFF.items()}
        | {
            "target_modules": _same(LORA_TARGETS),
            "r": lambda value: type(value) is int and 1 <= value <= rank,
            "lora_alpha": lambda value: type(value) in (int, float) and value > 0,
        }
    )


def _same(*allowed: Any) -> Callable[[Any], bool]:
    """Of the same type too: True is not 1."""
    return lambda value: any(type(value) is type(one) and value == one for one in allowed)


def _is_base(value: Any) -> bool:
    """What PEFT writes of the class of the model."""
    return value is None or any(
        value == {"base_model_class": name, "parent_library": library} for name, library in _BASES.items()
    )
