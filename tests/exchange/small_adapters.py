"""Adapters of a model of hidden size 32 as files, as PEFT writes them, and packages of them, good or not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.numpy import save

from taskmem_ros.exchange.keys import Keyring, SigningKey, TrustedKey
from taskmem_ros.exchange.manifest import (
    CONFIG_FILE,
    GATE_FILE,
    LORA,
    README_FILE,
    STEER,
    WEIGHTS_FILE,
    AdapterManifest,
    FileEntry,
)
from taskmem_ros.exchange.package import MANIFEST_FILE, SIGNATURE_FILE

HIDDEN, INNER, KEYS, RANK, LAYERS, LAYER = 32, 48, 16, 4, 2, 1
BASE, ROBOT = "0123456789ab", "robot1"
KEY, OTHER_KEY = (SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([n] * 32))) for n in (1, 2))
KEYRING = Keyring((TrustedKey("workshop", KEY.public),))

MODULE = f"model.language_model.layers.{LAYER}.mlp.down_proj"
VECTOR = f"base_model.model.{MODULE}.beft_bias"
QUERY = "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_{}.weight"
SIDES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, KEYS),
    "self_attn.v_proj": (HIDDEN, KEYS),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (HIDDEN, INNER),
    "mlp.up_proj": (HIDDEN, INNER),
    "mlp.down_proj": (INNER, HIDDEN),
}

Files = dict[str, bytes]


def steer_config() -> dict[str, Any]:
    return {
        "auto_mapping": {
            "base_model_class": "Qwen3VLForConditionalGeneration",
            "parent_library": "transformers.models.qwen3_vl.modeling_qwen3_vl",
        },
        "base_model_name_or_path": "demo",
        "inference_mode": True,
        "init_weights": True,
        "modules_to_save": None,
        "peft_type": "BEFT",
        "peft_version": "0.21.2",
        "revision": None,
        "target_modules": MODULE.replace(".", r"\."),
        "task_type": None,
    }


def lora_config() -> dict[str, Any]:
    same = ("auto_mapping", "base_model_name_or_path", "inference_mode", "modules_to_save")
    return {name: steer_config()[name] for name in same} | {
        "alpha_pattern": {},
        "bias": "none",
        "init_lora_weights": True,
        "loftq_config": {},
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": RANK,
        "rank_pattern": {},
        "target_modules": r"model\.language_model\.layers\.\d+\."
        r"(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)",
        "use_dora": False,
    }


def steer_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    return {VECTOR: np.random.default_rng(seed).normal(0, 0.1, (1, HIDDEN)).astype(np.float32)}


def lora_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    random, made = np.random.default_rng(seed), {}
    for layer in range(LAYERS):
        for name, (wide, out) in SIDES.items():
            module = f"base_model.model.model.language_model.layers.{layer}.{name}"
            made[f"{module}.lora_A.weight"] = random.normal(0, 0.1, (RANK, wide)).astype(np.float32)
            made[f"{module}.lora_B.weight"] = random.normal(0, 0.01, (out, RANK)).astype(np.float32)
    return made


def content(kind: str = STEER, seed: int = 0, **other: bytes) -> Files:
    """The files of an adapter. other: files to have in another way, with "_" for "."."""
    config, tensors = (
        (steer_config(), steer_tensors(seed)) if kind == STEER else (lora_config(), lora_tensors(seed))
    )
    return {
        WEIGHTS_FILE: save(tensors, {"format": "pt"}),
        CONFIG_FILE: json.dumps(config, indent=2, sort_keys=True).encode(),
        README_FILE: b"# An adapter\n\n<script>alert(1)</script> \xff\x00 ../../etc/passwd\n",
        GATE_FILE: json.dumps({"accuracy": 0.75, "seed": seed}).encode(),
    } | other


def manifest(kind: str = STEER, **other: Any) -> AdapterManifest:
    values: dict[str, Any] = dict(
        id="20261123T0315-robot1-1a2b3c4d",
        serial=3,
        parent="20261122T0315-robot1-0a0b0c0d",
        base_model="demo",
        base_revision=BASE,
        prompt_hash="p1",
        kind=kind,
        layer=LAYER if kind == STEER else None,
        metrics={"accuracy": 0.75, "accuracy_before": 0.5, "questions": 40, "judge": "truth"},
        questions=("Where is the red mug?", "Wo ist Ännes Schlüssel?"),
        tasks=("1b4e28ba-2fa1-11d2-883f-0016d3cca427/7",),
        bundles=("0123456789abcdef",),
        robots=(ROBOT,),
        created_ns=1_795_400_100_000_000_000,
    )
    return AdapterManifest(**values | other)


def signed(files: Mapping[str, bytes], told: AdapterManifest, key: SigningKey = KEY) -> Files:
    """With manifest and signature, whatever is in the files."""
    entries = {name: FileEntry(len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()}
    data = replace(told, files=entries, key=key.id).to_bytes()
    return {**files, MANIFEST_FILE: data, SIGNATURE_FILE: key.sign(data)}


def package(kind: str = STEER, seed: int = 0, key: SigningKey = KEY, **other: Any) -> Files:
    """A good package's files. other: of the manifest."""
    return signed(content(kind, seed), manifest(kind, **other), key)


def put(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write just these into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    left = dict(files)
    for path in folder.iterdir():
        if left.get(path.name) == path.read_bytes():
            del left[path.name]
        else:
            path.unlink()  # written over, some file systems would wait for the disk
    for name, data in left.items():
        (folder / name).write_bytes(data)
    return folder


KINDS = (STEER, LORA)
