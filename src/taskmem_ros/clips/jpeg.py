"""Frames as JPEG: whole, so that the policy writes the same of them, and small, for people."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .types import Clip, Frame, Pose

THUMBNAIL_QUALITY = 80
# At quality 80 with half the colour the demo model wrote another memory for every third clip; so it is two
# of 48, for twice the bytes.
_SETTINGS = [
    cv2.IMWRITE_JPEG_QUALITY, 95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]  # fmt: skip


def rgb_to_jpeg(image: np.ndarray) -> bytes:
    """A JPEG of RGB uint8 (height, width, 3); the same picture gives the same bytes."""
    good, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _SETTINGS)
    if not good:
        raise ValueError(f"OpenCV could not encode a picture of shape {image.shape}")
    return jpeg.tobytes()


def jpeg_to_rgb(jpeg: bytes) -> np.ndarray:
    """RGB uint8 (height, width, 3), C-contiguous. Raises ValueError where the bytes are no JPEG."""
    if not jpeg.startswith(b"\xff\xd8"):
        raise ValueError(f"{len(jpeg)} bytes that do not begin as a JPEG")
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # such as more pixels than OpenCV takes
        raise ValueError(" ".join(str(error).split())) from error
    if image is None:
        raise ValueError(f"a JPEG of {len(jpeg)} bytes that cannot be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@dataclass(frozen=True)
class JpegFrame:
    """One picture as it is kept. jpeg: RGB of any size; pose: of the observer, None if unknown."""

    stamp_ns: int
    jpeg: bytes
    pose: Pose | None = None


@dataclass(frozen=True)
class JpegClip:
    """A clip as it is kept: the frames that the policy saw of [start_ns, end_ns), oldest first.

    opens: nothing that is kept before it belongs to its window: the policy's window was empty, as at the
    start of a recording, or what was in it is not kept.
    """

    camera: str
    episode: int
    start_ns: int
    end_ns: int
    opens: bool
    frames: tuple[JpegFrame, ...]

    @classmethod
    def of(cls, clip: Clip, opens: bool = False) -> JpegClip:
        """The clip's frames as `rgb_to_jpeg` makes them."""
        frames = (JpegFrame(frame.stamp_ns, rgb_to_jpeg(frame.image), frame.pose) for frame in clip.frames)
        return cls(clip.camera, clip.episode, clip.start_ns, clip.end_ns, opens, tuple(frames))

    def decoded(self) -> Clip:
        """The clip with its pictures. Raises ValueError where one cannot be decoded."""
        frames = []
        for frame in self.frames:
            try:
                image = jpeg_to_rgb(frame.jpeg)
            except ValueError as error:
                raise ValueError(
                    f"the frame of camera {self.camera!r} at {frame.stamp_ns} ns is no picture ({error})"
                ) from error
            frames.append(Frame(frame.stamp_ns, self.camera, image, frame.pose))
        return Clip(self.camera, self.episode, self.start_ns, self.end_ns, tuple(frames))


def thumbnail(clip: Clip, width: int) -> bytes:
    """The middle frame as a JPEG at most `width` pixels wide; b"" for width 0."""
    if not width:
        return b""
    image = clip.middle.image
    if image.shape[1] > width:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    good, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY])
    if not good:
        raise RuntimeError(f"OpenCV could not encode a thumbnail of {image.shape[1]}x{image.shape[0]}")
    return jpeg.tobytes()
