"""Phase Two from homes and bundles to an adapter that the robot loads: kept, resumed, shared by processes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from taskmem_train import cli
from taskmem_train.bundles import home_bundle
from taskmem_train.phase_two import fit
from taskmem_train.phase_two.fit import load_policy, phase_two, sample_candidates
from taskmem_train.phase_two.ledger import RolloutLedger
from taskmem_train.phase_two.settings import PhaseTwoConfig
from taskmem_train.phase_two.sources import read_source
from taskmem_train.rollout import Sampler
from taskmem_train.settings import add_settings, read_settings
from tiny_contexts import window

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.adapter import WEIGHTS_FILE

SMALL = PhaseTwoConfig(
    device="cpu", dtype="float32", bf16=False, home="finder", home_seeds="2400000-2400001", home_clips=3,
    asked_seeds="2450000-2450001", questions=2, candidates=4, max_new_tokens=64, length_difference=20,
    adapter="steer", sft=0.0, steps=2, batch=2, accumulation=1, warmup=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def policy() -> MemoryPolicy:
    return load_policy(SMALL)


@pytest.fixture(scope="module")
def done(policy, tmp_path_factory) -> Path:
    """The folder of a run."""
    out = tmp_path_factory.mktemp("phase-two") / "run"
    phase_two(SMALL, out, policy)
    return out


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "adapter" / WEIGHTS_FILE)


def with_samples(done: Path, folder: Path, *more: str) -> Path:
    """A folder for a run that has the samples of another."""
    folder.mkdir()
    shutil.copy(done / "rollouts.db", folder)
    for name in more:
        shutil.copytree(done / name, folder / name)
    return folder


def test_a_run_leaves_an_adapter_that_the_robot_takes(policy, done):
    assert policy.provenance.adapter == ""
    assert not any(parameter.requires_grad for parameter in policy.checkpoint.model.parameters())
    robot = MemoryPolicy.load("demo", device="cpu", adapter=done / "adapter")
    (vector,) = weights(done).values()
    assert vector.numel() == 256 and vector.any()
    source = read_source(SMALL, Sampler(robot))
    context = source.contexts[-1]
    assert robot.write(context.clips, context.memories).text
    assert (
        json.loads((done / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "demo"
    )
    assert yaml.safe_load((done / "config.yaml").read_text())["home"] == "finder"


def test_what_became_of_all_contexts_adds_up(done):
    report = json.loads((done / "yield.json").read_text())
    pairs = [json.loads(line) for line in (done / "pairs.jsonl").read_text().splitlines()]
    assert report["contexts"] == 6 and report["candidates"] == 6 * 4
    assert report["pairs"] + report["truth_pairs"] == len(pairs) and report["pairs"] > 0
    assert report["pairs"] + sum(report["reasons"].values()) == report["contexts"]
    assert report["share"] == round(report["pairs"] / 6, 4)
    assert len(report["questions"]) == 2 and 0 <= report["unreadable"] <= 24
    assert 0 < report["seconds_before_training"] < report["seconds"]
    curve = [json.loads(line) for line in (done / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve] == [1, 2]
    assert curve[0]["loss"] == pytest.approx(0.6931, abs=1e-3)


@pytest.fixture
def sampled(monkeypatch):
    """The ids of the contexts that were sampled."""
    ids, generate = [], Sampler._generate

    def count(self, contexts, *args):
        ids.extend(context.id for context in contexts)
        return generate(self, contexts, *args)

    monkeypatch.setattr(Sampler, "_generate", count)
    return ids


def test_a_second_run_samples_nothing_and_ends_the_same(policy, done, sampled):
    before = weights(done)
    phase_two(SMALL, done, policy)
    assert sampled == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(done).items())


def test_other_settings_are_refused_in_the_same_folder(policy, done):
    with pytest.raises(
        ValueError, match=r"config.yaml is of a run with lr 0.001, not 0.01; take another folder"
    ):
        phase_two(replace(SMALL, lr=0.01), done, policy)


def test_sampling_that_is_cut_off_keeps_what_it_has(policy, tmp_path):
    contexts, sampler, asked = [window(1, seed) for seed in range(5)], Sampler(policy, max_new_tokens=2), []

    def sample(some):
        asked.append([context.id for context in some])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return sampler.sample(some, 3)

    ledger = RolloutLedger(tmp_path / "rollouts.db")
    with pytest.raises(KeyboardInterrupt):
        ledger.candidates(contexts, sample, "a", at_once=2)
    ledger.close()
    ledger = RolloutLedger(tmp_path / "rollouts.db")
    drafts = ledger.candidates(contexts, sample, "a", at_once=2)
    ids = [context.id for context in contexts]
    assert asked == [ids[:2], ids[2:4], ids[2:4], ids[4:]]
    assert ledger.candidates(contexts, sample, "a") == drafts and len(asked) == 4
    assert [len(some) for some in drafts] == [3] * 5 and "cut off" in drafts[0][0].error
    ledger.candidates(contexts[:1], sample, "b")
    assert asked[4:] == [ids[:1]]
    ledger.close()


def test_more_candidates_are_not_taken_from_fewer(policy, sampled, tmp_path):
    ledger, few = RolloutLedger(tmp_path / "rollouts.db"), replace(SMALL, candidates=2, max_new_tokens=2)
    for config, count in ((few, 1), (few, 1), (replace(few, candidates=3), 2)):
        drafts = sample_candidates(config, policy, [window(1)], ledger)
        assert len(drafts[0]) == config.candidates and len(sampled) == count
    ledger.close()


def test_runs_share_their_rollouts(policy, done, sampled, tmp_path):
    rollouts = str(shutil.copy(done / "rollouts.db", tmp_path))
    phase_two(replace(SMALL, rollouts=rollouts, steps=1), tmp_path / "run", policy)
    assert sampled == [] and not (tmp_path / "run" / "rollouts.db").exists()


def test_training_that_was_cut_off_goes_on_and_ends_the_same(policy, done, tmp_path, monkeypatch):
    config = replace(SMALL, steps=4, save_steps=1)
    whole, cut = with_samples(done, tmp_path / "whole"), with_samples(done, tmp_path / "cut")
    phase_two(config, whole, policy)
    log = fit._Curve.on_log

    def cut_off(self, args, state, *others, **more):
        if state.global_step == 3:
            raise KeyboardInterrupt
        log(self, args, state, *others, **more)

    monkeypatch.setattr(fit._Curve, "on_log", cut_off)
    with pytest.raises(KeyboardInterrupt):
        phase_two(config, cut)
    monkeypatch.undo()
    assert [path.name for path in cut.glob("trainer/checkpoint-*")] == ["checkpoint-2"]
    (cut / "trainer" / "checkpoint-9").mkdir()  # as one that was being written
    phase_two(config, cut, policy)
    assert steps(cut) == [1, 2, 3, 4]
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(cut)[name], tensor, rtol=1e-5, atol=1e-8)


def test_two_processes_sample_once_and_end_like_one(policy, sampled, tmp_path):
    config = replace(SMALL, adapter="lora")
    run = launch(tmp_path / "two", replace(config, batch=config.batch // 2), processes=2)
    assert run.returncode == 0, run.stdout[-3000:]
    assert run.stdout.count('{"questions": ') == 1
    one = with_samples(tmp_path / "two", tmp_path / "one")
    phase_two(config, one, policy)
    assert sampled == []
    assert steps(tmp_path / "two") == steps(one) == [1, 2]
    reports = [json.loads((tmp_path / name / "yield.json").read_text()) for name in ("one", "two")]
    assert reports[0]["pairs"] == reports[1]["pairs"] > 0
    two = weights(tmp_path / "two")
    for name, tensor in weights(one).items():
        assert (two[name] - tensor).norm() < 1e-4 * tensor.norm(), name


def test_a_steering_vector_is_scaled_once(policy, done, tmp_path):
    run = with_samples(done, tmp_path / "run", "trainer")
    for _ in range(2):
        phase_two(replace(SMALL, scale=1.5), run, policy)
        for name, tensor in weights(done).items():
            torch.testing.assert_close(weights(run)[name], tensor * 1.5)


def test_training_stops_where_the_chosen_memories_become_unlikely(policy, done, tmp_path):
    wild = replace(SMALL, lr=30.0, schedule="constant", sft=0.0, steps=7, rollouts=str(done / "rollouts.db"))
    phase_two(wild, tmp_path / "run", policy)
    on = replace(wild, stop_below=-1e9)
    phase_two(on, tmp_path / "on", policy)
    stopped, whole = ((tmp_path / run / "log.jsonl").read_text().splitlines() for run in ("run", "on"))
    assert len(whole) == 7 and 3 <= len(stopped) < 7
    assert sum(json.loads(line)["rewards/chosen"] for line in stopped[-3:]) / 3 < wild.stop_below


def test_a_random_judge_prefers_something_else(policy, done, tmp_path):
    config = replace(SMALL, judge="random", steps=1)
    report = phase_two(config, with_samples(done, tmp_path / "run"), policy)
    assert report["comparisons"].get("ties", 0) == report["comparisons"].get("inconsistent", 0) == 0
    assert (tmp_path / "run" / "pairs.jsonl").read_text() != (done / "pairs.jsonl").read_text()
    (vector,) = weights(tmp_path / "run").values()
    assert vector.any()


def test_a_base_in_4_bits_samples_and_then_learns(tmp_path):
    config = replace(SMALL, quantization="nf4", home_seeds="2400000", judge="random", batch=1, steps=1)
    report = phase_two(config, tmp_path, policy := load_policy(config))
    assert policy.report.quantized_share > 0.3 and report["pairs"] > 0
    (vector,) = weights(tmp_path).values()
    assert vector.any() and vector.dtype == torch.float32


def test_a_bundle_gives_its_own_contexts_and_tasks(policy, tmp_path):
    path = tmp_path / "home.bundle"
    home_bundle(path, [2400000, 2400001], "finder", 4, Sampler(policy, temperature=0), clips=2)
    config = replace(
        SMALL, home="", bundle=(str(path),), judge="random", quality="none", questions=3, steps=1
    )
    report = phase_two(config, tmp_path / "run", policy)
    assert report["contexts"] == 4 and len(report["questions"]) == 3 and report["pairs"] > 0
    assert MemoryPolicy.load("demo", device="cpu", adapter=tmp_path / "run" / "adapter").provenance.adapter


def test_nothing_to_learn_from_is_said(policy, done, tmp_path):
    run = with_samples(done, tmp_path / "run")
    with pytest.raises(ValueError, match=r"no context gave a pair; .*yield.json says why of each"):
        phase_two(replace(SMALL, temperature=0.0, contexts=2), run, policy)
    report = json.loads((run / "yield.json").read_text())
    assert report["pairs"] == 0 and report["reasons"]["duplicates"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"home": ""}, "give either --home ROLE or --bundle FILE"),
        ({"bundle": ("a",)}, "give either --home ROLE or --bundle FILE"),
        ({"candidates": 1}, "candidates is 1; a preference needs at least 2"),
        ({"home": "", "bundle": ("a",)}, "only the demo home's truth is known"),
        ({"judge": "local"}, "--judge local needs --judge-model"),
        ({"quality": "endpoint", "judge_model": "m"}, "--quality endpoint needs --judge-url"),
        ({"judge": "friend"}, "judge is 'friend'; it must be one of truth, answerability, local"),
        ({"adapter": "prefix"}, "adapter is 'prefix'; it must be one of steer, lora"),
        ({"home": "finder+cook"}, "home role 'cook' is not known"),
        ({"adapter": "lora", "scale": 1.5}, "scale is 1.5; only a steering vector is scaled"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_the_steering_vectors_layer_is_as_deep_as_in_taskmem():
    assert [SMALL.layer_of(layers) for layers in (48, 36, 28, 6)] == [22, 16, 12, 2]
    assert replace(SMALL, layer=5).layer_of(48) == 5


def read(*options: str) -> PhaseTwoConfig:
    """The settings that the command line gives."""
    parser = argparse.ArgumentParser()
    add_settings(parser, PhaseTwoConfig)
    return read_settings(parser.parse_args(options), PhaseTwoConfig)


def test_the_command_line_goes_before_the_file_and_the_file_before_defaults(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("home: guard\nlr: 1\nsteps: 7\nbf16: false\n")
    config = read("--config", str(file), "--steps", "3")
    assert (config.home, config.lr, config.steps, config.bf16, config.beta) == ("guard", 1, 3, False, 0.1)
    assert read("--bundle", "a", "b", "--judge", "random", "--quality", "none").bundle == ("a", "b")
    file.write_text("bundle: [a, b]\njudge: random\nquality: none\n")
    assert read("--config", str(file)).bundle == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: 1", r"setting 'learning_rate' is not known; known are model, "),
        ("steps: many", r"steps is 'many'; it must be int"),
        ("steps: 1.5", r"steps is 1.5; it must be int"),
        ("steps: true", r"steps is True; it must be int"),
        ("bf16: 1", r"bf16 is 1; it must be bool"),
        ("bundle: a", r"bundle is 'a'; it must be a list of str"),
        ("steps: null", r"steps is None; it must be int"),
        ("- steps", r"holds no settings; write lines like steps: 40"),
        ("a: [", r"is not YAML"),
        ("judge: friend", r"judge is 'friend'; it must be one of truth, "),
    ],
)
def test_a_bad_file_of_settings_is_refused(tmp_path, text, message):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"home: finder\n{text}\n" if text[0] != "-" else text)
    with pytest.raises(ValueError, match=message):
        read("--config", str(file))


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert cli.main(["phase-two", str(tmp_path / "run"), "--home", "finder", "--model", "/nowhere"]) == 1
    assert capsys.readouterr().err.startswith("taskmem-train: model '/nowhere' is no folder")


def test_what_cannot_be_read_is_named_and_nothing_is_begun(tmp_path, capsys):
    run, nowhere = tmp_path / "run", tmp_path / "nowhere"
    judges = ["--judge", "random", "--quality", "none"]
    assert cli.main(["phase-two", str(run), "--bundle", str(nowhere), *judges]) == 1
    assert f"there is no bundle at {nowhere}" in capsys.readouterr().err and not run.exists()
    assert cli.main(["phase-two", str(run), "--home", "finder", "--config", str(nowhere)]) == 1
    assert f"settings cannot be read from {nowhere}: No such file" in capsys.readouterr().err


def launch(out: Path, config: PhaseTwoConfig, processes: int) -> subprocess.CompletedProcess:
    """`taskmem-train phase-two` with these settings, in so many processes."""
    recipe = out.with_suffix(".yaml")
    given = {name: value for name, value in asdict(config).items() if value not in ("", ())}
    recipe.write_text(yaml.safe_dump(given))
    # accelerate's own command starts CPU processes through MPI alone; its others go through this one.
    launcher = ["torch.distributed.run", "--nproc_per_node", str(processes)]
    launcher += ["--master_addr", "127.0.0.1", "--master_port", str(free_port())]
    return subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "taskmem_train.cli", "phase-two", out, "--config", recipe],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
    )


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]
