"""What recall hands out, and what it needs of a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from taskmem_ros.memory import Memory


@dataclass(frozen=True)
class Reason:
    """How a search found a memory.

    by: "words", "meaning", "place" or "time". rank: in that list, from 1. detail: for people.
    """

    by: str
    rank: int
    detail: str


@dataclass(frozen=True)
class Evidence:
    """A memory that an answer stands on, or that a search found.

    score: 0..1, how well a search found it (see Found). reasons: how, the best first; none where it was read
    for another reason, such as being the newest.
    """

    memory: Memory
    score: float
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    status: one of taskmem_ros.memory.OUTCOMES: "answered"; "not_in_memory" (the memories do not say it);
    "not_watching" (no memory is of the time asked about, because nobody watched then); "timed_out"; "failed"
    (the reader wrote no reply that can be read, twice).
    text: the answer, "" unless answered. message: when and where that was seen, or how it was counted; where
    there is no answer, why. evidence: the memories that say it, newest first, those of a count oldest first;
    the memory of what it was before or after comes last. Where timed out, those that were found to read.
    confidence: the reader's, 0..1; 0 unless answered, and where a reader tells none; 1 of what was counted.
    watermark: the newest memory's id at that time.
    """

    status: str
    text: str = ""
    message: str = ""
    confidence: float = 0.0
    evidence: tuple[Evidence, ...] = ()
    watermark: int = 0


class Completion(Protocol):
    """A reader's reply. confidence: 0..1. finished: False where the deadline cut it off."""

    @property
    def text(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def finished(self) -> bool: ...
    @property
    def ended(self) -> str: ...


class Reader(Protocol):
    """Completes a prompt: MemoryPolicy.complete, Engine.complete, an Endpoint.

    deadline: in time.monotonic() seconds.
    """

    def __call__(self, prompt: str, *, max_new_tokens: int, deadline: float | None) -> Completion: ...
