"""Memories sampled in batches are those that the robot writes one by one."""

from __future__ import annotations

import pytest
import torch
from peft import BeftConfig, get_peft_model
from taskmem_train.contexts import Context, live
from taskmem_train.home import home_stream
from taskmem_train.rollout import Sampler
from tiny_contexts import window
from transformers import AutoModelForImageTextToText

from taskmem_ros.policy import MemoryPolicy


@pytest.fixture(scope="module")
def policy() -> MemoryPolicy:
    return MemoryPolicy.load("demo", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def contexts(policy) -> list[Context]:
    """Windows of 1 to 5 clips of a home, with the memories of the clips before."""
    streams = {"home": [item.clip for item in home_stream(2400000, 5).seen]}
    found = [context for context, _ in live(Sampler(policy, temperature=0), streams)]
    assert [len(context.clips) for context in found] == [1, 2, 3, 4, 5]
    return found


def test_greedy_memories_of_a_batch_are_those_of_the_robot(policy, contexts):
    written = [policy.write(c.clips, c.memories, temperature=0) for c in contexts]
    assert all(draft.text for draft in written)
    for rows in (64, 2):
        drafts = Sampler(policy, temperature=0, rows=rows).write(contexts)
        assert [(d.text, d.raw, d.tokens, d.attempts) for d in drafts] == [
            (d.text, d.raw, d.tokens, d.attempts) for d in written
        ]


def test_candidates_differ_and_the_same_call_gives_the_same(policy, contexts):
    sampler = Sampler(policy, temperature=1.0, top_p=1.0, top_k=0, seed=3, max_new_tokens=64)
    before = policy.write(contexts[-1].clips, contexts[-1].memories).text
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = raws(sampler.sample(contexts, 4))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert raws(sampler.sample(contexts, 4)) == first
    assert raws(sampler.sample(contexts, 4, seed=4)) != first
    assert [len(row) for row in first] == [4] * len(contexts)
    assert sum(len(set(row)) > 1 for row in first) >= 4
    # The policy goes on as if nothing had been.
    assert policy.write(contexts[-1].clips, contexts[-1].memories).text == before


def test_a_lower_temperature_says_less_that_is_different(policy, contexts):
    def different(temperature: float) -> int:
        sampler = Sampler(policy, temperature=temperature, top_p=1.0, top_k=0, max_new_tokens=64)
        return sum(len(set(row)) for row in raws(sampler.sample(contexts, 4)))

    assert different(0.2) < different(1.5)


def test_a_reply_that_is_cut_off_is_a_failure(policy, contexts):
    sampler = Sampler(policy, max_new_tokens=3)
    (draft,) = sampler.sample(contexts[:1], 1)[0]
    assert draft.text is None and draft.tokens == 3 and draft.raw
    assert draft.error == "the reply was cut off at max_new_tokens 3"
    draft = sampler.write(contexts[:1])[0]
    assert (draft.text, draft.attempts, draft.tokens) == (None, 2, 6)
    assert "max_new_tokens 3" in draft.error


def test_a_reply_that_is_no_memory_is_a_failure_with_its_reason(tiny_folder):
    policy = MemoryPolicy.load(str(tiny_folder), device="cpu")
    drafts = Sampler(policy, temperature=2.0, max_new_tokens=60).sample([window(1), window(2)], 8)
    assert all(draft.text is None and draft.error for some in drafts for draft in some)
    ended = [draft for some in drafts for draft in some if draft.tokens < 60]
    assert ended and all("cut off" not in draft.error for draft in ended)


def test_the_identity_names_all_that_candidates_follow_from(tiny_folder, tmp_path):
    policy = MemoryPolicy.load(str(tiny_folder), device="cpu")
    sampler = Sampler(policy, temperature=1.0)
    bare = sampler.identity
    assert bare == Sampler(policy, temperature=1.0).identity
    for other in ({"temperature": 0.5}, {"top_k": 3}, {"seed": 1}, {"instruction": "?"}, {"top_p": 0.5}):
        assert Sampler(policy, **({"temperature": 1.0} | other)).identity != bare
    policy.set_adapter(steered(tiny_folder, tmp_path))
    assert sampler.identity != bare
    policy.unload_adapter()
    assert sampler.identity == bare


def test_candidates_are_of_the_adapter_in_use(tiny_folder, tmp_path):
    policy = MemoryPolicy.load(str(tiny_folder), device="cpu")
    sampler = Sampler(policy, temperature=0, max_new_tokens=16)
    bare = raws(sampler.sample([window(2)], 1))
    policy.set_adapter(steered(tiny_folder, tmp_path))
    assert raws(sampler.sample([window(2)], 1)) != bare


def steered(base, folder):
    """The folder of a random steering vector."""
    config = BeftConfig(target_modules=r".*language_model\.layers\.1\.mlp\.down_proj", init_weights=False)
    get_peft_model(AutoModelForImageTextToText.from_pretrained(base), config).save_pretrained(folder)
    return folder


def raws(drafts) -> list[list[str]]:
    return [[draft.raw for draft in some] for some in drafts]
