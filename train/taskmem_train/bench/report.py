"""What a run found: as Python values, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskmem_train.bench.scores import ALL, Row, Scored
from taskmem_train.stats import Interval

_HEAD = ("kind", "system", "questions", "accuracy", "coverage", "precision", "failed")
_MEMORY_HEAD = ("tokens/memory", "no memory")
_TRUTH_HEAD = ("true", "facts/memory")


@dataclass(frozen=True)
class Result:
    """The rows of all systems and kinds, and what else a reader of them wants to know.

    comparisons: accuracy against the first system, paired by question. costs: system -> tokens and seconds.
    settings: what the run was made with. skipped: what the dataset lacks. scored: system -> its questions in
    the order of the dataset; it is not written.
    """

    dataset: str
    rows: tuple[Row, ...]
    comparisons: tuple[dict[str, Any], ...] = ()
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    scored: dict[str, tuple[Scored, ...]] = field(default_factory=dict)

    def row(self, system: str, kind: str = ALL) -> Row:
        """Raises KeyError where there is none."""
        for row in self.rows:
            if (row.system, row.kind) == (system, kind):
                return row
        raise KeyError(f"no row of system {system!r} and kind {kind!r}")

    def table(self) -> str:
        """The rows as a Markdown table, percentages with their intervals."""
        truth = any(row.memories.true_share is not None for row in self.rows)
        head = (*_HEAD, *_MEMORY_HEAD, *(_TRUTH_HEAD if truth else ()))
        return _markdown(head, [_cells(row, truth) for row in self.rows])

    def as_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "settings": self.settings,
            "rows": [row.as_dict() for row in self.rows],
            "comparisons": list(self.comparisons),
            "costs": self.costs,
            "skipped": list(self.skipped),
        }

    def write(self, out: Path) -> None:
        """OUT/results.json and OUT/results.md."""
        text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False)
        (out / "results.json").write_text(f"{text}\n", encoding="utf-8")
        (out / "results.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """The whole report."""
        confidence = self.settings.get("confidence", 0.95)
        parts = [
            f"# {self.dataset}",
            "Questions are revealed at their time and answered from memory alone. Accuracy: right of all; "
            "coverage: answered of all; precision: right of those answered. In brackets: "
            f"{confidence:.0%} intervals, drawn by stream. A failed call counts as no answer.",
            self.table(),
        ]
        if self.comparisons:
            head = ("kind", "system", "than", "questions", "difference in accuracy", "p")
            cells = [
                (c["kind"], c["system"], c["than"], str(c["questions"]), _signed(c), f"{c['p']:.3f}")
                for c in self.comparisons
            ]
            parts += ["## Compared, question by question", _markdown(head, cells)]
        if self.costs:
            names = tuple(next(iter(self.costs.values())))
            cells = [(name, *(_number(cost[key]) for key in names)) for name, cost in self.costs.items()]
            parts += ["## Cost", _markdown(("system", *(name.replace("_", " ") for name in names)), cells)]
        if failures := self._failures():
            parts += ["## Failed", "\n".join(failures)]
        if self.skipped:
            parts += ["## Skipped, not scored", "\n".join(f"- {line}" for line in self.skipped)]
        lines = [f"- {name}: {value}" for name, value in self.settings.items()]
        parts += ["## Settings", "\n".join(lines)]
        return "\n\n".join(parts) + "\n"

    def _failures(self) -> list[str]:
        lines = []
        for row in self.rows:
            if row.kind == ALL:
                lines += [f"- {row.system}: {n} questions: {name}" for name, n in row.failures.items()]
                lines += [f"- {row.system}: {n} clips: {why}" for why, n in row.memories.failures.items()]
        return lines


def _cells(row: Row, truth: bool) -> tuple[str, ...]:
    held = row.memories
    cells = (
        row.kind, row.system, str(row.questions), _percent(row.accuracy), _percent(row.coverage),
        _percent(row.precision), str(sum(row.failures.values())), _number(held.tokens_per_memory),
        f"{held.failed}/{held.clips}",
    )  # fmt: skip
    if not truth:
        return cells
    return (
        *cells,
        "-" if held.true_share is None else f"{held.true_share:.1%}",
        _number(held.facts_per_memory),
    )


def _percent(share: Interval | None) -> str:
    if share is None:
        return "-"
    ends = "" if share.low is None else f" [{100 * share.low:.1f}, {100 * share.high:.1f}]"
    return f"{100 * share.value:.1f}{ends}"


def _signed(found: dict[str, Any]) -> str:
    ends = "" if found["low"] is None else f" [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"
    return f"{100 * found['difference']:+.1f}{ends}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *escaped))
