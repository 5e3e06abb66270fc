"""policy: a window of clips -> one memory, and a prompt -> a reply, by a quantized Qwen3-VL. No ROS."""

from taskmem_ros.policy.choices import LoadError, NoRoom
from taskmem_ros.policy.engine import Engine, EngineStopped, TooManyQuestions
from taskmem_ros.policy.policy import Completion, Draft, MemoryPolicy, Provenance
from taskmem_ros.policy.prompt import PROMPT_HASH
from taskmem_ros.policy.report import LoadReport
from taskmem_ros.policy.scoring import ScoredToken
from taskmem_ros.policy.stats import EngineStats

__all__ = [
    "PROMPT_HASH",
    "Completion",
    "Draft",
    "Engine",
    "EngineStats",
    "EngineStopped",
    "LoadError",
    "LoadReport",
    "MemoryPolicy",
    "NoRoom",
    "Provenance",
    "ScoredToken",
    "TooManyQuestions",
]
