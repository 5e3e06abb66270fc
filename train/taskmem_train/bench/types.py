"""What a benchmark is made of: streams of clips, and questions that are revealed at their time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol, runtime_checkable

from taskmem_ros.clips import Clip, Gap
from taskmem_ros.home import Fact, HomeQuestion
from taskmem_train.contexts import Memorizer

# Recordings without a date begin here: readers are shown dates, and none is of 1970.
FIRST_DAY_NS = int(datetime(2026, 3, 2, tzinfo=timezone.utc).timestamp()) * 1_000_000_000


@dataclass(frozen=True)
class Question:
    """A question about a stream.

    id: unique in its dataset. kind: what it is counted by, and what a robot may be adapted to. answer: the
    reference; where there are choices, one of them. reveal_ns: when it is asked, in stream time; None: when
    the stream has ended. home: the question as the demo home has it.
    """

    id: str
    text: str
    kind: str
    answer: str
    choices: tuple[str, ...] = ()
    reveal_ns: int | None = None
    home: HomeQuestion | None = None


@dataclass(frozen=True, eq=False)
class StreamItem:
    """What one camera saw, and what is asked about it.

    observe: begins the stream anew: clips and gaps in order, of one camera and episode. fingerprint: tells
    its observations from others. clips: how many there are, None where that is not known beforehand.
    facts: start of a clip in nanoseconds -> what it shows, of the demo home alone.
    """

    id: str
    questions: tuple[Question, ...]
    observe: Callable[[], Iterable[Clip | Gap]]
    fingerprint: str
    clips: int | None = None
    facts: Mapping[int, tuple[Fact, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Streams in the order in which a robot would live through them.

    observed: how observations are cut, in words that tell one way from another. asked_before: kind -> what
    was asked about other streams, the newest last; where a kind has none, it is what earlier streams ask.
    list_instruction: asks the model for all it sees. skipped: what is missing and why; it is not scored.
    """

    name: str
    streams: tuple[StreamItem, ...]
    observed: str
    list_instruction: str
    asked_before: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of all questions, as they come."""
        return tuple(dict.fromkeys(q.kind for stream in self.streams for q in stream.questions))


class Writer(Memorizer, Protocol):
    """A memorizer that says what tells its memories from another's.

    identity: names and hashes; "model", "revision", "adapter" and "prompt_hash" are kept with each memory.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...


@runtime_checkable
class Budgeted(Protocol):
    """A writer that may use as many tokens as another system's memories have. like: that system's name."""

    @property
    def like(self) -> str: ...
    def within(self, tokens: int) -> Writer: ...


def context_id(stream_id: str, clip: Clip) -> str:
    """The id of the context whose newest clip this is."""
    return f"{stream_id}@{clip.start_ns}"


def stream_of(id: str) -> str:
    """The stream that a context's id names."""
    return id.rpartition("@")[0]


def digest(value: Any) -> str:
    """Twelve hex digits that tell a JSON value from others."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
