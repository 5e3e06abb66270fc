"""Making a bundle from a store: what goes along with its tasks, and what does not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from taskmem_ros.clips import FAILED, FORGOTTEN, NS, Clip, Gap
from taskmem_ros.clips.jpeg import JpegClip
from taskmem_ros.exchange.bundle import Bundle
from taskmem_ros.exchange.rows import WRITER
from taskmem_ros.exchange.types import FRAMES, TASKS, BundleError
from taskmem_ros.exchange.writer import About, BundleWriter, new_bundle
from taskmem_ros.memory import Memory, Store, Task

AROUND_NS = 60 * NS  # before and after a clip; a window of five clips is 50 s
LONG_NS = 3600 * NS  # memories of a time asked about that is longer do not go along
Span = tuple[str | None, int, int]  # camera (None: any), start, end


def build_bundle(
    store: Store,
    recordings: Iterable[Iterable[Clip | JpegClip]],
    path: str | Path,
    *,
    robot: str = "",
    contents: str = FRAMES,
    since_ns: int | None = None,
    until_ns: int | None = None,
    created_ns: int | None = None,
    overwrite: bool = False,
) -> Bundle:
    """A bundle of the tasks asked in [since_ns, until_ns), and of those clips that the store knows.

    recordings: each one run of clips, at whose first the policy's window was empty; clips that were kept say
    themselves where others begin. A clip goes along where a memory was written of it, or could not be; what
    was never watched, and what was forgotten since, stays out. With the clips come the memories and gaps
    within AROUND_NS of them, and those of the tasks: what their answers stand on, and what was remembered
    AROUND_NS before and after that, in the time asked about, and just before they were asked. contents: one
    of CONTENTS. Raises BundleError, also where the store knows none of the clips, and StoreError.
    """
    path = Path(path).expanduser()
    about = About(robot, store.store_id(), 0, contents, newest_writer(store))
    with new_bundle(path, about, created_ns=created_ns, overwrite=overwrite) as writer:
        tasks = list(store.each_task(since_ns, until_ns))
        asked = {task.id for task in tasks}
        writer.add_tasks(tasks)
        writer.add_feedback(item for item in store.feedback() if item.task_id in asked)
        spans, seen = _add_known(writer, store, recordings if contents == FRAMES else ())
        if seen and not spans:
            raise BundleError(
                f"{store.path} has no memory of any of the {seen} clips; were they remembered into it, with "
                "the same camera, start and clip settings?"
            )
        if contents != TASKS:
            add_memories(writer, store, tasks, spans)
    return Bundle.open(path)


def newest_writer(store: Store) -> Mapping[str, str]:
    """Which model, revision, adapter and prompt wrote the newest memory; each "" where there is none."""
    newest = store.memory(store.watermark())
    return {name: getattr(newest, name) if newest else "" for name in WRITER}


def add_memories(
    writer: BundleWriter, store: Store, tasks: Collection[Task], clips: Collection[Span] = ()
) -> None:
    """Add the memories and gaps around the tasks and the clips. clips: their spans."""
    evidence = {number for task in tasks for number in task.evidence}
    memories = store.memories_of(evidence, thumbnails=False)
    spans = [_around(span) for span in clips]
    spans += [_around((memory.camera, memory.start_ns, memory.end_ns)) for memory in memories.values()]
    for task in tasks:
        spans.append((None, task.asked_ns - AROUND_NS, task.asked_ns))
        since, until = task.since_ns, task.until_ns
        if since is not None and until is not None and until - since <= LONG_NS:
            spans.append((None, since, until))
    gaps: dict[Gap, None] = {}
    for camera, start, end in _joined(spans):
        memories |= {memory.id: memory for memory in store.each_memory(start, end, camera)}
        gaps |= dict.fromkeys(store.each_gap(start, end, camera))
    writer.add_memories(memories.values())
    writer.add_gaps(gaps)


def is_known(store: Store, clip: Clip | JpegClip) -> bool:
    """Whether the store has a memory of the clip, or tried in vain, and has forgotten nothing of it."""
    span = (clip.start_ns, clip.end_ns, clip.camera)
    gaps = store.coverage(*span)
    if any(gap.reason == FORGOTTEN for gap in gaps):
        return False
    if any(_is_of(memory, clip) for memory in store.memories(*span, thumbnails=False)):
        return True
    return any(
        (gap.reason, gap.episode) == (FAILED, clip.episode)
        and gap.start_ns <= clip.start_ns
        and clip.end_ns <= gap.end_ns
        for gap in gaps
    )


def _add_known(
    writer: BundleWriter, store: Store, recordings: Iterable[Iterable[Clip | JpegClip]]
) -> tuple[list[Span], int]:
    """Add the clips that the store knows; returns their spans, and how many there were."""
    spans, seen = [], 0
    for recording in recordings:
        opens: bool | None = True
        for clip in recording:
            seen += 1
            if is_known(store, clip):
                writer.add_clip(clip, opens)
                spans.append((clip.camera, clip.start_ns, clip.end_ns))
                opens = None
    return spans, seen


def _is_of(memory: Memory, clip: Clip | JpegClip) -> bool:
    """Whether the memory was written of this clip."""
    return (memory.camera, memory.episode, memory.start_ns, memory.end_ns) == (
        clip.camera, clip.episode, clip.start_ns, clip.end_ns,
    )  # fmt: skip


def _around(span: Span) -> Span:
    camera, start, end = span
    return camera, start - AROUND_NS, end + AROUND_NS


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """The spans by camera and time, those that overlap as one."""
    last: Span | None = None
    for span in sorted(spans, key=lambda span: (span[0] or "", *span[1:])):
        if last and last[0] == span[0] and span[1] <= last[2]:
            last = (last[0], last[1], max(last[2], span[2]))
            continue
        if last:
            yield last
        last = span
    if last:
        yield last
