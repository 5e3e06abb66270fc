"""Where the observer was: tf at a frame's stamp, by tf2_ros where it is installed, else by clips' buffer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from taskmem_ros.clips import Clip, Pose, TransformBuffer

from .conversions import nanoseconds

try:
    import tf2_ros
except ImportError:  # not among the ROS wheels
    tf2_ros = None


class PoseLookup:
    """Listens to tf from construction to `close`, keeping `seconds` of it."""

    def __init__(self, node: Any, map_frame: str, map_id: str, seconds: float) -> None:
        self._node, self._map_frame, self._map_id = node, map_frame, map_id
        self._source = _Tf2(node, seconds) if tf2_ros is not None else _OwnTf(node, seconds)

    def with_poses(self, clip: Clip, frame_id: str) -> Clip:
        """`clip` with the pose of `frame_id` at each frame's stamp; None where tf does not tell it.

        Asked when the clip is complete: by then the transforms around its frames have arrived, which at the
        moment an image arrives they mostly have not.
        """
        if not frame_id:
            return clip
        return replace(
            clip,
            frames=tuple(replace(frame, pose=self._pose(frame_id, frame.stamp_ns)) for frame in clip.frames),
        )

    def _pose(self, frame_id: str, stamp_ns: int) -> Pose | None:
        pose = self._source.pose(self._map_frame, frame_id, stamp_ns)
        return pose and replace(pose, map_id=self._map_id)

    def close(self) -> None:
        self._source.close()


class _Tf2:
    def __init__(self, node: Any, seconds: float) -> None:
        from rclpy.duration import Duration

        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=seconds))
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

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
        group = ReentrantCallbackGroup()
        durabilities = {"/tf": DurabilityPolicy.VOLATILE, "/tf_static": DurabilityPolicy.TRANSIENT_LOCAL}
        self._subscriptions = [
            node.create_subscription(
                TFMessage,
                topic,
                lambda message, static=topic == "/tf_static": self._add(message, static),
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

    def pose(self, target: str, source: str, stamp_ns: int) -> Pose | None:
        return self._buffer.lookup(target, source, stamp_ns)

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
