"""bench: streams of observations, memories written as they come, questions answered from memory alone."""

from taskmem_train.bench.judges import Endpoint, ExactJudge, HomeJudge, Judge
from taskmem_train.bench.reading import RecallReader, Reply, StreamReader
from taskmem_train.bench.report import Result, Row
from taskmem_train.bench.run import run_stream_benchmark
from taskmem_train.bench.types import Dataset, Question, StreamItem

__all__ = [
    "Dataset",
    "Endpoint",
    "ExactJudge",
    "HomeJudge",
    "Judge",
    "Question",
    "RecallReader",
    "Reply",
    "Result",
    "Row",
    "StreamItem",
    "StreamReader",
    "run_stream_benchmark",
]
