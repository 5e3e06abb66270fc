"""From answers and memories to numbers: shares with their intervals, failures by name, what memories hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
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

    tokens_per_memory: of the text. stated, true: their statements, and how many of them are so; true_share:
    of these; facts_per_memory: true statements, by clip; all of the demo home alone. failures: why clips have
    none, and how many.
    """

    clips: int
    failed: int
    tokens: int
    tokens_per_memory: float | None = None
    stated: int = 0
    true: int = 0
    true_share: float | None = None
    facts_per_memory: float | None = None
    failures: dict[str, int] = field(default_factory=dict)


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
        return asdict(self) | {name: share and share._asdict() for name, share in shares.items()}


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


def memories_of(
    used: Iterable[tuple[Bank, Sequence[StreamItem]]], count_tokens: Callable[[str], int]
) -> Memories:
    """Read what banks hold of some streams."""
    clips = failed = tokens = stated = true = 0
    failures: Counter[str] = Counter()
    known = False
    for bank, streams in used:
        for stream in streams:
            with Store.open(bank.path(stream), create=False) as store:
                written, lost = store.memories(thumbnails=False), store.failures()
            clips, failed = clips + len(written) + len(lost), failed + len(lost)
            failures.update(failure.error.partition(":")[0] for failure in lost)
            tokens += sum(count_tokens(memory.text) for memory in written)
            for memory in written if stream.facts else ():
                known = True
                facts, unread = read_memory(memory.text)
                stated += len(facts) + len(unread)
                true += len(set(facts) & set(stream.facts[memory.start_ns]))
    return Memories(
        clips, failed, tokens,
        tokens_per_memory=_share(tokens, clips - failed),
        stated=stated,
        true=true,
        true_share=_share(true, stated) if known else None,
        facts_per_memory=_share(true, clips) if known else None,
        failures=dict(failures),
    )  # fmt: skip


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def by_kind(scored: Sequence[Scored]) -> dict[Hashable, list[Scored]]:
    """The scored questions of each kind, and of all."""
    groups: dict[Hashable, list[Scored]] = {ALL: list(scored)}
    for one in scored:
        groups.setdefault(one.kind, []).append(one)
    return groups
