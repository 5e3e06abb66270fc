"""clips: frames -> clips and gaps. No ROS, no torch."""
from .types import DROPPED, FAILED, GAP_REASONS, INACTIVE, NO_FRAMES, NS, Clip, Frame, Gap, Pose

__all__ = ["DROPPED", "FAILED", "GAP_REASONS", "INACTIVE", "NO_FRAMES", "NS", "Clip", "Frame", "Gap", "Pose"]
