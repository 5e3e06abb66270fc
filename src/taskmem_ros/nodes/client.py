"""A question from this process to a running agent."""

from __future__ import annotations

import time
from collections.abc import Sequence

import rclpy
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from taskmem import msg, srv

from taskmem_ros.clips import Pose
from taskmem_ros.memory import Memory
from taskmem_ros.recall import Answer, Evidence

from .conversions import STATUS_NAMES, nanoseconds, time_message

S = 1_000_000_000
LAST_S = 2**31 - 1  # builtin_interfaces/Time has int32 seconds

FIND_S = 10.0  # for the service to be discovered
GRACE_S = 5.0  # for a reply that says "timed out" to travel


class NoAgent(ValueError):
    """The service is not there, or does not reply: one sentence."""


def ask(
    service: str,
    question: str,
    choices: Sequence[str] = (),
    since_ns: int | None = None,
    until_ns: int | None = None,
    timeout_s: float = 60.0,
) -> Answer:
    """Ask the agent that serves `service` and wait for its answer. Raises NoAgent, ValueError.

    The memories of its evidence have no model, adapter or prompt hash: the reply does not carry them.
    """
    request = srv.AskMemory.Request(question=question, choices=list(choices))
    request.since, request.until = _bound("start", since_ns), _bound("end", until_ns)
    request.timeout.sec, request.timeout.nanosec = int(timeout_s), round(timeout_s % 1 * 1e9) % 1_000_000_000
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    try:
        node = rclpy.create_node("taskmem_ask", context=context)
        name = node.resolve_service_name(service)
        client = node.create_client(srv.AskMemory, service)
        if not client.wait_for_service(timeout_sec=FIND_S):
            raise NoAgent(
                f"No agent serves {name} in this ROS domain; start one, or name another service "
                "(ROS_DOMAIN_ID and the namespace must be the agent's)."
            )
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        future = client.call_async(request)
        until = time.monotonic() + timeout_s + GRACE_S
        while not future.done() and time.monotonic() < until:
            executor.spin_once(timeout_sec=0.1)
        if not future.done():
            raise NoAgent(f"{name} did not reply within {timeout_s + GRACE_S:g} s; is its agent still there?")
        return _answer(future.result())
    finally:
        rclpy.shutdown(context=context)


def _bound(which: str, ns: int | None) -> Time:
    """The start or end of a span as a Time message; zero leaves it open."""
    if ns is not None and not (which == "end") <= ns < (LAST_S + 1) * S:  # an end of 0 would be an open one
        raise ValueError(
            f"The {which} of the span is {ns / S:.0f} s after 1970, but ROS 2 messages hold times from 1970 "
            "to 2038-01-19 only; name a time between them, or leave it open."
        )
    return time_message(ns or 0)


def _answer(reply: srv.AskMemory.Response) -> Answer:
    return Answer(
        STATUS_NAMES[reply.status],
        text=reply.answer,
        message=reply.message,
        confidence=reply.confidence,
        evidence=tuple(Evidence(_memory(evidence), evidence.score) for evidence in reply.evidence),
        watermark=reply.watermark,
    )


def _memory(evidence: msg.Evidence) -> Memory:
    pose = None
    if evidence.has_pose:
        at, turn = evidence.pose.pose.position, evidence.pose.pose.orientation
        pose = Pose(
            evidence.pose.header.frame_id, at.x, at.y, at.z, turn.x, turn.y, turn.z, turn.w, evidence.map_id
        )
    return Memory(
        evidence.memory_id,
        evidence.camera,
        0,
        nanoseconds(evidence.start),
        nanoseconds(evidence.end),
        evidence.text,
        pose,
        thumbnail=bytes(evidence.thumbnail.data),
    )
