"""A robot's task bundles as a benchmark: what its cameras saw, and the questions that it was asked."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import dropwhile, islice
from pathlib import Path

from taskmem_ros.clips import FAILED, NS, Clip, Gap
from taskmem_ros.exchange import Bundle, BundledClip
from taskmem_ros.home import Fact, HomeQuestion, read_question
from taskmem_ros.memory import Memory, Task
from taskmem_ros.recall import match_choice
from taskmem_train.bench.judges import normalized
from taskmem_train.bench.public import LIST_INSTRUCTION
from taskmem_train.bench.types import FIRST_DAY_NS, Dataset, Question, StreamItem, digest
from taskmem_train.bundles import known_answers, task_uid
from taskmem_train.shown import ShownHomes

YEAR_NS = 365 * 24 * 3600 * NS  # a clock that stands lower counts from its own start, not from 1970


def bundle_dataset(
    paths: Sequence[str | Path],
    *,
    wanted: Callable[[str], bool] | None = None,
    homes: ShownHomes | None = None,
) -> Dataset:
    """The clips of some bundles as streams, and their tasks with a known answer as questions.

    A stream is a run of one camera's clips at whose first the policy's window was empty. A question is about
    the stream with the memory that a right answer stands on, else the one that shows most of the time that
    was asked about, else the one that was watched last before it was asked. It is revealed when it was
    asked. Of a task that is in several bundles the first is taken. `skipped` names the others. An answer is
    known by the feedback in any of the bundles, else by who asked.

    wanted: whether a task, by its `task_uid`, is asked at all. homes: of the demo, that the robots' cameras
    show; then what clips show is known, and questions are the homes' own.
    Pictures are read when a stream is observed, one clip at a time. Raises ValueError for a bundle that is
    given twice, BundleError for a file that is none.
    """
    runs: list[_Run] = []
    tasks: list[tuple[Path, str, Task, Memory | None]] = []
    ids: dict[str, Path] = {}
    with ExitStack() as stack:
        bundles = [stack.enter_context(Bundle.open(path)) for path in map(Path, paths)]
        known = known_answers(bundles)
        for bundle in bundles:
            if (same := ids.setdefault(bundle.manifest.id, bundle.path)) is not bundle.path:
                raise ValueError(f"{bundle.path} has the same content as {same}; give each bundle once")
            runs += _runs(bundle)
            tasks += [
                (bundle.path, bundle.manifest.robot, *found)
                for uid, *found in _tasks(bundle, known)
                if wanted is None or wanted(uid)
            ]
    runs.sort(key=lambda run: (run.start_ns, run.id))
    asked: dict[str, list[Question]] = {run.id: [] for run in runs}
    keys: set[str] = set()
    skipped = []
    for path, robot, task, evidence in tasks:
        run = _run_of(task, evidence, [run for run in runs if run.robot == robot])
        if why := "it is in another bundle, too" if task_id(robot, task) in keys else _unusable(task, run):
            skipped.append(f"task {task.id} of {path.name} ({task.question!r:.60}): {why}")
        else:
            keys.add(task_id(robot, task))
            asked[run.id].append(_question(task, run, home=homes is not None))
    streams = tuple(_item(run, asked[run.id], homes) for run in runs if asked[run.id])
    return Dataset("bundle", streams, "as bundled", LIST_INSTRUCTION, skipped=tuple(skipped))


def task_id(robot: str, task: Task) -> str:
    """Tells a task from all others, in whatever bundle it comes: a robot numbers its tasks anew at times."""
    about = [robot, task.id, task.asked_ns, task.question, task.since_ns, task.until_ns]
    return f"{robot or 'robot'}-{task.id}-{digest(about)}"


@dataclass(frozen=True)
class _Run:
    """Clips of one camera in a row. starts: of each, ascending. shift_ns: what is added to its times."""

    path: Path
    bundle: str
    robot: str
    camera: str
    episode: int
    starts: tuple[int, ...]
    end_ns: int

    @property
    def start_ns(self) -> int:
        return self.starts[0]

    @property
    def clips(self) -> int:
        return len(self.starts)

    def newest(self, before_ns: int) -> int:
        """The start of the newest clip that began before this time; there must be one."""
        return self.starts[bisect_left(self.starts, before_ns) - 1]

    @property
    def id(self) -> str:
        return f"{self.bundle}/{self.camera}/{self.episode}/{self.start_ns}"

    @property
    def shift_ns(self) -> int:
        return FIRST_DAY_NS if self.start_ns < YEAR_NS else 0


def _runs(bundle: Bundle) -> list[_Run]:
    """The runs of a bundle, as `bundles.each_context` begins a window anew."""
    runs: list[_Run] = []
    for clip in bundle.clips():
        key = (bundle.path, bundle.manifest.id, bundle.manifest.robot, clip.camera, clip.episode)
        last = runs[-1] if runs else None
        if last is None or clip.opens or (last.camera, last.episode) != (clip.camera, clip.episode):
            runs.append(_Run(*key, (clip.start_ns,), clip.end_ns))
        else:
            runs[-1] = replace(last, starts=(*last.starts, clip.start_ns), end_ns=clip.end_ns)
    return runs


def _tasks(bundle: Bundle, known: Mapping[str, str | None]) -> Iterator[tuple[str, Task, Memory | None]]:
    """Each task's uid, the task with the answer known now, and the memory that its answer stands on, where
    that answer is known to be right.
    """
    memories = {memory.id: memory for memory in bundle.memories()}
    for task in bundle.tasks():
        uid = task_uid(bundle, task)
        task = replace(task, known_answer=known[uid])
        right = task.answer and task.known_answer and normalized(task.answer) == normalized(task.known_answer)
        yield uid, task, memories.get(task.evidence[0]) if right and task.evidence else None


def _run_of(task: Task, evidence: Memory | None, runs: Sequence[_Run]) -> _Run | None:
    """The run that a task is about; None where no camera ran before it was asked."""
    before = [run for run in runs if run.start_ns < task.asked_ns]
    since, until = (evidence.start_ns, evidence.end_ns) if evidence else (task.since_ns, task.until_ns)
    if since is not None or until is not None:
        shown = {run: _overlap(run, since, until) for run in before if _camera_fits(run, evidence)}
        if covering := [run for run in shown if shown[run] > 0]:
            # Where several show as much: the one that was watched last.
            return max(covering, key=lambda run: (shown[run], run.newest(task.asked_ns)))
    return max(before, key=lambda run: run.newest(task.asked_ns), default=None)


def _camera_fits(run: _Run, evidence: Memory | None) -> bool:
    return evidence is None or (run.camera, run.episode) == (evidence.camera, evidence.episode)


def _overlap(run: _Run, since_ns: int | None, until_ns: int | None) -> int:
    start = run.start_ns if since_ns is None else max(run.start_ns, since_ns)
    end = run.end_ns if until_ns is None else min(run.end_ns, until_ns)
    return end - start


def _unusable(task: Task, run: _Run | None) -> str:
    """Why a task cannot be asked, "" where it can."""
    if not task.known_answer:
        return "no answer is known"
    if run is None:
        return "no camera had a clip before it was asked"
    if task.choices and match_choice(task.known_answer, task.choices) is None:
        return f"its known answer {task.known_answer!r} is none of its choices"
    return ""


def _question(task: Task, run: _Run, home: bool) -> Question:
    answer = match_choice(task.known_answer, task.choices) if task.choices else task.known_answer
    kind = f"{task.kind}/{task.source}" if task.source else task.kind
    # Asked by another clock than the camera's: then it was after the recording.
    same_clock = run.shift_ns == 0 or task.asked_ns < YEAR_NS
    reveal_ns = task.asked_ns + run.shift_ns if same_clock else None
    query = read_question(task.question) if home and not task.choices else None
    of_home = HomeQuestion(task.question, query.kind, answer, query) if query else None
    return Question(task_id(run.robot, task), task.question, kind, answer, task.choices, reveal_ns, of_home)


def _item(run: _Run, questions: Sequence[Question], homes: ShownHomes | None) -> StreamItem:
    facts = {} if homes is None else _facts(run, homes)
    told = [run.id, run.clips] if homes is None else [run.id, run.clips, homes.seed(run.camera)]
    return StreamItem(run.id, tuple(questions), _observe(run), digest(told), run.clips, facts)


def _facts(run: _Run, homes: ShownHomes) -> dict[int, tuple[Fact, ...]]:
    """What each clip of a run shows, by its start in the stream's time."""
    with Bundle.open(run.path) as bundle:
        return {
            clip.start_ns + run.shift_ns: homes.facts(run.camera, [frame.stamp_ns for frame in clip.frames])
            for clip in _held(bundle, run)
        }


