"""/diagnostics by REP-107: one status for each camera, the policy, the questions and the store.

diagnostic_updater is not among the ROS wheels, and all that is needed of it is this page.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

LITTLE_ROOM = 100_000_000  # bytes
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


def policy_status(
    active: bool, stats: Any, report: Any, by: Any, queue: Any, gap_seconds: Mapping[str, float]
) -> Status:
    """stats: EngineStats. report: LoadReport. by: Provenance. queue: ClipQueue. gap_seconds: by reason."""
    level, message = OK, "remembering" if active else "not active"
    if stats.failed_in_a_row >= 3:
        level, message = ERROR, f"{stats.failed_in_a_row} clips in a row failed: {stats.last_error}"
    elif len(queue) >= queue.size:
        level, message = WARN, "the policy is slower than the stream"
    gaps = ", ".join(f"{reason} {seconds:.0f}" for reason, seconds in sorted(gap_seconds.items()))
    values = {
        "memorized": stats.memorized,
        "failed": stats.failed,
        "queued": stats.queued_clips,
        "dropped": queue.dropped,
        "merged": queue.merged,
        "seconds not watched": gaps or "0",
        "real-time factor": stats.real_time_factor,
        "busy": stats.busy,
        "model": by.model,
        "revision": by.revision,
        "adapter": by.adapter or "none",
        "quantization": report.quantization,
        "quantized share": report.quantized_share,
        "parameters": report.parameters,
        "model bytes": report.memory_bytes,
        "dtype": report.dtype,
        "warnings": "; ".join(report.warnings),
        "last error": stats.last_error,
    }
    return Status("policy", report.device, level, message, values)


def questions_status(active: bool, stats: Any, last_error: str) -> Status:
    """stats: EngineStats."""
    values = {
        "answered": stats.questions,
        "queued": stats.queued_questions,
        "ask latency": stats.ask_p50_s,
        "last error": last_error,
    }
    return Status("questions", "ask_memory", OK, "serving" if active else "not active", values)


def store_status(
    path: Path, recorder: Any, keeper: Any, indexer: Any | None, frames: Any | None = None
) -> Status:
    """recorder: Recorder. keeper: Keeper. indexer: Indexer, None where there is no encoder. frames:
    FrameKeeper.
    """
    try:
        size, free = path.stat().st_size, shutil.disk_usage(path.parent).free
    except OSError as error:  # deleted, or its disk taken away, while it is open
        return Status("store", str(path), ERROR, f"{path} is gone ({error.strerror})", {"database": path})
    values = {
        "database": path,
        "bytes": size,
        "bytes free on its disk": free,
        "memories waiting to be written": recorder.waiting,
        "memories given up": recorder.given_up,
        **{f"{table} forgotten": number for table, number in keeper.taken.items()},
        "longest step of forgetting": keeper.last.longest_s if keeper.last else 0.0,
        "encoder": indexer.encoder.name if indexer else "none",
        "vectors made": indexer.made if indexer else 0,
        **(_ring_values(frames) if frames else {}),
        "last error": recorder.last_error
        or keeper.error
        or (indexer.error if indexer else "")
        or (frames.last_error if frames else ""),
    }
    level, message = OK, "open"
    if recorder.error:
        level, message = ERROR, recorder.error
    elif keeper.error:
        level, message = WARN, keeper.error
    elif indexer and indexer.error:
        level, message = WARN, indexer.error
    elif frames and frames.error:
        level, message = WARN, frames.error
    elif keeper.last and keeper.last.short_bytes:
        too_much = keeper.last.short_bytes / 1e6
        level, message = (
            WARN,
            f"{too_much:.1f} MB over retention.max_megabytes, and no memory is left to forget",
        )
    elif free < LITTLE_ROOM:
        level, message = WARN, f"{free / 1e6:.0f} MB free on the disk of {path}"
    return Status("store", str(path), level, message, values)


def _ring_values(frames: Any) -> dict[str, Any]:
    return {
        "bytes of kept clips": frames.ring.bytes,
        "clips kept": frames.kept,
        "clips not kept": frames.lost,
    }


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
