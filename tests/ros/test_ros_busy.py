"""An agent, in this process, whose model does not come back: it is left alone, and nothing goes unsaid."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

import numpy as np
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn as Return

from taskmem_ros.clips import Clip, Frame
from taskmem_ros.memory import Store
from taskmem_ros.nodes import work
from taskmem_ros.nodes.agent import TaskmemAgent

S = 1_000_000_000


def clip(second: int) -> Clip:
    frames = tuple(Frame((second + n) * S, "camera", np.zeros((48, 64, 3), np.uint8)) for n in (0, 5))
    return Clip("camera", 0, second * S, (second + 10) * S, frames)


@pytest.fixture
def agent(ros, endless_model, monkeypatch):
    for name, seconds in dict(DRAIN_S=0.1, STOP_S=0.3, END_S=0.1).items():
        monkeypatch.setattr(work, name, seconds)
    words = ["-p", f'model:="{endless_model}"', "-p", f'database:="{ros.folder}/m.db"']
    rclpy.init(args=["--ros-args", *words], domain_id=ros.domain)
    agent = TaskmemAgent()
    yield agent
    agent.close()
    agent.destroy_node()
    rclpy.shutdown()


def hang(agent):
    """From now on a memory takes until `back` is set, as a large model's vision tower may take minutes."""
    at_work, back = threading.Event(), threading.Event()

    def write(*_, yield_point, **__):
        at_work.set()
        assert back.wait(60.0)
        yield_point()

    agent._work.policy.write = write
    return SimpleNamespace(at_work=at_work, back=back)


def gaps(ros) -> list[tuple[int, int, str]]:
    with Store.open(ros.folder / "m.db", read_only=True) as store:
        return [(gap.start_ns // S, gap.end_ns // S, gap.reason) for gap in store.coverage()]


def until(condition):
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_model_that_does_not_come_back(ros, agent):
    with Store.open(ros.folder / "m.db") as store:
        store.add_task("Where is the red cup?", source="cli")
        store.add_task("Where is the red cup?", source="ask_memory")
    assert agent.trigger_configure() == agent.trigger_activate() == Return.SUCCESS
    model = hang(agent)
    agent._work._submit(clip(0))
    assert model.at_work.wait(60.0)

    began = time.monotonic()
    assert agent.trigger_deactivate() == Return.SUCCESS
    assert time.monotonic() - began < 3.0 and gaps(ros) == []
    assert agent.trigger_activate() == Return.FAILURE and agent._state() == "inactive"
    assert "still busy" in agent._last_error and agent._broken
    model.back.set()
    until(lambda: agent._tick() or gaps(ros))
    assert gaps(ros) == [(0, 10, "inactive")]
    assert agent.trigger_activate() == Return.SUCCESS and not agent._broken

    model = hang(agent)
    for second in (20, 40, 60):
        agent._work._submit(clip(second))
    assert model.at_work.wait(60.0)
    assert agent.trigger_deactivate() == agent.trigger_cleanup() == Return.SUCCESS
    assert gaps(ros) == [(0, 10, "inactive"), *((t, t + 10, "inactive") for t in (20, 40, 60))]
    assert agent.trigger_configure() == Return.FAILURE and agent._state() == "unconfigured"
    assert "still busy" in agent._last_error
    model.back.set()
    until(lambda: agent._tick() or agent._ended is None)
    assert agent.trigger_configure() == Return.SUCCESS

    with Store.open(ros.folder / "m.db", read_only=True) as store:  # of the questions that were left
        assert [(task.source, task.status) for task in store.tasks()] == [
            ("cli", "queued"),
            ("ask_memory", "failed"),
        ]


def test_what_fails_once_is_told_until_it_goes_well(agent):
    problems = ["broken"]

    def callback():
        if problems:
            raise ValueError(problems.pop())

    guarded = agent.guarded(callback)
    guarded()
    assert "broken" in str(agent._broken)
    guarded()
    assert not agent._broken and "broken" in agent._last_error
