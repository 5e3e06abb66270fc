"""ROS image messages -> RGB uint8 (H, W, 3), C-contiguous, from plain fields: needs no ROS.

rosbags-image knows the colour encodings, and cv_bridge is used instead where a working one is installed.
Neither is given a message as it comes: rosbags-image ignores `step`, reads NV12 at the wrong height and fails
on bad data with whatever numpy or OpenCV raise, and cv_bridge's big-endian path breaks on numpy 2. So sizes
are checked, rows unpadded and bytes swapped here first, and what cannot be a picture is an ImageError that
says why.
"""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import cv2
import numpy as np
from rosbags.image import ImageError as RosbagsImageError
from rosbags.image import image_to_cvimage

from .bridge import working_cv_bridge

DEPTH_RANGE_M = 10.0  # depth pictures: what is this far away, or farther, is drawn nearly black


class ImageError(Exception):
    """The picture cannot be read; str() is one sentence naming encoding, sizes and what was expected."""

    @property
    def reason(self) -> str:
        """The sentence."""
        return str(self)


# Encodings with a colour meaning: (numpy type, values per pixel).
_COLOURS = {
    **{name: ("u1", n) for name, n in [("rgb8", 3), ("bgr8", 3), ("rgba8", 4), ("bgra8", 4), ("mono8", 1)]},
    **{
        name: ("u2", n)
        for name, n in [("rgb16", 3), ("bgr16", 3), ("rgba16", 4), ("bgra16", 4), ("mono16", 1)]
    },
    **{f"bayer_{order}8": ("u1", 1) for order in ("rggb", "bggr", "gbrg", "grbg")},
    **{f"bayer_{order}16": ("u2", 1) for order in ("rggb", "bggr", "gbrg", "grbg")},
    **dict.fromkeys(("yuv422", "uyvy", "yuv422_yuy2", "yuyv"), ("u1", 2)),
}
_PLANAR = ("nv12", "nv21", "nv24")
_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C([134]))?")
_TYPES = {"8U": "u1", "8S": "i1", "16U": "u2", "16S": "i2", "32S": "i4", "32F": "f4", "64F": "f8"}
_KNOWN = f"{', '.join([*_COLOURS, *_PLANAR])}, and 8UC1, 8UC3, 8UC4 (8S, 16U, 16S, 32S, 32F, 64F likewise)"


def to_rgb(encoding: str, height: int, width: int, step: int, is_bigendian: bool, data) -> np.ndarray:
    """Convert the fields of a sensor_msgs/Image; `data` is any buffer of bytes, or a list of them.

    Returns a new RGB uint8 array (height, width, 3). Raises ImageError.
    - 16-bit values become 8-bit linearly (65535 is white), alpha is dropped.
    - Depth (16UC1 in millimetres, 32FC1 and 64FC1 in metres, as REP 118 says) becomes grey, the same in every
      frame: 0 m is white, DEPTH_RANGE_M and beyond nearly black, unknown (0, NaN, infinite, negative) black.
    - The other unnamed types (8UC1, 16SC3 ...) are grey for 1 channel, BGR for 3 and BGRA for 4 as OpenCV has
      them; their white is the type's largest value, or 1.0 for floats; negative is black.
    """
    height, width, step = int(height), int(width), int(step)
    if height <= 0 or width <= 0:
        raise ImageError(
            f"{encoding} image of {width}x{height} has no pixels: width and height must be above 0"
        )
    buffer = _bytes(data)
    if encoding in _PLANAR:
        return _planar(encoding, height, width, step, buffer)
    kind, channels = _layout(encoding)
    if channels == 2 and width % 2:  # two pixels share their colour; OpenCV 4 would read past the row
        raise ImageError(f"{encoding} image of {width}x{height}: width must be even")
    pixels = _unpad(encoding, height, width, step, buffer, kind, channels)
    if is_bigendian != (sys.byteorder == "big"):
        pixels = pixels.byteswap()
    return _pixels_to_rgb(encoding, pixels)


