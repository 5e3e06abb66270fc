"""A small benchmark whose memories and answers are plain, to look at what a run does with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from taskmem_train.bench import Dataset, Question, Reply, StreamItem
from taskmem_train.bench.together import one_by_one
from taskmem_train.bench.types import FIRST_DAY_NS
from taskmem_train.contexts import Context

from taskmem_ros.clips import NO_FRAMES, NS, Clip, Frame, Gap
from taskmem_ros.memory import Store
from taskmem_ros.policy import Draft

START = FIRST_DAY_NS + 8 * 3600 * NS
STEP = 10 * NS


def clip(index: int) -> Clip:
    start = START + index * STEP
    frame = Frame(start, "camera", np.full((32, 32, 3), index, np.uint8))
    return Clip("camera", 0, start, start + STEP, (frame,))


def stream(id: str, pieces: int, questions: Sequence[Question] = ()) -> StreamItem:
    """Clips in a row, a gap in the place of the third."""

    def observe():
        for index in range(pieces):
            yield Gap("camera", 0, *_span(index), NO_FRAMES) if index == 2 else clip(index)

    return StreamItem(id, tuple(questions), observe, f"{id} {pieces}", pieces - (pieces > 2))


def _span(index: int) -> tuple[int, int]:
    return START + index * STEP, START + (index + 1) * STEP


def dataset(*streams: StreamItem, **more: Any) -> Dataset:
    return Dataset("small", streams, "10 s clips", "List everything.", **more)


@dataclass
class Plain:
    """Writes which clip it is, and keeps what it was called with. fails: clips without a memory.

    stops_at: the call in which the power goes.
    """

    name: str = "plain"
    fails: tuple[int, ...] = ()
    stops_at: int | None = None
    calls: list[list[Context]] = field(default_factory=list)

    @property
    def identity(self) -> dict[str, Any]:
        return {"model": self.name, "revision": "1"}

    def write(self, contexts: Sequence[Context]) -> list[Draft]:
        if len(self.calls) == self.stops_at:
            raise KeyboardInterrupt
        self.calls.append(list(contexts))
        return [self._draft((context.clips[-1].start_ns - START) // STEP) for context in contexts]

    def _draft(self, index: int) -> Draft:
        if index in self.fails:
            return Draft(None, "nothing", 2, 20, 0.1, "the reply has no text: 'nothing'")
        return Draft(f"{self.name} clip {index}", "", 1, 10, 0.1)


@dataclass
class Looking:
    """A reader that tells the newest memory it can see, and keeps all that it saw. says: question -> reply,
    or what is raised.
    """

    says: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, list[str]] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=dict)
    together = staticmethod(one_by_one)

    @property
    def identity(self) -> dict[str, Any]:
        return {"reader": "looking"}

    def __call__(self, store: Store, question: Question, now_ns: int) -> Reply:
        memories = [memory.text for memory in store.memories()]
        self.seen[question.id], self.now[question.id] = memories, now_ns
        said = self.says.get(question.id, Reply("answered", memories[-1] if memories else "none", tokens=5))
        if isinstance(said, Exception):
            raise said
        return said
