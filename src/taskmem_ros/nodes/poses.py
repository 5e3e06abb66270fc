"""Where the observer was: tf at a frame's stamp, by tf2_ros where it is installed, else by clips' buffer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from taskmem_ros.clips import Clip, Frame, Pose, TransformBuffer

from .conversions import nanoseconds

try:
    import tf2_ros
except ImportError:  # not among the ROS wheels
    tf2_ros = None

# Transforms come on another topic than images, and mostly after them.
WAIT_S = 1.0
LOOK_AGAIN_S = 0.2


class PoseLookup:
    """Listens to tf from construction to `close`, keeping `seconds` of it, and gives clips their poses.

    submit(clip) is called in the order of `put`, with the pose of each frame at its stamp: at once where tf
    knows it, after at most WAIT_S where it may still come (then None). All of it in the executor's thread.
    """

    def __init__(
        self, node: Any, map_frame: str, map_id: str, seconds: float, submit: Callable[[Clip], None]
    ) -> None:
        self.seconds = seconds
        self._map_frame, self._map_id, self._submit = map_frame, map_id, submit
        self._node = node
        self._source = _Tf2(node, seconds) if tf2_ros is not None else _OwnTf(node, seconds)
        self._waiting: deque[tuple[float, Clip, str]] = deque()
        self._timer = node.create_timer(
            LOOK_AGAIN_S, node.guarded(self._look_again), clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()

    def put(self, clip: Clip, frame_id: str) -> None:
        """Take a complete clip, seen from `frame_id` ("" where the images name none)."""
        self._waiting.append((time.monotonic() + WAIT_S, clip, frame_id))
        self._look_again()

    def flush(self) -> None:
        """Submit all that wait, with the poses that are known now."""
        self._source.catch_up()
        while self._waiting:
            _, clip, frame_id = self._waiting.popleft()
            self._submit(self._placed(clip, frame_id))

    def close(self) -> None:
        """Submit what waits and stop listening."""
        self.flush()
        self._node.destroy_timer(self._timer)
        self._source.close()

    def _look_again(self) -> None:
        self._source.catch_up()
        while self._waiting:
            deadline, clip, frame_id = self._waiting[0]
            hope = self._source.knows(self._map_frame, frame_id) and time.monotonic() < deadline
            placed = self._placed(clip, frame_id)
            if placed.pose is None and hope:
                self._timer.reset()
                return
            self._waiting.popleft()
            self._submit(placed)
        self._timer.cancel()

    def _placed(self, clip: Clip, frame_id: str) -> Clip:
        if not frame_id:
            return clip
        return replace(clip, frames=tuple(self._with_pose(frame, frame_id) for frame in clip.frames))

    def _with_pose(self, frame: Frame, frame_id: str) -> Frame:
        pose = self._source.pose(self._map_frame, frame_id, frame.stamp_ns)
        return replace(frame, pose=pose and replace(pose, map_id=self._map_id))


class _Tf2:
    def __init__(self, node: Any, seconds: float) -> None:
        from rclpy.duration import Duration

        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=seconds))
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def catch_up(self) -> None:
        """tf2_ros takes its messages in the executor's rounds; what is late is waited for."""

    def knows(self, target: str, source: str) -> bool:
        """Whether tf has ever connected the two."""
        from rclpy.time import Time

        return bool(source) and self._buffer.can_transform(target, source, Time())

    def pose(self, target: str, source: str, stamp_ns: int) -> Pose | None:
        from rclpy.time import Time

        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns)).transform
        except tf2_ros.TransformException:
            return None
        t, q = found.translation, found.rotation
        return Pose(target, t.x, t.y, t.z, q.x, q.y, q.z, q.w)

    def close(self) -> None:
        self._listener.unregister()


class _OwnTf:
    def __init__(self, node: Any, seconds: float) -> None:
        from tf2_msgs.msg import TFMessage

        self._node, self._buffer = node, TransformBuffer(seconds)
        heard = node.guarded(self._heard)
        group = ReentrantCallbackGroup()
        durabilities = {"/tf": DurabilityPolicy.VOLATILE, "/tf_static": DurabilityPolicy.TRANSIENT_LOCAL}
        self._subscriptions = [
            node.create_subscription(
                TFMessage,
                topic,
                lambda message, static=topic == "/tf_static": heard(message, static),
                QoSProfile(
                    history=HistoryPolicy.KEEP_LAST,
                    depth=100,
                    reliability=ReliabilityPolicy.RELIABLE,
                    durability=durability,
                ),
                callback_group=group,
            )
            for topic, durability in durabilities.items()
        ]

    def _heard(self, message: Any, static: bool) -> None:
        self._add(message, static)
        self.catch_up()

    def catch_up(self) -> None:
        """Take what has arrived: the executor hands out one message in a round, and tf may have hundreds."""
        for subscription, static in zip(self._subscriptions, (False, True), strict=True):
            handle = subscription.handle
            with handle:
                while (taken := handle.take_message(subscription.msg_type, False)) is not None:
                    self._add(taken[0], static)

    def _add(self, message: Any, static: bool) -> None:
        for item in message.transforms:
            t, q = item.transform.translation, item.transform.rotation
            try:
                self._buffer.add(
                    item.header.frame_id,
                    item.child_frame_id,
                    nanoseconds(item.header.stamp),
                    (t.x, t.y, t.z),
                    (q.x, q.y, q.z, q.w),
                    static=static,
                )
            except ValueError as error:
                self._node.get_logger().warning(f"tf: {error}", throttle_duration_sec=10.0)

    def knows(self, target: str, source: str) -> bool:
        """Whether tf has said anything of the source."""
        return source.lstrip("/") in self._buffer.frames()

    def pose(self, target: str, source: str, stamp_ns: int) -> Pose | None:
        return self._buffer.lookup(target, source, stamp_ns)

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
