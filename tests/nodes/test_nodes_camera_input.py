"""Serialized images into a camera's input, without middleware."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")

from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from taskmem_ros.clips import ClipSettings
from taskmem_ros.nodes.camera_input import CameraInput


@pytest.fixture
def camera():
    """A camera's input with its warnings and what it gave out."""
    warnings, pieces = [], []
    node = SimpleNamespace(
        resolve_topic_name=lambda name: f"/{name}",
        count_publishers=lambda topic: 2,
        get_logger=lambda: SimpleNamespace(warning=warnings.append),
    )
    made = CameraInput(
        node, "front", "front/image_raw", False, ClipSettings(), lambda new, frame_id: pieces.extend(new)
    )
    made.warnings, made.pieces = warnings, pieces
    return made


def send(camera: CameraInput, second: int, **wrong) -> None:
    image = Image(height=4, width=4, encoding="rgb8", step=12, data=bytes(48))
    image.header.stamp = Time(sec=second)
    for name, value in wrong.items():
        setattr(image, name, value)
    camera._on_message(serialize_message(image))


def test_two_clocks_on_one_topic_are_told_once(camera):
    for n in range(12):
        send(camera, 1_800_000_000 + n)
        send(camera, 100 + n)
    assert camera.episode == 12
    (warning,) = camera.warnings
    assert "/front/image_raw" in warning and "2 publishers" in warning and "clocks" in warning
    assert "/front/image_raw" in camera.counters.last_problem


def test_a_bag_that_loops_is_no_reason_to_warn(camera):
    for _ in range(3):
        for second in range(100, 160):
            send(camera, second)
    assert camera.episode == 2 and camera.warnings == []


def test_kinds_of_warnings_do_not_silence_each_other(camera):
    for n in range(5):
        send(camera, 1_800_000_000 + n)
        send(camera, 100 + n, encoding="rgb7")
        send(camera, 100 + n)
    assert len(camera.warnings) == 2 and "rgb7" in camera.warnings[0] and camera.counters.bad == 5
