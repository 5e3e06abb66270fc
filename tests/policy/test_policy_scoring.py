"""Log probabilities of written replies: those of transformers' own loss, whatever else is in the batch."""

from __future__ import annotations

import pytest
import torch
from test_policy_adapter import make_adapter
from tiny_models import TAUGHT, make_clip

from taskmem_ros.policy import MemoryPolicy, scoring
from taskmem_ros.policy.load import load_checkpoint

TURNS = [
    ("What do you see?", TAUGHT),
    ("x", "a cup"),
    ("What do you see? " * 9, "Größe: 3 m – a table"),
    ("Is it red?", "yes"),
    ("Is it red?", ""),
]


def total(scored) -> float:
    return sum(token.logprob for token in scored)


def reference(folder, turns, thoughts="") -> list[float]:
    """One row at a time, by the loss that transformers computes."""
    checkpoint = load_checkpoint(str(folder), device="cpu")
    sums = []
    for prompt, reply in turns:
        before = checkpoint.packer.text([prompt], []) + thoughts
        head, tail = (
            checkpoint.tokenizer(text, add_special_tokens=False).input_ids for text in (before, reply)
        )
        ids = torch.tensor([head + tail])
        labels = torch.tensor([[-100] * len(head) + tail])
        with torch.no_grad():
            sums.append(
                -checkpoint.model(input_ids=ids, labels=labels).loss.item() * len(tail) if tail else 0.0
            )
    return sums


def test_scores_are_those_of_transformers_loss(random_policy, random_folder):
    scored = random_policy.reply_logprobs(TURNS)
    assert [total(tokens) for tokens in scored] == pytest.approx(reference(random_folder, TURNS), abs=1e-3)
    assert scored[-1] == [] and all(token.logprob < 0 for tokens in scored for token in tokens)
    for (_, reply), tokens in zip(TURNS[:2], scored):
        assert "".join(reply[token.start : token.end] for token in tokens) == reply
    # Several tokens stand for one character of several bytes.
    assert {(t.start, t.end) for t in scored[2]} >= {(2, 3), (3, 4)} and scored[2][-1].end == len(TURNS[2][1])


def test_batches_are_bounded_and_change_nothing(random_policy, monkeypatch):
    together = random_policy.reply_logprobs(TURNS)
    seen = []
    forward = scoring.Scorer._forward
    monkeypatch.setattr(
        scoring.Scorer, "_forward", lambda self, rows: seen.append(rows) or forward(self, rows)
    )
    monkeypatch.setattr(scoring, "BATCH_TOKENS", 150)
    apart = random_policy.reply_logprobs(TURNS)
    assert [total(tokens) for tokens in apart] == pytest.approx(
        [total(tokens) for tokens in together], abs=1e-3
    )
    assert len(seen) > 2 and sum(len(rows) for rows in seen) == len(TURNS)
    assert all(len(rows) == 1 or len(rows) * max(len(ids) for ids, _ in rows) <= 150 for rows in seen)
    assert random_policy.reply_logprobs([]) == []


def test_the_adapter_is_off_and_a_memory_in_the_making_is_not_disturbed(random_folder, tmp_path):
    policy = MemoryPolicy.load(str(random_folder), device="cpu")
    bare = policy.reply_logprobs(TURNS)
    policy.set_adapter(make_adapter(random_folder, tmp_path / "steer", "steer"))
    plain = policy.write([make_clip()], [], max_new_tokens=12).raw
    scored = []

    def score():
        scored.append(policy.reply_logprobs(TURNS))

    assert policy.write([make_clip()], [], max_new_tokens=12, yield_point=score).raw == plain
    assert scored[0] == bare and scored[-1] == bare


def test_the_thoughts_of_a_thinking_checkpoint_are_empty(thinking_folder):
    policy = MemoryPolicy.load(str(thinking_folder), device="cpu")
    scored = policy.reply_logprobs(TURNS[:2])
    expected = reference(thinking_folder, TURNS[:2], "\n</think>\n\n")
    assert [total(tokens) for tokens in scored] == pytest.approx(expected, abs=1e-3)
