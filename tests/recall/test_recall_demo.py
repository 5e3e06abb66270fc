"""Recall with the model in models/demo as its reader, over memories and questions of the demo home."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from taskmem_ros.home import HomeSim, is_right, look_up, memory_text, observations, questions, read_memory
from taskmem_ros.memory import Store
from taskmem_ros.recall import Recall

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"
STEP_NS = 10_000_000_000
SEED, CLIPS, QUESTIONS = 5_000_001, 40, 40

pytestmark = pytest.mark.skipif(
    not (DEMO / "config.json").is_file(), reason="models/demo is not here: taskmem-train demo-model trains it"
)


def test_the_demo_model_answers_from_memory_or_says_that_it_cannot(tmp_path):
    from taskmem_ros.policy import MemoryPolicy

    sim, dice = HomeSim(SEED), random.Random(SEED)
    stated = []
    with Store.open(tmp_path / "home.db") as store:
        for index, facts in enumerate(observations(sim, CLIPS * STEP_NS)):
            room = [fact for fact in facts if fact.room == facts[0].room]
            stated.append(dice.sample(room, min(3, len(room))))
            if room:
                text = memory_text(stated[-1], dice)
                store.add_memory("home_camera", 0, index * STEP_NS, (index + 1) * STEP_NS, text)
        recall = Recall(store, MemoryPolicy.load("demo", device="cpu").complete)
        right, failed, answered, supported = 0, [], 0, 0
        for question in questions(sim, CLIPS * STEP_NS, QUESTIONS, SEED):
            answer = recall.ask(question.text)
            assert (answer.status == "answered") == bool(answer.text) == bool(answer.evidence)
            evidence = sorted(answer.evidence, key=lambda item: item.memory.start_ns)
            alone = look_up(question.query, [read_memory(item.memory.text)[0] for item in evidence])
            answered += answer.status == "answered"
            supported += bool(alone) and is_right(replace(question, answer=alone.answer), answer.text)
            known = look_up(question.query, stated)
            truth = type(question)(question.text, question.kind, known and known.answer, question.query)
            if is_right(truth, answer.text or None):
                right += 1
            else:
                failed.append((question.text, truth.answer, answer.status, answer.text))
            assert answer.status in ("answered", "not_in_memory"), answer.message
    # A floor, so that a broken path is seen; what the model can do stands in its card.
    assert right >= 0.5 * QUESTIONS, failed
    assert supported >= 0.95 * answered > 0, "the evidence alone says the answer"