def _held(bundle: Bundle, run: _Run) -> Iterator[BundledClip]:
    first = (run.camera, run.episode, run.start_ns)
    held = dropwhile(lambda clip: (clip.camera, clip.episode, clip.start_ns) != first, bundle.clips())
    return islice(held, run.clips)


def _observe(run: _Run) -> Callable[[], Iterator[Clip | Gap]]:
    """Reads a run from its file anew: its clips, and the time between them that nobody watched."""
    stream = (run.camera, run.episode)

    def observe() -> Iterator[Clip | Gap]:
        with Bundle.open(run.path) as bundle:
            clips = (clip.decoded() for clip in _held(bundle, run))
            # A clip that failed on the robot is to be watched again, and is no gap.
            gaps = [
                gap
                for gap in bundle.gaps()
                if (gap.camera, gap.episode) == stream
                and run.start_ns <= gap.start_ns < run.end_ns
                and gap.reason != FAILED
            ]
            for piece in heapq.merge(clips, gaps, key=lambda piece: piece.start_ns):
                yield _shifted(piece, run.shift_ns)

    return observe


def _shifted(piece: Clip | Gap, shift_ns: int) -> Clip | Gap:
    times = {"start_ns": piece.start_ns + shift_ns, "end_ns": piece.end_ns + shift_ns}
    if isinstance(piece, Gap):
        return replace(piece, **times)
    frames = tuple(replace(frame, stamp_ns=frame.stamp_ns + shift_ns) for frame in piece.frames)
    return replace(piece, frames=frames, **times)
