"""A running agent: feedback by its service, and the clips that it keeps of what it saw."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

import numpy as np
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from ros_helpers import RELIABLE, Camera
from taskmem.srv import AskMemory, GiveFeedback

from taskmem_ros.clips.jpeg import jpeg_to_rgb, rgb_to_jpeg
from taskmem_ros.memory import Store, known_answer
from taskmem_ros.memory.forget import Selection
from taskmem_ros.memory.ring import ClipRing


def picture(second: float) -> np.ndarray:
    """As `Camera.send` makes it."""
    return np.random.default_rng(int(second * 10)).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_feedback_and_kept_clips(ros, model):
    database = ros.folder / "m.db"
    agent = ros.agent(model=model, database=database, queue_clips=100, **RELIABLE)
    memories = ros.memories()
    ros.active()
    Camera(ros).pass_time(1000, 1042)
    ros.wait(lambda: int(ros.value("store", "clips kept") or 0) >= 4, "four clips in the ring")
    assert ros.value("store", "clips not kept") == "0" and int(ros.value("store", "bytes of kept clips")) > 0

    # Read beside the agent, as the exchange does.
    with Store.open(database, read_only=True) as store:
        ring = ClipRing(store)
        clips = list(ring.clips())
        assert [(clip.start_ns // 10**9, clip.opens) for clip in clips[:4]] == [
            (1000, True), (1010, False), (1020, False), (1030, False),
        ]  # fmt: skip
        for clip in clips:
            for frame in clip.frames:
                assert frame.jpeg == rgb_to_jpeg(picture(frame.stamp_ns / 1e9)), "what the policy saw"
        *_, (seen, texts) = ring.contexts(1)
        assert [clip.start_ns for clip in seen[:-1]] == [
            m.start_ns for m in store.memories() if m.end_ns <= seen[-1].start_ns
        ] and all(texts)
        assert np.array_equal(seen[0].frames[0].image, jpeg_to_rgb(clips[0].frames[0].jpeg))

    reply = ros.call(AskMemory, "ask_memory", AskMemory.Request(question="Where is the red cup?"))
    task = reply.question_id

    def give(**said):
        return ros.call(GiveFeedback, "give_feedback", GiveFeedback.Request(**said))

    wrong = GiveFeedback.Request.VERDICT_WRONG
    given = give(task_id=task, verdict=wrong, answer="in the cellar", source="Anna")
    assert given.success and given.message == ""
    assert give(task_id=task, verdict=wrong).success
    for said, why in (
        (dict(task_id=task), "verdict is 0; allowed are VERDICT_RIGHT (1) and VERDICT_WRONG (2)"),
        (dict(task_id=99, verdict=wrong), "has no task 99"),
        (dict(task_id=task, verdict=1, answer="in the attic"), "say wrong with that answer"),
    ):
        refused = give(**said)
        assert not refused.success and why in refused.message
    with Store.open(database) as store:
        first, second = store.feedback(task)
        assert (first.verdict, first.answer, first.source) == ("wrong", "in the cellar", "Anna")
        assert (second.answer, second.source) == (None, "give_feedback")
        assert known_answer(store.task(task), [first]) == "in the cellar"

        # Forgotten beside the agent, which goes on keeping.
        store.forget(Selection(until_ns=1020 * 10**9))
        assert [kept.start_ns // 10**9 for kept in ClipRing(store).kept()][:2] == [1020, 1030]

    kept = int(ros.value("store", "clips kept"))
    Camera(ros).pass_time(1042.5, 1062)
    ros.wait(lambda: int(ros.value("store", "clips kept")) > kept, "clips after that")
    off = Parameter(name="frames.gigabytes", value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE))
    request = SetParametersAtomically.Request(parameters=[off])
    service = "taskmem_agent/set_parameters_atomically"
    assert ros.call(SetParametersAtomically, service, request).result.successful
    ros.wait(lambda: not (ros.folder / "m.frames.db").exists(), "the ring is removed")
    count = len(memories)
    Camera(ros).pass_time(1062.5, 1082)
    ros.wait(lambda: len(memories) > count, "memories without a ring")
    assert agent.end() == 0 and not (ros.folder / "m.frames.db").exists()
