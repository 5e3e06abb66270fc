"""The thumbnail: the middle frame, small, in its own colours."""

import cv2
import numpy as np
import pytest

from taskmem_ros.clips import Clip, Frame, thumbnail


def clip_of(*colours, size=(120, 320)):
    frames = (Frame(i, "cam", np.full((*size, 3), colour, np.uint8)) for i, colour in enumerate(colours))
    return Clip("cam", 0, 0, 10, tuple(frames))


def test_the_middle_frame_in_its_colours():
    jpeg = thumbnail(clip_of((0, 0, 0), (200, 30, 60), (0, 0, 0)), 160)
    rgb = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert rgb.shape == (60, 160, 3)
    assert np.abs(rgb.reshape(-1, 3).mean(axis=0) - (200, 30, 60)).max() < 4


@pytest.mark.parametrize(
    ("size", "shape"), [((40, 30), (40, 30)), ((1, 1000), (1, 160)), ((1000, 1), (1000, 1))]
)
def test_small_and_thin_pictures(size, shape):
    jpeg = thumbnail(clip_of((9, 9, 9), size=size), 160)
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2] == shape


def test_no_width_no_thumbnail():
    assert thumbnail(clip_of((9, 9, 9)), 0) == b""
