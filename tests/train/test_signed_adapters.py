"""What the trainer writes can be signed, verified and used: its settings are those that robots take."""

from __future__ import annotations

import pytest
import torch
from peft import get_peft_model
from taskmem_train.preference import LORA_TARGETS, adapter_config

from taskmem_ros.exchange import adapter_config as allowed
from taskmem_ros.exchange.keys import Keyring, SigningKey, TrustedKey
from taskmem_ros.exchange.manifest import AdapterManifest
from taskmem_ros.exchange.package import PackageError, pack, verify
from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.adapter import Adapter

KEY = SigningKey.generate()
KEYRING = Keyring((TrustedKey("workshop", KEY.public),))
LAYER = 2


def manifest(kind: str) -> AdapterManifest:
    return AdapterManifest(
        id=f"{kind}-1", serial=1, base_model="tiny", base_revision="r1", prompt_hash="p1", kind=kind,
        layer=LAYER if kind == "steer" else None, created_ns=1,
    )  # fmt: skip


def test_the_modules_of_lora_are_the_trainers():
    assert allowed.LORA_TARGETS == LORA_TARGETS


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["steer", "lora"])
@pytest.mark.parametrize("model", ["tiny_folder", "tiny_moe_folder"])
def test_a_trained_adapter_comes_to_a_robot(request, tmp_path, model, kind, dtype):
    folder = request.getfixturevalue(model)
    checkpoint = MemoryPolicy.load(str(folder), device="cpu", dtype=dtype).checkpoint
    peft = get_peft_model(checkpoint.model, adapter_config(checkpoint.model, kind, layer=LAYER, rank=4))
    torch.manual_seed(0)
    for name, parameter in peft.named_parameters():
        if "lora_B" in name or "beft_bias" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    peft.save_pretrained(tmp_path / "trained")
    packed = pack(tmp_path / "trained", tmp_path / "out", manifest(kind), KEY)
    verified = verify(packed, KEYRING, base_revision="r1", robot="robot1")

    adapter = Adapter.from_bytes(verified.manifest.id, verified.config, verified.weights)
    read = Adapter.read(tmp_path / "trained")
    assert adapter.weights.keys() == read.weights.keys()
    assert all(torch.equal(adapter.weights[name], tensor) for name, tensor in read.weights.items())
    robot = MemoryPolicy.load(str(folder), device="cpu", dtype="float32")
    robot.set_adapter(robot.fit_adapter(adapter))
    assert robot.provenance.adapter == f"{kind}-1"
    with pytest.raises(PackageError, match="base model"):
        verify(packed, KEYRING, base_revision="r2")
