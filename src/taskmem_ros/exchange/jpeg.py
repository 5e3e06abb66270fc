"""Frames as JPEG and back, close enough to what the policy saw that it writes the same."""

from __future__ import annotations

import cv2
import numpy as np

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
