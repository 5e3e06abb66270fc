"""Every encoding against OpenCV's own conversion, with padding and both byte orders; and the refusals."""

from __future__ import annotations

import array
import logging
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from taskmem_ros.clips import bridge
from taskmem_ros.clips.images import ImageError, compressed_to_rgb, header_stamp_ns, message_to_rgb, to_rgb

H, W = 12, 16
RNG = np.random.default_rng(5)


def random_pixels(kind: str, channels: int, height=H, width=W) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    if kind[0] == "f":
        return RNG.uniform(0, 1, shape).astype(kind)
    info = np.iinfo(kind)
    return RNG.integers(info.min, info.max, shape, dtype=kind, endpoint=True)


def fields(pixels: np.ndarray, pad: int = 0, big: bool = False):
    """(height, width, step, is_bigendian, data) of these pixels, with `pad` junk bytes after each row."""
    stored = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<"))
    rows = stored.reshape(len(pixels), -1).view(np.uint8)
    rows = np.hstack([rows, np.full((len(pixels), pad), 77, np.uint8)])
    return pixels.shape[0], pixels.shape[1], rows.shape[1], big, rows.tobytes()


def eight(image16: np.ndarray) -> np.ndarray:
    return np.rint(image16 / 257.0).astype(np.uint8)


def cv(code):
    return lambda pixels: cv2.cvtColor(pixels, code)


def grey3(pixels):
    return np.repeat(pixels[..., None], 3, axis=2)


REFERENCE = {
    "rgb8": ("u1", 3, lambda p: p),
    "bgr8": ("u1", 3, cv(cv2.COLOR_BGR2RGB)),
    "rgba8": ("u1", 4, lambda p: p[..., :3]),
    "bgra8": ("u1", 4, cv(cv2.COLOR_BGRA2RGB)),
    "mono8": ("u1", 1, grey3),
    "rgb16": ("u2", 3, eight),
    "bgr16": ("u2", 3, lambda p: eight(p[..., ::-1])),
    "rgba16": ("u2", 4, lambda p: eight(p[..., :3])),
    "bgra16": ("u2", 4, lambda p: eight(p[..., 2::-1])),
    "mono16": ("u2", 1, lambda p: grey3(eight(p))),
    "bayer_rggb8": ("u1", 1, cv(cv2.COLOR_BayerRGGB2RGB)),
    "bayer_bggr8": ("u1", 1, cv(cv2.COLOR_BayerBGGR2RGB)),
    "bayer_gbrg8": ("u1", 1, cv(cv2.COLOR_BayerGBRG2RGB)),
    "bayer_grbg8": ("u1", 1, cv(cv2.COLOR_BayerGRBG2RGB)),
    "bayer_rggb16": ("u2", 1, lambda p: eight(cv2.cvtColor(p, cv2.COLOR_BayerRGGB2RGB))),
    "bayer_bggr16": ("u2", 1, lambda p: eight(cv2.cvtColor(p, cv2.COLOR_BayerBGGR2RGB))),
    "bayer_gbrg16": ("u2", 1, lambda p: eight(cv2.cvtColor(p, cv2.COLOR_BayerGBRG2RGB))),
    "bayer_grbg16": ("u2", 1, lambda p: eight(cv2.cvtColor(p, cv2.COLOR_BayerGRBG2RGB))),
    "yuv422": ("u1", 2, cv(cv2.COLOR_YUV2RGB_UYVY)),
    "uyvy": ("u1", 2, cv(cv2.COLOR_YUV2RGB_UYVY)),
    "yuv422_yuy2": ("u1", 2, cv(cv2.COLOR_YUV2RGB_YUYV)),
    "yuyv": ("u1", 2, cv(cv2.COLOR_YUV2RGB_YUYV)),
    "8UC1": ("u1", 1, grey3),
    "8UC3": ("u1", 3, cv(cv2.COLOR_BGR2RGB)),
    "8UC4": ("u1", 4, cv(cv2.COLOR_BGRA2RGB)),
    "8SC3": ("i1", 3, lambda p: np.rint(np.maximum(p, 0)[..., ::-1] * (255 / 127)).astype(np.uint8)),
    "16UC3": ("u2", 3, lambda p: eight(p[..., ::-1])),
    "16UC4": ("u2", 4, lambda p: eight(p[..., 2::-1])),
    "16SC1": ("i2", 1, lambda p: grey3(np.rint(np.maximum(p, 0) / 32767 * 255).astype(np.uint8))),
    "32SC1": ("i4", 1, lambda p: grey3(np.rint(np.maximum(p, 0) / (2**31 - 1) * 255).astype(np.uint8))),
    "32FC3": ("f4", 3, lambda p: np.rint(p[..., ::-1].astype(float) * 255).astype(np.uint8)),
    "64FC3": ("f8", 3, lambda p: np.rint(p[..., ::-1] * 255).astype(np.uint8)),
}


