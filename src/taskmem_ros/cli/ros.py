"""Importing what needs ROS 2, for the commands that do."""

from __future__ import annotations

import importlib
from types import ModuleType


class NoRos(Exception):
    """ROS 2 or this package's messages cannot be imported: one sentence that says what to source."""


def import_node_module(name: str, needed_by: str) -> ModuleType:
    """The module `name` of taskmem_ros.nodes. Raises NoRos where what it imports is missing or broken."""
    try:
        return importlib.import_module(name)
    except ImportError as error:  # a module that is not there, or a library that does not load
        if (error.name or "").startswith("taskmem_ros"):
            raise
        raise NoRos(
            f"{needed_by} needs ROS 2 and cannot start ({error}); source your ROS 2 and this package's "
            "install/setup.bash (or scripts/env.sh after `make setup`). "
            "`taskmem doctor` says what is missing."
        ) from error
