"""clips: frames -> clips and gaps. No ROS, no torch."""

from .bag import BagError, BagTopic, camera_name, image_topics
from .clipper import Clipper, FrameSource, clips_from
from .images import ImageError, compressed_to_rgb, header_stamp_ns, message_to_rgb, to_rgb
from .queue import DROP_POLICIES, ClipQueue
from .settings import ClipSettings
from .transforms import TransformBuffer
from .types import DROPPED, FAILED, GAP_REASONS, INACTIVE, NO_FRAMES, NS, Clip, Frame, Gap, Pose
from .video import Video, VideoError
from .window import Window

__all__ = [
    "DROPPED",
    "DROP_POLICIES",
    "FAILED",
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
    "header_stamp_ns",
    "image_topics",
    "message_to_rgb",
    "to_rgb",
]