def compressed_to_rgb(format: str, data) -> np.ndarray:
    """Convert the fields of a sensor_msgs/CompressedImage (jpeg, png, and what else OpenCV reads).

    `format` is what image_transport writes ("jpeg", "rgb8; jpeg compressed bgr8", "16UC1; png compressed");
    the encoding in front of the semicolon says what the values mean (depth, Bayer), as in to_rgb().
    Raises ImageError.
    """
    buffer = _bytes(data)
    if "compresseddepth" in format.lower().replace(" ", ""):
        raise ImageError(
            f"compressed image of format {format!r} is a compressedDepth stream, which is not a picture: "
            "subscribe to the raw depth topic, or to a colour topic"
        )
    _check_complete(format, buffer)
    try:
        pixels = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(
            f"compressed image of format {format!r} with {buffer.size} bytes: {_short(error)}"
        ) from None
    if pixels is None:
        raise ImageError(
            f"compressed image of format {format!r} with {buffer.size} bytes starting {_start(buffer)} "
            "cannot be decoded: expected a whole jpeg or png"
        )
    if pixels.ndim == 3 and "compressed rgb" in format:  # old image_transport could store RGB in BGR's place
        pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
    return _pixels_to_rgb(_decoded_encoding(format, pixels), pixels)


def message_to_rgb(msg) -> np.ndarray:
    """Convert an Image or CompressedImage message, from rclpy, rosbags or anything with the same fields."""
    if hasattr(msg, "format"):
        return compressed_to_rgb(msg.format, msg.data)
    return to_rgb(msg.encoding, msg.height, msg.width, msg.step, bool(msg.is_bigendian), msg.data)


def header_stamp_ns(serialized: bytes) -> int:
    """header.stamp, in ns, of a serialized (CDR) message that begins with a std_msgs/Header.

    Lets a caller ask Clipper.wants() before it deserializes megabytes of pixels. Raises
    ImageError if the message is cut short.
    """
    if len(serialized) < 12:
        raise ImageError(
            f"serialized message of {len(serialized)} bytes is too short: a header needs at least 12"
        )
    order = "little" if serialized[1] & 1 else "big"
    seconds = int.from_bytes(serialized[4:8], order, signed=True)
    return seconds * 1_000_000_000 + int.from_bytes(serialized[8:12], order)


def _bytes(data) -> np.ndarray:
    """The data field as a flat uint8 array: an array, a bytes-like, or a list of numbers."""
    if isinstance(data, (list, tuple)):
        data = bytes(data)
    return np.frombuffer(memoryview(data).cast("B") if len(data) else b"", np.uint8)


def _layout(encoding: str) -> tuple[str, int]:
    if encoding in _COLOURS:
        return _COLOURS[encoding]
    match = _GENERIC.fullmatch(encoding)
    if not match:
        raise ImageError(f"image encoding {encoding!r} is not known: expected one of {_KNOWN}")
    return _TYPES[match[1]], int(match[2] or 1)


def _unpad(encoding, height, width, step, buffer, kind, channels) -> np.ndarray:
    """(height, width) or (height, width, channels) of the bytes as they are, without the padding of rows."""
    dtype = np.dtype(kind)
    row = width * channels * dtype.itemsize
    if step < row:
        raise ImageError(
            f"{encoding} image of {width}x{height} has step {step}: expected at least {row} bytes a row"
        )
    tight_last_row = step * (height - 1) + row
    if buffer.size not in (step * height, tight_last_row):
        raise ImageError(
            f"{encoding} image of {width}x{height} with step {step} has {buffer.size} bytes: "
            f"expected {step * height}"
        )
    shape, strides = (height, row), (step, 1)
    rows = np.ascontiguousarray(np.lib.stride_tricks.as_strided(buffer, shape, strides, writeable=False))
    return rows.view(dtype).reshape((height, width) if channels == 1 else (height, width, channels))


def _planar(encoding, height, width, step, buffer) -> np.ndarray:
    """NV12, NV21, NV24: a plane of Y, then one of U and V in turn.

    `height` is the picture's, or, as in messages made from OpenCV arrays, the number of rows of both planes.
    """
    wide = encoding == "nv24"
    rows_per_two = 6 if wide else 3  # rows of `step` bytes for every two rows of the picture
    if step >= width and buffer.size == step * height * rows_per_two // 2:
        rows = height * rows_per_two // 2
    elif step * 2 == width * rows_per_two and buffer.size == step * height:  # step counts both planes
        rows, step = height * rows_per_two // 2, width
    elif step >= width and buffer.size == step * height and height * 2 % rows_per_two == 0:
        rows, height = height, height * 2 // rows_per_two
    else:
        raise ImageError(
            f"{encoding} image of {width}x{height} with step {step} has {buffer.size} bytes: expected "
            f"{max(step, width) * height * rows_per_two // 2} with a step of at least {width}"
        )
    if not wide and (width % 2 or height % 2):
        raise ImageError(f"{encoding} image of {width}x{height}: width and height must be even")
    planes = buffer.reshape(rows, step)
    if not wide:
        return _cv_colour(encoding, np.ascontiguousarray(planes[:, :width]))
    # OpenCV has no NV24. Every pixel doubled both ways makes an NV12 picture with the same U and V for each.
    y = planes[:height, :width].repeat(2, axis=0).repeat(2, axis=1)
    uv = planes[height:].reshape(height, 2 * step)[:, : 2 * width]
    return np.ascontiguousarray(_cv_colour("nv12", np.vstack([y, uv]))[::2, ::2])


