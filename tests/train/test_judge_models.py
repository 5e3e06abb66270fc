"""Judges by language models: what their replies mean, over real HTTP and with real models on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judge_cases import context
from taskmem_train.judges.asking import ask_all
from taskmem_train.judges.endpoint import EndpointComplete, endpoint_helpfulness, endpoint_quality
from taskmem_train.judges.grading import read_grade
from taskmem_train.judges.local import causal_complete, local_helpfulness, local_quality, policy_complete
from taskmem_train.judges.pairwise import PairwiseJudge, pairwise_prompt, read_preference
from taskmem_train.judges.types import Grade, JudgeError
from taskmem_train.pairs import Candidate, Pair, Yield, make_pair
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from taskmem_ros.clips import Clip, Frame
from taskmem_ros.policy import LoadError, MemoryPolicy
from taskmem_ros.policy.load import find_checkpoint

QUESTIONS = [f"Where is number {index}?" for index in range(7)]
PAIRS = [("a red mug", "a mug"), ("a mug", "a red mug"), ("a mug", "a hat")]
TEXTS = [Candidate(text, Grade(1.0, True)) for text in ("a", "a mug", "a red mug")]


@pytest.fixture(scope="module")
def url():
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("judge_server.py"))],
        env=os.environ | {"WANTED": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    server.kill()
    server.communicate()


@pytest.mark.parametrize(
    ("reply", "preference"),
    [
        ("A", "first"),
        (" b\n", "second"),
        ("(B)", "second"),
        ("**A**.", "first"),
        ("Tie", "tie"),
        ("A tie.", "tie"),
        ("Answer: Entry B", "second"),
        ('{"reason": "B says little", "better": "A"}', "first"),
        ('{"better": "entry b", "reason": "A is {odd}"}', "second"),
        ('```json\n{"better": "tie"}\n```', "tie"),
        ('Entry A has less. {"better": "B"}', "second"),
        ('{"reason": "short", "better": "A"', "first"),
        ('<think>A? {"better": "A"}</think>{"better": "B"}', "second"),
        ("thoughts that a template opened, A </think> B", "second"),
    ],
)
def test_what_a_reply_prefers(reply, preference):
    assert read_preference(reply) == preference


@pytest.mark.parametrize(
    "reply",
    [
        "", " ", "C", "A or B", "Both", "A better entry is B", "Alright", '{"better": "C"}', '{"better": ""}',
        '{"better": null}', '{"winner": "A"}', "{}", "{", "<think>A", "<think>A</think>",
        "AB", "Entry A tells more than entry B.",
    ],
)  # fmt: skip
def test_what_is_no_opinion(reply):
    with pytest.raises(ValueError):
        read_preference(reply)


def test_the_prompt_holds_all_that_a_judge_needs():
    prompt = pairwise_prompt(["It rained."], "first {x}", "second", QUESTIONS)
    assert all(question in prompt for question in QUESTIONS)
    assert "Entry A: first {x}\nEntry B: second\n" in prompt and "It rained." in prompt
    assert "Already" not in pairwise_prompt([], "first", "second", QUESTIONS)
    with pytest.raises(ValueError, match="no recent question"):
        pairwise_prompt([], "first", "second", [])


def test_opinions_over_http(url):
    judge = endpoint_helpfulness(url, "longer")
    assert judge.compare(context(), PAIRS, QUESTIONS) == ["first", "second", "tie"]
    assert judge.compare(context(), [], QUESTIONS) == []
    pair = make_pair(context(), TEXTS, QUESTIONS, judge, len)
    assert pair == Pair("home-1", "a red mug", "a")


def test_a_judge_that_likes_a_place_is_inconsistent(url):
    counts = Yield()
    judge = endpoint_helpfulness(url, "first")
    assert make_pair(context(), TEXTS, QUESTIONS, judge, len, counts=counts) == "inconsistent"
    assert counts.comparisons["inconsistent"] == 3 and counts.comparisons["preferred"] == 0


@pytest.mark.parametrize(
    ("model", "words"), [("broken", "500: on fire"), ("rambling", 'neither "A", "B" nor "tie"')]
)
def test_a_failure_is_no_opinion(url, model, words):
    judge = endpoint_helpfulness(url, model)
    verdicts = judge.compare(context(), PAIRS, QUESTIONS)
    assert all(isinstance(verdict, JudgeError) and words in str(verdict) for verdict in verdicts)
    counts = Yield()
    assert make_pair(context(), TEXTS, QUESTIONS, judge, len, counts=counts) == "failed_judge"
    assert counts.comparisons["failed_judge"] == 3 and counts.reasons == {"failed_judge": 1}


def test_a_judge_that_nobody_serves_or_that_is_late_fails(url):
    gone = endpoint_helpfulness("http://127.0.0.1:9/v1", "first")
    (verdict,) = gone.compare(context(), PAIRS[:1], QUESTIONS)
    assert isinstance(verdict, JudgeError) and "The judge at" in str(verdict) and "reached" in str(verdict)
    started = time.monotonic()
    (verdict,) = endpoint_helpfulness(url, "late", timeout_s=0.3).compare(context(), PAIRS[:1], QUESTIONS)
    assert isinstance(verdict, JudgeError) and "longer than 0.3 s" in str(verdict)
    assert time.monotonic() - started < 1.9


def test_a_reply_that_cannot_be_read_is_asked_for_once_more(url):
    assert endpoint_helpfulness(url, "slowly").compare(context(), PAIRS, QUESTIONS) == ["second"] * 3


def test_no_more_are_asked_at_once_than_there_are_workers(url):
    few, many = (
        endpoint_helpfulness(url, "crowd", workers=workers).compare(context(), PAIRS * 4, QUESTIONS)
        for workers in (3, 12)
    )
    assert few == ["first"] * 12 and "second" in many
    with pytest.raises(ValueError, match="workers is 0"):
        endpoint_helpfulness(url, "crowd", workers=0).compare(context(), PAIRS, QUESTIONS)


def test_the_key_is_the_judges_own(url, monkeypatch):
    monkeypatch.setenv("TASKMEM_READER_KEY", "of the reader")
    assert EndpointComplete(url, "first")(["x"])
    monkeypatch.setenv("TASKMEM_JUDGE_KEY", "wrong")
    with pytest.raises(JudgeError, match="refuses the key in TASKMEM_JUDGE_KEY"):
        EndpointComplete(url, "first")(["x"])


def coloured(*colours) -> Clip:
    frames = tuple(
        Frame(index * 10**9, "camera", np.full((64, 96, 3), colour, np.uint8))
        for index, colour in enumerate(colours)
    )
    return Clip("camera", 0, 0, 10 * 10**9, frames)


def test_quality_is_judged_by_the_frames_of_the_newest_clip(url):
    red, blue = (250, 20, 20), (20, 20, 250)
    judge = endpoint_quality(url, "seeing")
    where = replace(context(), clips=(coloured(blue), coloured(red, red)))
    assert judge.grade(where, ["It is red.", "It is warm."]) == [Grade(1.0, True), Grade(1.0, True)]
    where = replace(context(), clips=(coloured(red), coloured(red, red, blue)))
    assert judge.grade(where, ["It is red."]) == [Grade(0.5, False, "3 pictures: At 0.0 s:")]
    (failure,) = endpoint_quality(url, "rambling").grade(where, ["It is red."])
    assert isinstance(failure, JudgeError) and 'no counts "statements"' in str(failure)


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ('{"wrong": [], "statements": 3, "right": 3}', Grade(1.0, True)),
        ('<think>0</think>{"wrong": ["a hat"], "statements": 4, "right": "3"}', Grade(0.75, False, "a hat")),
        ('{"statements": 2, "right": 0}', Grade(0.0, False)),
        ('{"statements": 0, "right": 0}', None),
        ('{"statements": 1, "right": 2}', None),
        ('{"statements": 2, "right": true}', None),
        ('{"wrong": ["a hat"], "statements": 2, "right": 2}', None),
        ("3 of 3", None),
    ],
)  # fmt: skip
def test_what_a_reply_grades(reply, grade):
    if grade is not None:
        assert read_grade(reply) == grade
        return
    with pytest.raises(ValueError):
        read_grade(reply)


@pytest.fixture(scope="module")
def demo() -> MemoryPolicy:
    try:
        find_checkpoint("demo")
    except LoadError:
        pytest.skip("models/demo is missing")
    return MemoryPolicy.load("demo", device="cpu")


def test_the_policys_own_model_is_asked_with_text_and_with_video(demo):
    complete = policy_complete(demo, max_new_tokens=60)
    # The demo model was taught other things than judging: what it says is a failure, not an opinion.
    (verdict,) = local_helpfulness(complete).compare(context(), PAIRS[:1], QUESTIONS)
    (grade,) = local_quality(complete).grade(context(), ["In the kitchen, the tv is on."])
    assert isinstance(verdict, JudgeError) and isinstance(grade, JudgeError)
    assert re.search("no opinion|cut off", str(verdict)) and re.search("no opinion|cut off", str(grade))
    assert demo.complete("What is seen?").text == complete(["What ", "is seen?"])


def test_any_causal_model_is_asked(tmp_path, demo):
    tokenizer = AutoTokenizer.from_pretrained(find_checkpoint("demo")[0])
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    config = Qwen3Config(vocab_size=len(tokenizer), num_key_value_heads=1, head_dim=16, **sizes)
    Qwen3ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    complete = causal_complete(tmp_path, max_new_tokens=8)
    verdicts = PairwiseJudge(complete).compare(context(), PAIRS, QUESTIONS)
    assert all(isinstance(verdict, JudgeError) for verdict in verdicts)
    (grade,) = local_quality(complete).grade(context(), ["x"])
    assert "reads text only" in str(grade)
    tokenizer.chat_template = None
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no chat template"):
        causal_complete(tmp_path)


def test_an_error_of_ours_is_not_taken_for_a_failed_judge():
    def broken(parts):
        raise KeyError("a mistake in the program")

    with pytest.raises(KeyError):
        ask_all(broken, [["x"]], read_preference)
