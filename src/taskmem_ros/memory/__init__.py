"""The store of memories, tasks and coverage: one SQLite file, no ROS, no torch."""

from taskmem_ros.memory.database import default_database
from taskmem_ros.memory.schema import SCHEMA_VERSION
from taskmem_ros.memory.scope import EVERYTHING, Box, Scope
from taskmem_ros.memory.store import Store
from taskmem_ros.memory.types import (
    KINDS,
    OUTCOMES,
    QUEUED,
    STATUSES,
    Failure,
    Memory,
    Source,
    StoreError,
    Summary,
    Task,
)
from taskmem_ros.memory.words import STOP_WORDS, TextMatcher, all_of, content_words, plain, terms

__all__ = [
    "KINDS",
    "OUTCOMES",
    "QUEUED",
    "SCHEMA_VERSION",
    "STATUSES",
    "STOP_WORDS",
    "Failure",
    "EVERYTHING",
    "Box",
    "Memory",
    "Scope",
    "Source",
    "Store",
    "StoreError",
    "Summary",
    "Task",
    "TextMatcher",
    "all_of",
    "content_words",
    "default_database",
    "plain",
    "terms",
]
