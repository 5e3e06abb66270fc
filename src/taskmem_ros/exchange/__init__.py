"""exchange: what travels between the robot and the workstation. No ROS, no torch."""

from taskmem_ros.exchange.bundle import Bundle, build_bundle
from taskmem_ros.exchange.types import FORMAT, BundledClip, BundledFrame, BundleError, Manifest

__all__ = ["FORMAT", "Bundle", "BundleError", "BundledClip", "BundledFrame", "Manifest", "build_bundle"]
