"""benchmarks/phase_two_speed.py at its smallest: what it measures is there, whatever its size."""

from __future__ import annotations

import gc
import math
import sys
import weakref
from pathlib import Path

import pytest
import torch
from taskmem_train.rollout import Sampler
from transformers import AutoTokenizer

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.load import DEMO, count_parameters, find_checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import phase_two_speed as speed
from phase_two_shapes import SHAPES, make_config, make_policy

SMALL = "--frame-tokens 2 --contexts 2 --candidates 2 --tokens 5 --batch 1 --rounds 1 --device cpu".split()
CPU = torch.device("cpu")


def rows(printed: str) -> list[dict[str, str]]:
    lines = [line[2:-2].split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def filled(row: dict[str, str]) -> dict[str, float]:
    return {name: float(row[name].replace(",", "")) for name in speed.NUMBERS if row[name]}


def test_all_is_measured_and_nothing_is_held_afterwards(capsys, monkeypatch):
    models = []

    def make(*how):
        policy = make_policy(*how)
        models.append(weakref.ref(policy.checkpoint.model))
        return policy

    monkeypatch.setattr(speed, "make_policy", make)
    assert speed.main(["--shape", "tiny", *SMALL]) == 0
    found = rows(capsys.readouterr().out)
    kinds = ["none", "steer", "lora"]
    assert [row["adapter"] for row in found] == kinds * 3
    assert [row["weights"] for row in found[::3]] == ["bf16", "nf4", "nf4 : bf16"]
    for row in found:
        numbers = filled(row)
        learned = row["adapter"] != "none"
        assert list(numbers) == list(speed.NUMBERS[:2] if learned else speed.NUMBERS[2:4])
        assert all(math.isfinite(number) and number > 0 for number in numbers.values())
    gc.collect()
    assert len(models) == 2 and not any(model() for model in models)


def test_what_does_not_fit_is_a_row_that_says_so(capsys, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(speed, "fit_preferences", full)
    assert speed.main(["--shape", "tiny", "--weights", "bf16", *SMALL]) == 0
    whole, *learned = rows(capsys.readouterr().out)
    assert filled(whole) and [row["ms a DPO pair"] for row in learned] == ["out of memory"] * 2
    monkeypatch.setattr(speed, "make_policy", full)
    speed.main(["--shape", "tiny", "--weights", "nf4", *SMALL])
    (row,) = rows(capsys.readouterr().out)
    assert row["weights"] == "nf4" and row["ms a DPO pair"] == "out of memory"


def test_a_number_below_1_is_refused(capsys):
    with pytest.raises(SystemExit):
        speed.main(["--shape", "tiny", "--frame-tokens", "0"])
    assert "--frame-tokens is 0; it must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("shape", ["tiny", "tiny-moe"])
def test_a_made_model_is_held_as_a_loaded_one(tmp_path, shape):
    make_policy(shape, "bf16", CPU).checkpoint.model.save_pretrained(tmp_path)
    demo = Path(find_checkpoint(DEMO)[0])
    for file in demo.glob("*token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for name in ("chat_template.jinja", "video_preprocessor_config.json"):
        (tmp_path / name).write_bytes((demo / name).read_bytes())
    for weights, quantization in (("bf16", "none"), ("nf4", "nf4")):
        made = make_policy(shape, weights, CPU)
        loaded = MemoryPolicy.load(tmp_path, quantization=quantization, dtype="bfloat16", device="cpu")
        for name in ("parameters", "quantized_share", "memory_bytes"):
            assert getattr(made.report, name) == getattr(loaded.report, name), (weights, name)
        tensors = [policy.checkpoint.model.state_dict() for policy in (made, loaded)]
        ours, theirs = ({n: (t.shape, t.dtype) for n, t in some.items()} for some in tensors)
        assert ours == theirs


def test_every_reply_has_the_length_asked_for():
    policy = make_policy("tiny", "bf16", CPU, frame_tokens=1, reply=7)
    drafts = Sampler(policy, temperature=1.0, max_new_tokens=7).sample(speed.make_contexts(2, 1), 3)
    assert [[draft.tokens for draft in some] for some in drafts] == [[7] * 3] * 2


@pytest.mark.parametrize(("shape", "billions"), [("2B", 2.1), ("4B", 4.4), ("8B", 8.8), ("30B-A3B", 31.1)])
def test_the_shapes_are_as_large_as_their_names(shape, billions):
    tokenizer = AutoTokenizer.from_pretrained(find_checkpoint(DEMO)[0])
    assert count_parameters(make_config(SHAPES[shape], tokenizer)) == pytest.approx(billions * 1e9, rel=0.02)
