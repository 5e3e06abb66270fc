"""video_camera: a film or a plugged-in camera, published as a ROS camera at its own rate."""
from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from rclpy.node import Node

from . import parameters
from .camera_publisher import ENCODINGS, CameraPublisher
from .mailbox import Mailbox
from .parameters import Spec
from .runner import run

PARAMETERS: tuple[Spec, ...] = (
    Spec("video", "", "A film file, or the index of a camera device, as in 0.", when="never"),
    Spec("camera", "camera", "Name of the camera; images go to CAMERA/image_raw.", when="never"),
    Spec("rate", 0.0, "Frames per second; 0: the film's own (30 where it does not say).", 0.0, 240.0, when="never"),
    Spec("loop", False, "Begin a film again when it ends; otherwise the node ends with it.", when="never"),
    Spec("wait", True, "Hold a film until someone subscribes to the images.", when="never"),
    Spec("encoding", "bgr8", "Pixel encoding of image_raw.", choices=tuple(ENCODINGS), when="never"),
    Spec("frame_id", "video_camera", "tf frame of the camera.", when="never"),
)


class VideoCamera(Node):
    """Publishes frames stamped with the present ROS time. A thread reads them, since a device blocks until it has one."""

    def __init__(self) -> None:
        super().__init__("video_camera")
        parameters.declare(self, PARAMETERS)
        values = parameters.read(self, PARAMETERS)
        parameters.check(PARAMETERS, values)
        self._values = values
        self._source = _source(values["video"])
        self._rate = values["rate"] or _own_rate(self._source)
        self._camera = CameraPublisher(self, values["camera"], values["frame_id"], values["encoding"])
        self._mailbox = Mailbox(self, workers=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="video", daemon=True)
        self._thread.start()
        self.get_logger().info(f"{values['video']} at {self._rate:g} frames per second")

    def _read(self) -> None:
        code = 0
        try:
            while self._values["wait"] and isinstance(self._source, str) and not self._camera.watched:
                if self._stop.wait(0.1):
                    return
            count = self._play()
            while self._values["loop"] and not self._stop.is_set():
                count += self._play()
            self.get_logger().info(f"the film has ended after {count} frames")
        except Exception:
            self.get_logger().error(traceback.format_exc())
            code = 1
        self._mailbox.post(_leave, code)

    def _play(self) -> int:
        due = time.monotonic()
        count = 0
        for rgb in _frames(self._source):
            if isinstance(self._source, str):  # a device sets the pace itself
                due = max(due + 1.0 / self._rate, time.monotonic() - 1.0)
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    break
            elif self._stop.is_set():
                break
            self._camera.publish(rgb, self.get_clock().now().nanoseconds)
            count += 1
        if not count and not self._stop.is_set():
            raise RuntimeError(f"{self._values['video']} gave no frame; is it a film that OpenCV can read?")
        return count

    def close(self) -> None:
        """End the reading thread."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        self._mailbox.close()


def _leave(code: int) -> None:
    raise SystemExit(code)


def _source(video: str) -> str | int:
    """A file's path or a device's index. Raises ValueError when it is neither."""
    if video.isdecimal():
        return int(video)
    if not video:
        raise ValueError("video is empty; give a film file, or the index of a camera device, as in video:=0.")
    path = Path(video).expanduser()
    if not path.is_file():
        raise ValueError(f"video is {video!r}, which is no file; give a film file, or the index of a camera device.")
    return str(path)


def _open(source: str | int) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise ValueError(f"video {source!r} cannot be opened by OpenCV; is it a film, or a device that is free?")
    return capture


def _own_rate(source: str | int) -> float:
    capture = _open(source)
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate if 0.1 <= rate <= 240.0 else 30.0


def _frames(source: str | int) -> Iterator[np.ndarray]:
    """RGB frames until the film ends."""
    capture = _open(source)
    try:
        while True:
            good, bgr = capture.read()
            if not good:
                return
            yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def main(args: Sequence[str] | None = None) -> int:
    return run(VideoCamera, args)


if __name__ == "__main__":
    sys.exit(main())
