"""The agent as a process: transitions, parameters, images, time."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_helpers import RELIABLE, Camera
from sensor_msgs.msg import Image
from taskmem.msg import Coverage
from taskmem.msg import Task as TaskMessage
from taskmem.srv import AskMemory, SearchMemory, SubmitTask

from taskmem_ros.memory import Store


def set_parameter(ros, name: str, value: float):
    parameter = Parameter(
        name=name, value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    )
    request = SetParametersAtomically.Request(parameters=[parameter])
    return ros.call(SetParametersAtomically, "taskmem_agent/set_parameters_atomically", request).result


def test_images_parameters_and_time(ros, model):
    """One agent, to load its model once: bad images, a parameter at run time, a jump back in time."""
    agent = ros.agent(model=model, database=ros.folder / "m.db", **RELIABLE)
    memories, coverage = ros.memories(), ros.coverage()
    ros.active()
    camera = Camera(ros)

    camera.pass_time(1000, 1012)
    ros.wait(lambda: memories, "the first memory")
    assert (memories[0].start.sec, memories[0].end.sec, memories[0].episode) == (1000, 1010, 0)
    assert memories[0].text and memories[0].model and memories[0].prompt_hash
    assert not memories[0].has_pose and memories[0].header.frame_id == ""
    assert bytes(memories[0].thumbnail.data[:2]) == b"\xff\xd8"

    bad = [dict(encoding="rgb7"), dict(height=0), dict(data=b"123"), dict(step=3), dict(width=0, height=0)]
    for number, wrong in enumerate(bad):
        camera.send(1012.6 + number / 100, **wrong)
        ros.wait(
            lambda n=number: int(ros.value("camera camera", "bad images")) > n, f"bad image {wrong} counted"
        )
    assert "/camera/image_raw" in agent.output() and "rgb7" in agent.output()
    assert agent.output().count("not used") < len(bad), "the warning is not throttled"
    camera.pass_time(1015, 1022)
    ros.wait(lambda: len(memories) >= 2, "a memory after the bad images")

    refusal = set_parameter(ros, "sample_rate", 99.0)
    assert not refusal.successful and "99" in refusal.reason and "30" in refusal.reason
    refusal = set_parameter(ros, "sample_rate", 0.05)
    assert not refusal.successful and "less than one frame" in refusal.reason
    assert set_parameter(ros, "clip_seconds", 5.0).successful
    camera.pass_time(1025, 1042)
    ros.wait(lambda: any(m.end.sec - m.start.sec == 5 for m in memories), "a memory of the new length")

    camera.pass_time(500, 507)
    ros.wait(lambda: memories[-1].episode == 1, "a new episode after the jump back")
    assert memories[-1].start.sec == 500

    found = ros.call(SearchMemory, "search_memory", SearchMemory.Request(limit=2))
    assert found.success and [hit.memory_id for hit in found.hits][0] and found.watermark == memories[-1].id
    assert agent.end() == 0
    with Store.open(ros.folder / "m.db", read_only=True) as store:
        assert {m.id: m.text for m in memories}.items() <= {m.id: m.text for m in store.memories()}.items()
    assert not [gap for gap in coverage if gap.reason == Coverage.REASON_DROPPED]


def test_an_external_manager_and_a_wrong_model(ros, model):
    agent = ros.agent(
        autostart=False, model=str(ros.folder / "nothing"), database=ros.folder / "m.db", **RELIABLE
    )
    memories, coverage, tasks = ros.memories(), ros.coverage(), ros.tasks()
    assert ros.state() == "unconfigured"
    assert not ros.change_state("configure")
    assert ros.state() == "unconfigured"
    assert "Traceback" in agent.output() and str(ros.folder / "nothing") in agent.output()

    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=model)
    request = SetParametersAtomically.Request(parameters=[Parameter(name="model", value=value)])
    assert ros.call(
        SetParametersAtomically, "taskmem_agent/set_parameters_atomically", request
    ).result.successful
    assert ros.change_state("configure") and ros.state() == "inactive"
    late = ros.call(SetParametersAtomically, "taskmem_agent/set_parameters_atomically", request).result
    assert not late.successful and "unconfigured" in late.reason
    assert ros.change_state("activate") and ros.state() == "active"

    camera = Camera(ros)
    camera.pass_time(1000, 1012)
    ros.wait(lambda: memories, "a memory")
    submitted = ros.call(
        SubmitTask, "submit_task", SubmitTask.Request(question="Where is the red cup?", source="test")
    )
    assert submitted.success
    ros.wait(
        lambda: [t for t in tasks if t.id == submitted.task_id and t.status != TaskMessage.STATUS_QUEUED],
        "an answer to what was submitted",
    )
    refused = ros.call(SubmitTask, "submit_task", SubmitTask.Request(question="  "))
    assert not refused.success and "empty" in refused.message

    assert ros.change_state("deactivate") and ros.state() == "inactive"
    assert ros.change_state("activate")
    ros.active()
    camera = Camera(ros)
    before = len(memories)
    camera.pass_time(1050, 1062)
    ros.wait(
        lambda: len(memories) > before and memories[-1].start.sec == 1050,
        "a memory after the second activation",
    )
    ros.wait(
        lambda: [g for g in coverage if g.reason == Coverage.REASON_INACTIVE and g.end.sec == 1050],
        "the time between as coverage",
    )
    assert ros.change_state("deactivate") and ros.change_state("cleanup") and ros.state() == "unconfigured"
    assert ros.change_state("unconfigured_shutdown") and ros.state() == "finalized"
    assert agent.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    "words, expected",
    [
        (["-p", "clip_seconds:=0.0"], "clip_seconds"),
        (["-p", "clip_seconds:=10"], "clip_seconds"),
        (["-p", "quantization:=int3"], "int3"),
    ],
)
def test_a_wrong_parameter_at_the_start_is_a_sentence(ros, words, expected):
    agent = ros.run("taskmem_ros.nodes.agent", "--ros-args", *words)
    assert agent.wait() == 2
    last = agent.output().strip().splitlines()[-1]
    assert last.startswith("error: ") and expected in last and "Traceback" not in agent.output()


def test_an_incompatible_publisher_and_an_empty_store(ros, model):
    override = "qos_overrides./camera/image_raw.subscription.reliability"
    agent = ros.agent(model=model, database=ros.folder / "m.db", **{override: "reliable"})
    ros.active()
    ros.node.create_publisher(
        Image, "camera/image_raw", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    ros.wait(lambda: "incompatible QoS" in agent.output(), "the warning")
    warning = next(line for line in agent.output().splitlines() if "incompatible QoS" in line)
    assert "/camera/image_raw" in warning and "RELIABILITY" in warning and override in warning
    assert "best_effort" in warning

    reply = ros.call(AskMemory, "ask_memory", AskMemory.Request(question=""))
    assert reply.status == AskMemory.Response.STATUS_FAILED and "empty" in reply.message
    reply = ros.call(AskMemory, "ask_memory", AskMemory.Request(question="Where is the red cup?"))
    assert reply.status == AskMemory.Response.STATUS_NOT_IN_MEMORY and reply.question_id and reply.message


def test_an_activation_that_fails_ends_unconfigured(ros, model):
    override = "qos_overrides./camera/image_raw.subscription.reliability"
    agent = ros.agent(autostart=False, model=model, database=ros.folder / "m.db", **{override: "sometimes"})
    assert ros.change_state("configure")
    assert not ros.change_state("activate")
    assert ros.state() == "unconfigured"
    assert "Traceback" in agent.output() and "sometimes" in agent.output()
    assert "ask_memory" not in str(ros.node.get_service_names_and_types())
    assert agent.end() == 0


def test_autostart_that_fails_ends_the_process(ros):
    agent = ros.agent(model=str(ros.folder / "nothing"), database=ros.folder / "m.db")
    assert agent.wait() == 1
    assert str(ros.folder / "nothing") in agent.output()
