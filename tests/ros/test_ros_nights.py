"""`taskmem nights`, shortened: out with the tasks, in with adapters, two nights, over real processes.

Too little is learned in it to help; that is measured by `make nightly`.
"""

from __future__ import annotations

import re

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")
pytest.importorskip("trl", reason="training is not installed: pip install '.[train]'")

from taskmem_ros.exchange import Bundle
from taskmem_ros.memory import Store

# Two steps on some clips; the gate lets through whatever is measured.
RECIPE = """
model: demo
judge: truth
days: 1
contexts: 6
candidates: 4
steps: 2
batch: 4
accumulation: 1
max_new_tokens: 96
held_out: 12
min_questions: 4
min_gain: -1.0
min_over_prompt: -1.0
max_fidelity_loss: 1.0
max_length_change: 1.0
max_failed_gain: 1.0
block: 2
"""


def test_two_nights_change_what_writes_the_memories(ros, demo_model):
    recipe, folder = ros.folder / "recipe.yaml", ros.folder / "nights"
    recipe.write_text(RECIPE, encoding="utf-8")
    given = {"homes": 2, "clips": 4, "questions": 8, "gain": -101, "limit": 1100}
    options = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    play = ros.run("taskmem_ros.cli", "nights", *options, "--recipe", str(recipe), "--folder", str(folder))
    assert play.wait(1150.0) == 0, play.output()
    assert len(re.findall(r"frames again: of the \w+'s \d+ questions \d+% right", play.output())) == 2

    with Store.open(folder / "robot" / "memory.db", read_only=True) as store:
        assert store.check() == []
        adapters = sorted(store.adapters(), key=lambda adapter: adapter.serial)
        writers = list(dict.fromkeys(memory.adapter for memory in store.memories()))
        tasks = {task.id for task in store.tasks()}
    assert [adapter.serial for adapter in adapters] == [1, 2]
    assert writers == ["", *(adapter.id for adapter in adapters)], "each day's memories, by what wrote them"

    sent = []
    for path in sorted((folder / "exchange" / "bundles" / "demo").glob("*.bundle")):
        with Bundle.open(path) as bundle:
            sent += [task.id for task in bundle.tasks()]
    assert len(sent) == len(set(sent)) and set(sent) < tasks, "each once; the last day's are still here"
