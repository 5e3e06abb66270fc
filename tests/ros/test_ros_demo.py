"""`taskmem demo`, shortened, with the trained model."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from taskmem_ros.memory import Store


def test_the_demo_tells_truth_from_answers_and_ends_well(ros, demo_model):
    database = ros.folder / "demo" / "memory.db"
    demo = ros.run(
        "taskmem_ros.cli",
        "demo",
        "--clips",
        "12",
        "--questions",
        "10",
        "--speed",
        "10",
        "--database",
        str(database),
    )
    assert demo.wait(280.0) == 0, demo.output()
    text = demo.output()
    assert text.count("    answer  ") == text.count("    truth  ") == 10
    assert re.search(r"\d+ of 10 questions answered rightly \(\d+%\)", text)
    assert re.search(r"evidence  memory #\d+, \w{3} \d\d:\d\d:\d\d to .*, camera, .* \(x -?\d", text)
    with Store.open(database, read_only=True) as store:
        assert store.check() == []
        assert len(store.memories()) >= 12 and len(store.tasks()) == 10


def test_the_demo_without_a_model_fails_and_says_why(ros):
    demo = ros.run("taskmem_ros.cli", "demo", "--model", "/nowhere", "--database", str(ros.folder / "m.db"))
    assert demo.wait() == 1
    assert "The demo failed" in demo.output() and "/nowhere" in demo.output()
