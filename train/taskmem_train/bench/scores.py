"""From answers and memories to numbers: shares with their intervals, failures by name, what memories hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from taskmem_ros.home import read_memory
from taskmem_ros.memory import Store
from taskmem_train.bench.types import StreamItem
from taskmem_train.bench.writing import Bank
from taskmem_train.stats import Interval, bootstrap_interval, paired_bootstrap

ALL = "all"


@dataclass(frozen=True)
class Scored:
    """What came of one question. failure: "" or the name of what failed; then it is neither answered nor
    right.
    """

    stream: str
    question: str
    kind: str
    answered: bool
    right: bool
    failure: str = ""


@dataclass(frozen=True)
class Memories:
    """What some memories hold.

    clips: with and without a memory; failed: without. tokens: of all texts. stated, true: their different
    statements, and how many of them are so; None where nobody knows, which is everywhere but in the demo
    home. failures: why clips have no memory, and how many.
    """

    clips: int = 0
    failed: int = 0
    tokens: int = 0
    stated: int | None = None
    true: int | None = None
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def tokens_per_memory(self) -> float | None:
        return _share(self.tokens, self.clips - self.failed)

    @property
    def true_share(self) -> float | None:
        """Of the statements, how many are so."""
        return _share(self.true, self.stated)

    @property
    def facts_per_memory(self) -> float | None:
        """True statements, by clip."""
        return _share(self.true, self.clips)

    def as_dict(self) -> dict[str, Any]:
        names = ("tokens_per_memory", "true_share", "facts_per_memory")
        return asdict(self) | {name: getattr(self, name) for name in names}

    def __add__(self, other: Memories) -> Memories:
        return Memories(
            self.clips + other.clips, self.failed + other.failed, self.tokens + other.tokens,
            _sum(self.stated, other.stated), _sum(self.true, other.true),
            dict(Counter(self.failures) + Counter(other.failures)),
        )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One system on one kind of question ("all": on all). Precision is None where nothing was answered.

    failures: name -> how many calls failed so; they count as questions without an answer.
    """

    system: str
    kind: str
    streams: int
    questions: int
    accuracy: Interval
    coverage: Interval
    precision: Interval | None
    failures: dict[str, int]
    memories: Memories

    def as_dict(self) -> dict[str, Any]:
        shares = {name: getattr(self, name) for name in ("accuracy", "coverage", "precision")}
        values = {name: share and share._asdict() for name, share in shares.items()}
        return asdict(self) | values | {"memories": self.memories.as_dict()}


def row(system: str, kind: str, scored: Sequence[Scored], memories: Memories, how: dict[str, Any]) -> Row:
    """how: confidence, resamples and seed of the bootstrap, by stream."""
    right, answered = [s.right for s in scored], [s.answered for s in scored]
    streams = [s.stream for s in scored]
    return Row(
        system, kind, len(set(streams)), len(scored),
        bootstrap_interval(right, streams, **how),
        bootstrap_interval(answered, streams, **how),
        bootstrap_interval(right, streams, weights=answered, **how) if any(answered) else None,
        dict(Counter(s.failure for s in scored if s.failure)),
        memories,
    )  # fmt: skip


def comparison(
    system: str, than: str, kind: str, a: Sequence[Scored], b: Sequence[Scored], how: dict[str, Any]
) -> dict[str, Any]:
    """How much more accurate one system is than another, on the same questions."""
    other = {s.question: s.right for s in b}
    both = [s for s in a if s.question in other]
    found = paired_bootstrap(
        [s.right for s in both], [other[s.question] for s in both], [s.stream for s in both], **how
    )
    values = {"difference": found.difference, "low": found.interval.low, "high": found.interval.high}
    return {"system": system, "than": than, "kind": kind, "questions": len(both), **values, "p": found.p}


def memories_of(bank: Bank, stream: StreamItem, count_tokens: Callable[[str], int]) -> Memories:
    """Read what a bank holds of a stream."""
    with Store.open(bank.path(stream), create=False) as store:
        written, lost = store.memories(thumbnails=False), store.failures()
    found = Memories(
        len(written) + len(lost),
        len(lost),
        sum(count_tokens(memory.text) for memory in written),
        failures=dict(Counter(failure.error.partition(":")[0] for failure in lost)),
    )
    if not stream.facts:
        return found
    stated = true = 0
    for memory in written:
        facts, unread = read_memory(memory.text)
        stated += len(set(facts)) + len(unread)  # saying a thing twice makes nothing truer
        true += len(set(facts) & set(stream.facts[memory.start_ns]))
    return replace(found, stated=stated, true=true)


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if whole and part is not None else None


def _sum(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else a + b


def by_kind(scored: Sequence[Scored]) -> dict[Hashable, list[Scored]]:
    """The scored questions of each kind, and of all."""
    groups: dict[Hashable, list[Scored]] = {ALL: list(scored)}
    for one in scored:
        groups.setdefault(one.kind, []).append(one)
    return groups
