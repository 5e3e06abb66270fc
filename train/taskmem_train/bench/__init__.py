"""bench: streams of observations, memories written as they come, questions answered from memory alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskmem_train.bench.bundle import bundle_dataset
    from taskmem_train.bench.command import run_bench
    from taskmem_train.bench.egolife_qa import egolife
    from taskmem_train.bench.home import Oracle, home_dataset
    from taskmem_train.bench.judges import EndpointJudge, ExactJudge, HomeJudge, Judge
    from taskmem_train.bench.public import egotempo, videomme
    from taskmem_train.bench.reading import RecallReader, Reply, StreamReader
    from taskmem_train.bench.report import Result
    from taskmem_train.bench.run import run_stream_benchmark
    from taskmem_train.bench.scores import Row
    from taskmem_train.bench.settings import BenchConfig
    from taskmem_train.bench.systems import (
        DescribeEverything,
        PolicyMemorizer,
        RecentQuestions,
        TaskPrompt,
    )
    from taskmem_train.bench.types import Dataset, Question, StreamItem

# Loaded on first use: the command's help needs no torch.
_ON_USE = {
    "bundle": ("bundle_dataset",),
    "command": ("run_bench",),
    "egolife_qa": ("egolife",),
    "home": ("Oracle", "home_dataset"),
    "judges": ("EndpointJudge", "ExactJudge", "HomeJudge", "Judge"),
    "public": ("egotempo", "videomme"),
    "reading": ("RecallReader", "Reply", "StreamReader"),
    "report": ("Result",),
    "run": ("run_stream_benchmark",),
    "scores": ("Row",),
    "settings": ("BenchConfig",),
    "systems": ("DescribeEverything", "PolicyMemorizer", "RecentQuestions", "TaskPrompt"),
    "types": ("Dataset", "Question", "StreamItem"),
}
_MODULE_OF = {name: module for module, names in _ON_USE.items() for name in names}

__all__ = [
    "BenchConfig",
    "Dataset",
    "DescribeEverything",
    "EndpointJudge",
    "ExactJudge",
    "HomeJudge",
    "Judge",
    "Oracle",
    "PolicyMemorizer",
    "Question",
    "RecallReader",
    "RecentQuestions",
    "Reply",
    "Result",
    "Row",
    "StreamItem",
    "StreamReader",
    "TaskPrompt",
    "bundle_dataset",
    "egolife",
    "egotempo",
    "home_dataset",
    "run_bench",
    "run_stream_benchmark",
    "videomme",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
