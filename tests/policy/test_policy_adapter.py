"""The adapter slot: steering vectors and LoRA, on for memorizing, off for answering."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import BeftConfig, LoraConfig, get_peft_model
from tiny_models import make_clip, make_folder
from transformers import AutoModelForImageTextToText

from taskmem_ros.policy import LoadError, MemoryPolicy
from taskmem_ros.policy.load import file_hash

STEER = dict(target_modules=r".*language_model\.layers\.1\.mlp\.down_proj")
LORA = dict(target_modules=r".*language_model\.layers\..*\.(q_proj|v_proj)", r=4)


def make_adapter(base: Path, folder: Path, kind: str, seed: int = 0, scale: float = 1.0) -> Path:
    """A random adapter for this base, as a training would save it."""
    config = BeftConfig(**STEER) if kind == "steer" else LoraConfig(**LORA)
    torch.manual_seed(seed)
    model = get_peft_model(AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32), config)
    for name, parameter in model.named_parameters():
        if "beft_bias" in name or "lora_B" in name:
            torch.nn.init.normal_(parameter, std=scale)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapters(random_folder, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    return {
        "steer": make_adapter(random_folder, root / "steer", "steer"),
        "other": make_adapter(random_folder, root / "other", "steer", seed=1),
        "lora": make_adapter(random_folder, root / "lora", "lora"),
    }


def memory(policy: MemoryPolicy) -> str:
    return policy.write([make_clip()], [], max_new_tokens=40).raw


def answer(policy: MemoryPolicy) -> str:
    return policy.complete("where is the cup?", max_new_tokens=40).text


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
@pytest.mark.parametrize("kind", ["steer", "lora"])
def test_an_adapter_changes_memories_and_not_answers(random_folder, adapters, kind, quantization):
    policy = MemoryPolicy.load(str(random_folder), quantization=quantization, device="cpu")
    bare = memory(policy), answer(policy)
    policy.set_adapter(adapters[kind])
    steered = memory(policy)
    assert steered != bare[0]
    assert answer(policy) == bare[1]
    assert memory(policy) == steered
    policy.unload_adapter()
    assert (memory(policy), answer(policy)) == bare


def test_a_steering_vector_is_a_shift_of_one_layers_output(random_folder, adapters):
    from safetensors.torch import load_file

    policy = MemoryPolicy.load(str(random_folder), device="cpu", adapter=adapters["steer"])
    steered = memory(policy)
    policy.unload_adapter()
    (vector,) = load_file(adapters["steer"] / "adapter_model.safetensors").values()
    layer = policy._slot._model.model.language_model.layers[1]
    handle = layer.register_forward_hook(lambda module, inputs, output: output + vector.flatten())
    assert memory(policy) == steered
    handle.remove()


def test_swapping_kinds_and_back_gives_the_same_memories(random_folder, adapters):
    policy = MemoryPolicy.load(str(random_folder), device="cpu")
    seen = {}
    for kind in ("steer", "lora", "other", "steer", "lora", "other"):
        policy.set_adapter(adapters[kind])
        assert seen.setdefault(kind, memory(policy)) == memory(policy)
    assert len(set(seen.values())) == 3


def test_provenance_is_the_id_or_the_hash(random_folder, adapters):
    policy = MemoryPolicy.load(str(random_folder), device="cpu", adapter=adapters["steer"])
    assert policy.provenance.adapter == file_hash(adapters["steer"] / "adapter_model.safetensors")
    assert policy.report.adapter == policy.provenance.adapter
    policy.set_adapter(adapters["lora"], id="kitchen-7")
    assert policy.provenance.adapter == "kitchen-7"
    policy.unload_adapter()
    assert policy.provenance.adapter == ""


@pytest.mark.parametrize("before", [None, "steer", "lora"])
@pytest.mark.parametrize(
    "damage", ["missing", "no_config", "no_weights", "torn", "other_size", "no_layer", "lost_tensor"]
)
def test_an_adapter_that_does_not_fit_leaves_the_old_one(random_folder, adapters, tmp_path, before, damage):
    policy = MemoryPolicy.load(str(random_folder), device="cpu")
    if before:
        policy.set_adapter(adapters[before])
    expected, named = memory(policy), policy.provenance.adapter
    with pytest.raises(LoadError) as caught:
        policy.set_adapter(_damaged(damage, adapters["steer"], tmp_path))
    assert "\n" not in str(caught.value)
    assert memory(policy) == expected
    assert policy.provenance.adapter == named


def _damaged(damage: str, good: Path, tmp_path: Path) -> Path:
    if damage == "missing":
        return tmp_path / "nowhere"
    if damage == "other_size":
        base = make_folder(tmp_path / "wide", hidden=128)
        return make_adapter(base, tmp_path / "adapter", "steer")
    folder = shutil.copytree(good, tmp_path / "adapter")
    config, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if damage == "no_config":
        config.unlink()
    elif damage == "no_weights":
        weights.unlink()
    elif damage == "torn":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "no_layer":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"target_modules": "no_such_layer"}))
    elif damage == "lost_tensor":
        wider = {"target_modules": r".*language_model\.layers\.[12]\.mlp\.down_proj"}
        config.write_text(json.dumps(json.loads(config.read_text()) | wider))
    return folder
