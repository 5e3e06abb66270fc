"""The systems of a run: what writes the memories that are compared."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskmem_ros.policy import Draft, MemoryPolicy
from taskmem_ros.policy.adapter import WEIGHTS_FILE
from taskmem_ros.policy.load import file_hash
from taskmem_ros.policy.prompt import INSTRUCTION, PROMPT_HASH
from taskmem_train.bench.types import Dataset, Writer, digest, stream_of
from taskmem_train.contexts import Context
from taskmem_train.prompts import PromptBatch
from taskmem_train.rollout import Sampler

RECENT = 5  # questions that a task prompt has at most
CLIPS_SEEN = 128  # whose features are kept, with their frames: the windows of some streams
_OPENING = re.compile(r"In the [^,.]+, ")  # "In the kitchen, " alone says nothing
_CLAUSE_END = re.compile(r"[.;!?](?=\s|$)|,(?=\s)|(?= and )")


class PolicyMemorizer:
    """The policy as it is, or with an adapter (its folder).

    newest_only: it sees the newest clip alone and no memory, as where a clip is to be described for itself.
    max_new_tokens: of a memory and its thoughts; None is what the robot allows.
    eyes: shared by the memorizers of one policy, so that a clip is looked at once.
    """

    def __init__(
        self,
        policy: MemoryPolicy,
        *,
        adapter: str | Path | None = None,
        instruction: str = INSTRUCTION,
        temperature: float | None = None,
        newest_only: bool = False,
        max_new_tokens: int | None = None,
        seed: int = 0,
        eyes: PromptBatch | None = None,
    ):
        eyes = eyes or PromptBatch(policy.checkpoint, CLIPS_SEEN)
        self._policy, self._folder, self._newest_only = policy, adapter, newest_only
        self._adapter = file_hash(Path(adapter).expanduser() / WEIGHTS_FILE) if adapter else ""
        longest = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
        how = {"temperature": temperature, "instruction": instruction, "seed": seed, **longest}
        self._sampler = Sampler(policy, eyes=eyes, **how)
        report = policy.report
        self.identity: Mapping[str, Any] = {
            "model": policy.provenance.model,
            "revision": report.revision,
            "quantization": report.quantization,
            "dtype": report.dtype,
            "adapter": self._adapter,
            "prompt_hash": PROMPT_HASH if instruction == INSTRUCTION else digest([PROMPT_HASH, instruction]),
            "temperature": temperature,
            "newest_only": newest_only,
            "seed": seed,
            **longest,
        }

    def write(self, contexts: Sequence[Context]) -> list[Draft]:
        """Raises LoadError where the adapter does not fit."""
        if self._policy.provenance.adapter != self._adapter:
            if self._folder is None:
                self._policy.unload_adapter()
            else:
                self._policy.set_adapter(self._folder, self._adapter)
        if self._newest_only:
            contexts = [replace(context, clips=context.clips[-1:], memories=()) for context in contexts]
        return self._sampler.write(contexts)


def task_instruction(questions: Sequence[str]) -> str:
    """The memorizing instruction of a robot that knows what it is often asked."""
    if not questions:
        return INSTRUCTION
    return f"{INSTRUCTION}\nThe robot is often asked questions like these: {' '.join(questions[-RECENT:])}"


class RecentQuestions:
    """What a robot had been asked of one kind when a clip began: at most RECENT, the newest last."""

    def __init__(self, dataset: Dataset, kind: str):
        self._before = dataset.asked_before.get(kind)
        self._order = {stream.id: index for index, stream in enumerate(dataset.streams)}
        end = float("inf")
        asked = [
            ((index, end if question.reveal_ns is None else question.reveal_ns), question.text)
            for index, stream in enumerate(dataset.streams)
            for question in stream.questions
            if question.kind == kind
        ]
        asked.sort(key=lambda item: item[0])
        self._times, self._texts = [at for at, _ in asked], [text for _, text in asked]
        self.identity = digest([self._before, asked if self._before is None else None])

    def __call__(self, context: Context) -> tuple[str, ...]:
        if self._before is not None:
            return self._before[-RECENT:]
        # A stream's questions are known to the streams after it, and to itself once they were asked.
        now = (self._order[stream_of(context.id)], context.clips[-1].start_ns)
        known = bisect_right(self._times, now)
        return tuple(self._texts[max(0, known - RECENT) : known])


class TaskPrompt:
    """Recent questions in the memorizing prompt, and no training: the cheap way to a focus."""

    def __init__(
        self,
        policy: MemoryPolicy,
        recent: RecentQuestions,
        *,
        temperature: float | None = None,
        max_new_tokens: int | None = None,
        seed: int = 0,
        eyes: PromptBatch | None = None,
    ):
        self._policy, self._recent = policy, recent
        eyes = eyes or PromptBatch(policy.checkpoint, CLIPS_SEEN)
        how = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed}
        self._how: dict[str, Any] = {**how, "eyes": eyes}
        base = PolicyMemorizer(policy, **self._how)
        self._writers = {INSTRUCTION: base}
        self.identity = {
            **base.identity,
            "prompt_hash": digest([PROMPT_HASH, task_instruction(["..."]), recent.identity]),
        }

    def write(self, contexts: Sequence[Context]) -> list[Draft]:
        groups: dict[str, list[int]] = {}
        for index, context in enumerate(contexts):
            groups.setdefault(task_instruction(self._recent(context)), []).append(index)
        drafts: dict[int, Draft] = {}
        for instruction, indices in groups.items():
            written = self._writer(instruction).write([contexts[index] for index in indices])
            drafts |= dict(zip(indices, written))
        return [drafts[index] for index in range(len(contexts))]

    def _writer(self, instruction: str) -> PolicyMemorizer:
        if instruction not in self._writers:
            self._writers[instruction] = PolicyMemorizer(self._policy, instruction=instruction, **self._how)
        return self._writers[instruction]


@dataclass(frozen=True)
class DescribeEverything:
    """All that the model sees in a clip, cut to as many tokens as another system's memories have on average.

    writer: lists what a clip shows. like: the system that sets the budget. count: tokens of a text.
    """

    writer: Writer
    count: Callable[[str], int]
    like: str = "policy"

    def within(self, tokens: int) -> Writer:
        return _Cut(self.writer, self.count, tokens)


@dataclass(frozen=True)
class _Cut:
    writer: Writer
    count: Callable[[str], int]
    tokens: int

    @property
    def identity(self) -> Mapping[str, Any]:
        return {**self.writer.identity, "cut_to": self.tokens}

    def write(self, contexts: Sequence[Context]) -> list[Draft]:
        drafts = self.writer.write(contexts)
        return [
            d if d.text is None else replace(d, text=cut(d.text, self.tokens, self.count)) for d in drafts
        ]


def cut(text: str, tokens: int, count: Callable[[str], int]) -> str:
    """The beginning of a text, whole clauses, that comes nearest to so many tokens; the shorter of two."""
    opening = _OPENING.match(text)
    ends = [found.start() for found in _CLAUSE_END.finditer(text, opening.end() if opening else 0)]
    parts = [text[:end].rstrip(" ,;") for end in ends if end] or [text]
    whole = [part if part[-1] in ".!?" else f"{part}." for part in parts]
    return min([*whole, text], key=lambda part: (abs(count(part) - tokens), len(part)))
