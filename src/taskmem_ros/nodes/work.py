"""All that a configured agent holds: store, model, engine, cameras, services; started and stopped."""

from __future__ import annotations

import contextlib
import copy
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rclpy.qos import QoSProfile
from taskmem import msg

from taskmem_ros.clips import INACTIVE, Clip, Gap
from taskmem_ros.clips.bridge import working_cv_bridge
from taskmem_ros.memory import Memory, Store, Task
from taskmem_ros.memory.ring import ClipRing
from taskmem_ros.policy import Draft, Engine, MemoryPolicy
from taskmem_ros.recall import ROUNDS, Recall, load_encoder, rounds_for

from . import qos
from .adapters import AdapterDesk
from .agent_parameters import clip_settings, database, image_topic
from .camera_input import CameraInput, Counters
from .conversions import coverage_message, memory_message, task_message
from .diagnostics import Status, camera_status, policy_status, questions_status, store_status
from .frames import FrameKeeper, ring_bytes
from .indexer import Indexer
from .keeper import Keeper, retention
from .mailbox import Mailbox
from .markers import MemoryMarkers
from .poses import PoseLookup
from .recorder import Recorder
from .services import Services
from .work_queue import WorkQueue

log = logging.getLogger(__name__)

# What waits for the policy when the agent is told to stop may still be written for so long. Then the model
# is given so long to come to a token, and a little more at the end: ros2 launch waits 5 s before it sends
# SIGTERM (which is ignored by then) and 5 s more before it kills.
DRAIN_S = 2.0
STOP_S = 4.0
END_S = 0.5


