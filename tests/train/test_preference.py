"""DPO on an adapter alone: its loss, its gradient through 4 bits, and a base that stays as it is."""

from __future__ import annotations

import shutil

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from taskmem_train.contexts import Context
from taskmem_train.preference import (
    Preference,
    adapter_config,
    fit_preferences,
    keep_differentiable,
)
from taskmem_train.rollout import Sampler
from tiny_contexts import window
from torch.nn.functional import logsigmoid, pad
from transformers import AutoModelForImageTextToText, TrainerCallback
from trl import DPOConfig

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.load import Checkpoint
from taskmem_ros.policy.prompt import memorize_parts, memory_reply

BETA = 0.1
CONTEXTS: dict[str, Context] = {context.id: context for context in map(window, (1, 3, 2, 4))}
ROWS = [
    Preference(id, memory_reply(f"the red cup is on table {n}"), memory_reply("a lamp" + " is on" * n))
    for n, id in enumerate(CONTEXTS, start=1)
]


def load(folder, **how) -> MemoryPolicy:
    policy = MemoryPolicy.load(str(folder), device="cpu", **{"dtype": "float32", **how})
    keep_differentiable(policy.checkpoint.model)
    return policy


def settings(folder, **changes) -> DPOConfig:
    values = dict(
        output_dir=str(folder), beta=BETA, learning_rate=0.0, per_device_train_batch_size=4, max_steps=1,
        max_length=None, remove_unused_columns=False, precompute_ref_log_probs=True, use_cpu=True, bf16=False,
        activation_checkpointing=False, logging_steps=1, report_to="none", save_strategy="no",
        dataloader_pin_memory=False, lr_scheduler_type="constant", max_grad_norm=0.0, disable_tqdm=True,
    )  # fmt: skip
    return DPOConfig(**(values | changes))


def random_adapter(checkpoint: Checkpoint, kind: str):
    """Another than training begins with, whose gradient would be the same at any reference."""
    config = adapter_config(checkpoint.model, kind, layer=1, rank=4)
    if kind == "steer":
        config.init_weights = False
    else:
        config.init_lora_weights = False
    return config


def fit(checkpoint: Checkpoint, kind: str, args: DPOConfig, callbacks=()):
    return fit_preferences(checkpoint, random_adapter(checkpoint, kind), ROWS, CONTEXTS, args, callbacks)


@torch.no_grad()
def likelihood(checkpoint: Checkpoint, context: Context, reply: str) -> torch.Tensor:
    """The log probability of one reply, from a forward pass of its own, as the robot packs its prompt."""
    inputs = checkpoint.packer.pack(memorize_parts(context.clips, context.memories))
    ids = checkpoint.tokenizer(f"{reply}<|im_end|>", return_tensors="pt")["input_ids"]
    before, count = inputs["input_ids"].shape[1], ids.shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], ids], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["mm_token_type_ids"] = pad(inputs["mm_token_type_ids"], (0, count))
    inputs["pixel_values_videos"] = inputs["pixel_values_videos"].to(checkpoint.dtype)
    logprobs = checkpoint.model(**inputs).logits[0, before - 1 : -1].float().log_softmax(-1)
    return logprobs.gather(-1, ids[0, :, None]).sum()


