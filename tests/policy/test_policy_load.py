"""Loading: every combination of quantization and architecture that a CPU has, the report, and the errors."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import TAUGHT, make_clip
from transformers import AutoModelForImageTextToText

from taskmem_ros.policy import LoadError, MemoryPolicy
from taskmem_ros.policy.choices import choose_dtype
from taskmem_ros.policy.load import file_hash, find_checkpoint, weights_revision
from taskmem_ros.policy.report import quantized_share


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_a_taught_model_writes_its_memory_in_every_quantization(taught_folder, quantization):
    policy = MemoryPolicy.load(str(taught_folder), quantization=quantization, device="cpu")
    first = policy.write([make_clip(0)], [])
    second = policy.write([make_clip(0), make_clip(1)], [TAUGHT])
    assert (first.text, second.text) == (TAUGHT, TAUGHT)
    assert first.attempts == 1 and first.error is None and first.tokens > 5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_report_of_a_whole_model_matches_the_checkpoint(taught_folder, dtype):
    report = MemoryPolicy.load(str(taught_folder), device="cpu", dtype=dtype).report
    stored = AutoModelForImageTextToText.from_pretrained(taught_folder)
    assert report.parameters == sum(p.numel() for p in stored.parameters())
    assert report.quantized_share == 0 and report.warnings == ()
    assert report.dtype == dtype and report.device == "cpu" and report.seconds > 0
    size = {"float32": 4, "bfloat16": 2}[dtype]
    assert report.parameters * size <= report.memory_bytes < report.parameters * size * 1.05
    assert report.revision == file_hash(taught_folder / "model.safetensors") and len(report.revision) == 12
    assert 3 <= len(str(report).splitlines()) <= 5


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_quantizing_covers_the_decoder_and_spares_the_vision_tower(taught_folder, quantization):
    whole = MemoryPolicy.load(str(taught_folder), device="cpu").report
    policy = MemoryPolicy.load(str(taught_folder), quantization=quantization, device="cpu")
    kind = {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[quantization]
    names = {name for name, module in policy._slot._model.named_modules() if type(module).__name__ == kind}
    assert names and all(".language_model.layers." in name for name in names)
    decoder = AutoModelForImageTextToText.from_pretrained(taught_folder).model.language_model.layers
    linear = sum(m.weight.numel() for m in decoder.modules() if isinstance(m, torch.nn.Linear))
    assert policy.report.quantized_share == pytest.approx(linear / whole.parameters)
    assert policy.report.parameters == whole.parameters
    assert policy.report.memory_bytes < whole.memory_bytes


def test_fused_experts_stay_whole_under_nf4_and_the_report_says_so(moe_folder):
    policy = MemoryPolicy.load(str(moe_folder), quantization="nf4", device="cpu")
    experts = {n: p for n, p in policy._slot._model.named_parameters() if ".experts." in n}
    assert experts and all(p.ndim == 3 and p.is_floating_point() for p in experts.values())
    report = policy.report
    assert 0 < report.quantized_share < 0.5
    assert len(report.warnings) == 1
    assert (
        "experts" in report.warnings[0]
        and "fused" in report.warnings[0]
        and report.warnings[0] in str(report)
    )
    draft = policy.write([make_clip()], [], max_new_tokens=4)
    assert draft.text is None and draft.tokens == 8


def test_provenance_names_model_weights_and_prompt_not_the_machine(taught_policy, taught_folder):
    provenance = taught_policy.provenance
    assert provenance.model == taught_folder.name
    assert provenance.revision == weights_revision(taught_folder)
    assert provenance.adapter == "" and len(provenance.prompt_hash) == 12


def test_a_folder_of_the_hub_cache_keeps_its_commit(tmp_path, random_folder):
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "snapshots" / commit
    shutil.copytree(random_folder, snapshot)
    assert MemoryPolicy.load(str(snapshot), device="cpu").provenance.revision == commit


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"quantization": "int4"}, ["'int4'", "none, nf4, int8"]),
        ({"device": "tpu"}, ["'tpu'", "cuda:N"]),
        ({"dtype": "float8"}, ["'float8'", "bfloat16"]),
        ({"adapter": "no/such/folder"}, ["no/such/folder", "no folder"]),
        ({"model": "./no/such/model"}, ["./no/such/model", "no folder"]),
        ({"model": "/no/such/model"}, ["/no/such/model", "no folder"]),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(random_folder, arguments, words):
    with pytest.raises(LoadError) as caught:
        MemoryPolicy.load(**{"model": str(random_folder), "device": "cpu", **arguments})
    _is_a_sentence(caught.value, words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_asked_for_where_there_is_none(random_folder):
    with pytest.raises(LoadError) as caught:
        MemoryPolicy.load(str(random_folder), device="cuda")
    _is_a_sentence(caught.value, ["'cuda'", "cpu or auto"])


def test_quantizing_without_bitsandbytes_says_what_to_install(random_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(LoadError) as caught:
        MemoryPolicy.load(str(random_folder), quantization="nf4", device="cpu")
    _is_a_sentence(caught.value, ["'nf4'", "pip install bitsandbytes"])


def test_another_architecture_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(LoadError) as caught:
        MemoryPolicy.load(str(tmp_path), device="cpu")
    _is_a_sentence(caught.value, ["'llama'", "qwen3_vl"])


@pytest.mark.parametrize(
    "missing", ["config.json", "model.safetensors", "tokenizer.json", "video_preprocessor_config.json"]
)
def test_an_incomplete_folder_is_an_error(tmp_path, random_folder, missing):
    folder = shutil.copytree(random_folder, tmp_path / "broken")
    (folder / missing).unlink()
    with pytest.raises(LoadError) as caught:
        MemoryPolicy.load(str(folder), device="cpu")
    _is_a_sentence(caught.value, ["broken", "complete"])


def test_truncated_weights_are_an_error(tmp_path, random_folder):
    folder = shutil.copytree(random_folder, tmp_path / "broken")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(LoadError) as caught:
        MemoryPolicy.load(str(folder), device="cpu")
    _is_a_sentence(caught.value, ["broken"])


def test_weights_with_a_hole_are_an_error_and_not_random(tmp_path, random_folder):
    folder = shutil.copytree(random_folder, tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    lost = next(name for name in tensors if "down_proj" in name)
    save_file(
        {name: t for name, t in tensors.items() if name != lost},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(LoadError) as caught:
        MemoryPolicy.load(str(folder), device="cpu")
    _is_a_sentence(caught.value, ["broken", lost])


def test_a_hub_id_without_a_hub_is_an_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(LoadError) as caught:
        MemoryPolicy.load("Qwen/Qwen3-VL-not-in-any-cache", device="cpu")
    _is_a_sentence(caught.value, ["Qwen/Qwen3-VL-not-in-any-cache", "hf download"])


def test_hub_ids_and_folders_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Qwen" / "mine").mkdir(parents=True)
    assert find_checkpoint("Qwen/mine") == ("Qwen/mine", True)
    assert find_checkpoint("Qwen/Qwen3-VL-2B-Instruct") == ("Qwen/Qwen3-VL-2B-Instruct", False)


def test_auto_dtype_on_a_cpu_saves_memory_only_for_large_models():
    cpu = torch.device("cpu")
    assert choose_dtype("auto", cpu, 5_000_000) is torch.float32
    assert choose_dtype("auto", cpu, 2_000_000_000) is torch.bfloat16


def test_nothing_is_quantized_in_a_plain_module():
    assert quantized_share(torch.nn.Linear(4, 4), 20) == 0


def _is_a_sentence(error: LoadError, words: list[str]) -> None:
    message = str(error)
    assert "\n" not in message and len(message) < 600
    assert all(word in message for word in words), message
