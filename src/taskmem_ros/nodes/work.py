"""All that a configured agent holds: store, model, engine, cameras, services; started and stopped."""

from __future__ import annotations

import contextlib
import copy
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.qos import QoSProfile
from taskmem import msg

from taskmem_ros.clips import Clip, ClipQueue, Gap
from taskmem_ros.clips.bridge import working_cv_bridge
from taskmem_ros.memory import Store, default_database
from taskmem_ros.policy import Engine, MemoryPolicy
from taskmem_ros.recall import Recall

from . import qos
from .camera_input import CameraInput, Counters
from .conversions import coverage_message, memory_message, task_message
from .diagnostics import ERROR, OK, WARN, Status, camera_status
from .mailbox import Mailbox
from .parameters import clip_settings, image_topic
from .poses import PoseLookup
from .recorder import Recorder
from .services import Services

log = logging.getLogger(__name__)

# What waits for the policy when the agent is told to stop may still be written for so long; ros2 launch
# waits 5 s in all before it sends SIGTERM.
DRAIN_S = 2.0
STOP_S = 30.0


class Work:
    """Built by configure (which may take minutes: the model is loaded here), used by activate and deactivate.

    Raises LoadError, StoreError or ValueError with a sentence when something cannot be had.
    """

    def __init__(self, node: Any, mailbox: Mailbox, values: Mapping[str, Any]) -> None:
        self._node, self._values = node, dict(values)
        self.active = False
        with contextlib.ExitStack() as undo:
            self._build(node, mailbox, values, undo)
            self._undo = undo.pop_all()  # nothing failed: keep it all until close

    def _build(
        self, node: Any, mailbox: Mailbox, values: Mapping[str, Any], undo: contextlib.ExitStack
    ) -> None:
        path = (
            Path(values["database"]).expanduser() if values["database"] else database_of(node.get_namespace())
        )
        self.store = undo.enter_context(Store.open(path))
        known = {camera: newest_end(self.store, camera) for camera in values["cameras"]}
        working_cv_bridge()  # tried in a child process the first time: not while images wait
        self.policy = MemoryPolicy.load(
            values["model"],
            revision=values["revision"] or None,
            quantization=values["quantization"],
            device=values["device"],
            dtype=values["dtype"],
            adapter=values["adapter"] or None,
        )
        for line in str(self.policy.report).splitlines():
            node.get_logger().info(line) if not line.startswith("warning") else node.get_logger().warning(
                line
            )
        memories, coverage, tasks = (
            node.create_publisher(kind, name, profile)
            for kind, name, profile in (
                (msg.Memory, "memories", qos.memories()),
                (msg.Coverage, "coverage", QoSProfile(depth=100)),
                (msg.Task, "tasks", QoSProfile(depth=100)),
            )
        )
        for publisher in (memories, coverage, tasks):
            undo.callback(node.destroy_publisher, publisher)
        self._recorder = Recorder(
            self.store,
            self.policy,
            lambda memory: memories.publish(memory_message(memory)),
            lambda gap: coverage.publish(coverage_message(gap)),
            values["thumbnail_width"],
        )
        undo.callback(self._recorder.close)
        self._queue = ClipQueue(values["queue_clips"], values["drop_policy"])
        undo.callback(lambda: self._recorder.gaps(self._queue.close()))  # clips that still wait become gaps
        self._engine = Engine(
            self.policy,
            self._queue,
            self._recorder.memory,
            window=values["window"],
            max_new_tokens=values["max_new_tokens"],
        )
        self._poses = self._pose_lookup()
        undo.callback(lambda: self._poses.close())
        self._services = Services(
            node,
            mailbox,
            self.store,
            Recall(self.store, self._engine.complete),
            values["ask_timeout"],
            self._reader,
            lambda task: tasks.publish(task_message(task)),
        )
        self._cameras = [
            CameraInput(
                node,
                camera,
                image_topic(values, camera),
                values["image_transport"] == "compressed",
                clip_settings(values),
                self._on_pieces,
                known[camera],
            )
            for camera in values["cameras"]
        ]
        self._before = {camera.camera: Counters() for camera in self._cameras}

    def activate(self) -> None:
        """Start the engine, then listen and serve. When it raises, `deactivate` undoes what was done."""
        self.active = True
        self._engine.start()
        self._services.open()
        for camera in self._cameras:
            camera.subscribe()

    def deactivate(self) -> None:
        """Stop listening, flush the open clips, stop the engine; the model stays, and so do waiting clips."""
        self.active = False
        for camera in self._cameras:
            camera.unsubscribe()
        self._poses.flush()
        self._services.close()
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline and (len(self._queue) or self._engine.stats.busy):
            time.sleep(0.05)
        self._recorder.unfinished(self._engine.stop(STOP_S))

    def close(self) -> None:
        """Let go of everything. Call deactivate first."""
        self._undo.close()

    def tick(self, now_ns: int) -> None:
        """Once a second: silent cameras end their clips."""
        for camera in self._cameras:
            camera.tick(now_ns)

    def apply(self, values: Mapping[str, Any]) -> None:
        """Take over the parameters that may change at run time; clip settings from the next clip on."""
        before, self._values = self._values, dict(values)
        if clip_settings(before) != clip_settings(values):
            for camera in self._cameras:
                camera.apply(clip_settings(values))
            if self._tf_seconds() > self._poses.seconds:
                self._poses.close()
                self._poses = self._pose_lookup()
        self._services.ask_timeout_s = values["ask_timeout"]
        self._recorder.thumbnail_width = values["thumbnail_width"]

    def statuses(self) -> list[Status]:
        """The health of each part, for /diagnostics."""
        return [
            *self._camera_statuses(),
            self._policy_status(),
            self._questions_status(),
            self._store_status(),
        ]

    def _pose_lookup(self) -> PoseLookup:
        values = self._values
        return PoseLookup(self._node, values["map_frame"], values["map_id"], self._tf_seconds(), self._submit)

    def _tf_seconds(self) -> float:
        """tf is kept for longer than a clip: poses are looked up when a clip is complete."""
        return 2 * self._values["clip_seconds"] + 10.0

    def _reader(self) -> dict[str, str]:
        """Who answers: the bare model; the adapter is for memorizing only, and the prompt is recall's own."""
        by = self.policy.provenance
        return {"model": by.model, "revision": by.revision}

    def _on_pieces(self, pieces: Sequence[Clip | Gap], frame_id: str) -> None:
        for piece in pieces:
            if isinstance(piece, Gap):
                self._recorder.gaps([piece])
            else:
                self._poses.put(piece, frame_id)

    def _submit(self, clip: Clip) -> None:
        self._recorder.gaps(self._engine.submit_clip(clip))

    def _camera_statuses(self) -> list[Status]:
        statuses = []
        for camera in self._cameras:
            before = self._before[camera.camera]
            self._before[camera.camera] = copy.copy(camera.counters)
            silent = camera.silent_s > self._values["max_stall"]
            statuses.append(
                camera_status(
                    camera.camera,
                    camera.topic,
                    self.active,
                    silent,
                    camera.counters,
                    before,
                    {"episode": camera.episode},
                )
            )
        return statuses

    def _policy_status(self) -> Status:
        stats, report, by = self._engine.stats, self.policy.report, self.policy.provenance
        gaps = self._recorder.gap_seconds
        level, message = OK, "remembering" if self.active else "not active"
        if stats.failed_in_a_row >= 3:
            level, message = ERROR, f"{stats.failed_in_a_row} clips in a row failed: {stats.last_error}"
        elif len(self._queue) >= self._queue.size:
            level, message = WARN, "the policy is slower than the stream"
        return Status(
            "policy",
            report.device,
            level,
            message,
            {
                "memorized": stats.memorized,
                "failed": stats.failed,
                "queued": stats.queued_clips,
                "dropped": self._queue.dropped,
                "merged": self._queue.merged,
                "seconds not watched": ", ".join(f"{reason} {s:.0f}" for reason, s in sorted(gaps.items()))
                or "0",
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
            },
        )

    def _questions_status(self) -> Status:
        stats = self._engine.stats
        return Status(
            "questions",
            "ask_memory",
            OK,
            "serving" if self.active else "not active",
            {
                "answered": stats.questions,
                "queued": stats.queued_questions,
                "ask latency": stats.ask_p50_s,
                "last error": self._services.last_error,
            },
        )

    def _store_status(self) -> Status:
        error = self._recorder.last_error
        return Status(
            "store",
            str(self.store.path),
            ERROR if error else OK,
            error or "open",
            {"database": self.store.path, "last error": error},
        )


def database_of(namespace: str) -> Path:
    """The default database, in a folder for each namespace: no two robots share a file by accident."""
    path = default_database()
    parts = [part for part in namespace.split("/") if part]
    return path.parent.joinpath(*parts, path.name)


def newest_end(store: Store, camera: str) -> tuple[int, int] | None:
    """(episode, end_ns) of the last memory or gap that the store has of `camera`; None where it has none."""
    known = [
        (m.episode, m.end_ns)
        for m in store.memories(camera=camera, limit=1, newest_first=True, thumbnails=False)
    ]
    known += [(gap.episode, gap.end_ns) for gap in store.coverage(camera=camera)]
    return max(known, default=None)
