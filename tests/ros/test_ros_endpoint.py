"""An agent whose reader is an endpoint on another computer: asked over DDS, read over HTTP."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.srv", reason="the interfaces are not built: run make build and . scripts/env.sh")

from ros_helpers import Process
from taskmem.srv import AskMemory

from taskmem_ros.memory import Store

S = 1_000_000_000
SERVER = Path(__file__).resolve().parents[1] / "recall" / "openai_server.py"


def test_an_endpoint_reads_and_its_end_is_said(ros, model):
    database = ros.folder / "m.db"
    with Store.open(database) as store:
        store.add_memory("hall", 0, 0, 10 * S, "The red mug is on the table.")
    server = Process([sys.executable, str(SERVER)], ros.folder / "server.log", ros.environment)
    ros.processes.append(server)
    ros.wait(lambda: server.output().strip(), "the server's port")
    url = f"http://127.0.0.1:{server.output().strip()}/v1"
    ros.agent(model=model, database=database, **{"reader.base_url": url, "reader.model": "reader"})
    ros.active()

    def ask():
        return ros.call(AskMemory, "ask_memory", AskMemory.Request(question="Where is the red mug?"))

    reply = ask()
    assert (reply.status, reply.answer) == (reply.STATUS_ANSWERED, "on the table"), reply.message
    assert [evidence.memory_id for evidence in reply.evidence] == [1]

    server.end(signal.SIGKILL)
    reply = ask()
    assert (
        reply.status == reply.STATUS_FAILED and url in reply.message and "cannot be reached" in reply.message
    )
    with Store.open(database, read_only=True) as store:
        assert [task.status for task in store.tasks()] == ["answered", "failed"]
