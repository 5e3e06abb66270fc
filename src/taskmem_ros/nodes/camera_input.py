"""One camera's subscription: serialized messages in, clips and gaps out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from taskmem_ros.clips import INACTIVE, Clip, Clipper, ClipSettings, Frame, Gap
from taskmem_ros.clips.images import ImageError, header_stamp_ns, message_to_rgb

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from . import qos

Piece = Clip | Gap
WARN_EVERY_S = 10.0
# So many new episodes within WARN_EVERY_S are not a bag that loops.
OFTEN = 4


@dataclass
class Counters:
    """What has come from one camera since the node was configured."""

    received: int = 0
    sampled: int = 0
    bad: int = 0
    incompatible: int = 0
    last_problem: str = ""


class CameraInput:
    """Frames of one topic through a Clipper. Everything here runs in the executor's thread.

    on_pieces(pieces, frame_id) is called with what was completed, oldest first. known_end: (episode, end_ns)
    of what the store has of this camera, from which an "inactive" gap leads to the first frame.
    """

    def __init__(
        self,
        node: Any,
        camera: str,
        topic: str,
        compressed: bool,
        settings: ClipSettings,
        on_pieces: Callable[[Sequence[Piece], str], None],
        known_end: tuple[int, int] | None = None,
    ) -> None:
        self.camera, self.counters = camera, Counters()
        self.topic = node.resolve_topic_name(topic)
        self._node, self._requested = node, topic
        self._kind = CompressedImage if compressed else Image
        self._on_pieces, self._known_end = on_pieces, known_end
        self._clipper = Clipper(camera, settings, known_end[0] if known_end else 0)
        self._frame_id = ""
        self._warned: dict[str, float] = {}
        self._jumps: deque[float] = deque(maxlen=OFTEN)
        self._heard = time.monotonic()
        self._subscription: Any = None

    @property
    def episode(self) -> int:
        return self._clipper.episode

    @property
    def silent_s(self) -> float:
        """Real seconds since the last image, good or bad, or since the start of listening."""
        return time.monotonic() - self._heard

    def subscribe(self) -> None:
        self._heard = time.monotonic()
        handler = qos.incompatible(self.topic, self._node.get_fully_qualified_name(), self._warn_incompatible)
        self._subscription = self._node.create_subscription(
            self._kind,
            self._requested,
            self._node.guarded(self._on_message),
            qos.images(),
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._node.guarded(handler)),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def unsubscribe(self) -> None:
        """Stop listening and give out the open clip; the time until frames come again is a gap "inactive"."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self._give(self._clipper.flush())

    def tick(self, now_ns: int) -> None:
        """Time has passed, by the node's clock: a silent camera's clip is closed."""
        if self._subscription is not None:
            self._give(self._clipper.tick(now_ns))

    def apply(self, settings: ClipSettings) -> None:
        self._clipper.apply(settings)

    def _on_message(self, raw: bytes) -> None:
        self.counters.received += 1
        self._heard = time.monotonic()
        try:
            frame = self._frame(raw)
            if frame is None:
                return
            episode = self.episode
            pieces = self._since_known(frame) + self._clipper.add(frame)
        except (ImageError, ValueError) as error:
            self._bad(str(error))
        except Exception as error:  # whatever a strange message brings up, the stream goes on
            self._bad(f"{type(error).__name__}: {error}")
        else:
            self.counters.sampled += 1
            self._give(pieces)
            if self.episode != episode:
                self._jumped()

    def _frame(self, raw: bytes) -> Frame | None:
        stamp = header_stamp_ns(raw)
        if stamp <= 0:
            raise ValueError(f"its header.stamp is {stamp} ns; the camera driver must set it")
        if not self._clipper.wants(stamp):
            return None
        message = deserialize_message(raw, self._kind)
        frame = Frame(stamp, self.camera, message_to_rgb(message))
        self._frame_id = message.header.frame_id
        return frame

    def _since_known(self, frame: Frame) -> list[Piece]:
        """After a start: what lies between the store's newest entry and this first frame was not watched."""
        if self._known_end is None:
            return []
        (episode, end_ns), self._known_end = self._known_end, None
        if frame.stamp_ns < end_ns:  # another clock, or the same bag again
            self._clipper = Clipper(self.camera, self._clipper.settings, episode + 1)
            return []
        return (
            [Gap(self.camera, episode, end_ns, frame.stamp_ns, INACTIVE)] if frame.stamp_ns > end_ns else []
        )

    def _give(self, pieces: Sequence[Piece]) -> None:
        if pieces:
            self._on_pieces(pieces, self._frame_id)

    def _jumped(self) -> None:
        self._jumps.append(time.monotonic())
        if len(self._jumps) < OFTEN or self._jumps[-1] - self._jumps[0] > WARN_EVERY_S:
            return
        self.counters.last_problem = (
            f"the stamps on {self.topic} jump back again and again, and each time begins an episode "
            f"(now {self.episode}): it has {self._node.count_publishers(self.topic)} publishers; two with "
            "different clocks, a camera and a bag for instance, must not share a topic."
        )
        self._warn("jumps", self.counters.last_problem)

    def _bad(self, reason: str) -> None:
        self.counters.bad += 1
        self.counters.last_problem = reason
        self._warn("bad", f"image on {self.topic} not used ({self.counters.bad} so far): {reason}")

    def _warn(self, kind: str, sentence: str) -> None:
        """Throttled by kind. rclpy throttles per line of code: one bad camera would silence the others."""
        now = time.monotonic()
        if now - self._warned.get(kind, -WARN_EVERY_S) >= WARN_EVERY_S:
            self._warned[kind] = now
            self._node.get_logger().warning(sentence)

    def _warn_incompatible(self, sentence: str) -> None:
        self.counters.incompatible += 1
        self.counters.last_problem = sentence
        self._node.get_logger().warning(sentence)
