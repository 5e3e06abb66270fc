"""clips: frames -> clips and gaps. No ROS, no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .clipper import Clipper, FrameSource, clips_from
from .queue import DROP_POLICIES, ClipQueue
from .settings import ClipSettings
from .transforms import TransformBuffer
from .types import DROPPED, FAILED, FORGOTTEN, GAP_REASONS, INACTIVE, NO_FRAMES, NS, Clip, Frame, Gap, Pose
from .window import Window, follows

if TYPE_CHECKING:
    from .bag import BagError, BagTopic, camera_name, image_topics
    from .images import ImageError, compressed_to_rgb, header_stamp_ns, message_to_rgb, to_rgb
    from .jpeg import thumbnail
    from .video import Video, VideoError

# Loaded on first use: ros2 launch reads the parameters' defaults from this room with the system's Python,
# which has numpy but perhaps neither cv2 nor rosbags.
_ON_USE = {
    "bag": ("BagError", "BagTopic", "camera_name", "image_topics"),
    "images": ("ImageError", "compressed_to_rgb", "header_stamp_ns", "message_to_rgb", "to_rgb"),
    "jpeg": ("thumbnail",),
    "video": ("Video", "VideoError"),
}
_MODULE_OF = {name: module for module, names in _ON_USE.items() for name in names}

__all__ = [
    "DROPPED",
    "DROP_POLICIES",
    "FAILED",
    "FORGOTTEN",
    "GAP_REASONS",
    "INACTIVE",
    "NO_FRAMES",
    "NS",
    "BagError",
    "BagTopic",
    "Clip",
    "ClipQueue",
    "ClipSettings",
    "Clipper",
    "Frame",
    "FrameSource",
    "Gap",
    "ImageError",
    "Pose",
    "TransformBuffer",
    "Video",
    "VideoError",
    "Window",
    "camera_name",
    "clips_from",
    "compressed_to_rgb",
    "follows",
    "header_stamp_ns",
    "image_topics",
    "message_to_rgb",
    "thumbnail",
    "to_rgb",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
