"""A film file, a stream or a camera device -> Frames, by OpenCV."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2

from .types import NS, Frame

FALLBACK_FPS = 30.0  # for files that tell neither frame times nor a rate


class VideoError(Exception):
    """The film, stream or device cannot be read; str() is one sentence that says why."""


class Video:
    """Frames of a film file (path), a network stream (URL) or a camera device (index, or its digits as text).

    A file's frames are stamped start_ns + their time in the film, counted from its first frame, so variable
    frame rates are kept. Devices and streams are stamped with this machine's clock when a frame arrives.
    With `loop` a file begins anew at its end, and stamps go on growing. Raises VideoError at once if it
    cannot be opened.
    """

    def __init__(
        self, source: str | int | Path, *, camera: str = "video", start_ns: int = 0, loop: bool = False
    ) -> None:
        text = str(source)
        self.source: str | int = int(text) if text.isdigit() and not Path(text).is_file() else text
        self.live = isinstance(self.source, int) or "://" in text
        self.camera = camera
        self.start_ns = start_ns
        self.loop = loop and not self.live
        self._capture: cv2.VideoCapture | None = self._open()
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = fps if 0 < fps < 1000 else None  # None: unknown

    def frames(self, wants: Callable[[int], bool] | None = None) -> Iterator[Frame]:
        """All frames, or only those whose stamp `wants` accepts (the others are not converted)."""
        start_ns, passes = self.start_ns, 0
        while True:
            stamp = None
            for stamp, capture in self._grab(start_ns):
                if wants is None or wants(stamp):
                    ok, bgr = capture.retrieve()
                    if ok:
                        yield Frame(stamp, self.camera, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
            passes += 1
            if stamp is None and passes == 1:
                raise VideoError(f"video {self.source!r} opens but has no frame that OpenCV can read")
            if not self.loop or stamp is None:
                return
            start_ns = stamp + self._interval_ns()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def close(self) -> None:
        """Release the file or device; frames() opens it again."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _open(self) -> cv2.VideoCapture:
        if not self.live and not Path(self.source).is_file():
            raise VideoError(
                f"video file {self.source!r} does not exist: give a film's path, a URL or a device index"
            )
        capture = cv2.VideoCapture(self.source)
        if capture.isOpened():
            return capture
        if isinstance(self.source, int):
            raise VideoError(
                f"camera device {self.source} cannot be opened: is /dev/video{self.source} there and free?"
            )
        if self.live:
            raise VideoError(f"video stream {self.source!r} cannot be opened")
        size = Path(self.source).stat().st_size
        raise VideoError(f"file {self.source!r} of {size} bytes is not a film that OpenCV can read")

    def _grab(self, start_ns: int) -> Iterator[tuple[int, cv2.VideoCapture]]:
        """(stamp, capture that can retrieve this frame) for each frame, to the end of the file."""
        self._capture = capture = self._capture or self._open()
        try:
            first_ms = stamp = None
            while capture.grab():
                if self.live:
                    stamp = time.time_ns()
                else:
                    position_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
                    first_ms = position_ms if first_ms is None else first_ms
                    told = start_ns + round((position_ms - first_ms) * 1e6)
                    # Some files tell no times, and OpenCV tells 0 for the last frame of others.
                    stamp = told if stamp is None or told > stamp else stamp + self._interval_ns()
                yield stamp, capture
        finally:
            self.close()

    def _interval_ns(self) -> int:
        return round(NS / (self.fps or FALLBACK_FPS))
