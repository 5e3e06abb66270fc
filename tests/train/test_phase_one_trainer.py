"""GSPO over video: likelihoods, the loss and the gate are what they say, whatever TRL makes of its inside."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import pytest
import torch
from taskmem_train.cli import main
from taskmem_train.phase_one.run import make_trainer, train
from taskmem_train.phase_one.settings import PhaseOneConfig
from taskmem_train.phase_one.shared import likelihoods, share
from transformers import TrainerCallback
from trl import GRPOTrainer

from taskmem_ros.policy import MemoryPolicy

TINY = PhaseOneConfig(
    frame_size=(160, 128),
    stream_clips=4,
    off_policy_steps=2,
    on_policy_steps=2,
    contexts=2,
    generations=4,
    max_new_tokens=48,
    lr=1e-4,
    warmup=1,
    rehearse=1,
    measure_every=0,
    save_every=2,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """With replies of one generation, over an earlier run's contexts (windows of several clips)."""
    out = tmp_path_factory.mktemp("trainer")
    config = replace(TINY, off_policy_steps=1, on_policy_steps=0, iterations=2, rehearse=0)
    trainer = make_trainer(config, MemoryPolicy.load("demo", dtype="float32"), out)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # as train() sets it
    return trainer


def alone(trainer, parts, reply) -> torch.Tensor:
    """Log-likelihoods of a reply's tokens by transformers' own forward, unpadded and by itself."""
    checkpoint = trainer._checkpoint
    packed = checkpoint.packer.pack(parts)
    count = packed["input_ids"].shape[1]
    ids = torch.cat([packed["input_ids"], torch.tensor([reply])], 1)
    out = checkpoint.model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=torch.where(ids == checkpoint.packer.video_token_id, 2, 0),
        pixel_values_videos=packed["pixel_values_videos"],
        video_grid_thw=packed["video_grid_thw"],
    )
    logits = out.logits[0, count - 1 : -1] / trainer.temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(reply)[:, None])[:, 0]


def inputs_of(trainer) -> dict:
    rows = [{"prompt": str(number)} for number in range(2) for _ in range(TINY.generations)]
    return trainer._generate_and_score_completions(rows)


def test_likelihoods_are_those_of_each_reply_alone(trainer):
    inputs = inputs_of(trainer)
    rollout = trainer._rollout
    assert len({len(parts) for parts in rollout.parts}) == 2  # windows of different lengths
    order = [5, 0, 3, 7, 1]  # as TRL's shuffling and splitting leaves them
    trainer._rows = order
    mask = inputs["completion_mask"][order]
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)[order]
    logps, entropy, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, ids, None, mask.shape[1], compute_entropy=True
    )
    for row, number in enumerate(order):
        reply = rollout.replies[number]
        assert reply == ids[row, inputs["prompt_ids"].shape[1] :][: len(reply)].tolist()
        expected = alone(trainer, rollout.parts[rollout.of[number]], reply)
        assert torch.allclose(logps[row, : len(reply)], expected, atol=1e-3)
        assert not logps[row, len(reply) :].any() and int(mask[row].sum()) == len(reply)
    assert entropy.shape == logps.shape and (entropy >= 0).all()
    # A gradient through the shared row is the sum of the gradients one by one.
    weight = trainer.model.model.language_model.layers[0].self_attn.q_proj.weight
    (shared,) = torch.autograd.grad(logps.sum(), weight)
    (single,) = torch.autograd.grad(
        sum(alone(trainer, rollout.parts[rollout.of[i]], rollout.replies[i]).sum() for i in order), weight
    )
    assert torch.allclose(shared, single, atol=1e-3 * float(single.abs().max()))


