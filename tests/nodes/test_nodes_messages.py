"""Values to messages, and what the demo makes of a reply. Needs the interfaces, but no middleware."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from taskmem import msg

from taskmem_ros.clips import GAP_REASONS, Gap, Pose
from taskmem_ros.home import HomeQuestion, Query
from taskmem_ros.memory import KINDS, STATUSES, Memory, Task
from taskmem_ros.nodes import conversions
from taskmem_ros.nodes.demo_transcript import (
    FAILED,
    INVENTED,
    MISSED,
    RIGHT,
    RIGHT_NONE,
    WRONG,
    Outcome,
    place,
)
from taskmem_ros.recall import Evidence

POSE = Pose("map", 5.0, 0.2, 0.0, 0.0, 0.0, 0.0, 1.0, map_id="home")
MEMORY = Memory(
    7,
    "front",
    2,
    12_500_000_000,
    22_000_000_001,
    "Anna put the red mug on the table.",
    POSE,
    "m",
    "r",
    "a",
    "p",
    b"\xff\xd8jpeg",
)


def test_times_keep_every_nanosecond():
    for ns in (0, 1, 999_999_999, 1_767_638_281_123_456_789):
        assert conversions.nanoseconds(conversions.time_message(ns)) == ns


def test_a_memory_with_and_without_a_pose():
    message = conversions.memory_message(MEMORY)
    assert (message.id, message.camera, message.episode, message.text) == (7, "front", 2, MEMORY.text)
    assert (
        conversions.nanoseconds(message.start)
        == conversions.nanoseconds(message.header.stamp)
        == MEMORY.start_ns
    )
    assert message.has_pose and message.header.frame_id == "map" and message.map_id == "home"
    assert (message.pose.position.x, message.pose.orientation.w) == (5.0, 1.0)
    assert bytes(message.thumbnail.data) == MEMORY.thumbnail and message.thumbnail.format == "jpeg"
    nowhere = conversions.memory_message(Memory(8, "front", 0, 0, 1, "text"))
    assert not nowhere.has_pose and nowhere.header.frame_id == "" and not nowhere.thumbnail.data


def test_evidence_points_at_its_memory():
    message = conversions.evidence_message(Evidence(MEMORY, 0.5))
    assert (message.memory_id, message.score, message.pose.header.frame_id) == (7, 0.5, "map")
    assert place(message) == "living room" and place(message, True) == "living room (x 5.0, y 0.2)"
    assert place(conversions.memory_message(MEMORY)) == "living room"


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_status_and_kind_has_a_number(status, kind):
    message = conversions.task_message(Task(1, "q", kind, ("a",), "s", 5, status=status, evidence=(3, 1)))
    assert conversions.STATUS_NAMES[message.status] == status and conversions.KIND_NAMES[message.kind] == kind
    assert list(message.memory_ids) == [3, 1]


@pytest.mark.parametrize("reason", GAP_REASONS)
def test_every_reason_has_a_number(reason):
    message = conversions.coverage_message(Gap("front", 1, 5, 9, reason))
    assert message.reason == getattr(msg.Coverage, f"REASON_{reason.upper()}")


@pytest.mark.parametrize(
    "status, answer, truth, verdict",
    [
        ("answered", "on the table in the kitchen", "on the table in the kitchen", RIGHT),
        ("answered", "on the sofa in the living room", "on the table in the kitchen", WRONG),
        ("answered", "on the sofa in the living room", None, INVENTED),
        ("not_in_memory", "", "on the table in the kitchen", MISSED),
        ("not_in_memory", "", None, RIGHT_NONE),
        ("not_watching", "", None, RIGHT_NONE),
        ("timed_out", "", None, FAILED),
        ("failed", "", "on the table in the kitchen", FAILED),
    ],
)
def test_verdicts_of_the_demo(status, answer, truth, verdict):
    reply = SimpleNamespace(status=conversions.TASK_STATUS[status], answer=answer)
    question = HomeQuestion("Where is the red mug?", "object", truth, Query("where_thing", ("red mug",)))
    assert Outcome(question, reply, truth, True, 0.1).verdict == verdict
