"""`taskmem demo`, shortened, with the trained model."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.msg", reason="the interfaces are not built: run make build and . scripts/env.sh")

from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from taskmem_ros.memory import Store


def test_the_demo_tells_truth_from_answers_and_ends_well(ros, demo_model):
    database = ros.folder / "demo" / "memory.db"
    demo = ros.run(
        "taskmem_ros.cli",
        "demo",
        "--clips",
        "12",
        "--questions",
        "10",
        "--speed",
        "10",
        "--database",
        str(database),
    )
    assert demo.wait(280.0) == 0, demo.output()
    text = demo.output()
    assert text.count("    answer  ") == text.count("    truth  ") == 10
    assert re.search(r"\d+ of 10 questions answered rightly \(\d+%\)", text)
    assert re.search(r"evidence  memory #\d+, \w{3} \d\d:\d\d:\d\d to .*, camera, .* \(x -?\d", text)
    with Store.open(database, read_only=True) as store:
        assert store.check() == []
        assert len(store.memories()) >= 12 and len(store.tasks()) == 10


def test_the_demo_without_a_model_fails_and_says_why(ros):
    demo = ros.run("taskmem_ros.cli", "demo", "--model", "/nowhere", "--database", str(ros.folder / "m.db"))
    assert demo.wait() == 1
    assert "The demo failed" in demo.output() and "/nowhere" in demo.output()


def test_a_home_that_begins_days_later_loses_no_time(ros):
    """What happened until then is worked out before the clock runs, and not while it does."""
    images = ros.listen(Image, "camera/image_raw", qos_profile_sensor_data)
    ros.home(start=400_000.0, speed=10.0, wait=True)
    ros.wait(lambda: len(images) >= 4, "images of the home")
    stamps = [image.header.stamp.sec + image.header.stamp.nanosec / 1e9 for image in images[:4]]
    assert stamps[-1] - stamps[0] < 10.0, stamps
