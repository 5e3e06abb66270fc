"""cv_bridge, where a working one is installed.

apt's cv_bridge is compiled against one major version of numpy and may crash the process when imported beside
another (its C module raises, and segfaults were reported). So it is tried once, in a child process, on
pictures whose result is known; only a cv_bridge that passed there is imported here.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import subprocess
import sys

log = logging.getLogger(__name__)

# What every release of cv_bridge converts; the rest is left to rosbags-image.
_KNOWN = frozenset(
    ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "rgb16", "bgr16", "rgba16", "bgra16", "mono16"]
    + [f"bayer_{order}8" for order in ("rggb", "bggr", "gbrg", "grbg")]
)

_CHECK = """
from types import SimpleNamespace
import numpy as np, sys
from cv_bridge import CvBridge
pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
def convert(encoding, pixels, target):
    height, width = pixels.shape[:2]
    message = SimpleNamespace(encoding=encoding, height=height, width=width, step=pixels.strides[0],
                              is_bigendian=sys.byteorder == "big", data=pixels.tobytes())
    return CvBridge().imgmsg_to_cv2(message, target)
assert np.array_equal(convert("bgr8", pixels, "rgb8"), pixels[..., ::-1]), "bgr8 came out wrong"
deep = pixels[..., 0].astype(np.uint16) * 1000
grey = np.repeat(deep[..., None], 3, axis=2)
assert np.array_equal(convert("mono16", deep, "rgb16"), grey), "mono16 came out wrong"
mosaic = np.zeros((4, 4), np.uint8)
assert convert("bayer_rggb8", mosaic, "rgb8").shape == (4, 4, 3), "bayer_rggb8 came out wrong"
"""


class Bridge:
    """A cv_bridge that passed its check."""

    def __init__(self) -> None:
        from cv_bridge import CvBridge

        self._bridge = CvBridge()

    def knows(self, encoding: str) -> bool:
        """Whether this encoding is left to cv_bridge."""
        return encoding in _KNOWN

    def convert(self, message, target: str):
        """message (tight rows, native byte order) -> array of the encoding `target`."""
        return self._bridge.imgmsg_to_cv2(message, target)


@functools.lru_cache(maxsize=1)
def working_cv_bridge() -> Bridge | None:
    """The installed cv_bridge if it works beside this numpy, else None; checked once in a process."""
    if not sys.executable or importlib.util.find_spec("cv_bridge") is None:
        return None
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        check = subprocess.run(
            [sys.executable, "-c", _CHECK], env=environment, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("cv_bridge could not be checked (%s): rosbags-image converts the images", error)
        return None
    if check.returncode != 0:
        why = (check.stderr.strip().splitlines() or [f"exit status {check.returncode}"])[-1]
        log.warning(
            "cv_bridge is installed but does not work here (%s): rosbags-image converts the images", why
        )
        return None
    return Bridge()
