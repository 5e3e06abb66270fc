"""The store of memories, tasks and coverage: one SQLite file, no ROS, no torch."""

from taskmem_ros.memory.database import default_database
from taskmem_ros.memory.schema import SCHEMA_VERSION
from taskmem_ros.memory.store import Store
from taskmem_ros.memory.types import (
    KINDS,
    OUTCOMES,
    QUEUED,
    STATUSES,
    Failure,
    Hit,
    Memory,
    Source,
    StoreError,
    Summary,
    Task,
)
from taskmem_ros.memory.words import STOP_WORDS, content_words

__all__ = [
    "KINDS",
    "OUTCOMES",
    "QUEUED",
    "SCHEMA_VERSION",
    "STATUSES",
    "STOP_WORDS",
    "Failure",
    "Hit",
    "Memory",
    "Source",
    "Store",
    "StoreError",
    "Summary",
    "Task",
    "content_words",
    "default_database",
]
