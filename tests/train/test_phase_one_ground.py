"""Who judges, what a bundle's streams are, and settings that do not fit each other."""

from __future__ import annotations

import pytest
import torch
from taskmem_train.contexts import Context
from taskmem_train.judges.types import JudgeError
from taskmem_train.phase_one.generate import in_half
from taskmem_train.phase_one.ground import bundle_streams, make_ground
from taskmem_train.phase_one.history import Course
from taskmem_train.phase_one.home import HomeStreams, measure
from taskmem_train.phase_one.richness import ListwiseRichness, read_order
from taskmem_train.phase_one.settings import PhaseOneConfig

from taskmem_ros.policy import MemoryPolicy

TEXTS = ["Ben waved.", "Anna put the red mug on the table.", "Ben waved."]


def test_richness_by_a_list_that_a_model_sorts():
    asked = []

    def complete(parts):
        asked.append(parts[0])
        return '<think>the first says more</think>{"order": [1, 2]}'

    amounts = ListwiseRichness(complete).amounts(Context("x", (), ()), TEXTS)
    assert amounts == [0.0, 1.0, 0.0]
    assert (
        "1. Anna put" in asked[0] and "2. Ben waved." in asked[0] and asked[0].endswith('{"order": [2, 1]}')
    )


def test_without_an_order_all_are_as_rich():
    def refuse(parts):
        raise JudgeError("HTTP 500")

    assert ListwiseRichness(refuse).amounts(Context("x", (), ()), TEXTS) == [0.0, 0.0, 0.0]
    assert ListwiseRichness(refuse).amounts(Context("x", (), ()), TEXTS[:1]) == [0.0]
    assert read_order('{"order": ["2", 1, 3]}', 3) == [2, 1, 3]
    for reply in ("none", '{"order": [1, 1]}', '{"order": [1]}', '{"order": 2}'):
        with pytest.raises(ValueError, match="numbers 1 to 2"):
            read_order(reply, 2)


def test_a_bundles_contexts_are_streams_again():
    homes = HomeStreams(1_000_000, 4, (64, 48))
    contexts = []
    for number in range(2):
        course = Course(homes(number), window=3)
        while not course.over:
            contexts.append(course.context())
            course.remember("a memory")
    streams = bundle_streams(contexts)
    assert [stream.clips for stream in streams] == [homes(0).clips, homes(1).clips]
    assert len({stream.id for stream in streams}) == 2


def test_settings_that_do_not_fit():
    for given, fault in (
        ({"bundle": ("a.bundle",)}, "take --judge endpoint or local"),
        ({"judge": "local"}, "needs --judge-model"),
        ({"judge": "endpoint", "judge_model": "m"}, "needs --judge-url"),
        ({"generations": 1}, "at least 2"),
        ({"iterations": 3}, "multiple of iterations 3"),
    ):
        with pytest.raises(ValueError, match=fault):
            PhaseOneConfig(**given)


def test_a_ground_and_its_measure(tmp_path):
    config = PhaseOneConfig(
        frame_size=(160, 128),
        stream_clips=2,
        contexts=2,
        off_policy_steps=1,
        autocast=True,
    )
    policy = MemoryPolicy.load("demo", dtype="float32")
    ground = make_ground(config, policy, tmp_path)
    assert len(ground.earlier) == 2 and (tmp_path / "earlier.json").exists()
    assert ground.streams(ground.first).id == "home-1000001"
    assert policy.checkpoint.model.dtype == torch.float32  # as it was, after writing in half
    homes = HomeStreams(2_000_000, 2, (160, 128))
    streams = [homes(number) for number in range(3)]
    with in_half(policy.checkpoint.model):
        measured = measure(policy, streams, homes.facts)
    assert measured["memories"] == 6 and measured["failed"] == 0
    assert measured["fidelity"] > 0.7 and 1 < measured["facts_per_memory"] <= 3
