"""OUT/rollouts.db: candidates and verdicts, so that a run that was cut off asks for nothing twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlite_utils import Database
from tqdm import tqdm

from taskmem_ros.policy import Draft
from taskmem_train.contexts import Context
from taskmem_train.judges.types import HelpfulnessJudge, JudgeError, Verdict
from taskmem_train.rollout import Sampler

Sample = Callable[[Sequence[Context]], list[list[Draft]]]
_AT_ONCE = 16  # contexts between two commits


class RolloutLedger:
    """Everything stands under a key of all that it depends on. Not thread-safe."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = Database(sqlite3.connect(path, timeout=60))
        self._db["candidates"].create(
            {"key": str, "context": str, "drafts": str}, pk="key", if_not_exists=True
        )
        self._db["verdicts"].create({"key": str, "verdict": str}, pk="key", if_not_exists=True)

    def close(self) -> None:
        self._db.close()

    def candidates(
        self,
        contexts: Sequence[Context],
        sample: Sample,
        identity: Any,
        at_once: int = _AT_ONCE,
        progress: bool = True,
    ) -> list[list[Draft]]:
        """The candidates of each context: kept ones, and for the rest what `sample` gives.

        identity: JSON of all that the candidates follow from, besides the contexts. at_once: contexts that
        are sampled before they are kept.
        """
        keys = [_digest([identity, context.id, context.memories]) for context in contexts]
        missing = [i for i, key in enumerate(keys) if self._row("candidates", key) is None]
        with tqdm(total=len(contexts), initial=len(contexts) - len(missing), desc="candidates", unit="",
                  disable=None if progress else True) as bar:  # fmt: skip
            for some in _slices(missing, at_once):
                for i, drafts in zip(some, sample([contexts[i] for i in some])):
                    row = {
                        "key": keys[i],
                        "context": contexts[i].id,
                        "drafts": json.dumps([vars(d) for d in drafts]),
                    }
                    self._db["candidates"].upsert(row, pk="key")
                bar.update(len(some))
        return [
            [Draft(**draft) for draft in json.loads(self._row("candidates", key)["drafts"])] for key in keys
        ]

    def verdict(self, key: str) -> str | None:
        row = self._row("verdicts", key)
        return row and row["verdict"]

    def keep_verdict(self, key: str, verdict: str) -> None:
        self._db["verdicts"].upsert({"key": key, "verdict": verdict}, pk="key")

    def _row(self, table: str, key: str) -> dict[str, Any] | None:
        return next(self._db[table].rows_where("key = ?", [key]), None)


class KeptMemorizer:
    """A sampler that writes only what it has not written before."""

    def __init__(self, sampler: Sampler, ledger: RolloutLedger):
        self._sampler, self._ledger = sampler, ledger

    def write(self, contexts: Sequence[Context]) -> list[Draft]:
        def sample(some: Sequence[Context]) -> list[list[Draft]]:
            return [[draft] for draft in self._sampler.write(some)]

        identity = ["written", self._sampler.identity]
        kept = self._ledger.candidates(contexts, sample, identity, at_once=len(contexts), progress=False)
        return [draft for (draft,) in kept]


class KeptJudge:
    """A judge that asks another only what it has not been asked before. Failures are not kept."""

    def __init__(self, judge: HelpfulnessJudge, ledger: RolloutLedger, identity: str):
        self._judge, self._ledger, self._identity = judge, ledger, identity

    def compare(
        self, context: Context, pairs: Sequence[tuple[str, str]], questions: Sequence[str]
    ) -> list[Verdict]:
        about = [self._identity, context.id, context.memories, list(questions)]
        keys = [_digest([*about, pair]) for pair in pairs]
        kept: dict[str, Verdict] = {key: self._ledger.verdict(key) for key in keys}
        new = [i for i, key in enumerate(keys) if kept[key] is None]
        if new:
            for i, verdict in zip(new, self._judge.compare(context, [pairs[i] for i in new], questions)):
                kept[keys[i]] = verdict
                if not isinstance(verdict, JudgeError):
                    self._ledger.keep_verdict(keys[i], verdict)
        return [kept[key] for key in keys]


def _slices(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]
