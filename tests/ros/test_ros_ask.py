"""`taskmem ask --service`: the command line asks a running agent, by its answer's status and evidence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from taskmem_ros.clips import Pose
from taskmem_ros.memory import Store

S = 1_000_000_000


def test_a_question_from_the_command_line(ros, model):
    database = ros.folder / "memory.db"
    with Store.open(database) as store:
        for second in (0, 10):
            store.add_memory(
                "hall",
                0,
                second * S,
                (second + 10) * S,
                "In the kitchen, the red mug is on the table.",
                pose=Pose("map", 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 1.0, "home"),
            )
    agent = ros.agent(model=model, database=database)
    ros.active()

    def ask(*words: str) -> tuple[int, dict]:
        command = [
            sys.executable,
            "-m",
            "taskmem_ros.cli",
            "ask",
            *words,
            "--service",
            "ask_memory",
            "--json",
            "--utc",
        ]
        done = subprocess.run(command, env=ros.environment, capture_output=True, text=True, timeout=120)
        assert done.stderr == "", done.stderr
        return done.returncode, json.loads(done.stdout)

    status, answer = ask("Where is the red mug?")
    assert status == (0 if answer["status"] == "answered" else 1) and answer["watermark"] == 2
    for evidence in answer["evidence"]:
        assert evidence["pose"]["map_id"] == "home" and evidence["start"].startswith("1970-01-01T00:00")
    status, answer = ask("Where is the red mug?", "--since", "@3600", "--until", "@7200")
    assert (status, answer["status"], answer["text"]) == (1, "not_in_memory", "") and answer["message"]
    agent.end()
    with Store.open(database, read_only=True) as store:
        assert [(task.source, task.status != "queued") for task in store.tasks()] == [
            ("ask_memory", True)
        ] * 2
