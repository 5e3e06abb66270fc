"""Answerability, by the demo model: a memory that states the answer is above those that do not."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from judge_cases import S, context
from taskmem_train.contexts import TrainingTask
from taskmem_train.home import home_stream
from taskmem_train.judges.answerability import Answerability, AnswerabilityJudge

from taskmem_ros.home import look_up, memory_text, queries_about
from taskmem_ros.policy import LoadError, MemoryPolicy
from taskmem_ros.policy.load import find_checkpoint

WHERE = "Where is the red mug?"
STATES = "In the kitchen, the red mug is on the counter."
WRONG_THING = "In the kitchen, the blue hat is on the counter."
SILENT = "In the kitchen, the tv is on and Ben waved."
MUG = TrainingTask(WHERE, "on the counter in the kitchen")
OPEN = TrainingTask("What is Ben doing?", None)
COAT = TrainingTask("What is Anna wearing?", "a blue coat")
COAT_STATED = "In the kitchen, Anna is wearing a blue coat."


@pytest.fixture(scope="module")
def scorer() -> Answerability:
    try:
        find_checkpoint("demo")
    except LoadError:
        pytest.skip("models/demo is missing")
    return Answerability(MemoryPolicy.load("demo", device="cpu"))


def test_what_states_the_answer_is_above_what_does_not(scorer):
    rng, cases, task_list = random.Random(3), [], []
    while len(cases) < 30:
        facts = list(dict.fromkeys(rng.choice(home_stream(1_500_000 + len(cases)).seen).facts))
        fact = rng.choice(facts)
        query = rng.choice(queries_about(fact))
        others = [other for other in facts if look_up(query, [[other]]) is None]
        if len(others) < 2:
            continue
        cases.append((memory_text([fact, others[0]], rng), memory_text(others[:2], rng)))
        task_list.append(TrainingTask(query.text(rng), look_up(query, [[fact]]).answer))
    leads = []
    for texts, task in zip(cases, task_list):
        scores, likely = scorer.score(texts, [task]), scorer.probability(texts, [task])
        assert scores.shape == likely.shape == (2, 1) and np.all((likely >= 0) & (likely <= 1))
        leads.append((scores[0, 0] > scores[1, 0], likely[0, 0] > likely[1, 0] + 0.1))
    assert np.mean(leads, axis=0) == pytest.approx([1, 1], abs=0.1)


def test_each_candidate_is_scored_for_each_known_answer(scorer):
    scores = scorer.score([STATES, COAT_STATED, SILENT], [MUG, OPEN, COAT])
    assert scores.shape == (3, 2)
    assert scores.argmax(axis=0).tolist() == [0, 1]
    alone = scorer.score([COAT_STATED], [COAT])
    assert alone[0, 0] == pytest.approx(scores[1, 1], abs=1e-4) and alone[0, 0] > 0.5
    assert scorer.score([], [MUG]).shape == (0, 1)


def test_the_right_answer_about_another_thing_does_not_help(scorer):
    judge = AnswerabilityJudge(scorer, [MUG])
    pairs = [(WRONG_THING, STATES), (STATES, WRONG_THING), (WRONG_THING, SILENT), (STATES, STATES)]
    assert judge.compare(context(), pairs, [WHERE]) == ["second", "first", "tie", "tie"]


def test_only_tasks_whose_answer_was_seen_in_this_clip_count(scorer):
    pairs = [(STATES, SILENT)]
    late = TrainingTask(WHERE, MUG.answer, since_ns=10 * S, until_ns=20 * S)
    judge = AnswerabilityJudge(scorer, [late, COAT])
    assert judge.compare(context(index=1), pairs, [WHERE]) == ["first"]
    assert judge.compare(context(index=0), pairs, [WHERE]) == ["tie"]
    assert judge.compare(context(index=2), pairs, [WHERE]) == ["tie"]
    elsewhere = AnswerabilityJudge(scorer, [replace(late, camera="another")])
    assert elsewhere.compare(context(index=1), pairs, [WHERE]) == ["tie"]
    assert judge.compare(context(index=1), [], [WHERE]) == []


def test_without_answers_there_is_nothing_to_judge_by(scorer):
    with pytest.raises(ValueError, match="none of 1 tasks has a known answer"):
        scorer.score([STATES], [OPEN])
    with pytest.raises(ValueError, match="none of 0 tasks"):
        AnswerabilityJudge(scorer, [])
    with pytest.raises(ValueError, match="margin is -1"):
        AnswerabilityJudge(scorer, [MUG], margin=-1)
