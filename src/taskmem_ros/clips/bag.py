"""One image topic of a rosbag2 (sqlite3 or mcap) -> Frames with the observer's pose; needs no ROS."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from .images import ImageError, header_stamp_ns, message_to_rgb
from .transforms import TransformBuffer
from .types import NS, Frame, Pose

log = logging.getLogger(__name__)

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
TF_TYPE = "tf2_msgs/msg/TFMessage"
STAMPS = ("header", "received")

# Transforms around a picture's time are recorded after the picture, so they are read this far ahead of it.
TF_AHEAD_NS = NS
_SUFFIXES = (
    "compressed",
    "image_raw",
    "image",
    "image_color",
    "image_mono",
    "image_rect",
    "image_rect_color",
)


class BagError(Exception):
    """The bag or topic cannot be read; str() is one sentence that says why."""


class ImageTopic(NamedTuple):
    """An image topic of a bag."""

    name: str
    type: str
    count: int


def image_topics(path: str | Path) -> list[ImageTopic]:
    """The image topics of a bag, by name. Raises BagError if it cannot be read."""
    with _open(path) as reader:
        return _image_topics(reader)


def camera_name(topic: str) -> str:
    """Name of the camera that publishes `topic`: "/front/image_raw/compressed" -> "front"."""
    parts = topic.strip("/").split("/")
    while len(parts) > 1 and parts[-1] in _SUFFIXES:
        parts.pop()
    return "/".join(parts)


class BagTopic:
    """The frames of one Image or CompressedImage topic, oldest first; may be read any number of times.

    `path` is the bag's folder, or its .mcap or .db3 file. Frames are stamped by header.stamp, or by the time
    they were recorded with stamps="received" (for cameras that leave the header empty). The pose is that of
    the image's frame_id in `map_frame`, by the transforms in the bag; None where they do not tell it.
    Pictures that cannot be read are left out, counted in `unreadable`, and logged.
    Raises BagError at once if the bag cannot be read, or has no such image topic (it lists those it has).
    """

    def __init__(
        self,
        path: str | Path,
        topic: str,
        *,
        camera: str | None = None,
        map_frame: str = "map",
        map_id: str = "",
        stamps: str = "header",
    ) -> None:
        if stamps not in STAMPS:
            raise ValueError(f"stamps is {stamps!r}, but it must be one of {', '.join(STAMPS)}")
        self.path = Path(path)
        self.topic = "/" + topic.strip("/")
        self.camera = camera or camera_name(topic)
        self.map_frame = map_frame
        self.map_id = map_id
        self.stamps = stamps
        self.unreadable = 0
        self._types = get_typestore(Stores.LATEST)
        topics = image_topics(path)
        found = [t for t in topics if t.name == self.topic]
        if not found:
            listed = ", ".join(f"{t.name} ({t.count} of {t.type.split('/')[-1]})" for t in topics) or "none"
            raise BagError(
                f"bag {str(path)!r} has no image topic {self.topic!r}; its image topics are: {listed}"
            )
        self.count = found[0].count

    def frames(self, wants: Callable[[int], bool] | None = None) -> Iterator[Frame]:
        """All frames, or only those whose stamp `wants` accepts; only these are deserialized."""
        self.unreadable = 0
        with _open(self.path) as reader, _open(self.path) as tf_reader:
            transforms = _Transforms(tf_reader, self._types)
            connections = [
                c for c in reader.connections if c.topic == self.topic and c.msgtype in IMAGE_TYPES
            ]
            for connection, received_ns, data in _messages(self.path, reader, connections):
                try:
                    stamp = received_ns if self.stamps == "received" else header_stamp_ns(data)
                    if wants is not None and not wants(stamp):
                        continue
                    message: Any = self._deserialize(data, connection.msgtype)
                    image = message_to_rgb(message)
                except ImageError as error:
                    self._note_unreadable(error)
                    continue
                transforms.read_until(received_ns + TF_AHEAD_NS)
                yield Frame(stamp, self.camera, image, self._pose(transforms, message.header.frame_id, stamp))
        if self.unreadable:
            log.warning("%s: %d of %d pictures could not be read", self.topic, self.unreadable, self.count)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def _deserialize(self, data: bytes, msgtype: str) -> Any:
        try:
            return self._types.deserialize_cdr(data, msgtype)
        except Exception as error:  # rosbags raises whatever numpy and struct do on a cut message
            raise ImageError(
                f"message of type {msgtype} with {len(data)} bytes cannot be deserialized: {error}"
            ) from error

    def _pose(self, transforms: _Transforms, frame_id: str, stamp: int) -> Pose | None:
        pose = transforms.buffer.lookup(self.map_frame, frame_id, stamp)
        return dataclasses.replace(pose, map_id=self.map_id) if pose else None

    def _note_unreadable(self, error: ImageError) -> None:
        self.unreadable += 1
        if self.unreadable == 1:
            log.warning("%s: a picture cannot be read and is left out: %s", self.topic, error.reason)


class _Transforms:
    """The transforms of a bag, read along with its pictures."""

    def __init__(self, reader: Reader, types) -> None:
        self.buffer = TransformBuffer()
        self._types = types
        connections = [c for c in reader.connections if c.msgtype == TF_TYPE]
        static = [c for c in connections if c.topic.endswith("tf_static")]
        # Static transforms hold for the whole bag, wherever they were recorded.
        if static:
            left = sum(c.msgcount for c in static)
            for connection, _, data in _messages(reader.path, reader, static):
                self._add(connection.msgtype, data, static=True)
                left -= 1
                if not left:  # spares reading the rest of the bag
                    break
        moving = [c for c in connections if c not in static]
        self._messages = _messages(reader.path, reader, moving) if moving else iter(())
        self._next = next(self._messages, None)

    def read_until(self, received_ns: int) -> None:
        """Take in what was recorded up to this time."""
        while self._next is not None and self._next[1] <= received_ns:
            self._add(self._next[0].msgtype, self._next[2], static=False)
            self._next = next(self._messages, None)

    def _add(self, msgtype: str, data: bytes, static: bool) -> None:
        try:
            items = self._types.deserialize_cdr(data, msgtype).transforms
        except Exception as error:  # as for pictures
            log.warning("transforms of %d bytes in the bag cannot be deserialized: %s", len(data), error)
            return
        for item in items:
            stamp = item.header.stamp.sec * NS + item.header.stamp.nanosec
            place, turn = item.transform.translation, item.transform.rotation
            try:
                self.buffer.add(
                    item.header.frame_id,
                    item.child_frame_id,
                    stamp,
                    (place.x, place.y, place.z),
                    (turn.x, turn.y, turn.z, turn.w),
                    static,
                )
            except ValueError as error:
                log.warning("a transform in the bag is left out: %s", error)


@contextmanager
def _open(path: str | Path) -> Iterator[Reader]:
    """A reader of the bag; BagError says what is wrong with the path."""
    path = Path(path)
    if not path.exists():
        raise BagError(f"bag {str(path)!r} does not exist")
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        raise BagError(f"folder {str(path)!r} is not a rosbag2: it has no metadata.yaml")
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # a damaged file surfaces as whatever sqlite3, struct, yaml or lz4 raise
        raise BagError(f"bag {str(path)!r} cannot be read: {error or type(error).__name__}") from error
    try:
        yield reader
    finally:
        reader.close()


def _messages(path: Path, reader: Reader, connections: list) -> Iterator[tuple[Any, int, bytes]]:
    try:
        yield from reader.messages(connections=connections)
    except Exception as error:
        raise BagError(f"bag {str(path)!r} is damaged: {error or type(error).__name__}") from error


def _image_topics(reader: Reader) -> list[ImageTopic]:
    counts: dict[tuple[str, str], int] = {}
    for c in reader.connections:
        if c.msgtype in IMAGE_TYPES:
            counts[c.topic, c.msgtype] = counts.get((c.topic, c.msgtype), 0) + c.msgcount
    return sorted(ImageTopic(topic, msgtype, count) for (topic, msgtype), count in counts.items())