def test_the_loss_is_gspos_with_the_gate(trainer):
    inputs = inputs_of(trainer)
    rewards = torch.tensor([reward.total for reward in trainer._rollout.rewards])
    groups = rewards.view(2, -1)
    advantages = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)).flatten()
    gated = torch.where((advantages < 0) & (rewards >= 0), 0.0, advantages)
    assert torch.allclose(inputs["advantages"], gated, atol=1e-5)
    rollout = trainer._rollout
    with torch.no_grad():
        old = [alone(trainer, rollout.parts[i], reply) for i, reply in zip(rollout.of, rollout.replies)]
        kept = {name: p.clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
        torch.manual_seed(0)
        for name in kept:  # other weights than those that wrote the replies
            trainer.model.get_parameter(name).mul_(1 + 0.3 * torch.randn(()))
        new = [alone(trainer, rollout.parts[i], reply) for i, reply in zip(rollout.of, rollout.replies)]
        ratio = torch.stack([(b - a).mean().exp() for a, b in zip(old, new)])
        given = torch.linspace(-2, 2, len(ratio))  # so that every branch of the loss is walked
        clipped = ratio.clamp(1 - 0.2, 1 + 0.28)
        expected = -torch.minimum(ratio * given, clipped * given).mean()
        loss = trainer.compute_loss(trainer.model, {**inputs, "advantages": given})
        for name, weights in kept.items():
            trainer.model.get_parameter(name).copy_(weights)
    assert (ratio < 0.8).any() or (ratio > 1.28).any()
    assert float(loss) == pytest.approx(float(expected), abs=1e-4)


def test_the_gate_keeps_good_candidates_from_being_unlearned(trainer):
    trainer._gate = True
    with_gate = inputs_of(trainer)["advantages"]
    totals = torch.tensor([reward.total for reward in trainer._rollout.rewards])
    trainer._gate = False
    without = inputs_of(trainer)["advantages"]
    trainer._gate = True
    assert not with_gate[totals >= 0].lt(0).any()
    assert torch.equal(with_gate[totals < 0], without[totals < 0])


def test_trls_fused_head_gives_the_same(trainer):
    inputs_of(trainer)
    rollout = trainer._rollout
    shared = share(trainer._checkpoint, trainer._prompts, rollout.parts, rollout.replies, rollout.of)
    with torch.no_grad():
        fused, plain = (likelihoods(trainer.model, shared, trainer.temperature, way) for way in (True, False))
    for one, other in zip(fused, plain):
        kept = shared.labels[:, 1:] != -100
        assert torch.allclose(one[kept], other[kept], atol=1e-4)
    assert torch.equal(fused[0] != 0, plain[0] != 0)


def test_what_is_overridden_is_still_called_so_by_trl():
    """An upgrade that changes these is to be read, not to be survived by luck."""
    ours = set(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    assert {"model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"} <= ours
    assert {"compute_entropy", "compute_aux_loss"} <= ours
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    for name in (
        '"advantages": advantages',
        "self._generate(prompts)",
        "_get_per_token_logps_and_entropies(",
    ):
        assert name in source
    assert "self.rollout_func(prompts, self)" in inspect.getsource(GRPOTrainer._generate)


def test_a_reply_never_holds_a_video_token(trainer):
    inputs_of(trainer)
    video = trainer._checkpoint.packer.video_token_id
    assert all(video not in reply for reply in trainer._rollout.replies)
    rows = share(trainer._checkpoint, trainer._prompts, trainer._rollout.parts, [[5], [6, 7]], [1, 1])
    assert rows.where[0][0] == rows.where[1][0] == 1


class _StopAt(TrainerCallback):
    def __init__(self, step: int):
        self._step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self._step:
            control.should_training_stop = True


def lines(path) -> list[dict]:
    read = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if "time" not in key} for line in read]


def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(TINY, whole)
    cut.mkdir()
    first = make_trainer(TINY, MemoryPolicy.load("demo", dtype="float32"), cut)
    first.add_callback(_StopAt(3))  # one step after the last checkpoint
    first.train()
    (cut / "log.jsonl").write_text("")
    train(TINY, cut)
    assert lines(cut / "log.jsonl") == lines(whole / "log.jsonl")[2:]
    a, b = ((path / "model" / "model.safetensors").read_bytes() for path in (whole, cut))
    assert a == b
    assert MemoryPolicy.load(str(cut / "model")).report.parameters > 8e6


def test_lora_by_command_line(tmp_path, capsys):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "train: lora\nlora_rank: 4\nframe_size: [160, 128]\nstream_clips: 3\noff_policy_steps: 0\n"
        "on_policy_steps: 1\ncontexts: 1\ngenerations: 2\nmax_new_tokens: 24\nmeasure_every: 1\n"
        "measure_streams: 1\nmeasure_clips: 1\nautocast: true\n"
    )
    out = tmp_path / "out"
    assert main(["phase-one", str(out), "--config", str(recipe), "--lr", "1e-3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "model")
    policy = MemoryPolicy.load(str(out / "model"), adapter=None)
    assert policy.report.adapter == ""
    assert MemoryPolicy.load("demo", adapter=out / "adapter").report.adapter
    (step,) = lines(out / "log.jsonl")
    assert step["step"] == 1 and step["rewards/quality/mean"] <= 0.5
    assert [line["step"] for line in lines(out / "measured.jsonl")] == [0, 1]
    assert json.loads((out / "settings.json").read_text())["lr"] == 1e-3
    assert main(["phase-one", str(out), "--contexts", "3", "--accumulate", "2"]) == 1
    assert "make contexts a multiple of 2" in capsys.readouterr().err
