"""An agent whose disk is full: it watches and answers on, says so, and writes when there is room again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from ros_helpers import RELIABLE, Camera
from taskmem.msg import Coverage
from taskmem.srv import AskMemory

# A disk that only the agent's process sees; no right is needed where user namespaces are allowed.
DISK = 'mount -t tmpfs -o size={megabytes}m taskmem-test "$1" && shift && exec "$@"'
MEGABYTES = 4


def may_mount(folder: Path) -> bool:
    command = ["unshare", "-rm", "sh", "-c", DISK.format(megabytes=1), "sh", str(folder), "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


def agent_on_a_small_disk(ros, **parameters):
    """(the agent, its disk's folder as seen from here)."""
    disk = ros.folder / "disk"
    disk.mkdir()
    if not may_mount(disk):
        pytest.skip("this user may not mount a small disk (unshare -rm)")
    agent = ros.agent(
        before=("unshare", "-rm", "sh", "-c", DISK.format(megabytes=MEGABYTES), "sh", str(disk)),
        database=disk / "m.db",
        **parameters,
    )
    return agent, Path(f"/proc/{agent.popen.pid}/root{disk}")


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    return filler


def test_a_full_disk_and_retention(ros, model):
    agent, disk = agent_on_a_small_disk(ros, model=model, queue_clips=100, **RELIABLE)  # nothing is dropped
    memories, coverage = ros.memories(), ros.coverage()
    ros.active()
    camera = Camera(ros)
    camera.pass_time(1000, 1022)
    ros.wait(lambda: len(memories) >= 2, "memories while there is room")

    def waiting() -> int:
        return int(ros.value("store", "memories waiting to be written") or 0)

    filler = fill(disk)
    camera.pass_time(1022.5, 1062)
    ros.wait(lambda: waiting() >= 2, "memories that wait for room")
    message, _ = ros.health["taskmem_agent: store"]
    assert str(ros.folder) in message and "make room" in message
    stored = len(memories)
    reply = ros.call(AskMemory, "ask_memory", AskMemory.Request(question="Where is the red cup?"))
    assert reply.status in (reply.STATUS_ANSWERED, reply.STATUS_NOT_IN_MEMORY) and reply.watermark == stored
    assert reply.question_id == 0, "a question that the store cannot keep is answered all the same"

    filler.unlink()
    ros.wait(lambda: len(memories) >= stored + 2 and waiting() == 0, "what waited is written and published")
    ros.wait(lambda: "MB free" in ros.health["taskmem_agent: store"][0], "no error, on a disk this small")
    spans = [(memory.start.sec, memory.end.sec) for memory in memories]
    assert spans == [(at, at + 10) for at in range(1000, 1000 + 10 * len(spans), 10)]
    assert not [gap for gap in coverage if gap.reason == Coverage.REASON_FAILED]

    value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=1.0)
    request = SetParametersAtomically.Request(
        parameters=[Parameter(name="retention.max_age_days", value=value)]
    )
    service = "taskmem_agent/set_parameters_atomically"
    assert ros.call(SetParametersAtomically, service, request).result.successful
    ros.wait(
        lambda: [gap for gap in coverage if gap.reason == Coverage.REASON_FORGOTTEN],
        "memories of 1970 are more than a day old",
    )
    ros.wait(lambda: int(ros.value("store", "memories forgotten") or 0) >= len(spans), "all of them")
    assert agent.end() == 0, agent.output()[-2000:]
