"""The quick forward pass is the library's, and what the demo model learns from says what it should."""

from __future__ import annotations

import random

import pytest
import torch
from taskmem_train.demo.batch import IGNORE, collate, loss, pixel_pairs, see
from taskmem_train.demo.config import GRID, SPEC, demo_config
from taskmem_train.demo.samples import (
    MAX_FACTS,
    choose_facts,
    corpus,
    listing_samples,
    reading_sample,
    watch,
    writing_samples,
)
from taskmem_train.demo.tokenizer import train_tokenizer
from transformers import Qwen3VLForConditionalGeneration

from taskmem_ros.home import HomeSim, read_memory
from taskmem_ros.policy.packing import VideoPacker
from taskmem_ros.policy.prompt import parse_memory
from taskmem_ros.recall.prompt import parse_reading

SIZE = (160, 128)


@pytest.fixture(scope="module")
def packer():
    return VideoPacker(train_tokenizer(corpus(0, 200)), SPEC)


@pytest.fixture(scope="module")
def model(packer):
    torch.manual_seed(0)
    return Qwen3VLForConditionalGeneration(demo_config(packer.tokenizer)).eval()


def library_loss(model, packer, sample) -> tuple[float, int]:
    """The loss of a one-turn sample by transformers' own forward, on what `pack` gives the robot."""
    inputs = packer.pack(sample.parts)
    target = torch.tensor([packer.tokenizer(f"{sample.turns[0][0]}<|im_end|>")["input_ids"]])
    ids = torch.cat([inputs["input_ids"], target], 1)
    labels = torch.cat([torch.full_like(inputs["input_ids"], IGNORE), target], 1)
    out = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=torch.where(ids == packer.video_token_id, 2, 0),
        pixel_values_videos=inputs["pixel_values_videos"],
        video_grid_thw=inputs["video_grid_thw"],
        labels=labels,
    )
    return float(out.loss), target.shape[1]


def test_the_quick_forward_equals_the_librarys(packer, model):
    rng = random.Random(1)
    seen = watch(HomeSim(3), 2, 6, rng, SIZE)
    samples = writing_samples(seen, rng) + listing_samples(seen, rng)
    pixels, spans = pixel_pairs(seen, packer)
    with torch.no_grad():
        ours = float(
            loss(model, see(model.model.visual, pixels, GRID, SPEC), collate(samples, packer, spans, GRID))
        )
        theirs = [library_loss(model, packer, sample) for sample in samples]
    assert ours == pytest.approx(sum(value * n for value, n in theirs) / sum(n for _, n in theirs), abs=1e-4)


def test_the_camera_s_frames_become_the_trained_grid(packer):
    seen = watch(HomeSim(3), 2, 2, random.Random(1))
    sample = writing_samples(seen, random.Random(2))[-1]
    inputs = packer.pack(sample.parts)
    assert inputs["video_grid_thw"][:, 1:].tolist() == [list(GRID)] * len(sample.clips)


def test_written_memories_state_only_what_the_newest_clip_shows_and_nothing_twice(packer):
    rng = random.Random(4)
    for seed in range(20):
        seen = watch(HomeSim(seed), 5, 6, rng, SIZE)
        for item, sample in zip(seen, writing_samples(seen, rng)):
            facts, unread = read_memory(parse_memory(sample.turns[0][0]))
            assert not unread and facts and set(facts) <= set(item.facts)
            assert len(facts) <= MAX_FACTS
        for item, sample in zip(seen, listing_samples(seen, rng)):
            assert set(read_memory(parse_memory(sample.turns[0][0]))[0]) == set(item.facts)


def test_facts_are_chosen_evenly_over_their_kinds_and_new_ones_first():
    rng = random.Random(5)
    counts: dict[str, int] = {}
    for seed in range(60):
        for item in watch(HomeSim(seed), 3, 3, rng, SIZE):
            if len({fact.kind for fact in item.facts}) == 5:
                for fact in choose_facts(item.facts, set(), rng):
                    counts[fact.kind] = counts.get(fact.kind, 0) + 1
            known = set(item.facts[:-1])
            assert item.facts[-1] in choose_facts(item.facts, known, rng)
    assert max(counts.values()) < 2.5 * min(counts.values())


def test_reading_samples_answer_by_the_newest_memory_and_abstain_about_half_the_time():
    rng, answered, asked = random.Random(6), 0, 0
    for _ in range(200):
        sample = reading_sample(rng)
        count = sum(line.startswith("[") for line in sample.parts[0].splitlines())
        for reply, _ in sample.turns:
            reading = parse_reading(reply, count)
            if f"{reading.answer} (" in sample.parts[0]:
                continue  # recited
            assert (reading.answer is None) == (reading.cited == ())
            asked, answered = asked + 1, answered + (reading.answer is not None)
    assert 0.4 < answered / asked < 0.6


def test_only_replies_are_learned(packer):
    sample = reading_sample(random.Random(7))
    batch = collate([sample], packer, [], GRID)
    learned = packer.tokenizer.decode(batch.labels[batch.labels != IGNORE])
    assert learned == "".join(f"{reply}<|im_end|>" for reply, _ in sample.turns)


def test_worlds_seen_in_training_are_refused_by_the_check():
    from taskmem_train.check import check

    with pytest.raises(ValueError, match="never trained on"):
        check(None, range(5, 9), 10, 10)