@pytest.mark.parametrize("kind", ["steer", "lora"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_the_loss_is_that_of_dpo(tiny_folder, tmp_path, kind, dtype, tolerance):
    checkpoint = load(tiny_folder, dtype=dtype).checkpoint
    trainer = fit(checkpoint, kind, settings(tmp_path, activation_checkpointing=dtype == "bfloat16"))
    trainer.save_model(str(tmp_path / "adapter"))

    robot = load(tiny_folder, dtype=dtype)
    margins = []
    for folder in (tmp_path / "adapter", None):
        robot.set_adapter(folder) if folder else robot.unload_adapter()
        margins.append(
            [
                likelihood(robot.checkpoint, CONTEXTS[row.context], row.chosen)
                - likelihood(robot.checkpoint, CONTEXTS[row.context], row.rejected)
                for row in ROWS
            ]
        )
    adapted, reference = map(torch.stack, margins)
    assert (adapted - reference).abs().max() > 0.5
    expected = -logsigmoid(BETA * (adapted - reference)).mean()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected.item(), rel=tolerance)


@pytest.mark.parametrize("kind", ["steer", "lora"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_changes_the_adapter_and_not_a_bit_of_the_base(tiny_folder, tmp_path, kind, dtype):
    policy = load(tiny_folder, dtype=dtype)
    model = policy.checkpoint.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    written = policy.write(CONTEXTS["window-1-0"].clips, (), max_new_tokens=20).raw
    peft_config = adapter_config(model, kind, layer=1, rank=4)
    args = settings(
        tmp_path, learning_rate=0.03, max_steps=4, max_grad_norm=1.0, activation_checkpointing=True
    )
    trainer = fit_preferences(policy.checkpoint, peft_config, ROWS, CONTEXTS, args)
    trained = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    assert all(parameter.dtype == torch.float32 and parameter.any() for parameter in trained)
    if kind == "steer":
        assert sum(parameter.numel() for parameter in trained) == model.config.text_config.hidden_size
    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert losses[0] == pytest.approx(torch.tensor(2.0).log().item(), abs=1e-3) and losses[-1] < losses[0]

    policy.unload_adapter()
    model.eval().requires_grad_(False)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    assert policy.write(CONTEXTS["window-1-0"].clips, (), max_new_tokens=20).raw == written
    assert "forward" not in vars(model) and model.config.text_config._attn_implementation == "sdpa"


class Gradients(TrainerCallback):
    """The gradients of the first step. All begin at numbers that bfloat16 holds, as TRL's 4-bit ones do."""

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.begun = {name: p for name, p in model.named_parameters() if p.requires_grad}
        for parameter in self.begun.values():
            parameter.data = parameter.data.bfloat16().float()

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.found = torch.cat([parameter.grad.flatten() for parameter in self.begun.values()])


def gradients(checkpoint: Checkpoint, kind: str, folder) -> Gradients:
    callback = Gradients()
    fit(checkpoint, kind, settings(folder), [callback])
    return callback


def assert_same_gradients(found: Gradients, expected: Gradients) -> None:
    for name, parameter in found.begun.items():
        assert torch.equal(parameter, expected.begun[name]), name
    assert expected.found.norm() > 1e-3
    assert torch.cosine_similarity(found.found, expected.found, 0) > 0.999
    assert found.found.norm().item() == pytest.approx(expected.found.norm().item(), rel=0.01)


def whole(folder, quantized: Checkpoint) -> Checkpoint:
    """A float32 model with the very weights that the quantized one stands for."""
    reference = load(folder).checkpoint
    for name, module in quantized.model.named_modules():
        if isinstance(module, Linear4bit):
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state).float()
            reference.model.get_submodule(name).weight.data = weight
    return reference


@pytest.fixture(scope="module", params=["tiny_folder", "tiny_moe_folder"])
def loud_folder(request, tmp_path_factory):
    """A model whose layers say much beside the residual stream, where their gradients would else drown."""
    folder = tmp_path_factory.mktemp("loud") / "model"
    shutil.copytree(request.getfixturevalue(request.param), folder)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    for parameter in model.model.language_model.layers.parameters():
        if parameter.dim() > 1:
            parameter.data *= 8
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("before", ["nothing", "sampled"])
@pytest.mark.parametrize("kind", ["steer", "lora"])
def test_the_gradient_through_4_bits_is_that_of_the_weights_they_stand_for(
    loud_folder, tmp_path, kind, before
):
    policy = load(loud_folder, quantization="nf4")
    assert policy.report.quantized_share > 0  # of experts, attention alone
    reference = whole(loud_folder, policy.checkpoint)
    if before == "sampled":
        Sampler(policy, max_new_tokens=4).sample(list(CONTEXTS.values()), 2)
    found = gradients(policy.checkpoint, kind, tmp_path / "nf4")
    assert_same_gradients(found, gradients(reference, kind, tmp_path / "whole"))


def test_a_model_that_is_packed_for_writing_is_refused(tiny_folder, tmp_path):
    policy = MemoryPolicy.load(str(tiny_folder), device="cpu", dtype="float32", quantization="nf4")
    if not any(
        getattr(module, "support_avx512bf16_for_cpu", False) for module in policy.checkpoint.model.modules()
    ):
        pytest.skip("this processor has no AVX512-BF16: nothing is packed")
    policy.write(CONTEXTS["window-1-0"].clips, (), max_new_tokens=2)
    with pytest.raises(ValueError, match="packed for writing .* keep_differentiable before it writes"):
        fit(policy.checkpoint, "steer", settings(tmp_path))


def test_an_unknown_adapter_is_refused(tiny_folder):
    with pytest.raises(ValueError, match="adapter 'prefix' is not known; use steer or lora"):
        adapter_config(load(tiny_folder).checkpoint.model, "prefix", 1, 4)
