"""What held-out tasks say of a candidate, of what is in use and of the task prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from taskmem_ros.clips import NS
from taskmem_ros.memory import Store
from taskmem_ros.policy import MemoryPolicy
from taskmem_train.bench.command import HOME_CLIPS_SEEN, token_counter
from taskmem_train.bench.judges import Judge
from taskmem_train.bench.reading import RecallReader, StreamReader
from taskmem_train.bench.report import Result
from taskmem_train.bench.run import run_stream_benchmark
from taskmem_train.bench.systems import PolicyMemorizer, task_instruction
from taskmem_train.bench.types import Dataset, StreamItem
from taskmem_train.bench.writing import memory_file
from taskmem_train.gate.card import MOST_EXAMPLES
from taskmem_train.gate.fidelity import Truth, judged
from taskmem_train.gate.measures import Measures, blocks
from taskmem_train.gate.report import Example
from taskmem_train.judges.types import QualityJudge
from taskmem_train.prompts import PromptBatch

IN_USE, PROMPT, CANDIDATE = "in use", "task prompt", "candidate"


@dataclass(frozen=True)
class HeldOut:
    """Measures of each system on the same questions. examples: for the card. truth: by a judge of quality,
    empty where there was none.
    """

    in_use: Measures
    task_prompt: Measures
    candidate: Measures
    examples: tuple[Example, ...]
    truth: Mapping[str, Truth]


def measure(
    dataset: Dataset,
    policy: MemoryPolicy,
    candidate: str | Path,
    questions: Sequence[str],
    out: str | Path,
    *,
    in_use: str | Path | None = None,
    quality: tuple[QualityJudge, str] | None = None,
    reader: StreamReader | None = None,
    judge: Judge | None = None,
    temperature: float | None = None,
    max_new_tokens: int | None = None,
    window: int = 5,
    at_once: int = 16,
    block: int = 0,
    repeats: int = 1,
    seed: int = 0,
    progress: bool = True,
) -> HeldOut:
    """Let the policy live through the dataset bare or with the adapter in use, with recent questions in its
    prompt, and with the candidate; ask and count. Run again with the same `out`, it goes on.

    candidate, in_use: adapters' folders. questions: recent ones, for the prompt; the bare policy gets them.
    quality: a judge of what memories state, with what tells its grades from another's; the demo home's truth
    is known without one. reader: by default the policy itself. judge: as of `run_stream_benchmark`.
    max_new_tokens: of a memory. block: see `measures.blocks`. repeats: lives of each stream; more of them
    take chance out of what was written, and few questions say more. Leaves the policy without an adapter.
    Raises ValueError, OSError, LoadError.
    """
    out = Path(out)
    # Nothing is written of a stream that nobody asks about.
    dataset = replace(dataset, streams=tuple(stream for stream in dataset.streams if stream.questions))
    once, dataset = dataset, repeated(dataset, repeats)
    # Frames of the demo home are small: all are looked at once, and not once for each system.
    kept = max(at_once * (window + 1), HOME_CLIPS_SEEN if dataset.name == "home" else 0)
    eyes = PromptBatch(policy.checkpoint, kept)
    how = {"temperature": temperature, "max_new_tokens": max_new_tokens, "seed": seed, "eyes": eyes}
    systems = {
        IN_USE: PolicyMemorizer(policy, adapter=in_use or None, **how),
        PROMPT: PolicyMemorizer(policy, instruction=task_instruction(questions), **how),
        CANDIDATE: PolicyMemorizer(policy, adapter=candidate, **how),
    }
    try:
        result = run_stream_benchmark(
            dataset,
            systems,
            reader or RecallReader.of_policy(policy, at_once),
            out,
            count_tokens=token_counter(policy),
            judge=judge,
            window=window,
            at_once=at_once,
            seed=seed,
            progress=progress,
        )
    finally:
        policy.unload_adapter()
    folders = {name: out / "memories" / result.settings["banks"][name] for name in systems}
    truth = judged(dataset, folders, *quality, out / "grades.db") if quality else {}
    each = max(1, MOST_EXAMPLES // len(once.streams)) if block else 1
    found = [_measures(dataset, result, name, truth.get(name), block, repeats) for name in systems]
    return HeldOut(*found, examples=_examples(once, folders, each), truth=truth)


def repeated(dataset: Dataset, count: int) -> Dataset:
    """Each stream so often, side by side, as streams and questions of their own: NAME~1, NAME~2 ..."""

    def again(stream: StreamItem, number: int) -> StreamItem:
        if number == 0:
            return stream
        asked = tuple(replace(one, id=f"{one.id}~{number}") for one in stream.questions)
        return replace(stream, id=f"{stream.id}~{number}", questions=asked)

    lives = (again(stream, number) for stream in dataset.streams for number in range(count))
    return replace(dataset, streams=tuple(lives))


def _measures(
    dataset: Dataset, result: Result, system: str, truth: Truth | None, block: int, repeats: int
) -> Measures:
    """truth: by a judge; None: as far as the run itself knew it."""
    scored, held = result.scored[system], result.row(system).memories
    known = truth or held
    # What was drawn again is about the same stream, and the same question.
    streams = tuple(_first_life(one.stream, repeats) for one in scored)
    asked = {q.id: q.reveal_ns for stream in dataset.streams for q in stream.questions}
    times = [float("inf") if asked[one.question] is None else asked[one.question] for one in scored]
    order = [(time, _first_life(one.question, repeats)) for time, one in zip(times, scored)]
    drawn = blocks(streams, order, block * repeats)
    return Measures(
        questions=tuple(one.question for one in scored),
        groups=drawn or streams,
        kinds=tuple(one.kind for one in scored),
        answered=tuple(one.answered for one in scored),
        right=tuple(one.right for one in scored),
        stated=known.stated or 0,
        true=known.true or 0,
        clips=held.clips,
        failed=held.failed,
        tokens_per_memory=held.tokens_per_memory or 0.0,
        repeats=repeats,
        drawn_by=f"blocks of {block} consecutive questions" if drawn else "streams",
    )


def _first_life(name: str, repeats: int) -> str:
    """The name of a stream or question before it was repeated."""
    head, tilde, number = name.rpartition("~")
    return head if tilde and number in map(str, range(1, repeats)) else name


def _examples(dataset: Dataset, folders: Mapping[str, Path], each: int) -> tuple[Example, ...]:
    """Of streams spread over all of them the first clips of which memories differ, else the first clip."""
    step = max(1, len(dataset.streams) // MOST_EXAMPLES)
    chosen = dataset.streams[::step][:MOST_EXAMPLES]
    return tuple(example for stream in chosen for example in _of_stream(stream, folders, each))


def _of_stream(stream: StreamItem, folders: Mapping[str, Path], count: int) -> list[Example]:
    """Up to `count` clips of a stream, spread over those of which memories differ."""
    before, after = (_written(memory_file(folders[name], stream)) for name in (IN_USE, CANDIDATE))
    starts = sorted(before.keys() | after.keys())
    differ = [start for start in starts if before.get(start) != after.get(start)] or starts[:1]
    return [
        Example(
            f"{stream.id} {datetime.fromtimestamp(start // NS, timezone.utc):%H:%M:%S}",
            before.get(start),
            after.get(start),
        )
        for start in differ[:: max(1, len(differ) // count)][:count]
    ]


def _written(memories: Path) -> dict[int, str | None]:
    """Start of a clip -> its memory, None where there is none."""
    with Store.open(memories, create=False) as store:
        lost: dict[int, str | None] = {failure.start_ns: None for failure in store.failures()}
        return lost | {memory.start_ns: memory.text for memory in store.memories(thumbnails=False)}
