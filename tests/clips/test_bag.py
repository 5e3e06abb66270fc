"""Bags in both storages, written here by rosbags' own writer."""

from __future__ import annotations

import math
import shutil

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from taskmem_ros.clips import (
    NS,
    BagError,
    BagTopic,
    Clip,
    ClipSettings,
    Gap,
    camera_name,
    clips_from,
    image_topics,
)

TYPES = get_typestore(Stores.ROS2_HUMBLE)
START = 1_790_000_000
LATENCY = 0.2  # seconds between a picture's stamp and its recording


def make(name, **fields):
    return TYPES.types[name](**fields)


def header(seconds, frame_id):
    ns = round(seconds * NS)
    stamp = make("builtin_interfaces/msg/Time", sec=ns // NS, nanosec=ns % NS)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def colour(seconds):
    """A picture that tells its time: red is the number of half seconds since START."""
    return np.full((12, 16, 3), (round((seconds - START) * 2) % 256, 50, 200), np.uint8)


def image(seconds, frame_id="camera_optical", pixels=None):
    pixels = colour(seconds) if pixels is None else pixels
    return make(
        "sensor_msgs/msg/Image",
        header=header(seconds, frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding="rgb8",
        is_bigendian=0,
        step=pixels.shape[1] * 3,
        data=pixels.reshape(-1),
    )


def compressed(seconds, data=None):
    png = cv2.imencode(".png", colour(seconds)[..., ::-1])[1].reshape(-1)
    return make(
        "sensor_msgs/msg/CompressedImage",
        header=header(seconds, "camera_optical"),
        format="rgb8; png compressed bgr8",
        data=png if data is None else np.frombuffer(data, np.uint8),
    )


def transform(seconds, parent, child, x=0.0, angle=0.0):
    vector = make("geometry_msgs/msg/Vector3", x=x, y=0.0, z=0.5)
    turn = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=math.sin(angle / 2), w=math.cos(angle / 2))
    item = make(
        "geometry_msgs/msg/TransformStamped",
        header=header(seconds, parent),
        child_frame_id=child,
        transform=make("geometry_msgs/msg/Transform", translation=vector, rotation=turn),
    )
    return make("tf2_msgs/msg/TFMessage", transforms=[item])


def write(path, storage, messages):
    """messages: (topic, type, recorded at in seconds, message)."""
    with Writer(path, version=9, storage_plugin=storage) as writer:
        connections = {}
        for topic, kind, at, message in sorted(messages, key=lambda m: m[2]):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            data = message if isinstance(message, bytes) else TYPES.serialize_cdr(message, kind)
            writer.write(connections[topic], round(at * NS), data)
    return path


IMAGE, COMPRESSED, TF = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "tf2_msgs/msg/TFMessage"


def recording(seconds=25.0):
    """2 Hz pictures, raw and compressed; from 5 s on the base, with the camera, drives along x at 1 m/s."""
    messages = [("/tf_static", TF, START + 9, transform(START, "base", "camera_optical", x=0.25))]
    for i in range(round(seconds * 2)):
        t = START + i / 2
        messages.append(("/front/image_raw", IMAGE, t + LATENCY, image(t)))
        messages.append(("/front/image_raw/compressed", COMPRESSED, t + LATENCY, compressed(t)))
    for i in range(50, round(seconds * 10)):
        messages.append(
            ("/tf", TF, START + i / 10 + 0.55, transform(START + i / 10, "map", "base", x=i / 10))
        )
    messages.append(("/chatter", "std_msgs/msg/String", START + 1, make("std_msgs/msg/String", data="hello")))
    return messages


@pytest.fixture(scope="module", params=[StoragePlugin.SQLITE3, StoragePlugin.MCAP], ids=["sqlite3", "mcap"])
def bag(request, tmp_path_factory):
    return write(tmp_path_factory.mktemp("bag") / "bag", request.param, recording())


@pytest.mark.parametrize("topic", ["/front/image_raw", "front/image_raw/compressed"])
def test_frames_stamps_and_pixels(bag, topic):
    source = BagTopic(bag, topic)
    frames = list(source)
    assert source.count == len(frames) == 50 and source.unreadable == 0
    for i, frame in enumerate(frames):
        assert frame.stamp_ns == START * NS + i * NS // 2 and frame.camera == "front"
        np.testing.assert_array_equal(frame.image, colour(START + i / 2))
        assert frame.image.flags.c_contiguous and frame.image.dtype == np.uint8


def test_poses_are_the_cameras_at_the_stamp_or_unknown(bag):
    for frame in BagTopic(bag, "/front/image_raw", map_id="home"):
        t = frame.stamp_ns / NS - START
        if t < 4.9:
            assert frame.pose is None  # before the first transform: not (0, 0, 0)
        else:
            assert (frame.pose.x, frame.pose.z) == pytest.approx((t + 0.25, 1.0), abs=1e-6)
            assert (frame.pose.frame_id, frame.pose.map_id) == ("map", "home")
    assert all(frame.pose is None for frame in BagTopic(bag, "/front/image_raw", map_frame="nowhere"))


def test_clips_are_the_same_each_time_and_only_sampled_frames_are_deserialized(bag, monkeypatch):
    source = BagTopic(bag, "/front/image_raw")
    read = []
    monkeypatch.setattr(
        source, "_deserialize", lambda data, kind: read.append(1) or BagTopic._deserialize(source, data, kind)
    )
    first = list(clips_from(source, ClipSettings()))
    assert len(read) == 10
    second = list(clips_from(source, ClipSettings()))
    spans = [(c.start_ns - START * NS, len(c.frames)) for c in first]
    assert spans == [(0, 4), (10 * NS, 4), (20 * NS, 2)]
    assert first[1].pose.x == pytest.approx(15.25)
    assert [c.start_ns for c in second] == [c.start_ns for c in first]
    for a, b in zip((f for c in first for f in c.frames), (f for c in second for f in c.frames)):
        assert a.stamp_ns == b.stamp_ns and a.pose == b.pose and np.array_equal(a.image, b.image)


def test_one_storage_file_is_a_bag_too(bag):
    (file,) = [p for p in bag.iterdir() if p.suffix in (".db3", ".mcap")]
    assert len(list(BagTopic(file, "/front/image_raw"))) == 50


def test_wrong_topic_lists_the_image_topics(bag):
    for topic in ("/rear/image_raw", "/chatter"):
        with pytest.raises(BagError) as caught:
            BagTopic(bag, topic)
        assert "/front/image_raw (50 of Image), /front/image_raw/compressed (50 of CompressedImage)" in str(
            caught.value
        )
        assert topic in str(caught.value)
    assert [(t.name, t.count) for t in image_topics(bag)][0] == ("/front/image_raw", 50)


def test_bad_pictures_are_left_out_counted_and_logged(tmp_path, caplog):
    good = TYPES.serialize_cdr(image(START), IMAGE)
    bad = image(START + 1)
    bad.step = 3
    messages = [
        ("/a/image_raw", IMAGE, START, good),
        ("/a/image_raw", IMAGE, START + 1, bad),
        ("/a/image_raw", IMAGE, START + 2, bytes(TYPES.serialize_cdr(image(START + 2), IMAGE))[:100]),
        ("/a/image_raw", IMAGE, START + 3, b"\0\1\0\0"),
        ("/a/image_raw", IMAGE, START + 4, image(START + 4)),
        ("/b/compressed", COMPRESSED, START, compressed(START, b"garbage")),
    ]
    path = write(
        tmp_path / "bag",
        StoragePlugin.SQLITE3,
        [(t, k, at, bytes(m) if m is good else m) for t, k, at, m in messages],
    )
    source = BagTopic(path, "/a/image_raw")
    assert [f.stamp_ns // NS - START for f in source] == [0, 4]
    assert source.unreadable == 3
    assert (
        "step 3: expected at least 48" in caplog.text and "3 of 5 pictures could not be read" in caplog.text
    )
    assert list(BagTopic(path, "/b/compressed")) == []


def test_a_camera_that_leaves_the_header_empty(tmp_path):
    messages = [("/a", IMAGE, START + t, image(0)) for t in range(8)]
    path = write(tmp_path / "bag", StoragePlugin.MCAP, messages)
    (clip,) = clips_from(BagTopic(path, "a", stamps="received"), ClipSettings())
    assert clip.times_s == (0, 3, 5) and clip.camera == "a"
    with pytest.raises(ValueError, match="'now'.*header, received"):
        BagTopic(path, "a", stamps="now")


def test_a_recording_with_a_stall_and_a_loop(tmp_path):
    times = [0, 1, 2, 3, 30, 31, 32, 0, 1, 2]
    messages = [("/a", IMAGE, START + i, image(START + t)) for i, t in enumerate(times)]
    path = write(tmp_path / "bag", StoragePlugin.SQLITE3, messages)
    pieces = list(clips_from(BagTopic(path, "/a"), ClipSettings()))
    assert [(type(p), p.episode, round(p.seconds)) for p in pieces] == [
        (Clip, 0, 3),
        (Gap, 0, 27),
        (Clip, 0, 2),
        (Clip, 1, 2),
    ]


def test_what_is_no_bag_is_refused_with_a_sentence(tmp_path, bag):
    with pytest.raises(BagError, match="does not exist"):
        BagTopic(tmp_path / "none", "/a")
    with pytest.raises(BagError, match="no metadata.yaml"):
        BagTopic(tmp_path, "/a")
    for name in ("x.mcap", "x.db3", "x.txt"):
        (tmp_path / name).write_bytes(b"this is no bag, whatever its name says")
        with pytest.raises(BagError, match=f"{name}.* cannot be read"):
            BagTopic(tmp_path / name, "/a")
    cut = shutil.copytree(bag, tmp_path / "cut")
    (file,) = [p for p in cut.iterdir() if p.suffix in (".db3", ".mcap")]
    file.write_bytes(file.read_bytes()[:20_000])
    with pytest.raises(BagError, match="cannot be read|is damaged"):
        list(BagTopic(cut, "/front/image_raw"))


def test_camera_names():
    assert camera_name("/home_camera/image_raw") == "home_camera"
    assert camera_name("/robot1/front/image_raw/compressed") == "robot1/front"
    assert camera_name("image_raw") == "image_raw"
