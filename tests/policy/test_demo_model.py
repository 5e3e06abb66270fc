"""The checkpoint in models/demo through the whole policy, on homes it was never trained on."""

from __future__ import annotations

import re

import pytest

from taskmem_ros.clips import Clip, Frame
from taskmem_ros.home import (
    SAMPLE_TIMES_S,
    Fact,
    HomeCamera,
    HomeSim,
    memory_text,
    read_memory,
    visible_facts,
)
from taskmem_ros.home.things import COLOURS, KINDS
from taskmem_ros.policy import LoadError, MemoryPolicy
from taskmem_ros.policy.load import find_checkpoint
from taskmem_ros.recall.prompt import parse_reading, reading_prompt

# Training uses seeds below 1,000,000 only.
HELD_OUT = 1_000_000
SECOND = 10**9
CLIP_NS = 10 * SECOND


@pytest.fixture(scope="module", params=["none", "nf4", "int8"])
def policy(request) -> MemoryPolicy:
    try:
        find_checkpoint("demo")
    except LoadError:
        pytest.skip("models/demo is missing")
    return MemoryPolicy.load("demo", quantization=request.param, device="cpu")


def home_clips(seed: int, count: int) -> list[Clip]:
    camera = HomeCamera(HomeSim(seed))
    clips = []
    for index in range(count):
        start = index * CLIP_NS
        stamps = [start + int(second * SECOND) for second in SAMPLE_TIMES_S]
        frames = tuple(Frame(stamp, "home_camera", camera.frame(stamp)) for stamp in stamps)
        clips.append(Clip("home_camera", 0, start, start + CLIP_NS, frames))
    return clips


def test_it_is_small_and_says_what_it_is(policy):
    report = policy.report
    assert report.model == "demo" and 10**6 < report.parameters < 2 * 10**7
    assert re.fullmatch(r"[0-9a-f]{12}", report.revision)
    assert (report.quantized_share > 0.3) == (report.quantization != "none")


def test_every_clip_of_a_new_home_gives_a_memory_of_that_home(policy):
    stated = true = 0
    for seed in (HELD_OUT + 1, HELD_OUT + 2):
        sim, memories, window = HomeSim(seed), [], home_clips(seed, 6)
        for index, clip in enumerate(window):
            first = max(0, index - 4)
            draft = policy.write(window[first : index + 1], memories[first:index])
            assert draft.text is not None, f"{draft.error}: {draft.raw}"
            memories.append(draft.text)
            facts, _ = read_memory(draft.text)
            seen = visible_facts(sim, [frame.stamp_ns for frame in clip.frames])
            stated, true = stated + len(facts), true + sum(fact in seen for fact in facts)
    assert stated >= 12
    # A floor, so that a broken path is seen; the measured fidelity stands in the model card.
    assert true / stated > 0.85


def test_it_answers_from_a_memory_and_abstains_without_one(policy):
    right = abstained = 0
    things = [f"{colour} {kind}" for colour in COLOURS[:4] for kind in KINDS[:3]]
    for thing, other in zip(things, things[1:] + things[:1], strict=True):
        memory = (0, memory_text([Fact("kitchen", "object", thing, "is", "", "counter")]))
        prompt = reading_prompt(f"Where is the {thing}?", [memory])
        reading = parse_reading(policy.complete(prompt).text, 1)
        right += reading.cited == (1,) and reading.answer == "on the counter in the kitchen"
        prompt = reading_prompt(f"Where is the {other}?", [memory])
        abstained += parse_reading(policy.complete(prompt).text, 1).answer is None
    assert parse_reading(policy.complete(reading_prompt("Where is Anna?", [])).text, 0).answer is None
    # Floors, as above.
    assert right >= 10 and abstained >= 10
