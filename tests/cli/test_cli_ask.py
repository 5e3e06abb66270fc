"""`taskmem ask` on a store's file, read by a real model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from taskmem_ros.cli import main
from taskmem_ros.memory import Store


@pytest.fixture
def ask(capsys, model):
    def run(*arguments):
        status = main(["ask", *map(str, arguments), "--model", model, "--device", "cpu"])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_an_answer_with_evidence_is_kept_as_a_task(ask, database):
    status, out, _ = ask("Where is the red mug?", "--database", database, "--json", "--utc")
    answer = json.loads(out)
    assert status == (0 if answer["status"] == "answered" else 1)
    assert answer["watermark"] == 4
    assert answer["status"] in ("answered", "not_in_memory")
    if answer["status"] == "answered":
        assert answer["text"] and answer["evidence"] and answer["evidence"][0]["start"].endswith("+00:00")
    else:
        assert answer["message"] and not answer["text"]
    with Store.open(database, read_only=True) as store:
        task = store.tasks(newest_first=True, limit=1)[0]
    assert (task.question, task.source, task.status) == ("Where is the red mug?", "cli", answer["status"])
    assert task.evidence == tuple(e["id"] for e in answer["evidence"])


def test_people_read_the_answer_and_its_evidence(ask, database):
    status, out, err = ask("Where is the red mug?", "--database", database, "--utc", "--no-record")
    first, *evidence = out.splitlines()
    assert (
        ("confidence" in first and evidence[0].startswith("  ["))
        if status == 0
        else "(not_in_memory)" in first
    )
    assert "Loading the model" in err
    with Store.open(database, read_only=True) as store:
        assert len(store.tasks()) == 2, "--no-record keeps nothing"


def test_not_watching(ask, database):
    span = ["--since", "2026-01-01T08:00:20", "--until", "2026-01-01T08:00:40", "--utc"]
    status, out, _ = ask("Where is the mug?", "--database", database, *span)
    assert status == 1 and out.startswith("Nobody was watching at the time asked about: from 01 Jan 08:00:10")


def test_an_empty_store_needs_no_model(capsys, tmp_path):
    path = tmp_path / "empty.db"
    Store.open(path).close()
    status = main(["ask", "Where is the mug?", "--database", str(path), "--model", "/none", "--json"])
    assert status == 1 and json.loads(capsys.readouterr().out)["status"] == "not_in_memory"


def test_an_endpoint_reads(capsys, database):
    command = [sys.executable, str(Path(__file__).parents[1] / "recall" / "openai_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        reader = ["--reader-url", url, "--reader-model", "reader", "--rounds", "1", "--database", database]
        status = main(["ask", "Where is the mug?", *reader, "--json"])
        server.kill()
    answer = json.loads(capsys.readouterr().out)
    assert (status, bool(answer["evidence"])) == (0, True) or answer["status"] == "not_in_memory"
    with Store.open(database, read_only=True) as store:
        assert store.tasks(newest_first=True, limit=1)[0].status == answer["status"]
    assert main(["ask", "Where is the mug?", *reader]) == 2
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ["x", "--rounds", "0"],
        ["x", "--reader-model", "m"],
        [" "],
        ["x", "--timeout", "0"],
        ["x", "--timeout", "inf"],
        ["x", "--choice", " "],
        ["x", "--since", "soon"],
        ["x", "--service", "ask_memory", "--no-record"],
        ["x", "--service", "ask_memory", "--camera", "hall"],
    ],
)
def test_a_wrong_question_is_one_sentence(capsys, tmp_path, wrong):
    Store.open(tmp_path / "empty.db").close()
    status = main(["ask", *wrong, "--database", str(tmp_path / "empty.db")])
    captured = capsys.readouterr()
    assert (status, captured.out) == (2, "") and captured.err.count("\n") == 1


def test_a_service_that_nobody_serves(environment):
    pytest.importorskip("rclpy", reason="ROS 2 is not here")
    lonely = {"ROS_DOMAIN_ID": "99", "ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}
    command = [sys.executable, "-m", "taskmem_ros.cli", "ask", "Where?", "--service", "nowhere/ask_memory"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment | lonely, timeout=60)
    assert done.returncode == 2 and "No agent serves /nowhere/ask_memory" in done.stderr
    assert "Traceback" not in done.stderr
