"""What home_camera and video_camera publish: Image, CompressedImage, CameraInfo."""

from __future__ import annotations

import array
import math
from typing import Any

import cv2
import numpy as np
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from .conversions import time_message

# What `encoding` may be, and how RGB becomes it.
ENCODINGS = {
    "rgb8": None,
    "bgr8": cv2.COLOR_RGB2BGR,
    "rgba8": cv2.COLOR_RGB2RGBA,
    "bgra8": cv2.COLOR_RGB2BGRA,
    "mono8": cv2.COLOR_RGB2GRAY,
}
# Reliable matches every subscriber, best-effort ones included.
QOS = dict(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)


class CameraPublisher:
    """Publishes RGB frames on CAMERA/image_raw, CAMERA/image_raw/compressed and CAMERA/camera_info.

    `horizontal_fov` (radians) gives CameraInfo its focal length; 0 leaves it uncalibrated.
    """

    def __init__(
        self, node: Any, camera: str, frame_id: str, encoding: str = "rgb8", horizontal_fov: float = 0.0
    ) -> None:
        self._frame_id, self._encoding, self._fov = frame_id, encoding, horizontal_fov

        def publisher(kind: type, topic: str) -> Any:
            return node.create_publisher(
                kind,
                topic,
                QoSProfile(**QOS),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

        self._image = publisher(Image, f"{camera}/image_raw")
        self._compressed = publisher(CompressedImage, f"{camera}/image_raw/compressed")
        self._info = publisher(CameraInfo, f"{camera}/camera_info")

    @property
    def watched(self) -> bool:
        """Whether anyone subscribes to the images."""
        return self._image.get_subscription_count() + self._compressed.get_subscription_count() > 0

    def publish(self, rgb: np.ndarray, stamp_ns: int) -> None:
        """Publish one frame, uint8 (H, W, 3) RGB; what nobody subscribes to is not encoded."""
        height, width = rgb.shape[:2]
        if self._image.get_subscription_count():
            code = ENCODINGS[self._encoding]
            pixels = np.ascontiguousarray(rgb if code is None else cv2.cvtColor(rgb, code))
            image = Image(
                height=height,
                width=width,
                encoding=self._encoding,
                is_bigendian=0,
                step=pixels.nbytes // height,
            )
            image.data = _bytes(pixels.tobytes())
            self._image.publish(self._stamped(image, stamp_ns))
        if self._compressed.get_subscription_count():
            good, jpeg = cv2.imencode(
                ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90]
            )
            if not good:
                raise RuntimeError(f"OpenCV could not encode a frame of {width}x{height} as JPEG")
            compressed = CompressedImage(format=f"{self._encoding}; jpeg compressed bgr8")
            compressed.data = _bytes(jpeg.tobytes())
            self._compressed.publish(self._stamped(compressed, stamp_ns))
        info = CameraInfo(height=height, width=width, distortion_model="plumb_bob")
        if self._fov:
            focal = width / 2 / math.tan(self._fov / 2)
            cx, cy = width / 2, height / 2
            info.d = [0.0] * 5
            info.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
            info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
            info.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        self._info.publish(self._stamped(info, stamp_ns))

    def _stamped(self, message: Any, stamp_ns: int) -> Any:
        message.header.stamp = time_message(stamp_ns)
        message.header.frame_id = self._frame_id
        return message


def _bytes(data: bytes) -> array.array:
    # rosidl checks every element of any other sequence in Python, 20 ms for a small image.
    return array.array("B", data)
