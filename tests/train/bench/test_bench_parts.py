"""The parts of a run on their own: cutting, prompts, judges, choices, readers over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small import Plain, dataset, stream
from taskmem_train.bench import (
    EndpointJudge,
    ExactJudge,
    HomeJudge,
    Question,
    RecallReader,
    run_stream_benchmark,
)
from taskmem_train.bench.report import Result
from taskmem_train.bench.systems import cut, task_instruction

from taskmem_ros.policy import Completion
from taskmem_ros.policy.prompt import INSTRUCTION
from taskmem_ros.recall.endpoint import Endpoint

MEMORY = "In the kitchen, Anna waved, the mug is on the table and the tv is on. The door is open."


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    "tokens, kept",
    [
        (1, "In the kitchen, Anna waved."),
        (6, "In the kitchen, Anna waved."),
        (10, "In the kitchen, Anna waved, the mug is on the table."),
        (15, "In the kitchen, Anna waved, the mug is on the table and the tv is on."),
        (99, MEMORY),
    ],
)
def test_a_text_is_cut_where_a_clause_ends_nearest_to_the_budget(tokens, kept):
    assert cut(MEMORY, tokens, words) == kept


def test_a_text_without_clauses_stays_whole():
    assert cut("nothing to cut here", 2, words) == "nothing to cut here"
    assert cut("3.5 m of rope, red", 3, words) == "3.5 m of rope."


def test_a_task_prompt_is_the_instruction_and_at_most_five_questions():
    assert task_instruction([]) == INSTRUCTION
    asked = [f"Where is number {index}?" for index in range(7)]
    told = task_instruction(asked)
    assert told.startswith(INSTRUCTION) and told.endswith(" ".join(asked[2:])) and asked[1] not in told


def choice(answer="blue", choices=("red", "blue", "not seen")) -> Question:
    return Question("q", "Which colour?", "a", answer, choices)


@pytest.mark.parametrize(
    "said", ["B", "b", "(B)", "B.", "B) blue", "The answer is B", "blue", "It was blue."]
)
def test_a_choice_is_read_however_it_is_put(said):
    assert ExactJudge().right(choice(), said)
    assert not ExactJudge().right(choice("red"), said)


@pytest.mark.parametrize(
    "reply, status",
    [
        ('<think>Perhaps A. It said red? No.</think>{"memories": [1], "answer": "(b)"}', "right"),
        ('{"memories": [1], "answer": "The answer is B"}', "right"),
        ('{"memories": [1], "answer": "A"}', "unsupported"),  # the memory says another choice
        ('{"memories": [], "answer": "not in memory"}', "abstained"),
        ("A", "failed"),  # no JSON, twice: not read as a letter
        ("", "failed"),
    ],
)
def test_what_a_reader_writes_is_an_answer_an_abstention_or_a_failure(reply, status, tmp_path):
    def complete(prompt, *, max_new_tokens, deadline):
        return Completion(reply, 7, 0.5, 0.0, True)

    class Blue(Plain):
        def _draft(self, index):
            return type(super()._draft(index))("The colour is blue.", "", 1, 10, 0.1)

    data = dataset(stream("s", 1, [choice(choices=("red", "blue"))]))
    result = run_stream_benchmark(
        data, {"p": Blue()}, RecallReader(complete, "canned", rounds=3), tmp_path, count_tokens=words,
        progress=False,
    )  # fmt: skip
    row = result.row("p")
    assert (row.accuracy.value, row.coverage.value, row.failures) == {
        "right": (1.0, 1.0, {}), "unsupported": (0.0, 0.0, {}), "abstained": (0.0, 0.0, {}),
        "failed": (0.0, 0.0, {"failed": 1}),
    }[status]  # fmt: skip
    assert result.costs["p"]["reading_tokens"] >= 7


def test_open_answers_are_compared_without_case_articles_and_punctuation():
    question = Question("q", "What?", "a", "A white plate.")
    assert ExactJudge().right(question, "the White plate")
    assert not ExactJudge().right(question, "a plate")
    with pytest.raises(ValueError, match="question q is none of the demo home"):
        HomeJudge().right(question, "a plate")


@pytest.fixture(scope="module")
def url():
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("answer_server.py"))],
        env=os.environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    server.kill()
    server.communicate()


def test_an_endpoint_reads_and_another_judges(url, tmp_path):
    asked = [
        Question(str(n), f"What is clip {n}?", "a", answer)
        for n, answer in enumerate(("0", "the first", "7"))
    ]
    data = dataset(stream("s", 2, asked[:2]), stream("t", 2, asked[2:]))
    reader = RecallReader.of_endpoint(Endpoint(url, "newest", ""))
    judge = EndpointJudge.of(Endpoint(url, "judge", ""))
    result = run_stream_benchmark(
        data, {"p": Plain()}, reader, tmp_path, count_tokens=words, judge=judge, progress=False
    )
    row = result.row("p")
    assert row.coverage.value == 1.0 and not row.failures
    assert row.accuracy.value == pytest.approx(1 / 3)  # the judge says so of "the first" alone
    assert result.costs["p"]["reading_tokens"] is None and "| - |" in result.markdown()

    rambling = EndpointJudge.of(Endpoint(url, "rambling", ""))
    row = run_stream_benchmark(
        data, {"p": Plain()}, reader, tmp_path, count_tokens=words, judge=rambling, progress=False
    ).row("p")
    assert row.failures == {"judge failed": 3}


def test_a_reader_that_is_not_there_ends_the_run(tmp_path):
    asked = [Question(str(n), f"What is clip {n}?", "a", "0") for n in range(6)]
    reader = RecallReader.of_endpoint(Endpoint("http://127.0.0.1:9/v1", "none", ""))
    with pytest.raises(ValueError, match="failed 5 times in a row.*cannot be reached"):
        run_stream_benchmark(
            dataset(stream("s", 2, asked)),
            {"p": Plain()},
            reader,
            tmp_path,
            count_tokens=words,
            progress=False,
        )


def test_a_result_without_that_row_says_so():
    with pytest.raises(KeyError, match="no row of system 'x' and kind 'all'"):
        Result("home", ()).row("x")
