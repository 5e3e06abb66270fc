"""Questions, asked at their time of a reader that has memories and nothing else.

The reader is given a store into which, at the time of a question, no memory of a later time was put yet: it
has no frames, and nothing of the future, whatever it does.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timezone
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from taskmem_ros.memory import Store
from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.recall import ROUNDS, Reader, Recall, rounds_for
from taskmem_ros.recall.endpoint import Endpoint
from taskmem_train.bench.ledger import Ledger
from taskmem_train.bench.together import BatchedPolicy, Jobs, in_threads, one_by_one
from taskmem_train.bench.types import FIRST_DAY_NS, Question, digest

ANSWERED = "answered"
# What a reader decided. Anything else is a call that failed: counted, named, and tried again in the next run.
DECIDED = (ANSWERED, "not_in_memory", "not_watching")
FAILURES_IN_A_ROW = 5  # then the reader is gone, and asking on would only fail every question that is left


@dataclass(frozen=True)
class Reply:
    """status: as in taskmem_ros.recall.Answer, or "error": the call failed. text: "" unless answered.

    message: why there is no answer. tokens: generated, None where the reader does not tell. seconds: of the
    model's work.
    """

    status: str
    text: str = ""
    message: str = ""
    tokens: int | None = None
    seconds: float = 0.0


class StreamReader(Protocol):
    """Answers a question from a store. identity: what tells its answers from another's.

    now_ns: the time of asking. Raises ValueError or OSError where the call fails. together: runs jobs, each
    of which asks the questions about one stream, and returns what they return.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...
    @property
    def together(self) -> Callable[[Jobs], list]: ...

    def __call__(self, store: Store, question: Question, now_ns: int) -> Reply: ...


@dataclass
class RecallReader:
    """The robot's own way to answer: `Recall` over the store.

    complete: MemoryPolicy.complete (it turns the adapter off) or an Endpoint. rounds: see `rounds_for`.
    name: the model that reads, with its revision. together: runs several streams' questions at once.
    """

    complete: Reader
    name: str
    rounds: int = 1
    max_new_tokens: int | None = None
    together: Callable[[Jobs], list] = one_by_one

    @classmethod
    def of_policy(cls, policy: MemoryPolicy, at_once: int = 16) -> RecallReader:
        """The policy's own model, without an adapter, many streams at once."""
        batched, report = BatchedPolicy(policy, at_once), policy.report
        name = f"{policy.provenance.model} {report.revision} {report.quantization} {report.dtype}"
        return cls(batched.complete, name, rounds_for(report.parameters), together=batched.run)

    @classmethod
    def of_endpoint(cls, endpoint: Endpoint, at_once: int = 4) -> RecallReader:
        """A model behind an endpoint, asked about several streams at once."""
        return cls(endpoint, endpoint.model, ROUNDS, together=in_threads(at_once))

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"reader": self.name, "rounds": self.rounds, "max_new_tokens": self.max_new_tokens}

    def __call__(self, store: Store, question: Question, now_ns: int) -> Reply:
        counted = _Counted(self.complete)
        recall = Recall(
            store, counted, rounds=self.rounds, max_new_tokens=self.max_new_tokens, timezone=timezone.utc,
            now_ns=lambda: now_ns,
        )  # fmt: skip
        answer = recall.ask(question.text, question.choices)
        return Reply(answer.status, answer.text, answer.message, counted.tokens, counted.seconds)


@dataclass
class _Counted:
    """A reader whose tokens and seconds are added up; tokens is None once a reply does not tell."""

    complete: Reader
    tokens: int | None = 0
    seconds: float = 0.0

    def __call__(self, prompt: str, *, max_new_tokens: int, deadline: float | None):
        started = time.monotonic()
        completion = self.complete(prompt, max_new_tokens=max_new_tokens, deadline=deadline)
        # A share of a batch, where the reader says so: not the time it waited for the others.
        self.seconds += getattr(completion, "seconds", time.monotonic() - started)
        told = getattr(completion, "tokens", None)
        self.tokens = None if told is None or self.tokens is None else self.tokens + told
        return completion


@dataclass
class Desk:
    """Where questions are asked, or found answered already."""

    reader: StreamReader
    ledger: Ledger
    failed_in_a_row: int = field(default=0, init=False)

    def key(self, bank: str, stream: str, question: Question) -> str:
        """What an answer depends on: the memories, the question and the reader."""
        asked = asdict(question) | {"home": None}
        return digest([bank, stream, asked, dict(self.reader.identity)])

    def ask(
        self, system: str, bank: str, stream: str, memories: Path, questions: Sequence[Question], bar: tqdm
    ) -> dict[str, dict[str, Any]]:
        """question id -> the row of its answer. Raises ValueError when the reader fails again and again."""
        rows, open_questions = {}, []
        for question in questions:
            row = self.ledger.answer(self.key(bank, stream, question))
            if row is not None and row["status"] in DECIDED:
                rows[question.id] = row
                bar.update()
            else:
                open_questions.append(question)
        if open_questions:
            with _Unveiled.of(memories) as unveiled:
                for question in sorted(open_questions, key=_reveal):
                    reply = self._reply(unveiled, question)
                    key = self.key(bank, stream, question)
                    row = {"key": key, "system": system, "stream": stream, "question": question.id}
                    rows[question.id] = row | asdict(reply)
                    self.ledger.keep_answer(rows[question.id])
                    bar.update()
        return rows

    def _reply(self, unveiled: _Unveiled, question: Question) -> Reply:
        now_ns = unveiled.until(question.reveal_ns)
        try:
            reply = self.reader(unveiled.store, question, now_ns)
        except (ValueError, OSError) as error:
            reply = Reply("error", message=f"{type(error).__name__}: {error}")
        self.failed_in_a_row = 0 if reply.status != "error" else self.failed_in_a_row + 1
        if self.failed_in_a_row >= FAILURES_IN_A_ROW:
            raise ValueError(
                f"the reader failed {self.failed_in_a_row} times in a row, the last time with "
                f"{reply.message}; run again to go on from here"
            )
        return reply if reply.status == ANSWERED else replace(reply, text="")


class _Unveiled:
    """A store of its own into which a stream's memories are put as time goes on."""

    def __init__(self, store: Store, memories: Path):
        self.store, self._now = store, FIRST_DAY_NS
        with Store.open(memories, create=False) as whole:
            self._memories = sorted(whole.memories(thumbnails=False), key=lambda memory: memory.end_ns)
            self._gaps = sorted(whole.coverage(), key=lambda gap: gap.end_ns)

    @classmethod
    @contextmanager
    def of(cls, memories: Path) -> Iterator[_Unveiled]:
        with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "memory.db") as store:
            yield cls(store, memories)

    def until(self, reveal_ns: int | None) -> int:
        """Put in all that had ended by reveal_ns (None: all); returns the time it is then."""
        now = reveal_ns
        if now is None:
            now = max([row.end_ns for row in (*self._memories, *self._gaps)], default=self._now)
        shown = [memory for memory in self._memories if memory.end_ns <= now]
        self.store.add_memories(shown)
        self._memories = self._memories[len(shown) :]
        for gap in [gap for gap in self._gaps if gap.end_ns <= now]:
            self.store.add_gap(gap)
            self._gaps.remove(gap)
        self._now = now
        return now


def _reveal(question: Question) -> float:
    return float("inf") if question.reveal_ns is None else question.reveal_ns
