"""The demo home as a benchmark: homes no model was trained on, five roles, each with questions of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from taskmem_ros.clips import Clip
from taskmem_ros.home import ROLES, Fact, Query, look_up, memory_text, queries_about
from taskmem_ros.policy import Draft
from taskmem_train.bench.types import FIRST_DAY_NS, Dataset, Question, StreamItem, digest
from taskmem_train.contexts import Context
from taskmem_train.demo.samples import LIST_INSTRUCTION, MAX_FACTS
from taskmem_train.home import STREAM_CLIPS, home_stream, recent_questions, role_questions

MORNING_NS = FIRST_DAY_NS + 8 * 3600 * 1_000_000_000  # when the demo home's clock stands at zero
RECENT_SEEDS = range(6_500_000, 6_500_040)  # homes whose questions a robot was asked before


def home_dataset(
    seeds: Sequence[int],
    *,
    questions: int = 4,
    clips: int = STREAM_CLIPS,
    roles: Sequence[str] = tuple(ROLES),
    recent_seeds: Sequence[int] = RECENT_SEEDS,
) -> Dataset:
    """A stream of each home; up to `questions` of each role, its kind, are asked when it has ended.

    Raises ValueError for an unknown role, for homes that a model may have been trained on, and where
    `recent_seeds` has one of `seeds`.
    """
    if both := set(seeds) & set(recent_seeds):
        raise ValueError(
            f"home {min(both)} is asked about and was asked about before; take other recent_seeds"
        )
    return Dataset(
        name="home",
        streams=tuple(_item(seed, questions, clips, roles) for seed in seeds),
        observed=f"{clips} clips",
        list_instruction=LIST_INSTRUCTION,
        asked_before={role: tuple(q.text for q in recent_questions(role, recent_seeds)) for role in roles},
    )


def _item(seed: int, questions: int, clips: int, roles: Sequence[str]) -> StreamItem:
    stream = home_stream(seed, clips)
    asked = [
        Question(f"{stream.id}-{role}-{index}", question.text, role, question.answer or "", home=question)
        for role in roles
        for index, question in enumerate(role_questions(stream, role, questions))
    ]

    def observe() -> Iterator[Clip]:
        return (_dated(seen.clip) for seen in home_stream(seed, clips).seen)

    facts = {_dated(seen.clip).start_ns: seen.facts for seen in stream.seen}
    return StreamItem(stream.id, tuple(asked), observe, digest([stream.id, clips]), clips, facts)


def _dated(clip: Clip) -> Clip:
    """A clip of the home's first day, on a day of the calendar."""
    frames = tuple(replace(frame, stamp_ns=frame.stamp_ns + MORNING_NS) for frame in clip.frames)
    start, end = clip.start_ns + MORNING_NS, clip.end_ns + MORNING_NS
    return replace(clip, start_ns=start, end_ns=end, frames=frames)


@dataclass(frozen=True)
class Oracle:
    """The ceiling of one role: of each clip the true facts that its later questions need, at most MAX_FACTS,
    worded by the home itself. It knows the questions, which no robot does.
    """

    dataset: Dataset
    role: str

    @property
    def identity(self) -> dict[str, Any]:
        asked = [q.text for stream in self.dataset.streams for q in stream.questions if q.kind == self.role]
        return {"model": "oracle", "role": self.role, "asked": digest(asked)}

    def write(self, contexts: Sequence[Context]) -> list[Draft]:
        texts = self._texts()
        return [_draft(texts.get(context.id, "")) for context in contexts]

    def _texts(self) -> dict[str, str]:
        return {
            f"{stream.id}@{start_ns}": memory_text(facts, random.Random(f"oracle {stream.id} {start_ns}"))
            for stream in self.dataset.streams
            for start_ns, facts in self._needed(stream).items()
        }

    def _needed(self, stream: StreamItem) -> dict[int, list[Fact]]:
        """Start of a clip -> the facts of its memory."""
        starts = sorted(stream.facts)
        seen = [stream.facts[start] for start in starts]
        chosen: dict[int, list[Fact]] = {start: [] for start in starts}
        for question in stream.questions:
            if question.kind != self.role or question.home is None:
                continue
            finding = look_up(question.home.query, seen)
            if finding is not None:
                memory = chosen[starts[finding.source]]
                memory += [f for f in answering(question.home.query, seen[finding.source]) if f not in memory]
        for start, facts in zip(starts, seen):
            # A clip that no question is about has a memory as well: the robot writes one of every clip.
            of_role = [f for f in facts if any(q.form in ROLES[self.role] for q in queries_about(f))]
            chosen[start] = chosen[start][:MAX_FACTS] or (of_role or list(facts))[:1]
        return {start: facts for start, facts in chosen.items() if facts}


def answering(query: Query, facts: Sequence[Fact]) -> list[Fact]:
    """The fewest facts of a clip that answer a query as all of them do."""
    if query.form == "who_in":
        people = {fact.subject: fact for fact in facts if look_up(query, [[fact]])}
        return list(people.values())
    return [fact for fact in facts if look_up(query, [[fact]])][-1:]


def _draft(text: str) -> Draft:
    if not text:
        return Draft(None, "", 0, 0, 0.0, "the clip shows nothing")
    return Draft(text, text, 0, 0, 0.0)
