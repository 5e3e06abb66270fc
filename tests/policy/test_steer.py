"""The steering vector of training, for dense models and mixtures of experts, on the robot."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from peft import BeftConfig, PeftConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tiny_models import make_clip
from transformers import AutoModelForImageTextToText

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.load import Checkpoint
from taskmem_ros.policy.prompt import memorize_parts
from taskmem_ros.policy.steer import steer_config

KINDS = ("random_folder", "moe_folder")
LAYER = 1


@pytest.fixture(scope="module", params=KINDS)
def folder(request):
    return request.getfixturevalue(request.param)


def load(folder) -> Checkpoint:
    return MemoryPolicy.load(str(folder), device="cpu", dtype="float32").checkpoint


def steered(model, seed: int = 0) -> PeftModel:
    """The model with a random steering vector."""
    peft = get_peft_model(model, steer_config(model, LAYER))
    torch.manual_seed(seed)
    torch.nn.init.normal_(vector(peft))
    return peft


def vector(peft: PeftModel) -> torch.nn.Parameter:
    (only,) = (parameter for parameter in peft.parameters() if parameter.requires_grad)
    return only


@torch.no_grad()
def logits(model, checkpoint: Checkpoint) -> torch.Tensor:
    clips = [make_clip(index) for index in range(2)]
    return model(**checkpoint.packer.pack(memorize_parts(clips, ["a cup"]))).logits


def test_it_is_hidden_size_numbers_that_are_zero_at_first(folder):
    checkpoint = load(folder)
    bare = logits(checkpoint.model, checkpoint)
    peft = get_peft_model(checkpoint.model, steer_config(checkpoint.model, LAYER))
    assert vector(peft).numel() == checkpoint.model.config.text_config.hidden_size
    assert not vector(peft).any()
    assert torch.equal(logits(peft, checkpoint), bare)


def test_it_is_a_shift_of_one_layers_output(folder):
    checkpoint = load(folder)
    peft = steered(checkpoint.model)
    adapted = logits(peft, checkpoint)
    layer = checkpoint.model.model.language_model.layers[LAYER]
    shift = vector(peft).detach().flatten()
    with peft.disable_adapter():
        bare = logits(checkpoint.model, checkpoint)
        hook = layer.register_forward_hook(lambda module, inputs, output: output + shift)
        hooked = logits(checkpoint.model, checkpoint)
        hook.remove()
    assert (adapted - bare).abs().max() > 0.1
    assert (adapted - hooked).abs().max() < 1e-5


def test_the_gradient_of_the_shift_is_that_of_the_layers_output(folder):
    checkpoint = load(folder)
    peft = steered(checkpoint.model)
    inputs = checkpoint.packer.pack(memorize_parts([make_clip()], []))
    layer, kept = checkpoint.model.model.language_model.layers[LAYER], []
    hook = layer.register_forward_hook(
        lambda module, inputs, output: (output.retain_grad(), kept.append(output))[1]
    )
    peft(**inputs).logits.logsumexp(-1).sum().backward()
    hook.remove()
    torch.testing.assert_close(vector(peft).grad.flatten(), kept[0].grad.sum((0, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_the_robot_takes_what_peft_saved(folder, tmp_path, quantization):
    checkpoint = load(folder)
    peft = steered(checkpoint.model)
    adapted = logits(peft, checkpoint)
    peft.save_pretrained(tmp_path)
    (stored,) = load_file(tmp_path / "adapter_model.safetensors").values()
    assert stored.numel() == checkpoint.model.config.text_config.hidden_size

    robot = MemoryPolicy.load(str(folder), device="cpu", dtype="float32", quantization=quantization)
    bare = robot.write([make_clip()], [], max_new_tokens=30, temperature=0).raw
    robot.set_adapter(tmp_path)
    if quantization == "none":
        assert (logits(robot.checkpoint.model, checkpoint) - adapted).abs().max() < 1e-5
    assert robot.write([make_clip()], [], max_new_tokens=30, temperature=0).raw != bare
    robot.unload_adapter()
    assert robot.write([make_clip()], [], max_new_tokens=30, temperature=0).raw == bare


def test_plain_peft_opens_a_dense_models_file(random_folder, tmp_path):
    checkpoint = load(random_folder)
    peft = steered(checkpoint.model)
    adapted = logits(peft, checkpoint)
    peft.save_pretrained(tmp_path)
    config = PeftConfig.from_pretrained(str(tmp_path))
    assert type(config) is BeftConfig
    plain = PeftModel.from_pretrained(
        AutoModelForImageTextToText.from_pretrained(random_folder), str(tmp_path)
    )
    assert (logits(plain, checkpoint) - adapted).abs().max() < 1e-5


def test_in_bfloat16_the_vector_stays_float32(folder):
    checkpoint = MemoryPolicy.load(str(folder), device="cpu", dtype="bfloat16").checkpoint
    peft = steered(checkpoint.model)
    assert vector(peft).dtype == torch.float32
    inputs = checkpoint.packer.pack(memorize_parts([make_clip()], []))
    inputs["pixel_values_videos"] = inputs["pixel_values_videos"].bfloat16()
    output = peft(**inputs).logits
    assert output.dtype == torch.bfloat16
    output.float().logsumexp(-1).sum().backward()
    assert vector(peft).grad.norm() > 0


def test_the_vector_lies_where_the_layer_does(folder):
    model = load(folder).model.double()
    assert vector(get_peft_model(model, steer_config(model, LAYER))).dtype == torch.float64


@pytest.mark.parametrize("layer", [-1, 3, 22])
def test_a_layer_that_the_model_has_not_is_refused(folder, layer):
    with pytest.raises(ValueError, match=rf"layer is {layer}; this model has 3 decoder layers, 0 to 2"):
        steer_config(load(folder).model, layer)


def test_the_robot_takes_vectors_for_experts_without_the_trainers_modules():
    code = (
        "from taskmem_ros.policy import MemoryPolicy\n"
        "from peft import PeftType\n"
        "from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING as tuners\n"
        "print(tuners[PeftType.BEFT].__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "SteerModel"
