"""video_camera: a film or a plugged-in camera, published as a ROS camera at its own rate."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Sequence

from rclpy.node import Node

from taskmem_ros.clips.video import Video, VideoError

from . import parameters
from .camera_publisher import ENCODINGS, CameraPublisher
from .mailbox import Mailbox
from .parameters import Spec
from .runner import run

PARAMETERS: tuple[Spec, ...] = (
    Spec("video", "", "A film file, a stream's URL, or the index of a camera device, as in 0.", when="never"),
    Spec("camera", "camera", "Name of the camera; images go to CAMERA/image_raw.", when="never"),
    Spec(
        "rate",
        0.0,
        "Frames per second; 0: the film's own (30 where it does not say).",
        0.0,
        240.0,
        when="never",
    ),
    Spec("loop", False, "Begin a film again when it ends; otherwise the node ends with it.", when="never"),
    Spec("wait", True, "Hold a film until someone subscribes to the images.", when="never"),
    Spec("encoding", "bgr8", "Pixel encoding of image_raw.", choices=tuple(ENCODINGS), when="never"),
    Spec("frame_id", "video_camera", "tf frame of the camera.", when="never"),
)


CATCH_UP_S = 1.0  # a film that fell behind by more is played later, not faster


class VideoCamera(Node):
    """Publishes frames stamped with the present ROS time; a thread reads them, since devices block."""

    def __init__(self) -> None:
        super().__init__("video_camera")
        parameters.declare(self, PARAMETERS)
        values = parameters.read(self, PARAMETERS)
        parameters.check(PARAMETERS, values)
        if not values["video"]:
            raise ValueError(
                "video is empty; give a film file, or the index of a camera device, as in video:=0."
            )
        try:
            self._video = Video(values["video"], camera=values["camera"], loop=values["loop"])
        except VideoError as error:
            raise ValueError(str(error)) from error
        self._rate, self._wait = values["rate"], values["wait"] and not self._video.live
        self._camera = CameraPublisher(self, values["camera"], values["frame_id"], values["encoding"])
        self._mailbox = Mailbox(self, workers=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="video", daemon=True)
        self._thread.start()
        self.get_logger().info(
            f"video {values['video']} at {self._rate or self._video.fps or 30.0:g} frames per second"
            + (", waiting for a subscriber" if self._wait else "")
        )

    def _read(self) -> None:
        code = 0
        try:
            while self._wait and not self._camera.watched:
                if self._stop.wait(0.1):
                    return
            count = self._play()
            if self._stop.is_set():
                return
            self.get_logger().info(f"the film has ended after {count} frames")
        except Exception:
            self.get_logger().error(traceback.format_exc())
            code = 1
        self._mailbox.post(_leave, code)

    def _play(self) -> int:
        """Publish frame after frame, each when its time has come; returns their number."""
        began, count = time.monotonic(), 0
        for frame in self._video.frames():
            if not self._video.live:  # a device sets the pace itself
                due_s = count / self._rate if self._rate else frame.stamp_ns / 1e9
                late_s = time.monotonic() - began - due_s
                began += max(0.0, late_s - CATCH_UP_S)
                self._stop.wait(max(0.0, -late_s))
            if self._stop.is_set():
                break
            self._camera.publish(frame.image, self.get_clock().now().nanoseconds)
            count += 1
        return count

    def close(self) -> None:
        """End the reading thread."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        self._mailbox.close()


def _leave(code: int) -> None:
    raise SystemExit(code)


def main(args: Sequence[str] | None = None) -> int:
    return run(VideoCamera, args, __doc__, PARAMETERS)


if __name__ == "__main__":
    sys.exit(main())
