"""Writing memories and completing prompts: retries, sampling, deadlines, confidence, thoughts, nesting."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import replace

import pytest
import torch
from test_policy_adapter import make_adapter
from tiny_models import TAUGHT, make_clip, teach

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.decoding import Decoder
from taskmem_ros.policy.load import load_checkpoint
from taskmem_ros.policy.prompt import memorize_parts


def test_a_reply_without_a_memory_is_tried_once_more_and_then_failed(random_policy):
    draft = random_policy.write([make_clip()], [], max_new_tokens=20)
    assert draft.text is None and draft.error
    assert draft.attempts == 2 and draft.tokens == 40 and draft.raw
    assert draft == _timeless(random_policy.write([make_clip()], [], max_new_tokens=20), draft.seconds)


def test_half_a_memory_is_none(taught_policy):
    whole = taught_policy.write([make_clip()], [])
    draft = taught_policy.write([make_clip()], [], max_new_tokens=whole.tokens - 4)
    assert draft.text is None and "cut off" in draft.error and draft.attempts == 2


def test_sampling_depends_on_the_clip_alone(random_policy):
    def sample(index):
        return random_policy.write([make_clip(index)], [], max_new_tokens=20, temperature=1.0).raw

    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = sample(3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert sample(3) == first != sample(4)


def test_a_checkpoint_samples_as_its_generation_config_says(random_folder):
    def replies(**config):
        checkpoint = load_checkpoint(str(random_folder), device="cpu")
        checkpoint.model.generation_config.update(**config)
        decoder, parts = Decoder(checkpoint), memorize_parts([make_clip()], [])
        return [decoder.reply(parts, 20, temperature=temperature).raw for temperature in (None, 0.0)]

    (greedy, same), (sampled, still_greedy) = (
        replies(do_sample=False),
        replies(do_sample=True, temperature=5.0, top_p=1.0),
    )
    assert greedy == same == still_greedy != sampled


def test_the_window_and_its_memories_reach_the_model(random_folder):
    decoder = Decoder(load_checkpoint(str(random_folder), device="cpu"))
    clips = [make_clip(0), make_clip(1)]
    windows = [
        memorize_parts(clips[1:], []),
        memorize_parts(clips, ["a cup"]),
        memorize_parts(clips, ["a hat"]),
    ]
    assert len({decoder.reply(parts, 2, with_logprobs=True).logprobs for parts in windows}) == 3


def test_a_window_without_frames_is_refused(random_policy):
    with pytest.raises(ValueError, match="at least one"):
        random_policy.write([], [])


def test_confidence_is_the_mean_probability_of_the_reply(random_folder):
    checkpoint = load_checkpoint(str(random_folder), device="cpu")
    policy = MemoryPolicy(checkpoint)
    completion = policy.complete("where is the cup?", max_new_tokens=12)
    inputs = checkpoint.packer.pack(["where is the cup?"])
    prompt = inputs["input_ids"].shape[1]
    with torch.no_grad():
        ids = checkpoint.model.generate(**inputs, max_new_tokens=12, do_sample=False)
        logits = checkpoint.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    logprobs = logits[0, prompt - 1 : -1].log_softmax(-1).gather(1, ids[0, prompt:, None])
    assert completion.confidence == pytest.approx(math.exp(logprobs.mean()), rel=1e-4)
    assert completion.tokens == ids.shape[1] - prompt
    assert completion.text == checkpoint.tokenizer.decode(ids[0, prompt:], skip_special_tokens=True).strip()


def test_a_deadline_ends_the_reply_at_the_next_token(random_policy):
    started = time.monotonic()
    late = random_policy.complete("hello", max_new_tokens=3000, deadline=started + 0.3)
    assert not late.finished and late.ended == "deadline" and late.tokens > 0
    assert time.monotonic() - started < 2
    passed = random_policy.complete("hello", deadline=started)
    assert not passed.finished and passed.tokens == 0 and passed.text == "" and passed.confidence == 0
    cut = random_policy.complete("hello", max_new_tokens=3, deadline=time.monotonic() + 60)
    assert cut.finished and cut.ended == "length" and cut.tokens == 3


def test_what_a_yield_point_raises_ends_the_writing(random_policy):
    class Enough(Exception):
        pass

    calls = []

    def after_five():
        calls.append(None)
        if len(calls) == 5:
            raise Enough

    before = random_policy.write([make_clip()], [], max_new_tokens=20)
    with pytest.raises(Enough):
        random_policy.write([make_clip()], [], max_new_tokens=500, yield_point=after_five)
    assert len(calls) == 5
    assert _timeless(random_policy.write([make_clip()], [], max_new_tokens=20), before.seconds) == before


@pytest.mark.parametrize("temperature", [0.0, 1.0, None])
@pytest.mark.parametrize("kind", [None, "steer", "lora"])
def test_a_memory_interrupted_by_questions_is_the_same_memory(random_folder, tmp_path, kind, temperature):
    checkpoint = load_checkpoint(str(random_folder), device="cpu")
    policy = MemoryPolicy(checkpoint)
    if kind:
        policy.set_adapter(make_adapter(random_folder, tmp_path / kind, kind))
    clips, memories = [make_clip(0), make_clip(1)], ["a red cup on the table"]
    question = "where is the cup? " * 5
    alone = policy.complete(question, max_new_tokens=4)
    answers, deltas = [], []

    def interrupt():
        before = checkpoint.model.model.rope_deltas
        answers.append(policy.complete(question, max_new_tokens=4))
        deltas.append(torch.equal(before, checkpoint.model.model.rope_deltas))

    arguments = dict(max_new_tokens=40, temperature=temperature)
    quiet = policy.write(clips, memories, **arguments)
    disturbed = policy.write(clips, memories, **arguments, yield_point=interrupt)
    assert disturbed == _timeless(quiet, disturbed.seconds)
    assert len(answers) == disturbed.tokens and all(deltas)
    assert all((a.text, a.confidence) == (alone.text, alone.confidence) for a in answers)


def test_rope_deltas_are_worth_keeping(random_folder):
    """The question has other deltas than the memory: unguarded, it would leave them on the module."""
    checkpoint = load_checkpoint(str(random_folder), device="cpu")
    decoder, seen = Decoder(checkpoint), []
    decoder.reply(memorize_parts([make_clip()], []), 2)
    seen.append(checkpoint.model.model.rope_deltas.clone())
    decoder.reply(["hello"], 2)
    seen.append(checkpoint.model.model.rope_deltas.clone())
    assert not torch.equal(*seen)


def test_thoughts_that_were_cut_off_are_no_reply(thinking_folder):
    policy = MemoryPolicy.load(str(thinking_folder), device="cpu")
    completion = policy.complete("hello", max_new_tokens=8)
    assert completion.tokens == 8 and completion.text == "" and completion.confidence == 0


def test_the_reply_of_a_thinking_model_is_what_follows_its_thoughts(thinking_folder, tmp_path):
    thinking_folder = shutil.copytree(thinking_folder, tmp_path / "taught")
    teach(thinking_folder, before="it is a cup</think>\n\n")
    policy = MemoryPolicy.load(str(thinking_folder), device="cpu")
    draft = policy.write([make_clip()], [])
    assert draft.text == TAUGHT and draft.raw.startswith("it is a cup</think>")
    completion = policy.complete("hello", max_new_tokens=64)
    assert "think" not in completion.text


def _timeless(draft, seconds):
    return replace(draft, seconds=seconds)
