"""The outbox: bundles of what never left the robot, made and kept in a folder until they are pushed.

Each task and each feedback is in one bundle, wherever this is cut off: a bundle counts from the moment when
the store says so, in one transaction with all that is in it. A file that the store does not know is deleted.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from taskmem_ros.durable import sync
from taskmem_ros.exchange.build import LONG_NS, Span, add_memories, is_known, newest_writer
from taskmem_ros.exchange.bundle import Bundle
from taskmem_ros.exchange.card import BundleCard
from taskmem_ros.exchange.choose import choose_clips, cut_out
from taskmem_ros.exchange.local import about_file
from taskmem_ros.exchange.manifest import NAME_RULE
from taskmem_ros.exchange.names import bundle_stem, is_name
from taskmem_ros.exchange.types import CONTENTS, FRAMES, MEMORIES, TASKS, BundleError, Manifest
from taskmem_ros.exchange.writer import About, BundleWriter, new_bundle
from taskmem_ros.memory import Feedback, Store, Task
from taskmem_ros.memory.outgoing import Outgoing
from taskmem_ros.memory.ring import ClipRing, KeptClip

log = logging.getLogger(__name__)

MOST_WAITING = 10  # bundles; with an exchange that is away for long, what comes then waits in the store
FOR_MEMORIES = 0.95  # of the room: the rest is for the memories around the pictures
TRIES = 5  # to make a bundle, when somebody forgets meanwhile
_NEXT = "next.bundle"
_OURS = re.compile(r"\.?next\.bundle(\.\d+\.partial)?|\d{8}-[0-9a-f]{16}\.bundle")


class Outbox:
    """Makes bundles in `folder` and keeps account of them in the store.

    robot: its name in the exchange. contents: what leaves the robot, one of CONTENTS; with "frames" clips
    come from the ring, so that a bundle has at most max_megabytes (tasks always go, and the memories around
    them). One process at a time may use a folder. Methods raise BundleError and StoreError.
    """

    def __init__(
        self,
        store: Store,
        ring: ClipRing,
        folder: str | Path,
        robot: str,
        contents: str = MEMORIES,
        max_megabytes: float = 200.0,
    ):
        if not is_name(robot):
            raise BundleError(f"the robot's name is {robot!r}; in an exchange it must be {NAME_RULE}")
        if contents not in CONTENTS:
            raise BundleError(f"the contents {contents!r} are unknown; use one of {', '.join(CONTENTS)}")
        self.folder = Path(folder).expanduser().absolute()
        self._store, self._ring = store, ring
        self._robot, self._contents, self._max_bytes = robot, contents, round(max_megabytes * 1e6)

    def next(self) -> BundleCard | None:
        """Make a bundle of all tasks that are finished and all feedback that never left; None without any.

        None, too, while MOST_WAITING bundles wait.
        """
        with self._alone():
            self._tidy()
            if len(self._store.outgoing(pushed=False)) >= MOST_WAITING:
                log.warning("%d bundles wait in %s; the next is made later", MOST_WAITING, self.folder)
                return None
            for _ in range(TRIES):
                forgets = self._store.forgets()
                tasks, feedback = self._store.never_sent()
                if not tasks and not feedback:
                    return None
                try:
                    made, manifest = self._make(tasks, feedback)
                except (OSError, BundleError):
                    if self._store.forgets() == forgets:
                        raise
                    continue  # `forget` deletes what is being made
                if self._store.add_outgoing(made, tasks, feedback, forgets=forgets):
                    return _card(made, manifest)
                Path(made.file).unlink(missing_ok=True)  # it may have what was forgotten meanwhile
            raise BundleError(f"{TRIES} bundles had what was forgotten meanwhile; try again")

    def waiting(self) -> list[tuple[Path, BundleCard]]:
        """The bundles that were not pushed, by number. One that is damaged or gone is not among them: what
        was in it goes with the next.
        """
        found = []
        for made in self._store.outgoing(pushed=False):
            path = Path(made.file)
            try:
                if about_file(path) != (made.bytes, made.sha256):
                    raise BundleError(f"{path} is damaged")
                with Bundle.open(path) as bundle:
                    card = _card(made, bundle.manifest)
            except (OSError, BundleError) as error:
                log.warning("bundle %d is made anew: %s", made.sequence, error)
                self._store.take_back(made.sequence)
                continue
            found.append((path, card))
        return found

    def pushed(self, card: BundleCard) -> None:
        """The bundle is in the exchange; its file goes."""
        self._store.note_pushed(card.sequence)
        (self.folder / card.bundle_name).unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The lock is the kernel's: it goes with the process, however that ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            reason = f"{self.folder} cannot be written ({error.strerror}); make it writable"
            raise BundleError(reason) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise BundleError(f"another process makes a bundle in {self.folder}; wait for its end") from error
        finally:
            os.close(descriptor)

    def _tidy(self) -> None:
        """Delete what is left of bundles that were cut off, and of those that were pushed."""
        known = {made.file for made in self._store.outgoing(pushed=False)}
        for file in self.folder.iterdir():
            if _OURS.fullmatch(file.name) and str(file) not in known:
                file.unlink(missing_ok=True)

    def _make(self, tasks: Sequence[Task], feedback: Sequence[Feedback]) -> tuple[Outgoing, Manifest]:
        newest = self._store.watermark()  # before the clips are chosen: those that come now are for the next
        path, about = self._write(tasks, feedback)
        size, sha256 = about_file(path)
        made = Outgoing(
            about.sequence, about.id, str(path), sha256, size, about.contents,
            about.tasks, newest, about.created_ns,
        )  # fmt: skip
        return made, about

    def _write(self, tasks: Sequence[Task], feedback: Sequence[Feedback]) -> tuple[Path, Manifest]:
        """The file, durable and under its own name, which the store does not know yet."""
        about = About(
            self._robot, self._store.store_id(), self._store.next_sequence(), self._contents,
            newest_writer(self._store),
        )  # fmt: skip
        path = self.folder / _NEXT
        with new_bundle(path, about, overwrite=True) as writer:
            writer.add_tasks(tasks)
            writer.add_feedback(feedback)
            if self._contents != TASKS:
                of = self._concerned(tasks, feedback)
                clips = self._add_clips(writer, of) if self._contents == FRAMES else []
                add_memories(writer, self._store, of, clips)
        with Bundle.open(path) as bundle:
            manifest = bundle.manifest
        named = self.folder / f"{bundle_stem(manifest.sequence, manifest.id)}.bundle"
        path.rename(named)
        sync(self.folder)
        return named, manifest

    def _concerned(self, tasks: Sequence[Task], feedback: Sequence[Feedback]) -> list[Task]:
        """The tasks, and earlier ones that the feedback is about; the newest first."""
        found = {task.id: task for task in tasks}
        for item in feedback:
            if item.task_id not in found and (task := self._store.task(item.task_id)) is not None:
                found[task.id] = task
        return [found[number] for number in sorted(found, reverse=True)]

    def _add_clips(self, writer: BundleWriter, tasks: Sequence[Task]) -> list[Span]:
        """Add the clips that go along; returns their spans."""
        kept = self._ring.kept()
        room = round(FOR_MEMORIES * self._max_bytes) - writer.bytes()
        chosen = choose_clips(kept, self._wanted(kept, tasks), self._new(kept), room)
        known = {clip.id for clip in chosen if is_known(self._store, clip)}
        spans: list[Span] = []
        held: set[int] = set()
        for item in cut_out(chosen, known):
            clip = self._ring.clip(item)
            if clip is not None:  # else it was evicted meanwhile, and what comes after it opens a run
                writer.add_clip(clip, item.after not in held)
                held.add(item.id)
                spans.append((item.camera, item.start_ns, item.end_ns))
        return spans

    def _wanted(self, kept: Sequence[KeptClip], tasks: Sequence[Task]) -> Iterator[int]:
        """The clips that the answers stand on, then those of the times asked about."""
        by_span = {(clip.camera, clip.episode, clip.start_ns): clip.id for clip in kept}
        for task in tasks:
            memories = self._store.memories_of(task.evidence, thumbnails=False)
            for memory in (memories[number] for number in task.evidence if number in memories):
                number = by_span.get((memory.camera, memory.episode, memory.start_ns))
                if number is not None:
                    yield number
        for task in tasks:
            since, until = task.since_ns, task.until_ns
            if since is not None and until is not None and until - since <= LONG_NS:
                yield from (clip.id for clip in kept if clip.start_ns < until and since < clip.end_ns)

    def _new(self, kept: Sequence[KeptClip]) -> set[int]:
        """The clips that were kept since the last bundle with pictures."""
        before = (made.last_memory for made in self._store.outgoing() if made.contents == FRAMES)
        spans = self._store.spans_after(max(before, default=0))
        first = next((clip.id for clip in kept if (clip.camera, clip.episode, clip.start_ns) in spans), None)
        return set() if first is None else {clip.id for clip in kept if clip.id >= first}


def _card(made: Outgoing, manifest: Manifest) -> BundleCard:
    names = ("robot", "store_id", "sequence", "id", "tasks", "feedback", "clips", "memories", "contents")
    about = {name: getattr(manifest, name) for name in (*names, "created_ns")}
    return BundleCard(**about, bytes=made.bytes, sha256=made.sha256)