def _pixels_to_rgb(encoding: str, pixels: np.ndarray) -> np.ndarray:
    """Native-endian pixels -> RGB uint8, by the meaning of their encoding."""
    if encoding in _COLOURS:
        rgb = _cv_colour(encoding, pixels)
        return _to_8_bit(rgb) if rgb.dtype != np.uint8 else rgb
    if pixels.ndim == 2 and (pixels.dtype == np.uint16 or pixels.dtype.kind == "f"):
        grey = _depth_to_grey(pixels)
    else:
        grey = _to_8_bit(pixels)
    name = "mono8" if grey.ndim == 2 else {3: "bgr8", 4: "bgra8"}[grey.shape[2]]
    return _cv_colour(name, grey)


def _cv_colour(encoding: str, pixels: np.ndarray) -> np.ndarray:
    """RGB of the same depth, as a new array, by cv_bridge or rosbags-image."""
    target = "rgb16" if pixels.dtype == np.uint16 else "rgb8"
    message = SimpleNamespace(
        encoding=encoding,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=pixels.strides[0],
        is_bigendian=sys.byteorder == "big",
        data=pixels.tobytes(),
    )
    bridge = working_cv_bridge()
    convert = bridge.convert if bridge is not None and bridge.knows(encoding) else image_to_cvimage
    try:
        return np.array(convert(message, target), order="C")
    except (cv2.error, RosbagsImageError, TypeError, ValueError) as error:  # CvBridgeError is a TypeError
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise ImageError(f"{encoding} image of {size} cannot be converted to RGB: {_short(error)}") from None


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """Scale so that the type's largest value (1.0 for floats) is 255; negative and NaN are 0."""
    if values.dtype == np.uint8:
        return values
    white = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    scaled = np.nan_to_num(values.astype(np.float64), nan=0.0) * (255.0 / white)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _depth_to_grey(depth: np.ndarray) -> np.ndarray:
    metres = depth / 1000.0 if depth.dtype == np.uint16 else depth.astype(np.float64)
    known = np.isfinite(metres) & (metres > 0)
    grey = 255.0 - 254.0 * np.clip(np.where(known, metres, 0.0) / DEPTH_RANGE_M, 0.0, 1.0)
    return np.where(known, np.rint(grey), 0).astype(np.uint8)


def _decoded_encoding(format: str, pixels: np.ndarray) -> str:
    """The encoding of decoded pixels, OpenCV having made colours BGR."""
    bits = "16" if pixels.dtype == np.uint16 else "8"
    if pixels.dtype not in (np.uint8, np.uint16):
        return f"{pixels.dtype.itemsize * 8}FC{1 if pixels.ndim == 2 else pixels.shape[2]}"
    if pixels.ndim == 3:
        return {3: "bgr", 4: "bgra"}[pixels.shape[2]] + bits
    source = format.split(";")[0].strip()
    if source.startswith("bayer_") and source.rstrip("0123456789") + bits in _COLOURS:
        return source.rstrip("0123456789") + bits
    return "16UC1" if source == "16UC1" and bits == "16" else "mono" + bits


def _check_complete(format: str, buffer: np.ndarray) -> None:
    """OpenCV may fill the missing part of a cut jpeg or png with grey, which would be remembered as seen."""
    data = buffer.tobytes()
    name = None
    if data.startswith(b"\xff\xd8") and data.find(b"\xff\xd9", data.rfind(b"\xff\xda")) < 0:
        name = "jpeg"
    if data.startswith(b"\x89PNG") and b"IEND" not in data[8:]:
        name = "png"
    if not data or name:
        what = f"the {name} ends too early" if name else "no data"
        raise ImageError(f"compressed image of format {format!r} with {len(data)} bytes: {what}")


def _start(buffer: np.ndarray) -> str:
    return buffer[:8].tobytes().hex(" ") or "with nothing"


def _short(error: Exception) -> str:
    """The telling line of OpenCV's many."""
    return str(error).strip().splitlines()[-1][-200:]