class Work:
    """Built by configure (which may take minutes: the model is loaded here), used by activate and deactivate.

    Raises LoadError, EncoderError, StoreError or ValueError with a sentence when something cannot be had.
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
        path = database(values, node.get_namespace())
        self.store = undo.enter_context(Store.open(path))
        known = {camera: self.store.record_end(camera) for camera in values["cameras"]}
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
        here = (values["map_frame"], values["map_id"])
        self._markers = MemoryMarkers(node, self.store, values["cameras"], here, values["markers_shown"])
        undo.callback(self._markers.close)

        self._endpoint = None
        if values["reader.base_url"]:
            from taskmem_ros.recall.endpoint import Endpoint

            self._endpoint = Endpoint(values["reader.base_url"], values["reader.model"])
        encoder = load_encoder(values["encoder"]) if values["encoder"] else None
        self._indexer = Indexer(self.store, encoder) if encoder else None
        if self._indexer:
            undo.callback(self._indexer.close)

        def publish_memory(memory: Memory) -> None:
            memories.publish(memory_message(memory))
            self._markers.add(memory)
            if self._indexer:
                self._indexer.wake()

        self._recorder = Recorder(
            self.store,
            self.policy,
            publish_memory,
            lambda gap: coverage.publish(coverage_message(gap)),
            values["thumbnail_width"],
        )
        undo.callback(self._recorder.close)
        self._frames = FrameKeeper(ClipRing(self.store), ring_bytes(values))
        undo.callback(self._frames.close)
        self._keeper = Keeper(
            self.store,
            retention(values),
            lambda: node.get_clock().now().nanoseconds,
            lambda gap: coverage.publish(coverage_message(gap)),
        )
        undo.callback(self._keeper.close)
        self._queue = WorkQueue(values["queue_clips"], values["drop_policy"])
        undo.callback(self._give_up_waiting)
        self._engine = Engine(
            self.policy,
            self._queue,
            self._on_memory,
            window=values["window"],
            max_new_tokens=values["max_new_tokens"],
        )
        undo.callback(self._end_engine)
        self._adapters = AdapterDesk(
            node, mailbox, self.store, self.policy, self._engine, self._frames.ring, values
        )
        undo.callback(lambda: self._adapters.end())
        self._poses = self._pose_lookup()
        undo.callback(lambda: self._poses.close())

        def publish_task(task: Task) -> None:
            tasks.publish(task_message(task))
            self._adapters.keeper.answered(task.status)

        self._services = Services(
            node,
            mailbox,
            self.store,
            Recall(
                self.store,
                self._endpoint or self._engine.complete,
                rounds=values["reader.rounds"]
                or (ROUNDS if self._endpoint else rounds_for(self.policy.report.parameters)),
                encoder=encoder,
                now_ns=lambda: node.get_clock().now().nanoseconds,
            ),
            encoder,
            values["ask_timeout"],
            self._reader,
            publish_task,
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
        self._markers.open()
        self._adapters.keeper.settle()
        self._engine.start()
        self._adapters.open()
        self._services.open()
        for camera in self._cameras:
            camera.subscribe()

    def deactivate(self) -> None:
        """Stop listening, flush the open clips, stop the engine; the model stays, and so do waiting clips.

        Takes at most DRAIN_S + STOP_S: a model that has not come to a token then is left to come to it.
        """
        self.active = False
        for camera in self._cameras:
            camera.unsubscribe()
        self._poses.flush()
        self._services.close()
        self._adapters.close()
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline and (len(self._queue) or self._engine.stats.busy):
            time.sleep(0.05)
        if not self.stop_engine(STOP_S):
            log.warning("the model produced no token within %g s; it stops at the next one", STOP_S)

    def stop_engine(self, timeout_s: float) -> bool:
        """Stop the engine and record what was cut off; False when the model does not come back in time."""
        try:
            self._recorder.unfinished(self._engine.stop(timeout_s))
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Let go of everything. Call deactivate first. The engine may live on: `stop_engine` tells."""
        self._undo.close()

    def tick(self, now_ns: int) -> None:
        """Once a second: silent cameras end their clips, and a model that took long to stop has stopped."""
        if not self.active:
            self.stop_engine(0.0)
        for camera in self._cameras:
            camera.tick(now_ns)
        self._markers.check()
        self._adapters.keeper.tick()

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
        self._keeper.apply(retention(values))
        self._frames.limit(ring_bytes(values))
        self._markers.show(values["markers_shown"])

    def statuses(self) -> list[Status]:
        """The health of each part, for /diagnostics."""
        stats, policy, recorder = self._engine.stats, self.policy, self._recorder
        return [
            *self._camera_statuses(),
            policy_status(
                self.active, stats, policy.report, policy.provenance, self._queue, recorder.gap_seconds
            ),
            self._adapters.status(self.active),
            questions_status(self.active, stats, self._services.last_error),
            store_status(self.store.path, recorder, self._keeper, self._indexer, self._frames),
        ]

    def _pose_lookup(self) -> PoseLookup:
        values = self._values
        return PoseLookup(self._node, values["map_frame"], values["map_id"], self._tf_seconds(), self._submit)

    def _tf_seconds(self) -> float:
        """tf is kept for longer than a clip: poses are looked up when a clip is complete."""
        return 2 * self._values["clip_seconds"] + 10.0

    def _reader(self) -> dict[str, str]:
        """Who answers: the bare model or an endpoint's; the adapter is for memorizing only, and the prompt is
        recall's own.
        """
        if self._endpoint:
            return {"model": self._endpoint.model}
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

    def _on_memory(self, clip: Clip, draft: Draft) -> None:
        if self._queue.hand_over() is clip:  # else it was given up already
            try:
                self._recorder.memory(clip, draft)
            finally:
                self._frames.put(clip)
                self._adapters.keeper.wrote(draft.text)

    def _end_engine(self) -> None:
        if self.stop_engine(END_S):
            return
        log.error("the model is still busy after the agent's end; what it writes now is not kept")
        if (clip := self._queue.hand_over()) is not None:
            self._recorder.unfinished([clip])

    def _give_up_waiting(self) -> None:
        """Clips that still wait: the policy was not too slow for them, it was told to end."""
        self._recorder.gaps(replace(gap, reason=INACTIVE) for gap in self._queue.close())

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
