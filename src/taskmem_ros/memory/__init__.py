"""The store of memories, tasks and coverage: one SQLite file, no ROS, no torch."""

from taskmem_ros.memory.adapters import AdapterEvent, AdapterRow, AdapterUse, Writing
from taskmem_ros.memory.database import default_database
from taskmem_ros.memory.feedback import known_answer
from taskmem_ros.memory.schema import SCHEMA_VERSION
from taskmem_ros.memory.scope import EVERYTHING, Box, Scope
from taskmem_ros.memory.store import Store
from taskmem_ros.memory.types import (
    KINDS,
    OUTCOMES,
    QUEUED,
    RIGHT,
    STATUSES,
    VERDICTS,
    WRONG,
    Failure,
    Feedback,
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
    "RIGHT",
    "SCHEMA_VERSION",
    "STATUSES",
    "STOP_WORDS",
    "VERDICTS",
    "WRONG",
    "AdapterEvent",
    "AdapterRow",
    "AdapterUse",
    "Failure",
    "Feedback",
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
    "Writing",
    "all_of",
    "content_words",
    "default_database",
    "known_answer",
    "plain",
    "terms",
]
