"""TransformBuffer against 4x4 matrices, and its refusals."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from taskmem_ros.clips import NS, TransformBuffer

ONE = (0, 0, 0, 1)


def yaw(angle):
    return (0, 0, math.sin(angle / 2), math.cos(angle / 2))


def matrix(translation, q):
    x, y, z, w = np.array(q, float) / np.linalg.norm(q)
    m = np.eye(4)
    m[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    m[:3, 3] = translation
    return m


def pose_matrix(pose):
    return matrix((pose.x, pose.y, pose.z), (pose.qx, pose.qy, pose.qz, pose.qw))


def test_random_trees_agree_with_matrices():
    rng = np.random.default_rng(0)
    for _ in range(50):
        buffer, world = TransformBuffer(), {"f0": np.eye(4)}
        for i in range(1, 8):
            parent = f"f{rng.integers(i)}"
            translation, q = rng.normal(size=3), rng.normal(size=4)
            q /= np.linalg.norm(q)
            buffer.add(parent, f"f{i}", 5 * NS, translation, q, static=bool(rng.integers(2)))
            world[f"f{i}"] = world[parent] @ matrix(translation, q)
        for _ in range(10):
            a, b = f"f{rng.integers(8)}", f"f{rng.integers(8)}"
            expected = np.linalg.inv(world[a]) @ world[b]
            np.testing.assert_allclose(pose_matrix(buffer.lookup(a, b, 5 * NS)), expected, atol=1e-9)


def test_interpolates_position_and_rotation_the_short_way():
    buffer = TransformBuffer()
    buffer.add("map", "base", 10 * NS, (0, 0, 0), yaw(3.0))
    buffer.add("map", "base", 12 * NS, (4, 2, 0), tuple(-v for v in yaw(3.4)))
    buffer.add("base", "camera", 0, (1, 0, 0.5), ONE, static=True)
    pose = buffer.lookup("map", "camera", 11 * NS)
    assert (pose.x, pose.y, pose.z) == pytest.approx((2 + math.cos(3.2), 1 + math.sin(3.2), 0.5))
    assert abs(np.dot((pose.qx, pose.qy, pose.qz, pose.qw), yaw(3.2))) == pytest.approx(1)
    assert pose.frame_id == "map"


def test_nothing_is_made_up():
    buffer = TransformBuffer(tolerance_s=0.1)
    assert buffer.lookup("map", "camera", 0) is None
    buffer.add("map", "base", 10 * NS, (1, 2, 3), ONE)
    assert buffer.lookup("map", "camera", 10 * NS) is None  # no such frame
    assert buffer.lookup("", "base", 10 * NS) is None and buffer.lookup("map", "", 10 * NS) is None
    assert buffer.lookup("map", "base", round(10.09 * NS)).x == 1
    assert buffer.lookup("map", "base", round(9.91 * NS)).x == 1
    assert buffer.lookup("map", "base", round(10.11 * NS)) is None
    assert buffer.lookup("map", "base", round(9.89 * NS)) is None
    buffer.add("odom", "wheel", 10 * NS, (0, 0, 0), ONE)
    assert buffer.lookup("map", "wheel", 10 * NS) is None  # another tree


def test_history_is_bounded_and_late_samples_are_sorted_in():
    buffer = TransformBuffer(history_s=2)
    for t in (1.0, 2.0, 3.0, 2.5, 4.0):
        buffer.add("map", "base", round(t * NS), (t, 0, 0), ONE)
    assert buffer.lookup("map", "base", round(2.25 * NS)).x == pytest.approx(2.25)
    assert buffer.lookup("map", "base", round(1.5 * NS)) is None
    for t in range(1000):
        buffer.add("map", "base", t * NS // 100 + 5 * NS, (t, 0, 0), ONE)
    assert len(buffer._edges["base"]._stamps) <= 201


def test_time_set_back_forgets_the_future():
    buffer = TransformBuffer(history_s=10)
    buffer.add("map", "base", 100 * NS, (1, 0, 0), ONE)
    buffer.add("map", "camera", 0, (7, 0, 0), ONE, static=True)
    buffer.add("map", "base", 5 * NS, (2, 0, 0), ONE)
    assert buffer.lookup("map", "base", 100 * NS) is None and buffer.lookup("map", "base", 5 * NS).x == 2
    assert buffer.lookup("map", "camera", 5 * NS).x == 7


def test_a_new_parent_replaces_the_old_one_and_a_loop_does_not_hang():
    buffer = TransformBuffer()
    buffer.add("map", "cup", NS, (1, 0, 0), ONE)
    buffer.add("hand", "cup", NS, (0, 1, 0), ONE)
    assert buffer.frames() == {"cup": "hand"}
    buffer.add("cup", "hand", NS, (0, 1, 0), ONE)
    assert buffer.lookup("map", "cup", NS) is None


def test_leading_slashes_do_not_matter():
    buffer = TransformBuffer()
    buffer.add("/map", "/base", NS, (1, 0, 0), ONE)
    assert buffer.lookup("map", "base", NS) == buffer.lookup("/map", "/base", NS)


@pytest.mark.parametrize(
    "parent,child,translation,rotation",
    [
        ("map", "map", (0, 0, 0), ONE),
        ("", "base", (0, 0, 0), ONE),
        ("map", "base", (0, 0, 0), (0, 0, 0, 0)),
        ("map", "base", (0, math.nan, 0), ONE),
        ("map", "base", (0, 0, 0), (0, 0, math.inf, 1)),
        ("map", "base", (0, 0), ONE),
    ],
)
def test_what_is_no_transform_is_refused(parent, child, translation, rotation):
    buffer = TransformBuffer()
    with pytest.raises(ValueError, match="transform from"):
        buffer.add(parent, child, NS, translation, rotation)
    assert buffer.frames() == {}


def test_readers_and_writers_may_be_different_threads():
    buffer, wrong = TransformBuffer(history_s=0.5), []

    def write():
        for t in range(5000):
            buffer.add("map", "base", t * NS // 1000, (t, 0, 0), ONE)

    def read():
        for t in range(5000):
            pose = buffer.lookup("map", "base", t * NS // 1000)
            if pose is not None and abs(pose.x - t) > 110:
                wrong.append((t, pose.x))

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
