"""The demo home from clips to scores, with the real model; the oracle is a ceiling because it is true."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from peft import get_peft_model
from taskmem_train.bench import (
    DescribeEverything,
    Oracle,
    PolicyMemorizer,
    RecallReader,
    RecentQuestions,
    TaskPrompt,
    home_dataset,
    run_stream_benchmark,
)
from taskmem_train.bench.together import BatchedPolicy
from taskmem_train.bench.types import context_id
from taskmem_train.cli import main
from taskmem_train.contexts import Context
from transformers import AutoModelForImageTextToText

from taskmem_ros.home import ROLES, is_right, look_up, read_memory
from taskmem_ros.memory import Store
from taskmem_ros.policy.load import file_hash, find_checkpoint
from taskmem_ros.policy.steer import steer_config

SEEDS = range(7_200_000, 7_200_002)


@pytest.fixture(scope="module")
def data():
    return home_dataset(SEEDS, questions=2, clips=4, roles=("finder", "steward"))


def contexts(stream):
    return [Context(context_id(stream.id, clip), (clip,), ()) for clip in stream.observe()]


@pytest.mark.parametrize("role", ROLES)
def test_the_oracles_memories_are_true_and_answer_every_question(role):
    data = home_dataset(range(7_200_000, 7_200_006), roles=(role,))
    asked = 0
    for stream in data.streams:
        drafts = Oracle(data, role).write(contexts(stream))
        stated = [read_memory(draft.text or "") for draft in drafts]
        assert all(not unread and 1 <= len(facts) <= 3 for facts, unread in stated)
        for (facts, _), seen in zip(stated, stream.facts.values()):
            assert set(facts) <= set(seen)
        for question in stream.questions:
            found = look_up(question.home.query, [facts for facts, _ in stated])
            assert found is not None and is_right(question.home, found.answer), question
            asked += 1
    assert asked >= 12


def test_the_home_from_clips_to_scores(data, policy, count_tokens, tmp_path):
    systems = {
        "policy": PolicyMemorizer(policy),
        "task-prompt": {kind: TaskPrompt(policy, RecentQuestions(data, kind)) for kind in data.kinds},
        "describe-everything": DescribeEverything(
            PolicyMemorizer(policy, instruction=data.list_instruction, newest_only=True), count_tokens
        ),
        "oracle": {kind: Oracle(data, kind) for kind in data.kinds},
    }
    reader = RecallReader.of_policy(policy)
    result = run_stream_benchmark(data, systems, reader, tmp_path, count_tokens=count_tokens, progress=False)
    ceiling, plain = result.row("oracle"), result.row("policy")
    assert ceiling.accuracy.value >= plain.accuracy.value and ceiling.memories.true_share == 1.0
    assert plain.questions == 8 and plain.memories.clips == 8 and plain.memories.true_share > 0.6
    assert result.row("task-prompt").memories.clips == 16  # of two roles
    describing = result.row("describe-everything").memories
    assert abs(describing.tokens_per_memory - plain.memories.tokens_per_memory) < 6
    assert result.costs["policy"]["memorizing_tokens"] > result.costs["policy"]["memory_tokens"] > 0
    assert result.costs["oracle"]["memorizing_tokens"] == 0 and result.costs["oracle"]["reading_tokens"] > 0
    assert all(not row.failures for row in result.rows)
    assert result.table().count("\n") == 1 + 3 * 4
    stores = list((tmp_path / "memories").glob("policy-*/*.db"))
    assert len(stores) == 2
    with Store.open(stores[0]) as store:
        memory = store.memories()[0]
        assert memory.model == "demo" and memory.revision == policy.report.revision
        assert memory.start_ns > 1_700_000_000 * 10**9

    # All is kept: the same run again has nothing to do for the model.
    spent = {name: cost["memorizing_seconds"] for name, cost in result.costs.items()}
    again = run_stream_benchmark(data, systems, reader, tmp_path, count_tokens=count_tokens, progress=False)
    assert {name: cost["memorizing_seconds"] for name, cost in again.costs.items()} == spent
    assert again.rows == result.rows and again.costs == result.costs


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A random steering vector of the demo model, as a training would save it."""
    model = AutoModelForImageTextToText.from_pretrained(find_checkpoint("demo")[0], dtype=torch.float32)
    peft = get_peft_model(model, steer_config(model, 2))
    torch.manual_seed(0)
    for name, parameter in peft.named_parameters():
        if "beft_bias" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    peft.save_pretrained(folder := tmp_path_factory.mktemp("adapter"))
    return folder


