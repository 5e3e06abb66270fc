"""Memories of many streams at once: step t of all of them is one call of the memorizer.

The memories of a stream are a store of its own. It is the cache, too: what it has is not written again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from taskmem_ros.clips import FAILED, Clip, Gap, Window
from taskmem_ros.memory import Store
from taskmem_ros.policy import Draft
from taskmem_train.bench.ledger import Ledger
from taskmem_train.bench.types import StreamItem, Writer, context_id, digest
from taskmem_train.contexts import Context

_PROVENANCE = ("model", "revision", "adapter", "prompt_hash")


class Bank:
    """The memories that one writer has of each stream. folder: OUT/memories/NAME, a store for each stream."""

    def __init__(self, folder: Path, writer: Writer, ledger: Ledger, count_tokens: Callable[[str], int]):
        self.folder, self.name = folder, folder.name
        self._writer, self._ledger, self._count = writer, ledger, count_tokens

    def path(self, stream: StreamItem) -> Path:
        """The file of a stream's memories."""
        return memory_file(self.folder, stream)

    def write(
        self, streams: Sequence[StreamItem], *, window: int, at_once: int, progress: bool = True
    ) -> None:
        """Write all memories that are not written yet, `at_once` streams in lock-step.

        Raises ValueError where a file holds memories of other observations, and what the writer raises; what
        was written until then stays.
        """
        waiting = deque(stream for stream in streams if not self._is_done(stream))
        clips = [stream.clips for stream in waiting]
        total = None if None in clips else sum(clips)
        running: list[_Running] = []
        with tqdm(
            total=total, desc=f"memories {self.name}", unit=" clips", disable=None if progress else True
        ) as bar:
            try:
                while waiting or running:
                    while waiting and len(running) < at_once:
                        running.append(_Running(waiting.popleft(), self, window))
                    self._step(running, bar)
            finally:
                for one in running:
                    one.store.close()

    def _step(self, running: list[_Running], bar: tqdm) -> None:
        """The next clip of every running stream; one that has ended leaves the list."""
        contexts = [(one, one.next_context(bar)) for one in running]
        for one, context in contexts:
            if context is None:
                one.finish()
                running.remove(one)
        going = [(one, context) for one, context in contexts if context is not None]
        if not going:
            return
        started = time.monotonic()
        drafts = self._writer.write([context for _, context in going])
        seconds = (time.monotonic() - started) / len(going)
        # What it cost first: a memory without its cost would stay uncounted; a cost is just written again.
        self._ledger.keep_drafts([self._row(one, c, d, seconds) for (one, c), d in zip(going, drafts)])
        for (one, context), draft in zip(going, drafts):
            one.keep(context.clips[-1], draft, self._writer)
            bar.update()

    def _row(self, one: _Running, context: Context, draft: Draft, seconds: float) -> dict:
        return {
            "bank": self.name, "stream": one.item.id, "start_ns": context.clips[-1].start_ns,
            "tokens": draft.tokens, "memory_tokens": self._count(draft.text) if draft.text else 0,
            "seconds": seconds, "error": draft.error if draft.text is None else "",
        }  # fmt: skip

    def _is_done(self, stream: StreamItem) -> bool:
        if not self.path(stream).exists():
            return False
        with Store.open(self.path(stream)) as store:
            source = store.source(stream.fingerprint, _CAMERA)
            return source is not None and source.finished_ns is not None


_CAMERA = "stream"  # what a source is kept under, whatever its camera is called


class _Running:
    """A stream of which memories are being written."""

    def __init__(self, item: StreamItem, bank: Bank, window: int):
        self.item, self.store = item, Store.open(bank.path(item))
        source = self.store.source(item.fingerprint, _CAMERA)
        if source is None and self.store.summary().memories:
            raise ValueError(
                f"{self.store.path} holds memories of other observations of {item.id!r}; give another output "
                "folder, or delete that file"
            )
        self._source = source or self.store.add_source(item.id, item.fingerprint, _CAMERA)
        self._written = {memory.start_ns: memory.text for memory in self.store.memories(thumbnails=False)}
        self._failed = {failure.start_ns for failure in self.store.failures()}
        self._window, self._pieces = Window(window), iter(item.observe())

    def next_context(self, bar: tqdm) -> Context | None:
        """What the next memory is to be written from; None where the stream has ended."""
        for piece in self._pieces:
            if isinstance(piece, Gap):
                self.store.add_gap(piece, source_id=self._source.id)
                continue
            clips, memories = self._window.push(piece)
            if text := self._written.get(piece.start_ns):
                self._window.remember(text)
            elif piece.start_ns not in self._failed:
                return Context(context_id(self.item.id, piece), clips, memories)
            bar.update()
        return None

    def keep(self, clip: Clip, draft: Draft, writer: Writer) -> None:
        """Store a memory, or that there is none. Pictures are not stored: who reads has words alone."""
        span = (clip.camera, clip.episode, clip.start_ns, clip.end_ns)
        who = {name: str(writer.identity.get(name, "")) for name in _PROVENANCE}
        if draft.text is None:
            self.store.add_gap(Gap(*span, FAILED), source_id=self._source.id)
            error, source = draft.error or "", self._source.id
            self.store.add_failure(*span, raw=draft.raw, error=error, source_id=source, **who)
            return
        self._window.remember(draft.text)
        self.store.add_memory(*span, draft.text, pose=clip.pose, source_id=self._source.id, **who)

    def finish(self) -> None:
        self.store.finish_source(self._source.id)
        self.store.close()


def memory_file(folder: Path, stream: StreamItem) -> Path:
    """Where a bank's folder has the memories of a stream."""
    return folder / f"{_file_name(stream.id)}.db"


def _file_name(text: str) -> str:
    """An id as the name of a file, no two ids as the same."""
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
    return plain if plain == text else f"{plain}-{digest(text)}"
