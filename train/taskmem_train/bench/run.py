"""A run: memories of every system, then questions, then numbers; it goes on where it was cut off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from taskmem_train.bench.judges import ExactJudge, HomeJudge, Judge
from taskmem_train.bench.ledger import Ledger
from taskmem_train.bench.reading import ANSWERED, DECIDED, FAILURES_IN_A_ROW, Desk, StreamReader
from taskmem_train.bench.report import Result
from taskmem_train.bench.scores import ALL, Memories, Row, Scored, by_kind, comparison, memories_of, row
from taskmem_train.bench.types import Budgeted, Dataset, Question, StreamItem, Writer, digest
from taskmem_train.bench.writing import Bank
from taskmem_train.stats import CONFIDENCE, RESAMPLES

# One writer for all kinds of questions, or one for each kind.
System = Writer | Budgeted | Mapping[str, Writer]


def run_stream_benchmark(
    dataset: Dataset,
    systems: Mapping[str, System],
    reader: StreamReader,
    out: str | Path,
    *,
    count_tokens: Callable[[str], int],
    judge: Judge | None = None,
    window: int = 5,
    at_once: int = 16,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: bool = True,
) -> Result:
    """Let each system live through the streams, ask the questions, and count.

    systems: name -> what writes its memories; the first is what the others are compared with. count_tokens:
    of a text. judge: by default the demo home's own for "home", else ExactJudge. window: clips that a writer
    sees. at_once: streams in lock-step. Leaves in `out`: memories/, run.db, results.json, results.md.

    Raises ValueError where there is nothing to score, where a system has no writer for a kind, and when the
    reader or the judge fails again and again; run it again then.
    """
    out = Path(out)
    _check(dataset, systems)
    judge = judge or (HomeJudge() if dataset.name == "home" else ExactJudge())
    ledger = Ledger(out / "run.db")
    run = _Run(dataset, out, ledger, window, at_once, count_tokens, progress)
    how = {"confidence": confidence, "resamples": resamples, "seed": seed}
    try:
        for name, system in systems.items():
            run.write(name, system)
        desk = Desk(reader, ledger)
        scored = {name: run.score(name, desk, judge) for name in systems}
        result = Result(
            dataset.name,
            tuple(_rows(run, scored, how)),
            tuple(_comparisons(scored, how)),
            {name: run.cost(name) for name in systems},
            {
                "streams": len(dataset.streams), "observed": dataset.observed, "window": window,
                "reader": dict(reader.identity), "judge": judge.identity, **how,
                "banks": {name: run.bank_names(name) for name in systems},
            },
            dataset.skipped,
            {name: tuple(questions) for name, questions in scored.items()},
        )  # fmt: skip
    finally:
        ledger.close()
    result.write(out)
    return result


def _check(dataset: Dataset, systems: Mapping[str, System]) -> None:
    if not systems:
        raise ValueError("there is no system; give at least one, as in {'policy': PolicyMemorizer(policy)}")
    if not dataset.kinds:
        missing = f"; {len(dataset.skipped)} skipped, {dataset.skipped[0]} for one" if dataset.skipped else ""
        raise ValueError(f"dataset {dataset.name!r} has no question to ask{missing}")
    ids = [q.id for stream in dataset.streams for q in stream.questions]
    if len(set(ids)) < len(ids):
        twice = next(id for id in ids if ids.count(id) > 1)
        raise ValueError(f"question id {twice!r} is there more than once in dataset {dataset.name!r}")
    for name, system in systems.items():
        lacking = [kind for kind in dataset.kinds if isinstance(system, Mapping) and kind not in system]
        if lacking:
            raise ValueError(f"system {name!r} has no writer for questions of kind {lacking[0]!r}")


@dataclass
class _Run:
    """What a run knows of its systems. banks: system -> kind -> the memories that its questions are asked
    of.
    """

    dataset: Dataset
    out: Path
    ledger: Ledger
    window: int
    at_once: int
    count_tokens: Callable[[str], int]
    progress: bool
    banks: dict[str, dict[str, Bank]] = field(default_factory=dict)
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    held: dict[tuple[Bank, StreamItem], Memories] = field(default_factory=dict)
    judge_failed_in_a_row: int = 0

    def write(self, name: str, system: System) -> None:
        """All memories of a system. One writer for all kinds writes once for all of them."""
        if isinstance(system, Mapping):
            banks = {kind: self._bank(f"{name}-{kind}", system[kind]) for kind in self.dataset.kinds}
        else:
            banks = dict.fromkeys(self.dataset.kinds, self._bank(name, self._within_budget(name, system)))
        self.banks[name] = banks
        for bank, streams in self.used(name):
            bank.write(streams, window=self.window, at_once=self.at_once, progress=self.progress)

    def _bank(self, name: str, writer: Writer) -> Bank:
        told = digest([dict(writer.identity), self.dataset.name, self.dataset.observed, self.window])
        plain = "".join(c if c.isalnum() else "-" for c in name)
        return Bank(self.out / "memories" / f"{plain}-{told}", writer, self.ledger, self.count_tokens)

    def _within_budget(self, name: str, system: Writer | Budgeted) -> Writer:
        if not isinstance(system, Budgeted):
            return system
        if system.like not in self.banks:
            raise ValueError(f"system {name!r} may use as many tokens as {system.like!r}; run that before it")
        mean = self.memories(system.like).tokens_per_memory
        if mean is None:
            raise ValueError(f"system {system.like!r} wrote no memory, so {name!r} has no budget")
        return system.within(round(mean))

    def used(self, name: str, kind: str = ALL) -> list[tuple[Bank, list[StreamItem]]]:
        """The banks of a system that its questions (of one kind) are asked of, with their streams."""
        streams: dict[Bank, list[StreamItem]] = {}
        for stream in self.dataset.streams:
            for asked in dict.fromkeys(q.kind for q in stream.questions if kind in (ALL, q.kind)):
                of_bank = streams.setdefault(self.banks[name][asked], [])
                if stream not in of_bank:
                    of_bank.append(stream)
        return list(streams.items())

    def memories(self, name: str, kind: str = ALL) -> Memories:
        """What the memories hold that a system's questions (of one kind) are asked of."""
        pairs = [(bank, stream) for bank, streams in self.used(name, kind) for stream in streams]
        for bank, stream in pairs:
            if (bank, stream) not in self.held:
                self.held[bank, stream] = memories_of(bank, stream, self.count_tokens)
        return sum((self.held[pair] for pair in pairs), Memories())

    def score(self, name: str, desk: Desk, judge: Judge) -> list[Scored]:
        """Ask and judge all questions, in the order of the dataset."""
        total = sum(len(stream.questions) for stream in self.dataset.streams)
        with tqdm(total=total, desc=f"questions {name}", unit="", disable=_quiet(self.progress)) as bar:
            jobs = [partial(self._ask, name, stream, desk, bar) for stream in self.dataset.streams]
            answers = desk.reader.together(jobs)
        self.answers[name] = [row for rows in answers for row in rows.values()]
        return [
            self._judged(stream, question, rows[question.id], judge)
            for stream, rows in zip(self.dataset.streams, answers)
            for question in stream.questions
        ]

    def _ask(self, name: str, stream: StreamItem, desk: Desk, bar: tqdm) -> dict[str, dict[str, Any]]:
        """question id -> its answer, of all questions about a stream."""
        rows: dict[str, dict[str, Any]] = {}
        for bank in dict.fromkeys(self.banks[name][q.kind] for q in stream.questions):
            asked = [q for q in stream.questions if self.banks[name][q.kind] is bank]
            rows |= desk.ask(name, bank.name, stream.id, bank.path(stream), asked, bar)
        return rows

    def _judged(self, stream: StreamItem, question: Question, row: dict[str, Any], judge: Judge) -> Scored:
        about = (stream.id, question.id, question.kind)
        if row["status"] not in DECIDED:
            return Scored(*about, answered=False, right=False, failure=_failure(row))
        if row["status"] != ANSWERED:
            return Scored(*about, answered=False, right=False)
        kept = self.ledger.verdict(row["key"], judge.identity)
        if kept is None or kept["right"] is None:
            try:
                right, error = judge.right(question, row["text"]), ""
            except (ValueError, OSError) as failure:
                right, error = None, f"{type(failure).__name__}: {failure}"
            self.ledger.keep_verdict(row["key"], judge.identity, right, error)
            self.judge_failed_in_a_row = self.judge_failed_in_a_row + 1 if error else 0
            if self.judge_failed_in_a_row >= FAILURES_IN_A_ROW:
                raise ValueError(
                    f"the judge failed {FAILURES_IN_A_ROW} times in a row, the last time with {error}; run "
                    "again to go on from here"
                )
            kept = {"right": right}
        if kept["right"] is None:
            return Scored(*about, answered=False, right=False, failure="judge failed")
        return Scored(*about, answered=True, right=bool(kept["right"]))

    def cost(self, name: str) -> dict[str, Any]:
        """Tokens and seconds of all runs that wrote and read it; None where a reader tells none."""
        drafts = [
            draft
            for bank, streams in self.used(name)
            for draft in self.ledger.drafts(bank.name, (stream.id for stream in streams))
        ]
        tokens = [answer["tokens"] for answer in self.answers[name]]
        return {
            "clips": len(drafts),
            "memorizing_tokens": sum(draft["tokens"] for draft in drafts),
            "memorizing_seconds": sum(draft["seconds"] for draft in drafts),
            "memory_tokens": sum(draft["memory_tokens"] for draft in drafts),
            "reading_tokens": None if None in tokens else sum(tokens),
            "reading_seconds": sum(answer["seconds"] for answer in self.answers[name]),
        }

    def bank_names(self, name: str) -> dict[str, str] | str:
        names = {kind: bank.name for kind, bank in self.banks[name].items()}
        return names if len(set(names.values())) > 1 else next(iter(names.values()))


def _quiet(progress: bool) -> bool | None:
    """tqdm's disable: None shows a bar on a terminal alone."""
    return None if progress else True


def _failure(row: dict[str, Any]) -> str:
    """What failed, without the words of one call: failures of one sort are counted together."""
    return row["message"].partition(":")[0] if row["status"] == "error" else row["status"]


def _rows(run: _Run, scored: Mapping[str, Sequence[Scored]], how: dict[str, Any]) -> list[Row]:
    groups = {name: by_kind(questions) for name, questions in scored.items()}
    return [
        row(name, kind, groups[name][kind], run.memories(name, kind), how)
        for kind in (ALL, *run.dataset.kinds)
        for name in scored
    ]


def _comparisons(scored: Mapping[str, Sequence[Scored]], how: dict[str, Any]) -> list[dict[str, Any]]:
    first, *others = scored
    groups = {name: by_kind(questions) for name, questions in scored.items()}
    return [
        comparison(name, first, kind, groups[name][kind], groups[first][kind], how)
        for kind in groups[first]
        for name in others
    ]
