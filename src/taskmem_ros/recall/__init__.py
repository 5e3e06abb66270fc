"""Answers from memory alone, with their evidence, or an exact reason why there is none. No ROS, no torch."""

from taskmem_ros.recall.choices import match_choice
from taskmem_ros.recall.encoder import Encoder, EncoderError, load_encoder
from taskmem_ros.recall.find import find
from taskmem_ros.recall.place import Near
from taskmem_ros.recall.prompt import Reading, parse_reading, reading_prompt, reading_reply
from taskmem_ros.recall.recall import MAX_NEW_TOKENS, MEMORIES_READ, ROUNDS, Recall, rounds_for
from taskmem_ros.recall.search import Found, Search, VectorIndexer
from taskmem_ros.recall.tasks import answer_task
from taskmem_ros.recall.types import Answer, Completion, Evidence, Reader, Reason
from taskmem_ros.recall.watching import GAP_WORDS, unwatched

__all__ = [
    "GAP_WORDS",
    "MAX_NEW_TOKENS",
    "MEMORIES_READ",
    "ROUNDS",
    "Answer",
    "Completion",
    "Encoder",
    "EncoderError",
    "Evidence",
    "Found",
    "Near",
    "Reader",
    "Reading",
    "Reason",
    "Recall",
    "Search",
    "VectorIndexer",
    "answer_task",
    "find",
    "load_encoder",
    "match_choice",
    "parse_reading",
    "reading_prompt",
    "reading_reply",
    "rounds_for",
    "unwatched",
]