def assert_rgb(image: np.ndarray, expected: np.ndarray) -> None:
    assert image.dtype == np.uint8 and image.shape == expected.shape and image.flags.c_contiguous
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("pad", [0, 24])
@pytest.mark.parametrize("encoding", REFERENCE)
def test_encoding(encoding, pad, big):
    kind, channels, reference = REFERENCE[encoding]
    pixels = random_pixels(kind, channels)
    assert_rgb(to_rgb(encoding, *fields(pixels, pad, big)), reference(pixels))


def test_every_encoding_sensor_msgs_names_is_covered():
    named = set(REFERENCE) | {"nv12", "nv21", "nv24", "16UC1", "32FC1", "64FC1"}
    assert {f"bayer_{o}{b}" for o in ("rggb", "bggr", "gbrg", "grbg") for b in (8, 16)} <= named
    assert {
        "rgb8",
        "rgba8",
        "rgb16",
        "rgba16",
        "bgr8",
        "bgra8",
        "bgr16",
        "bgra16",
        "mono8",
        "mono16",
    } <= named


def test_bayer_patterns_name_their_upper_left_pixels():
    for order in ("rggb", "bggr", "gbrg", "grbg"):
        mosaic = np.zeros((H, W), np.uint8)
        corners = {(0, 0): order[0], (0, 1): order[1], (1, 0): order[2], (1, 1): order[3]}
        for (y, x), colour in corners.items():
            mosaic[y::2, x::2] = 200 if colour == "r" else 0
        rgb = to_rgb(f"bayer_{order}8", *fields(mosaic))
        assert rgb[4:-4, 4:-4, 0].min() == 200 and rgb[..., 1:].max() == 0


