"""Bundles of a robot as training ground and as held-out tasks: some tasks, feedback, the home's truth."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from robot_days import HOME, STORE, day
from taskmem_train.bench.bundle import bundle_dataset
from taskmem_train.bench.judges import ExactJudge, HomeJudge
from taskmem_train.bench.types import Question
from taskmem_train.bundles import each_context, known_answers
from taskmem_train.demo.samples import watch
from taskmem_train.gate import GateConfig
from taskmem_train.gate.held_out import _first_life, repeated
from taskmem_train.gate.measures import FEW_STREAMS, blocks
from taskmem_train.gate.trained import TrainedRun, held_out_tasks
from taskmem_train.phase_two.settings import PhaseTwoConfig
from taskmem_train.phase_two.sources import read_source
from taskmem_train.shown import ShownHomes

from taskmem_ros.exchange import Bundle
from taskmem_ros.home import HomeSim
from taskmem_ros.memory import Feedback

CLIPS, TASKS = 7, 6


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> tuple[Path, Path]:
    """Two of a robot; in the second one, somebody says of tasks 2 and 3 of the first what is right."""
    root = tmp_path_factory.mktemp("bundles")
    first = day(root / "1", clips=CLIPS, questions=TASKS, known=False)
    said = [Feedback(1, 2, "wrong", "on the desk in the office", "", 1), Feedback(2, 3, "wrong", None, "", 2)]
    more = {"first": 20, "first_id": 7, "sequence": 2, "feedback": said}
    return first, day(root / "2", clips=3, questions=2, **more)


def config(bundles, **more) -> PhaseTwoConfig:
    values = {"judge": "truth", "quality": "truth", "home_seed": (str(HOME),)} | more
    return PhaseTwoConfig(bundle=tuple(map(str, bundles)), **values)


def test_only_the_tasks_that_are_named_are_learned_from(bundles):
    everything = read_source(config(bundles, questions=50), None)
    assert len(everything.tasks) == TASKS + 2 and len(everything.contexts) == CLIPS + 3
    uids = (f"{STORE}/2", f"{STORE}/8")
    source = read_source(config(bundles, tasks=uids), None)
    assert [task.question for task in source.tasks] == [everything.tasks[n].question for n in (1, 7)]
    assert [task.answer for task in source.answered][0] == "on the desk in the office"
    with pytest.raises(ValueError, match="there are no tasks to learn from"):
        read_source(config(bundles, tasks=("other/1",)), None)


def test_the_demo_homes_truth_is_that_of_the_robots_camera(bundles):
    source = read_source(config(bundles[:1]), None)
    seen = watch(HomeSim(HOME), 0, CLIPS, random.Random(0))
    assert [source.facts[context.id] for context in source.contexts] == [one.facts for one in seen]
    with pytest.raises(ValueError, match="the pictures of 5 ns are of no 10 s of home"):
        ShownHomes(other=HOME).facts("camera", [5])
    with pytest.raises(ValueError, match="name the home that it shows with --home-seed"):
        config(bundles, home_seed=())
    with pytest.raises(ValueError, match="--tasks and --home-seed are about bundles"):
        PhaseTwoConfig(home="finder", home_seed=("3",))


def test_some_contexts_of_a_bundle_are_the_same_as_all_of_them(bundles):
    with Bundle.open(bundles[0]) as bundle:
        whole = list(each_context(bundle))
        some = list(each_context(bundle, wanted={2, 3, 6}))
    assert [context.id for context in some] == [whole[n].id for n in (2, 3, 6)]
    for context, same in zip(some, (whole[n] for n in (2, 3, 6))):
        assert context.memories == same.memories
        for one, other in zip(context.clips, same.clips, strict=True):
            assert all(
                np.array_equal(a.image, b.image) for a, b in zip(one.frames, other.frames, strict=True)
            )
    assert some[0].clips[-1] is some[1].clips[-2]  # looked at once
    spread = read_source(config(bundles, contexts=5), None)
    everything = read_source(config(bundles), None)
    assert [c.id for c in spread.contexts] == [c.id for c in everything.contexts[::2]]


def test_feedback_of_a_later_bundle_makes_an_answer_known(bundles):
    with Bundle.open(bundles[0]) as first, Bundle.open(bundles[1]) as second:
        known = known_answers([first, second])
        assert known_answers([first]) == dict.fromkeys(list(known)[:TASKS])
    assert known[f"{STORE}/2"] == "on the desk in the office" and known[f"{STORE}/3"] is None
    assert known[f"{STORE}/7"] and known[f"{STORE}/8"]
    data = bundle_dataset(bundles)
    asked = [question for stream in data.streams for question in stream.questions]
    assert len(asked) == 3 and len(data.skipped) == TASKS - 1
    assert "on the desk in the office" in [question.answer for question in asked]
    few = bundle_dataset(bundles, wanted={f"{STORE}/2"}.__contains__)
    assert [len(stream.questions) for stream in few.streams] == [1] and few.skipped == ()


def test_of_the_demo_home_clips_and_questions_are_known(bundles):
    data = bundle_dataset(bundles[1:], homes=ShownHomes(other=HOME))
    (stream,) = data.streams
    starts = [clip.start_ns for clip in stream.observe()]
    seen = watch(HomeSim(HOME), 20, 3, random.Random(20))
    assert [stream.facts[start] for start in starts] == [one.facts for one in seen]
    assert stream.fingerprint != bundle_dataset(bundles[1:]).streams[0].fingerprint
    question = stream.questions[0]
    judge = HomeJudge(ExactJudge())
    assert judge.right(question, f"It is {question.answer}.") and not judge.right(question, "in the attic")
    assert judge.right(Question("x", "How many?", "", "two"), "Two.") and judge.identity == "home exact"


@pytest.fixture
def run(bundles, tmp_path) -> TrainedRun:
    """Fitted to the newest two tasks of the first three."""
    learned = config(bundles, questions=2, tasks=tuple(f"{STORE}/{n}" for n in (1, 2, 7)))
    return TrainedRun(tmp_path, learned, ())


def test_the_rest_of_the_tasks_is_held_out(bundles, run):
    asked = {"publish": "", "bundle": tuple(map(str, bundles))}
    with pytest.raises(ValueError, match=r"task [27] of [12] was trained on .*--held-out rest"):
        held_out_tasks(GateConfig(**asked), run)
    rest = held_out_tasks(GateConfig(held_out="rest", **asked), run)
    assert [q.id.split("-")[1] for stream in rest.dataset.streams for q in stream.questions] == ["8"]
    assert (rest.left_out, rest.clips, rest.clips_trained_on) == (2, CLIPS + 3, CLIPS + 3)
    named = held_out_tasks(GateConfig(held_out="rest", tasks=(f"{STORE}/1", f"{STORE}/8"), **asked), run)
    assert named.left_out == 0 and len(named.dataset.skipped) == 1
    for change, said in (
        ({"held_out": "some"}, "held_out is 'some'"),
        ({"home_seed": ("1",), "quality": "endpoint"}, "truth is known"),
        ({"bundle": (), "home": "finder", "held_out": "rest"}, "are about bundles"),
        ({"block": -1}, "block is -1"),
    ):
        with pytest.raises(ValueError, match=said):
            GateConfig(**asked | change)


def test_what_is_repeated_stays_together(bundles):
    data = repeated(bundle_dataset(bundles), 3)
    ids = [stream.id for stream in data.streams]
    assert len(set(ids)) == len(ids) and ids[1:3] == [f"{ids[0]}~1", f"{ids[0]}~2"]
    asked = [question.id for stream in data.streams for question in stream.questions]
    assert len(set(asked)) == len(asked) == 9
    assert [_first_life(id, 3) for id in ids[:3]] == ids[:1] * 3 and _first_life("a~7", 3) == "a~7"
    order = [(time, name) for _ in range(3) for time, name in ((5, "x"), (5, "y"), (9, "z"))]
    assert blocks(["a"] * 9, order, 3) == ("a #0", "a #1", "a #2") * 3
    with pytest.raises(ValueError, match="repeats is 9 and at_once 8; it must be from 1 to at_once"):
        GateConfig(publish="", bundle=("b",), repeats=9, at_once=8)


def test_consecutive_questions_are_drawn_as_one_where_streams_are_few():
    assert blocks(["a"] * 5, [5, 4, 3, 2, 1], 2) == ("a #1", "a #1", "a #1", "a #0", "a #0")
    assert blocks(["a", "b", "a", "b"], [1, 1, 2, 2], 2) == ("a #0", "b #0", "a #0", "b #0")
    assert blocks(["a"] * 3, [1, 2, 3], 5) == ("a #0",) * 3
    many = [str(n) for n in range(FEW_STREAMS)]
    assert blocks(many, [0.0] * len(many), 2) is None and blocks(["a"], [0.0], 0) is None
