"""A clip's picture, small, for people: the thumbnail that is kept with its memory."""

from __future__ import annotations

import cv2

from .types import Clip

QUALITY = 80


def thumbnail(clip: Clip, width: int) -> bytes:
    """The middle frame as a JPEG at most `width` pixels wide; b"" for width 0."""
    if not width:
        return b""
    image = clip.middle.image
    if image.shape[1] > width:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    good, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not good:
        raise RuntimeError(f"OpenCV could not encode a thumbnail of {image.shape[1]}x{image.shape[0]}")
    return jpeg.tobytes()
