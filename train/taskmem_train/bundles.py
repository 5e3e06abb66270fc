"""Task bundles as training ground: contexts and tasks of one, and the demo home as one.

`home_bundle` writes what a robot in demo homes would send, so that training on the demo home and on a
robot's bundle are the same road.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from taskmem_ros.clips import FAILED, Clip, Gap, Window
from taskmem_ros.exchange import Bundle, BundledClip
from taskmem_ros.home import Fact, HomeQuestion, look_up
from taskmem_ros.memory import Feedback, Memory, Task, known_answer
from taskmem_ros.policy import Provenance
from taskmem_train.contexts import Context, Memorizer, TrainingTask, live
from taskmem_train.home import STREAM_CLIPS, HomeStream, home_stream, role_questions
from taskmem_train.shown import ShownHomes

WINDOW = 5  # clips that the policy sees
Span = tuple[str, int, int, int]  # camera, episode, start_ns, end_ns


def contexts(bundle: Bundle, window: int = WINDOW) -> list[Context]:
    """What the policy saw when it wrote each memory of the bundle, and failed to write one; see
    `each_context`. The pictures of all of them are in main memory at once.
    """
    return list(each_context(bundle, window))


def each_context(
    bundle: Bundle, window: int = WINDOW, wanted: Container[int] | None = None
) -> Iterator[Context]:
    """The contexts by camera, episode and time, as the engine builds them (`clips.Window`): a clip without a
    memory leaves the window. Raises BundleError where a picture cannot be decoded.

    wanted: numbers of the clips, from 0, whose contexts are given; None is all. Only their pictures are
    decoded: those of a day would not fit into main memory.
    """
    written: dict[Span, str] = {}
    for memory in bundle.memories():  # by id: of two memories of a clip the newer stays
        written[_span(memory)] = memory.text
    past, stream = Window(window), None
    decoded: dict[Span, Clip] = {}
    for number, held in enumerate(bundle.clips()):
        if held.opens or (held.camera, held.episode) != stream:
            past, stream = Window(window), (held.camera, held.episode)
        clips, memories = past.push(held)
        if wanted is None or number in wanted:
            # A clip that stands in several windows is one value: it is looked at once.
            decoded = {_span(clip): decoded.get(_span(clip)) or clip.decoded() for clip in clips}
            seen = tuple(decoded.values())
            yield Context(_id(bundle.manifest.robot, seen, memories), seen, memories)
        if text := written.get(_span(held)):
            past.remember(text)


def task_uid(bundle: Bundle, task: Task) -> str:
    """Tells a task from all others, in whatever bundle it comes: STORE_ID/TASK_ID.

    A bundle that was made of no store has no store's id; its own stands for it.
    """
    return f"{bundle.manifest.store_id or bundle.manifest.id}/{task.id}"


def known_answers(bundles: Iterable[Bundle]) -> dict[str, str | None]:
    """The right answer of each task, by uid, None where nobody knows it.

    What people said of an answer counts before what the asker knew, in whatever of the bundles it comes.
    """
    tasks: dict[str, Task] = {}
    said: dict[str, list[Feedback]] = {}
    for bundle in bundles:
        tasks |= {task_uid(bundle, task): task for task in bundle.tasks()}
        store = bundle.manifest.store_id or bundle.manifest.id
        for one in bundle.feedback():
            said.setdefault(f"{store}/{one.task_id}", []).append(one)
    return {uid: known_answer(task, said.get(uid, ())) for uid, task in tasks.items()}


def training_tasks(bundle: Bundle, known: Mapping[str, str | None] | None = None) -> list[TrainingTask]:
    """The tasks of a bundle, in the order in which the robot got them.

    Only an answer known to be right is one to train on; what the robot answered is not. When it was seen:
    the best evidence of a right answer, else the time that was asked about. known: of `known_answers`, where
    feedback may come in other bundles.
    """
    known = known_answers([bundle]) if known is None else known
    spans = {memory.id: (memory.start_ns, memory.end_ns) for memory in bundle.memories()}
    found = []
    for task in bundle.tasks():
        since, until, answer = task.since_ns, task.until_ns, known[task_uid(bundle, task)]
        if answer and _same(answer, task.answer) and task.evidence:
            since, until = spans.get(task.evidence[0], (since, until))
        found.append(TrainingTask(task.question, answer, task.choices, since, until))
    return found


def seen_facts(found: Iterable[Context], homes: ShownHomes) -> dict[str, tuple[Fact, ...]]:
    """What the newest clip of each context shows of the homes that a robot's cameras saw: context id ->
    facts, for `HomeTruth`. Raises ValueError for clips of another home's time.
    """
    newest = [(context.id, context.clips[-1]) for context in found]
    return {of: homes.facts(clip.camera, [frame.stamp_ns for frame in clip.frames]) for of, clip in newest}


def home_facts(found: Iterable[Context], clips: int = STREAM_CLIPS) -> dict[str, tuple[Fact, ...]]:
    """What the newest clip of each context of a `home_bundle` shows: context id -> facts, for `HomeTruth`.

    clips: of a stream, as the bundle was made with. Raises ValueError for a context of another bundle.
    """
    facts = {}
    for context in found:
        newest = context.clips[-1]
        seed = re.fullmatch(r"home-(\d+)-\d+", newest.camera)
        stream = home_stream(int(seed[1]), clips) if seed else None
        seen = [seen for seen in stream.seen if seen.clip.start_ns == newest.start_ns] if stream else []
        if not seen or stream.id != newest.camera:
            raise ValueError(f"context {context.id!r} is of no demo home; judge it with another judge")
        facts[context.id] = seen[0].facts
    return facts


@dataclass(frozen=True)
class _Asked:
    """A question about a home, and the clip that answers it."""

    question: HomeQuestion
    source: Clip
    at_ns: int


def home_bundle(
    path: str | Path,
    seeds: Sequence[int],
    role: str,
    questions: int,
    memorizer: Memorizer,
    *,
    clips: int = STREAM_CLIPS,
    provenance: Provenance | None = None,
    overwrite: bool = False,
) -> Bundle:
    """A bundle of one stream of each home, with the memorizer's memories and up to `questions` of a role's.

    Questions go round the homes, one of each in turn, as `recent_questions` asks them; each has the right
    answer, and as its time span the clip that shows it. A home is a camera. provenance: what wrote the
    memories. Raises ValueError for homes that may have been trained on, BundleError for the file.
    """
    streams = {seed: home_stream(seed, clips) for seed in seeds}
    runs = {seed: [seen.clip for seen in stream.seen] for seed, stream in streams.items()}
    asked = _ask(streams, runs, role, questions)
    memories, gaps = _memorize(list(runs.values()), memorizer, provenance)
    return Bundle.create(
        path,
        clips=(clip for run in runs.values() for clip in run),
        tasks=[_task(number, item, role) for number, item in enumerate(asked, start=1)],
        memories=memories,
        gaps=gaps,
        robot="demo-home",
        overwrite=overwrite,
    )


def _ask(
    streams: dict[int, HomeStream], runs: dict[int, list[Clip]], role: str, questions: int
) -> list[_Asked]:
    rounds = -(-questions // max(1, len(streams)))
    found: list[list[_Asked]] = [[] for _ in range(rounds)]
    for seed, stream in streams.items():
        end = runs[seed][-1].end_ns
        for turn, question in enumerate(role_questions(stream, role, rounds, seed)):
            source = runs[seed][look_up(question.query, stream.observations).source]
            found[turn].append(_Asked(question, source, end))
    return [item for turn in found for item in turn][:questions]


def _memorize(
    runs: Sequence[Sequence[Clip]], memorizer: Memorizer, provenance: Provenance | None
) -> tuple[list[Memory], list[Gap]]:
    """The memories of all runs, written as the robot does: clip by clip, all runs at once."""
    by = dict(zip(("model", "revision", "adapter", "prompt_hash"), astuple(provenance))) if provenance else {}
    memories: list[Memory] = []
    gaps: list[Gap] = []
    for context, draft in live(memorizer, {run[0].camera: run for run in runs}, WINDOW):
        span = _span(context.clips[-1])
        if draft.text is None:
            gaps.append(Gap(*span, FAILED))
        else:
            memories.append(Memory(len(memories) + 1, *span, draft.text, **by))
    return memories, gaps


def _task(number: int, asked: _Asked, role: str) -> Task:
    span = {"since_ns": asked.source.start_ns, "until_ns": asked.source.end_ns}
    about = {"known_answer": asked.question.answer, "source": role, "asked_ns": asked.at_ns}
    return Task(number, asked.question.text, kind="question", choices=(), **about, **span)


def _span(item: Clip | BundledClip | Memory) -> Span:
    return item.camera, item.episode, item.start_ns, item.end_ns


def _id(robot: str, clips: Sequence[Clip], memories: Sequence[str]) -> str:
    """The same for the same window of the same robot, in whatever bundle it comes."""
    window = repr([[clip.start_ns for clip in clips], list(memories)])
    newest = clips[-1]
    digest = hashlib.sha256(window.encode()).hexdigest()[:12]
    return f"{robot}/{newest.camera}/{newest.episode}/{newest.start_ns}/{digest}"


def _same(known: str, answer: str | None) -> bool:
    return answer is not None and known.strip().casefold() == answer.strip().casefold()
