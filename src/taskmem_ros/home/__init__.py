"""The demo home: a seeded little world with people, things and a patrolling robot, and questions about it."""

from taskmem_ros.home.facts import FACT_KINDS, Fact, visible_facts
from taskmem_ros.home.language import memory_text, read_memory
from taskmem_ros.home.queries import Query, read_question
from taskmem_ros.home.questions import (
    QUESTION_KINDS,
    SAMPLE_TIMES_S,
    HomeQuestion,
    is_right,
    look_up,
    near_misses,
    observations,
    queries_about,
    questions,
    random_query,
)
from taskmem_ros.home.render import HEIGHT, WIDTH, HomeCamera
from taskmem_ros.home.roles import ROLES
from taskmem_ros.home.world import STEP_NS, HomeSim

__all__ = [
    "FACT_KINDS",
    "HEIGHT",
    "QUESTION_KINDS",
    "ROLES",
    "SAMPLE_TIMES_S",
    "STEP_NS",
    "WIDTH",
    "Fact",
    "HomeCamera",
    "HomeQuestion",
    "HomeSim",
    "Query",
    "is_right",
    "look_up",
    "memory_text",
    "near_misses",
    "observations",
    "queries_about",
    "questions",
    "random_query",
    "read_memory",
    "read_question",
    "visible_facts",
]
