"""home_camera: the demo home's robot looks around and publishes what it sees and where it is."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence

from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock as ClockMessage
from tf2_msgs.msg import TFMessage

from taskmem_ros.home import STEP_NS, HomeCamera, HomeSim

from . import parameters
from .camera_publisher import ENCODINGS, CameraPublisher
from .conversions import time_message
from .parameters import Spec
from .runner import run

PARAMETERS: tuple[Spec, ...] = (
    Spec("camera", "camera", "Name of the camera; images go to CAMERA/image_raw.", when="never"),
    Spec(
        "seed",
        2_000_001,
        "Which home: the same seed is the same home and the same days in it.",
        0,
        2**53,
        when="never",
    ),
    Spec(
        "speed",
        1.0,
        "World seconds per real second; other than 1 the time of the world goes out on /clock.",
        0.01,
        1000.0,
        when="never",
    ),
    Spec("publish_clock", False, "Publish the world's time on /clock also at speed 1.", when="never"),
    Spec("rate", 2.0, "Frames per world second, Hz.", 0.05, 30.0, when="never"),
    Spec("start", 0.0, "World seconds at which to begin.", 0.0, 1e7, when="never"),
    Spec("wait", False, "Hold the world still until someone subscribes to the images.", when="never"),
    Spec("encoding", "rgb8", "Pixel encoding of image_raw.", choices=tuple(ENCODINGS), when="never"),
    Spec("frame_id", "home_camera", "tf frame of the camera.", when="never"),
    Spec("map_frame", "map", "tf frame of the home.", when="never"),
)
CLOCK_HZ = 20.0


class HomeCameraNode(Node):
    """Walks through HomeSim in real time times `speed`.

    A stamp is always world time plus a constant. With /clock (publish_clock, or speed other than 1) the
    constant is the home's own epoch; without it stamps are the present ROS time, since every other node would
    take the home's date for an old bag, and the constant is a multiple of 10 s, so that the home's steps stay
    on the grid of the clips.
    """

    def __init__(self) -> None:
        super().__init__("home_camera")
        parameters.declare(self, PARAMETERS)
        values = parameters.read(self, PARAMETERS)
        parameters.check(PARAMETERS, values)
        self._speed, self._rate, self._start_s = values["speed"], values["rate"], values["start"]
        self._with_clock = values["publish_clock"] or self._speed != 1.0
        self._waiting = values["wait"]
        self._frames = (values["map_frame"], values["frame_id"])
        self._sim = HomeSim(values["seed"])
        self._view = HomeCamera(self._sim)
        self._view.frame(int(self._start_s * 1e9))  # days may have to be worked out first, and take seconds
        self._camera = CameraPublisher(
            self, values["camera"], values["frame_id"], values["encoding"], horizontal_fov=math.radians(90)
        )
        self._tf = self.create_publisher(
            TFMessage,
            "/tf",
            QoSProfile(
                history=HistoryPolicy.KEEP_LAST,
                depth=100,
                reliability=ReliabilityPolicy.RELIABLE,
                durability=DurabilityPolicy.VOLATILE,
            ),
        )
        self._clock_topic = (
            self.create_publisher(
                ClockMessage,
                "/clock",
                QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE),
            )
            if self._with_clock
            else None
        )
        self._frame_number = -1
        self._begin()
        # The world's clock is made here, so it must not wait for /clock itself.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(min(1.0 / CLOCK_HZ, 0.5 / (self._rate * self._speed)), self._tick, clock=steady)
        self.get_logger().info(
            f"home {values['seed']} at {self._speed:g}x, {self._rate:g} frames per world second"
            + (", time on /clock" if self._with_clock else "")
            + (", waiting for a subscriber" if self._waiting else "")
        )

    def _begin(self) -> None:
        self._began = time.monotonic()
        start_ns = int(self._start_s * 1e9)
        if self._with_clock:
            self._offset_ns, self._first_ns = self._sim.epoch_ns, start_ns
        else:
            now_ns = self.get_clock().now().nanoseconds
            self._offset_ns = (now_ns - start_ns) // STEP_NS * STEP_NS
            self._first_ns = now_ns - self._offset_ns

    def _tick(self) -> None:
        if self._waiting:
            self._begin()
            self._waiting = not self._camera.watched
        world_ns = self._first_ns + int((time.monotonic() - self._began) * self._speed * 1e9)
        if self._clock_topic is not None:
            self._clock_topic.publish(ClockMessage(clock=time_message(self._offset_ns + world_ns)))
        number = int(world_ns * self._rate / 1e9)
        if self._waiting or number == self._frame_number:
            return
        self._frame_number = number
        # Frames lie on the grid of `rate`, whenever this timer happens to fire.
        frame_ns = max(int(number / self._rate * 1e9), self._first_ns)
        stamp_ns = self._offset_ns + frame_ns
        self._tf.publish(TFMessage(transforms=[self._transform(frame_ns, stamp_ns)]))
        if self._camera.watched:
            self._camera.publish(self._view.frame(frame_ns), stamp_ns)

    def _transform(self, world_ns: int, stamp_ns: int) -> TransformStamped:
        x, y, yaw = self._sim.pose(world_ns)
        transform = TransformStamped(child_frame_id=self._frames[1])
        transform.header.frame_id = self._frames[0]
        transform.header.stamp = time_message(stamp_ns)
        transform.transform.translation.x, transform.transform.translation.y = float(x), float(y)
        transform.transform.rotation.z, transform.transform.rotation.w = math.sin(yaw / 2), math.cos(yaw / 2)
        return transform

    def close(self) -> None:
        """Nothing is held that outlives the node."""


def main(args: Sequence[str] | None = None) -> int:
    return run(HomeCameraNode, args, __doc__, PARAMETERS)


if __name__ == "__main__":
    sys.exit(main())