@pytest.mark.parametrize(
    "encoding,code", [("nv12", cv2.COLOR_YUV2RGB_NV12), ("nv21", cv2.COLOR_YUV2RGB_NV21)]
)
@pytest.mark.parametrize("pad", [0, 16])
def test_nv12_and_nv21(encoding, code, pad):
    planes = random_pixels("u1", 1, H * 3 // 2)
    expected = cv2.cvtColor(planes, code)
    rows, width, step, big, data = fields(planes, pad)
    assert_rgb(to_rgb(encoding, H, width, step, big, data), expected)
    assert_rgb(to_rgb(encoding, rows, width, step, big, data), expected)  # height counts both planes
    if not pad:
        assert_rgb(to_rgb(encoding, H, width, width * 3 // 2, big, data), expected)  # step counts both planes


@pytest.mark.parametrize("pad", [0, 8])
def test_nv24_has_the_colours_of_nv12(pad):
    y = random_pixels("u1", 1)
    small = random_pixels("u1", 1, H // 2)
    expected = cv2.cvtColor(np.vstack([y, small]), cv2.COLOR_YUV2RGB_NV12)
    uv = small.reshape(H // 2, W // 2, 2).repeat(2, axis=0).repeat(2, axis=1).reshape(H, 2 * W)
    data = np.hstack([y, np.zeros((H, pad), np.uint8)]).tobytes()
    data += np.hstack([uv, np.zeros((H, 2 * pad), np.uint8)]).tobytes()
    assert_rgb(to_rgb("nv24", H, W, W + pad, False, data), expected)


@pytest.mark.parametrize(
    "encoding,kind,unit", [("16UC1", "u2", 1000), ("32FC1", "f4", 1), ("64FC1", "f8", 1)]
)
@pytest.mark.parametrize("big", [False, True])
def test_depth_is_near_bright_far_dark_unknown_black(encoding, kind, unit, big):
    metres = np.array([[0.001, 2.5, 5, 10, 60]])
    assert to_rgb(encoding, *fields((metres * unit).astype(kind), 4, big))[0, :, 0].tolist() == [
        255,
        192,
        128,
        1,
        1,
    ]
    unknown = np.array([[0, np.nan, np.inf, -np.inf, -1]]) if kind[0] == "f" else np.zeros((1, 5))
    assert to_rgb(encoding, *fields(unknown.astype(kind), 4, big)).max() == 0


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, list, lambda b: array.array("B", b)])
def test_data_may_be_any_buffer(wrap):
    pixels = random_pixels("u1", 3)
    height, width, step, big, data = fields(pixels, 4)
    assert_rgb(to_rgb("rgb8", height, width, step, big, wrap(data)), pixels)


def test_the_picture_does_not_share_memory_with_the_message():
    data = bytearray(H * W * 3)
    image = to_rgb("rgb8", H, W, W * 3, False, data)
    data[:] = b"\xff" * len(data)
    assert image.max() == 0
    image[:] = 1


def test_last_row_may_lack_its_padding():
    pixels = random_pixels("u1", 3)
    height, width, step, big, data = fields(pixels, 10)
    assert_rgb(to_rgb("rgb8", height, width, step, big, data[:-10]), pixels)


@pytest.mark.parametrize(
    "encoding,height,width,step,size,words",
    [
        ("rgb9", 2, 2, 6, 12, "'rgb9' is not known: expected one of rgb8"),
        ("", 2, 2, 6, 12, "'' is not known"),
        ("8UC2", 2, 2, 4, 8, "'8UC2' is not known"),
        ("8UC5", 2, 2, 10, 20, "'8UC5' is not known"),
        ("rgb8", 0, 2, 6, 0, "2x0 has no pixels"),
        ("rgb8", 2, 0, 0, 0, "0x2 has no pixels"),
        ("rgb8", 2, 2, 5, 12, "step 5: expected at least 6"),
        ("mono16", 2, 4, 4, 16, "step 4: expected at least 8"),
        ("rgb8", 2, 2, 6, 11, "11 bytes: expected 12"),
        ("rgb8", 2, 2, 6, 0, "0 bytes: expected 12"),
        ("rgb8", 2, 2, 6, 14, "14 bytes: expected 12"),
        ("rgb8", 2**31, 2**31, 3 * 2**31, 12, "12 bytes: expected"),
        ("uyvy", 2, 3, 6, 12, "width must be even"),
        ("nv12", 4, 4, 4, 23, "23 bytes: expected 24"),
        ("nv12", 4, 4, 2, 8, "expected 24 with a step of at least 4"),
        ("nv21", 2, 5, 5, 15, "must be even"),
        ("nv24", 4, 4, 4, 16, "expected 48"),
    ],
)
def test_wrong_messages_are_refused_with_a_sentence(encoding, height, width, step, size, words):
    with pytest.raises(ImageError, match=re.escape(words)) as caught:
        to_rgb(encoding, height, width, step, False, bytes(size))
    assert "\n" not in caught.value.reason


def test_random_fields_never_raise_anything_else():
    rng = np.random.default_rng(0)
    names = [*REFERENCE, "nv12", "nv21", "nv24", "16UC1", "32FC1", "jpeg"]
    good = 0
    for _ in range(3000):
        height, width = rng.integers(0, 7, 2)
        step, size = rng.integers(0, 60), rng.integers(0, 200)
        try:
            image = to_rgb(
                str(rng.choice(names)), height, width, step, bool(rng.integers(2)), rng.bytes(size)
            )
        except ImageError:
            continue
        good += 1
        assert image.shape[2] == 3 and image.dtype == np.uint8
    assert good > 5


SMOOTH = cv2.GaussianBlur(random_pixels("u1", 3, 48, 64), (0, 0), 4)


def encode(extension: str, pixels: np.ndarray, *params: int) -> bytes:
    return cv2.imencode(extension, pixels, list(params))[1].tobytes()


@pytest.mark.parametrize(
    "format", ["jpeg", "jpg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8", ""]
)
def test_jpeg(format):
    rgb = compressed_to_rgb(format, encode(".jpg", SMOOTH[..., ::-1], cv2.IMWRITE_JPEG_QUALITY, 95))
    assert rgb.flags.c_contiguous and np.abs(rgb.astype(int) - SMOOTH).mean() < 2


def test_jpeg_that_stores_rgb_in_the_place_of_bgr():
    rgb = compressed_to_rgb(
        "rgb8; jpeg compressed rgb8", encode(".jpg", SMOOTH, cv2.IMWRITE_JPEG_QUALITY, 95)
    )
    assert np.abs(rgb.astype(int) - SMOOTH).mean() < 2


def test_grey_jpeg_and_bayer_in_png():
    assert_rgb(compressed_to_rgb("png", encode(".png", SMOOTH[..., 0])), grey3(SMOOTH[..., 0]))
    mosaic = random_pixels("u1", 1)
    expected = cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2RGB)
    assert_rgb(compressed_to_rgb("bayer_rggb8; png compressed ", encode(".png", mosaic)), expected)


def test_png_with_8_and_16_bits_and_alpha():
    assert_rgb(compressed_to_rgb("bgr8; png compressed bgr8", encode(".png", SMOOTH[..., ::-1])), SMOOTH)
    deep = random_pixels("u2", 3)
    assert_rgb(compressed_to_rgb("png", encode(".png", deep)), eight(deep[..., ::-1]))
    alpha = random_pixels("u1", 4)
    assert_rgb(compressed_to_rgb("bgra8; png compressed bgra8", encode(".png", alpha)), alpha[..., 2::-1])
    mono = random_pixels("u2", 1)
    assert_rgb(compressed_to_rgb("mono16; png compressed ", encode(".png", mono)), grey3(eight(mono)))


def test_depth_png_is_drawn_like_raw_depth():
    depth = (RNG.uniform(0, 12, (H, W)) * 1000).astype(np.uint16)
    expected = to_rgb("16UC1", *fields(depth))
    assert_rgb(compressed_to_rgb("16UC1; png compressed ", encode(".png", depth)), expected)


@pytest.mark.parametrize(
    "format,data,words",
    [
        ("16UC1; compressedDepth png", b"\0" * 12, "compressedDepth stream"),
        ("32FC1; compressedDepth rvl", b"\0" * 12, "subscribe to the raw depth topic"),
        ("jpeg", b"", "no data"),
        ("jpeg", b"this is no jpeg at all", "cannot be decoded: expected a whole jpeg or png"),
        ("jpeg", b"\xff\xd8\xff\xda\xff\xd9", "cannot be decoded"),
        ("h264", b"\0\0\0\1\x67\x42", "starting 00 00 00 01"),
        ("jpeg", encode(".jpg", SMOOTH)[:-200], "the jpeg ends too early"),
        ("jpeg", encode(".jpg", SMOOTH)[:30], "the jpeg ends too early"),
        ("png", encode(".png", SMOOTH)[:-20], "the png ends too early"),
    ],
)
def test_wrong_compressed_messages_are_refused_with_a_sentence(format, data, words):
    with pytest.raises(ImageError, match=re.escape(words)) as caught:
        compressed_to_rgb(format, data)
    assert repr(format) in caught.value.reason and "\n" not in caught.value.reason


def test_damaged_jpegs_never_raise_anything_else():
    rng, jpeg = np.random.default_rng(1), encode(".jpg", SMOOTH)
    for _ in range(300):
        data = bytearray(jpeg)
        for at in rng.integers(0, len(data), 20):
            data[at] = rng.integers(256)
        try:
            image = compressed_to_rgb("jpeg", bytes(data))
        except ImageError:
            continue
        assert image.dtype == np.uint8 and image.shape[2] == 3


def test_messages_are_duck_typed():
    pixels = random_pixels("u1", 3)
    height, width, step, big, data = fields(pixels, 3)
    message = SimpleNamespace(
        encoding="rgb8",
        height=height,
        width=width,
        step=step,
        is_bigendian=int(big),
        data=array.array("B", data),
    )
    assert_rgb(message_to_rgb(message), pixels)
    assert_rgb(message_to_rgb(SimpleNamespace(format="png", data=encode(".png", pixels[..., ::-1]))), pixels)


def test_header_stamp_of_serialized_messages():
    for order, flag in (("little", 1), ("big", 0)):
        body = (1_790_000_000).to_bytes(4, order) + (123_456_789).to_bytes(4, order)
        assert header_stamp_ns(bytes([0, flag, 0, 0]) + body + b"rest") == 1_790_000_000_123_456_789
    with pytest.raises(ImageError, match="3 bytes is too short"):
        header_stamp_ns(b"abc")


FAKES = {
    "works": """
        class CvBridge:
            def imgmsg_to_cv2(self, m, target):
                import numpy as np
                dtype = np.uint16 if "16" in m.encoding else np.uint8
                a = np.frombuffer(m.data, dtype).reshape(m.height, m.width, -1)
                return a[..., ::-1] if a.shape[2] == 3 else np.repeat(a, 3, axis=2)
        """,
    "raises": "raise ImportError('numpy.core.multiarray failed to import')",
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "wrong": "class CvBridge:\n    def imgmsg_to_cv2(self, m, target): raise TypeError('no')",
}


@pytest.mark.parametrize("kind", FAKES)
def test_only_a_working_cv_bridge_is_used_and_a_broken_one_cannot_kill_the_process(kind, tmp_path):
    """In a child process, where importing one leaves no trace. The fakes stand for builds that behave so."""
    (tmp_path / "cv_bridge.py").write_text(textwrap.dedent(FAKES[kind]))
    script = f"""
        import sys; sys.path[:0] = {[str(tmp_path), *sys.path]!r}
        import logging; logging.basicConfig()
        from taskmem_ros.clips.bridge import working_cv_bridge
        from taskmem_ros.clips.images import to_rgb
        print(working_cv_bridge() is not None, to_rgb("bgr8", 1, 1, 3, False, bytes([1, 2, 3])).tolist())
        """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120
    )
    assert run.stdout.split(" ", 1) == [str(kind == "works"), "[[[3, 2, 1]]]\n"], run.stderr
    assert ("does not work here" in run.stderr) == (kind != "works")


def test_the_installed_cv_bridge_if_any_agrees_with_opencv(caplog):
    found = bridge.working_cv_bridge()
    if found is None:
        pytest.skip("no working cv_bridge is installed")
    with caplog.at_level(logging.WARNING):
        pixels = random_pixels("u1", 3)
        assert_rgb(to_rgb("bgr8", *fields(pixels)), pixels[..., ::-1])
