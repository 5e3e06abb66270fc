"""Contexts of Phase One: windows of streams, with the memories in them.

TaskMem trains in two parts. First the memories in a context are an earlier policy's, written once beforehand
(off-policy history); then they are the policy's own, of the run that is learned from (on-policy history).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from taskmem_ros.clips import Clip, Window
from taskmem_train.contexts import Context, Memorizer


@dataclass(frozen=True, eq=False)
class Stream:
    """Clips in a row. id: the same in every run. first: number of the first clip, where it is a part."""

    id: str
    clips: tuple[Clip, ...]
    first: int = 0


Streams = Callable[[int], Stream]  # number -> stream, the same in every run


@dataclass(eq=False)
class Course:
    """A stream on its way. texts: what was written of its clips so far, None where that failed."""

    stream: Stream
    window: int = 5
    texts: list[str | None] = field(default_factory=list)

    def __post_init__(self):
        self._window = Window(self.window)
        self._context: Context | None = None
        written, self.texts = self.texts, []
        for text in written:
            self.context()
            self.remember(text)

    def context(self) -> Context:
        """Of the clip that comes next; the same until `remember`."""
        if self._context is None:
            at = len(self.texts)
            clips, memories = self._window.push(self.stream.clips[at])
            self._context = Context(f"{self.stream.id}#{self.stream.first + at}", clips, memories)
        return self._context

    def remember(self, text: str | None) -> None:
        if text is not None:
            self._window.remember(text)
        self.texts.append(text)
        self._context = None

    @property
    def over(self) -> bool:
        return len(self.texts) == len(self.stream.clips)


def earlier_run(
    streams: Sequence[Stream], memorizer: Memorizer, path: Path, window: int = 5
) -> list[Context]:
    """Contexts of all clips of these streams, with memories by `memorizer`; each stream's in order.

    The memories are kept in `path` (JSON) and read back from there when they are of the same streams.
    """
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if list(kept) != [stream.id for stream in streams]:
        kept = _write(streams, memorizer, window)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    contexts = []
    for stream in streams:
        course = Course(stream, window)
        for text in kept[stream.id]:
            contexts.append(course.context())
            course.remember(text)
    return contexts


def _write(streams: Sequence[Stream], memorizer: Memorizer, window: int) -> dict[str, list[str | None]]:
    courses = [Course(stream, window) for stream in streams]
    while going := [course for course in courses if not course.over]:
        drafts = memorizer.write([course.context() for course in going])
        for course, draft in zip(going, drafts):
            course.remember(draft.text)
    return {course.stream.id: course.texts for course in courses}


class OwnRun:
    """Streams side by side, one in each slot, that the policy writes its way along; then the next ones.

    first: number of the first stream. The slots' first streams begin part of the way in, so that windows of
    all lengths are seen at once.
    """

    def __init__(self, streams: Streams, slots: int, first: int = 0, window: int = 5):
        self._streams, self._slots, self._first, self._window = streams, slots, first, window
        self._round = dict.fromkeys(range(slots), 0)
        self._courses: dict[int, Course] = {}

    def context(self, slot: int) -> Context:
        """What this slot's policy sees next; the same until `remember`."""
        return self._course(slot).context()

    def remember(self, slot: int, text: str | None) -> None:
        """What the policy wrote of it, None where that failed."""
        course = self._course(slot)
        course.remember(text)
        if course.over:
            self._round[slot] += 1
            del self._courses[slot]

    def state(self) -> dict[str, list]:
        """JSON of the slots that moved, for `restore`: {slot: [round, texts]}."""
        moved = sorted({*self._courses, *(slot for slot, count in self._round.items() if count)})
        return {
            str(slot): [self._round[slot], self._courses[slot].texts if slot in self._courses else []]
            for slot in moved
        }

    def restore(self, state: dict[str, list]) -> None:
        for slot, (count, texts) in state.items():
            self._round[int(slot)] = count
            self._courses[int(slot)] = self._start(int(slot), list(texts))

    def _course(self, slot: int) -> Course:
        if slot not in self._courses:
            self._courses[slot] = self._start(slot, [])
        return self._courses[slot]

    def _start(self, slot: int, texts: list[str | None]) -> Course:
        count = self._round[slot]
        stream = self._streams(self._first + count * self._slots + slot)
        if not count:
            skip = slot * len(stream.clips) // self._slots
            stream = Stream(stream.id, stream.clips[skip:], skip)
        return Course(stream, self._window, texts=texts)


class History:
    """The contexts of a run, by number: `before` of an earlier run, then the policy's own.

    A context's number says its slot too: number % slots. state, restore: of a checkpoint's folder.
    """

    def __init__(self, earlier: Sequence[Context], before: int, own: OwnRun, slots: int, seed: int = 0):
        if before and not earlier:
            raise ValueError(f"{before} contexts of an earlier run are asked for, and it has none")
        order = list(earlier)
        random.Random(f"history {seed}").shuffle(order)
        self._earlier, self._before, self._own, self._slots = order, before, own, slots

    def context(self, number: int) -> Context:
        if number < self._before:
            return self._earlier[number % len(self._earlier)]
        return self._own.context(number % self._slots)

    def remember(self, number: int, text: str | None) -> None:
        """What the policy wrote: it goes on from there, where the history is its own."""
        if number >= self._before:
            self._own.remember(number % self._slots, text)

    def save(self, folder: Path) -> None:
        """Keep the state in a checkpoint's folder, for this process."""
        _state_file(folder).write_text(json.dumps(self._own.state()) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Go on from there. Raises OSError where the folder has none for this process."""
        self._own.restore(json.loads(_state_file(folder).read_text(encoding="utf-8")))


def _state_file(folder: Path) -> Path:
    return folder / f"history-{os.environ.get('RANK', '0')}.json"