def test_an_adapter_writes_under_its_own_name_and_does_not_read(
    data, policy, count_tokens, adapter, tmp_path
):
    bare = PolicyMemorizer(policy, temperature=0)
    systems = {
        "policy": bare,
        "adapter": {"finder": PolicyMemorizer(policy, adapter=adapter, temperature=0), "steward": bare},
    }
    reader = RecallReader.of_policy(policy)
    result = run_stream_benchmark(data, systems, reader, tmp_path, count_tokens=count_tokens, progress=False)

    def written(folder):
        with Store.open(next((tmp_path / "memories").glob(folder)) / f"{data.streams[0].id}.db") as store:
            return store.memories(), store.failures()

    plain, (steered, failed), same = (
        written(f"{n}-*") for n in ("policy", "adapter-finder", "adapter-steward")
    )
    assert [m.text for m in steered] != [m.text for m in plain[0]]
    assert {m.adapter for m in steered} <= {file_hash(adapter / "adapter_model.safetensors")}
    assert len(steered) + len(failed) == 4
    assert [(m.text, m.adapter) for m in same[0]] == [(m.text, "") for m in plain[0]]
    for measure in ("accuracy", "coverage", "precision"):  # read by the same bare model
        rows = (result.row(name, "steward") for name in ("policy", "adapter"))
        assert len({getattr(row, measure) for row in rows}) == 1


def test_batched_replies_are_those_of_the_policy(policy):
    batched = BatchedPolicy(policy, at_once=3)
    prompts = [
        f"Memories:\n[1] In the kitchen, the red mug is on the table. (10:00)\nQuestion: {q}"
        for q in (
            "Where is the red mug?",
            "Where is Anna?",
            "What is in the kitchen, and what else was there?",
            "Who?",
        )
    ]
    alone = [policy.complete(prompt, max_new_tokens=20) for prompt in prompts]
    jobs = [lambda p=p: batched.complete(p, max_new_tokens=20) for p in prompts]
    together = batched.run(jobs)
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert [reply.tokens for reply in together] == [reply.tokens for reply in alone]
    assert [reply.ended for reply in together] == [reply.ended for reply in alone]


def test_jobs_that_ask_again_and_again_end_and_one_that_fails_is_raised(policy):
    batched = BatchedPolicy(policy, at_once=2)

    def job(count):
        return [batched.complete(f"Question {i}?", max_new_tokens=2).tokens for i in range(count)]

    assert [len(found) for found in batched.run([lambda n=n: job(n) for n in (3, 0, 1, 2)])] == [3, 0, 1, 2]

    def broken():
        job(1)
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        batched.run([lambda: job(2), broken, lambda: job(1)])


def test_recent_questions_are_those_before_and_never_of_the_stream_itself(data):
    recent = RecentQuestions(data, "finder")
    context = contexts(data.streams[1])[0]
    assert recent(context) == data.asked_before["finder"]  # of other homes
    later = RecentQuestions(replace(data, asked_before={}), "finder")
    assert later(contexts(data.streams[0])[-1]) == ()
    first = tuple(q.text for q in data.streams[0].questions if q.kind == "finder")
    assert later(context) == first
    assert len(recent(context)) == 5


def test_the_command_runs_and_goes_on(tmp_path, capsys, policy):
    options = ["--seeds", "7200000", "--clips", "2", "--questions", "1", "--roles", "steward"]
    command = ["bench", str(tmp_path), *options, "--systems", "policy", "oracle", "--json"]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    assert [row["system"] for row in first["rows"]] == ["policy", "oracle"] * 2
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (tmp_path / "results.md").read_text().startswith("# home")


@pytest.mark.parametrize(
    "options, said",
    [
        (["--systems", "best"], "system 'best' is not known"),
        (["--dataset", "videomme"], "needs --annotations and --videos"),
        (["--systems", "describe-everything"], "add policy to systems"),
        (["--seeds", "5-6"], "home 5 is for training"),
        (["--seeds", "6500001"], "home 6500001 is asked about and was asked about before"),
        (["--judge", "endpoint"], "go together"),
        (["--roles", "butler"], "role 'butler' is not known"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(options, said, tmp_path, capsys):
    assert main(["bench", str(tmp_path / "out"), *options]) == 1
    assert said in capsys.readouterr().err
