"""Counts and times of the engine, for diagnostics."""

from __future__ import annotations

import contextlib
import statistics
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from taskmem_ros.policy.policy import Draft

# Weight of the newest memory in the real-time factor: about the last five count.
NEWEST = 0.2
LATENCIES = 100


@dataclass(frozen=True)
class EngineStats:
    """A snapshot of the engine.

    memorized, failed: clips with and without a stored memory. failed_in_a_row: failures since the last
    memory. questions: answered. busy: the model is at work. real_time_factor: seconds of clip written per
    second of work (1 and more keeps up with one camera), 0 before the first. ask_p50_s: median seconds from
    question to answer of the last 100. last_error: the newest of the model's errors, "" without any.
    """

    memorized: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    questions: int = 0
    queued_clips: int = 0
    queued_questions: int = 0
    busy: bool = False
    real_time_factor: float = 0.0
    ask_p50_s: float = 0.0
    last_error: str = ""


class Meter:
    """Collects what EngineStats shows; written by the engine's thread, read by any."""

    def __init__(self):
        self._lock = threading.Lock()
        self._memorized = self._failed = self._failed_in_a_row = self._questions = self._depth = 0
        self._factor = 0.0
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._last_error = ""

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Marks work; may be nested."""
        with self._lock:
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1

    def wrote(self, draft: Draft, clip_seconds: float, work_seconds: float) -> None:
        """A clip was tried."""
        with self._lock:
            factor = clip_seconds / max(work_seconds, 1e-6)
            self._factor = factor if not self._factor else self._factor + NEWEST * (factor - self._factor)
            if draft.text is not None:
                self._memorized += 1
                self._failed_in_a_row = 0
                return
            self._failed += 1
            self._failed_in_a_row += 1
            self._last_error = draft.error or self._last_error

    def answered(self, seconds: float) -> None:
        """A question was answered, seconds after it was asked."""
        with self._lock:
            self._questions += 1
            self._latencies.append(seconds)

    def error(self, text: str) -> None:
        """The model or a callback failed."""
        with self._lock:
            self._last_error = text

    def snapshot(self) -> EngineStats:
        """What is known now; the queues are the engine's to count."""
        with self._lock:
            return EngineStats(
                memorized=self._memorized,
                failed=self._failed,
                failed_in_a_row=self._failed_in_a_row,
                questions=self._questions,
                busy=self._depth > 0,
                real_time_factor=self._factor,
                ask_p50_s=statistics.median(self._latencies) if self._latencies else 0.0,
                last_error=self._last_error,
            )
