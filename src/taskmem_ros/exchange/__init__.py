"""exchange: what travels between the robot and the workstation. No ROS, no torch."""

from taskmem_ros.exchange.build import build_bundle
from taskmem_ros.exchange.bundle import Bundle
from taskmem_ros.exchange.types import (
    CONTENTS,
    FORMAT,
    FRAMES,
    MEMORIES,
    TASKS,
    BundledClip,
    BundleError,
    Manifest,
)

__all__ = [
    "CONTENTS",
    "FORMAT",
    "FRAMES",
    "MEMORIES",
    "TASKS",
    "Bundle",
    "BundleError",
    "BundledClip",
    "Manifest",
    "build_bundle",
]
