"""The adapter slot: steering vectors and LoRA, on for memorizing, off for answering."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import BeftConfig, LoraConfig, PeftModel, get_peft_model
from tiny_models import make_clip, make_folder
from transformers import AutoModelForImageTextToText

from taskmem_ros.policy import LoadError, MemoryPolicy, NoRoom, slot
from taskmem_ros.policy import adapter as adapter_module
from taskmem_ros.policy.adapter import Adapter
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


@pytest.mark.parametrize("kind", ["steer", "lora"])
def test_fitted_layers_do_what_pefts_own_do(random_folder, adapters, kind):
    policy = MemoryPolicy.load(str(random_folder), device="cpu")
    policy.set_adapter(adapters[kind])
    ours = memory(policy)
    policy.unload_adapter()
    PeftModel.from_pretrained(policy.checkpoint.model, str(adapters[kind]))
    assert memory(policy) == ours
    policy.unload_adapter()
    assert memory(policy) != ours


@pytest.mark.parametrize("kind", ["steer", "lora"])
def test_verified_bytes_are_as_good_as_a_folder(random_folder, adapters, kind):
    folder = adapters[kind]
    weights = (folder / "adapter_model.safetensors").read_bytes()
    config = json.loads((folder / "adapter_config.json").read_text())
    policy = MemoryPolicy.load(str(random_folder), device="cpu", adapter=folder)
    expected = memory(policy)
    policy.unload_adapter()
    policy.set_adapter(policy.fit_adapter(Adapter.from_bytes("night-7", config, weights)))
    assert (memory(policy), policy.provenance.adapter) == (expected, "night-7")
    for wrong in ((config, weights[:-1]), (config | {"peft_type": "MAGIC"}, weights)):
        with pytest.raises(LoadError, match="adapter night-8 cannot be read"):
            Adapter.from_bytes("night-8", *wrong)


def test_fitting_leaves_the_model_and_the_random_state_alone(random_folder, adapters):
    policy = MemoryPolicy.load(str(random_folder), device="cpu")
    bare, state = memory(policy), torch.random.get_rng_state()
    fitted = [policy.fit_adapter(Adapter.read(adapters[kind])) for kind in ("steer", "lora")]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert memory(policy) == bare and policy.adapter is None
    policy.set_adapter(fitted[0])
    steered = memory(policy)
    policy.fit_adapter(Adapter.read(adapters["lora"]))  # also while one is in use
    assert memory(policy) == steered != bare


def test_one_that_is_tried_is_not_in_use(random_folder, adapters):
    policy = MemoryPolicy.load(str(random_folder), device="cpu", adapter=adapters["steer"])
    used, named = memory(policy), policy.provenance.adapter
    lora = policy.fit_adapter(Adapter.read(adapters["lora"]))
    at_token = []

    def write_and_answer():
        if len(at_token) < 3:
            at_token.append((memory(policy), policy.provenance.adapter, answer(policy)))

    tried = policy.try_adapter(lora, [make_clip()], [], max_new_tokens=40, yield_point=write_and_answer)
    assert at_token == [(used, named, answer(policy))] * 3 and memory(policy) == used
    policy.set_adapter(lora)
    assert memory(policy) == tried.raw != used
    policy.set_adapter(None)
    assert policy.try_adapter(None, [make_clip()], [], max_new_tokens=40).raw == memory(policy)


def test_provenance_is_the_id_or_the_hash(random_folder, adapters):
    policy = MemoryPolicy.load(str(random_folder), device="cpu", adapter=adapters["steer"])
    assert policy.provenance.adapter == file_hash(adapters["steer"] / "adapter_model.safetensors")
    assert policy.report.adapter == policy.provenance.adapter
    policy.set_adapter(adapters["lora"], id="kitchen-7")
    assert policy.provenance.adapter == "kitchen-7"
    policy.unload_adapter()
    assert policy.provenance.adapter == ""


def gone(*_, **__):
    raise MemoryError


def too_large_for_a_cpu(*_, **__):
    torch.empty(10**15)


@pytest.mark.parametrize("full", [gone, too_large_for_a_cpu])
def test_without_memory_nothing_is_said_against_an_adapter(random_folder, adapters, monkeypatch, full):
    folder = adapters["steer"]
    config = json.loads((folder / "adapter_config.json").read_text())
    policy = MemoryPolicy.load(str(random_folder), device="cpu")
    adapter = Adapter.read(folder, "night-9")
    for module, name, work in (
        (slot, "_allocate", lambda: policy.fit_adapter(adapter)),
        (adapter_module, "load_file", lambda: Adapter.read(folder)),
        (adapter_module, "load", lambda: Adapter.from_bytes("night-9", config, b"")),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, full)
            with pytest.raises(NoRoom, match="no memory left for adapter .*free some"):
                work()


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
