"""What the gate found, as one value: what is written as gate.json or refused.json, and told by the card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from taskmem_train.gate.measures import Measures
from taskmem_train.gate.rules import Decision, GateRules, decide
from taskmem_train.stats import bootstrap_interval, paired_bootstrap

ALL = "all"
SHARES = ("accuracy", "coverage", "precision", "fidelity", "failed_share")


@dataclass(frozen=True)
class Example:
    """Memories of one clip. before, after: by what is in use and by the candidate, None where it failed."""

    clip: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class GateReport:
    """A candidate at the gate.

    name: what to call the adapter. kind: "steer" or "lora". base_model, base_revision: as provenance has
    them. in_use_name: the adapter that is replaced, "" for none. config: of the run, values of JSON.
    questions: the recent ones that it was fitted to.
    """

    name: str
    kind: str
    base_model: str
    base_revision: str
    config: Mapping[str, Any]
    questions: tuple[str, ...]
    candidate: Measures
    in_use: Measures
    task_prompt: Measures | None
    rules: GateRules
    decision: Decision
    in_use_name: str = ""
    examples: tuple[Example, ...] = ()

    @classmethod
    def judge(cls, *, rules: GateRules, **values: Any) -> GateReport:
        """The report with the decision by the rules; values: the other fields. Raises ValueError."""
        measured = [values[name] for name in ("candidate", "in_use", "task_prompt")]
        return cls(rules=rules, decision=decide(*measured, rules), **values)

    @property
    def systems(self) -> dict[str, Measures]:
        """What was measured, by name."""
        found = {"in use": self.in_use, "task prompt": self.task_prompt, "candidate": self.candidate}
        return {name: measures for name, measures in found.items() if measures is not None}

    def kinds(self) -> tuple[str, ...]:
        """All, then each kind of question as they come."""
        return (ALL, *dict.fromkeys(self.candidate.kinds))

    def accuracy(self, system: str, kind: str) -> dict[str, Any]:
        """questions, value, low, high, and coverage, of a system on one kind of question."""
        measures, numbers = self.systems[system], self._numbers(kind)
        right, groups = ([column[n] for n in numbers] for column in (measures.right, measures.groups))
        if not numbers:
            return {"questions": 0, "value": None, "low": None, "high": None, "coverage": None}
        interval = bootstrap_interval(right, groups, **self._how)
        covered = sum(measures.answered[n] for n in numbers) / len(numbers)
        return {"questions": len(numbers) // measures.repeats} | interval._asdict() | {"coverage": covered}

    def gain(self, kind: str) -> dict[str, Any]:
        """difference, low, high: of the candidate's accuracy over what is in use, on one kind of question."""
        numbers = self._numbers(kind)
        if not numbers:
            return {"difference": None, "low": None, "high": None}
        columns = (self.candidate.right, self.in_use.right, self.candidate.groups)
        found = paired_bootstrap(*([column[n] for n in numbers] for column in columns), **self._how)
        return {"difference": found.difference, "low": found.interval.low, "high": found.interval.high}

    def json(self) -> str:
        """config of the run, metrics and decision; the same report gives the same text."""
        about = ("name", "kind", "base_model", "base_revision", "in_use_name", "questions")
        metrics = {name: self._metrics(name) for name in self.systems}
        value = {name: getattr(self, name) for name in about} | {
            "decision": asdict(self.decision),
            "rules": asdict(self.rules),
            "metrics": metrics,
            "gain": {kind: self.gain(kind) for kind in self.kinds()},
            "config": dict(self.config),
            "examples": [asdict(example) for example in self.examples],
        }
        return json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n"

    def _metrics(self, system: str) -> dict[str, Any]:
        measures = self.systems[system]
        counts = ("stated", "true", "clips", "failed", "tokens_per_memory")
        found = {name: getattr(measures, name) for name in (*SHARES, *counts)}
        return found | {"kinds": {kind: self.accuracy(system, kind) for kind in self.kinds()}}

    def _numbers(self, kind: str) -> list[int]:
        return list(range(len(self.candidate.questions))) if kind == ALL else self.candidate.of_kind(kind)

    @property
    def _how(self) -> dict[str, Any]:
        return {name: getattr(self.rules, name) for name in ("confidence", "resamples", "seed")}
