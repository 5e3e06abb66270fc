"""/diagnostics by REP-107: one status for each camera, the policy, the questions and the store.

diagnostic_updater is not among the ROS wheels, and all that is needed of it is this page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Status:
    """One line of the robot's health: `component` of the node, on `hardware` (a topic, a device, a file)."""

    component: str
    hardware: str
    level: bytes
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)


def array(node_name: str, stamp: Any, statuses: Iterable[Status]) -> DiagnosticArray:
    message = DiagnosticArray()
    message.header.stamp = stamp
    message.status = [
        DiagnosticStatus(
            name=f"{node_name}: {status.component}",
            hardware_id=status.hardware,
            level=status.level,
            message=status.message,
            values=[KeyValue(key=key, value=_text(value)) for key, value in status.values.items()],
        )
        for status in statuses
    ]
    return message


def camera_status(
    camera: str, topic: str, active: bool, silent: bool, counters: Any, before: Any, extra: Mapping[str, Any]
) -> Status:
    """`before` is a copy of the counters one period ago: what is wrong now decides the level."""
    values = {
        "received": counters.received,
        "sampled": counters.sampled,
        "bad images": counters.bad,
        **extra,
        "last problem": counters.last_problem,
    }
    if not active:
        level, message = OK, "not active"
    elif counters.bad > before.bad:
        level, message = WARN, f"bad images: {counters.last_problem}"
    elif silent and counters.incompatible:
        level, message = ERROR, counters.last_problem
    elif silent:
        level, message = WARN, f"no image on {topic}"
    else:
        level, message = OK, "receiving"
    return Status(f"camera {camera}", topic, level, message, values)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
