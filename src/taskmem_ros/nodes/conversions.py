"""Plain values to ROS messages and back. No message leaves nodes/, no plain value is judged here."""

from __future__ import annotations

import datetime as dt
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose as PoseMessage
from sensor_msgs.msg import CompressedImage
from taskmem import msg, srv

from taskmem_ros.clips import Gap, Pose
from taskmem_ros.memory import RIGHT, WRONG, Box, Memory, Scope, Task
from taskmem_ros.recall import Evidence, Near
from taskmem_ros.recall.when import MachineZone, time_said

TASK_STATUS = {
    "queued": msg.Task.STATUS_QUEUED,
    "answered": msg.Task.STATUS_ANSWERED,
    "not_in_memory": msg.Task.STATUS_NOT_IN_MEMORY,
    "not_watching": msg.Task.STATUS_NOT_WATCHING,
    "timed_out": msg.Task.STATUS_TIMED_OUT,
    "failed": msg.Task.STATUS_FAILED,
}
STATUS_NAMES = {number: name for name, number in TASK_STATUS.items()}
TASK_KIND = {"question": msg.Task.KIND_QUESTION, "task": msg.Task.KIND_TASK}
KIND_NAMES = {number: name for name, number in TASK_KIND.items()}
VERDICT_NAMES = {
    srv.GiveFeedback.Request.VERDICT_RIGHT: RIGHT,
    srv.GiveFeedback.Request.VERDICT_WRONG: WRONG,
}
GAP_REASON = {
    "no_frames": msg.Coverage.REASON_NO_FRAMES,
    "dropped": msg.Coverage.REASON_DROPPED,
    "failed": msg.Coverage.REASON_FAILED,
    "inactive": msg.Coverage.REASON_INACTIVE,
    "forgotten": msg.Coverage.REASON_FORGOTTEN,
}
REASON_NAMES = {number: name for name, number in GAP_REASON.items()}


def time_message(ns: int) -> Time:
    """Nanoseconds since the epoch (of ROS time) to a Time; `ns` is 0 or later."""
    return Time(sec=int(ns // 1_000_000_000), nanosec=int(ns % 1_000_000_000))


def nanoseconds(time: Any) -> int:
    """A Time or Duration message in nanoseconds."""
    return time.sec * 1_000_000_000 + time.nanosec


def pose_message(pose: Pose) -> PoseMessage:
    message = PoseMessage()
    message.position.x, message.position.y, message.position.z = float(pose.x), float(pose.y), float(pose.z)
    q = message.orientation
    q.x, q.y, q.z, q.w = float(pose.qx), float(pose.qy), float(pose.qz), float(pose.qw)
    return message


def thumbnail_message(memory: Memory) -> CompressedImage:
    image = CompressedImage(format="jpeg" if memory.thumbnail else "", data=memory.thumbnail)
    image.header.stamp = time_message(memory.start_ns)
    return image


def memory_message(memory: Memory) -> msg.Memory:
    message = msg.Memory(
        id=memory.id,
        camera=memory.camera,
        episode=memory.episode,
        start=time_message(memory.start_ns),
        end=time_message(memory.end_ns),
        text=memory.text,
        has_pose=memory.pose is not None,
        model=memory.model,
        revision=memory.revision,
        adapter=memory.adapter,
        prompt_hash=memory.prompt_hash,
        thumbnail=thumbnail_message(memory),
    )
    message.header.stamp = message.start
    if memory.pose is not None:
        message.header.frame_id = memory.pose.frame_id
        message.pose = pose_message(memory.pose)
        message.map_id = memory.pose.map_id
    return message


def evidence_message(evidence: Evidence) -> msg.Evidence:
    memory = evidence.memory
    message = msg.Evidence(
        memory_id=memory.id,
        text=memory.text,
        camera=memory.camera,
        episode=memory.episode,
        start=time_message(memory.start_ns),
        end=time_message(memory.end_ns),
        has_pose=memory.pose is not None,
        score=float(evidence.score),
        reasons=[msg.Reason(by=r.by, rank=r.rank, detail=r.detail) for r in evidence.reasons],
        thumbnail=thumbnail_message(memory),
    )
    if memory.pose is not None:
        message.pose.header.frame_id = memory.pose.frame_id
        message.pose.header.stamp = message.start
        message.pose.pose = pose_message(memory.pose)
        message.map_id = memory.pose.map_id
    return message


def scope_of(request: Any, now_ns: int) -> Scope:
    """Which memories a SearchMemory request may find.

    Raises ValueError for a time in words that says no time, or stands beside another, and for a box that ends
    before it begins.
    """
    since, until = nanoseconds(request.since) or None, nanoseconds(request.until) or None
    if request.when.strip():
        if since is not None or until is not None:
            raise ValueError(f"when is {request.when!r} beside since or until; give either of them.")
        since, until = time_said(request.when, dt.datetime.fromtimestamp(now_ns / 1e9, MachineZone()))
    box = None
    if request.in_box:
        low, high = request.box_min, request.box_max
        heights = (low.z, high.z) if high.z > low.z else ()
        box = Box(low.x, low.y, high.x, high.y, *heights, map_id=request.map_id or None)
    episode = None if request.episode < 0 else request.episode
    return Scope(since, until, request.camera or None, episode, box)


def near_of(request: Any) -> Near | None:
    """The place of a SearchMemory request. Raises ValueError where it is none."""
    if not request.near_place:
        return None
    radius = request.radius or None
    return Near(request.place.x, request.place.y, radius_m=radius, map_id=request.map_id or None)


def task_message(task: Task) -> msg.Task:
    return msg.Task(
        id=task.id,
        kind=TASK_KIND[task.kind],
        question=task.question,
        choices=list(task.choices),
        source=task.source,
        asked=time_message(task.asked_ns),
        status=TASK_STATUS[task.status],
        answer=task.answer or "",
        confidence=float(task.confidence),
        memory_ids=list(task.evidence),
    )


def coverage_message(gap: Gap) -> msg.Coverage:
    return msg.Coverage(
        camera=gap.camera,
        episode=gap.episode,
        start=time_message(gap.start_ns),
        end=time_message(gap.end_ns),
        reason=GAP_REASON[str(getattr(gap.reason, "value", gap.reason))],
    )
