"""How truthful a policy's memories are, and how well its reader reads, on demo homes it was never trained on.

`taskmem-train check --seeds A-B --json` measures through the very parts the robot runs: the clip's window,
the memorizing prompt, the reading prompt, and what parses their replies.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timezone

from tqdm import tqdm

from taskmem_ros.clips import Window
from taskmem_ros.home import (
    FACT_KINDS,
    Fact,
    HomeQuestion,
    HomeSim,
    Query,
    is_right,
    look_up,
    memory_text,
    near_misses,
    queries_about,
    read_memory,
)
from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.recall.prompt import parse_reading, reading_prompt
from taskmem_train.demo.samples import TRAIN_SEEDS, SeenClip, choose_facts, watch

MOST_MEMORIES = 8  # what the reader is given at once on the robot


@dataclass
class Tally:
    """Counts of a check. wrong: examples of what went wrong, for reading."""

    clips: int = 0
    failed_clips: int = 0
    stated: int = 0
    true: int = 0
    kinds: Counter = field(default_factory=Counter)
    true_kinds: Counter = field(default_factory=Counter)
    asked: Counter = field(default_factory=Counter)
    right: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def report(self) -> dict:
        """The measures; shares are None where nothing was counted."""
        return {
            "clips": self.clips,
            "questions": self.asked.total(),
            "fidelity": _share(self.true, self.stated),
            "facts_per_memory": _share(self.true, self.clips),
            "reader_accuracy": _share(self.right["answerable"], self.asked["answerable"]),
            "abstention_accuracy": _share(self.right["unanswerable"], self.asked["unanswerable"]),
            "failed_clips": self.failed_clips,
            "stated_by_kind": {kind: self.kinds[kind] for kind in FACT_KINDS},
            "fidelity_by_kind": {
                kind: _share(self.true_kinds[kind], self.kinds[kind]) for kind in FACT_KINDS
            },
        }


def check(
    policy: MemoryPolicy, seeds: Sequence[int], clips: int, questions: int, *, progress: bool = True
) -> Tally:
    """Measure over at least `clips` clips and `questions` questions, spread evenly over the worlds of
    `seeds`.

    Raises ValueError for seeds that were trained on.
    """
    if not seeds or min(seeds) < TRAIN_SEEDS:
        raise ValueError(f"seeds below {TRAIN_SEEDS} are for training; check with worlds never trained on")
    tally = Tally()
    each_clips, each_questions = -(-clips // len(seeds)), -(-questions // len(seeds))
    bar = tqdm(total=(each_clips + each_questions) * len(seeds), unit="", disable=not progress)
    for seed in seeds:
        rng = random.Random(f"check {seed}")
        stream = watch(HomeSim(seed), rng.randrange(40), max(each_clips, MOST_MEMORIES), rng)
        for _ in _check_memories(policy, stream[:each_clips], tally):
            bar.update()
        for _ in _check_reading(policy, stream, each_questions, rng, tally):
            bar.update()
    bar.close()
    return tally


def _check_memories(policy: MemoryPolicy, stream: Sequence[SeenClip], tally: Tally) -> Iterator[None]:
    """Write memories of a stream as the robot does, each given its predecessors, and hold them against the
    truth.
    """
    window = Window()
    for seen in stream:
        clips, memories = window.push(seen.clip)
        draft = policy.write(clips, memories)
        tally.clips += 1
        if draft.text is None:
            # A reply that is no memory states nothing, but it is no true memory either.
            tally.failed_clips += 1
            tally.stated += 1
            tally.wrong.append(f"no memory ({draft.error}): {draft.raw}")
        else:
            window.remember(draft.text)
            _count(draft.text, seen.facts, tally)
        yield


def _count(text: str, truth: Sequence[Fact], tally: Tally) -> None:
    facts, unread = read_memory(text)
    tally.stated += len(facts) + len(unread)
    tally.wrong += [f"not a statement: {clause!r} in {text!r}" for clause in unread]
    true = set(truth)
    for fact in facts:
        tally.kinds[fact.kind] += 1
        if fact in true:
            tally.true += 1
            tally.true_kinds[fact.kind] += 1
        else:
            tally.wrong.append(f"not so: {fact} in {text!r}")


def _check_reading(
    policy: MemoryPolicy, stream: Sequence[SeenClip], count: int, rng: random.Random, tally: Tally
) -> Iterator[None]:
    """Ask about memories of a stream, worded by the home itself; every second question has no answer in
    them.
    """
    for number in range(count):
        start = rng.randrange(len(stream) - 1)
        part = stream[start : start + rng.randint(2, MOST_MEMORIES)]
        stated: list[list[Fact]] = []
        for seen in part:
            stated.append(choose_facts(seen.facts, {fact for facts in stated for fact in facts}, rng))
        texts = [(seen.clip.start_ns, memory_text(facts, rng)) for seen, facts in zip(part, stated)]
        question = _question(stated, number % 2 == 0, rng)
        answerable = "unanswerable" if question.answer is None else "answerable"
        completion = policy.complete(reading_prompt(question.text, texts, timezone=timezone.utc))
        tally.asked[answerable] += 1
        try:
            answer = parse_reading(completion.text, len(texts)).answer
        except ValueError as error:
            tally.wrong.append(f"no reading ({error})")
        else:
            if is_right(question, answer):
                tally.right[answerable] += 1
            else:
                memories = " | ".join(text for _, text in texts)
                tally.wrong.append(f"{question.text} -> {answer!r}, not {question.answer!r}: {memories}")
        yield


def _question(stated: Sequence[Sequence[Fact]], answerable: bool, rng: random.Random) -> HomeQuestion:
    kind = rng.choice([kind for kind in FACT_KINDS if any(f.kind == kind for facts in stated for f in facts)])
    queries = [q for facts in stated for f in facts if f.kind == kind for q in queries_about(f)]
    while True:
        query: Query = rng.choice(queries or [q for facts in stated for f in facts for q in queries_about(f)])
        if not answerable:
            misses = [miss for miss in near_misses(query, rng) if look_up(miss, stated) is None]
            if not misses:
                queries = []
                continue
            query = misses[0]
        finding = look_up(query, stated)
        return HomeQuestion(query.text(rng), query.kind, finding and finding.answer, query)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
