"""What the policy wrote and what nobody watched: into the store first, and only then onto the topics."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from taskmem_ros.clips import FAILED, INACTIVE, Clip, Gap, thumbnail
from taskmem_ros.memory import Memory, Store
from taskmem_ros.policy import Draft, MemoryPolicy

log = logging.getLogger(__name__)

# Between two tries to write a gap that the store (locked, full) did not take.
RETRY_S = 2.0
# For the last try: the store itself waits 5 s for another program.
CLOSE_S = 6.0

Row = TypeVar("Row", Memory, Gap)


class Recorder:
    """Writes memories in the caller's thread (the engine's) and gaps in its own, which tries until it can.

    published_memory(memory) and published_gap(gap) are called after the commit. `error` is why the newest
    write failed, "" after one that did not; `last_error` stays.
    """

    def __init__(
        self,
        store: Store,
        policy: MemoryPolicy,
        published_memory: Callable[[Memory], None],
        published_gap: Callable[[Gap], None],
        thumbnail_width: int,
    ) -> None:
        self.thumbnail_width = thumbnail_width
        self.gap_seconds: dict[str, float] = {}
        self.error = self.last_error = ""
        self._store, self._policy = store, policy
        self._published_memory, self._published_gap = published_memory, published_gap
        self._gaps: queue.SimpleQueue[Gap | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_gaps, name="taskmem-coverage", daemon=True)
        self._thread.start()

    def memory(self, clip: Clip, draft: Draft) -> None:
        """The engine tried `clip`: a memory, or a failure with its raw reply and a gap.

        Raises StoreError when neither could be written; the clip is then a gap, too.
        """
        span = (clip.camera, clip.episode, clip.start_ns, clip.end_ns)
        try:
            memory = self._write(clip, draft)
        except Exception as error:
            self._failed(f"a memory of {clip.camera} was not stored: {error}")
            self.gaps([Gap(*span, FAILED)])
            raise
        self.error = ""
        if memory is None:
            self.gaps([Gap(*span, FAILED)])
            log.warning("no memory of %s from %d ns: %s", clip.camera, clip.start_ns, draft.error)
        else:
            _publish(self._published_memory, memory, f"memory {memory.id}")

    def gaps(self, gaps: Iterable[Gap]) -> None:
        """Record time that was not watched. Returns at once."""
        for gap in gaps:
            self._gaps.put(gap)

    def unfinished(self, clips: Iterable[Clip]) -> None:
        """Clips whose memory was cut off because the agent stopped."""
        self.gaps(Gap(clip.camera, clip.episode, clip.start_ns, clip.end_ns, INACTIVE) for clip in clips)

    def close(self) -> None:
        """Write what is left, as far as the store takes it; the store may be closed afterwards."""
        self._closing.set()
        self._gaps.put(None)
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error("coverage is still being written after %g s; what is left of it is given up", CLOSE_S)

    def _write(self, clip: Clip, draft: Draft) -> Memory | None:
        by = self._policy.provenance
        provenance = dict(
            model=by.model, revision=by.revision, adapter=by.adapter, prompt_hash=by.prompt_hash
        )
        span = (clip.camera, clip.episode, clip.start_ns, clip.end_ns)
        if draft.text is None:
            self._store.add_failure(*span, raw=draft.raw, error=draft.error or "", **provenance)
            return None
        picture = thumbnail(clip, self.thumbnail_width)
        return self._store.add_memory(*span, draft.text, pose=clip.pose, **provenance, thumbnail=picture)

    def _write_gaps(self) -> None:
        while (gap := self._gaps.get()) is not None:
            while not self._write_gap(gap):
                if self._closing.is_set():
                    self._give_up(gap)
                    return
                self._closing.wait(RETRY_S)

    def _write_gap(self, gap: Gap) -> bool:
        try:
            self._store.add_gap(gap)
        except Exception as error:  # whatever it is, the thread must live on
            news = not self.error
            self._failed(f"coverage of {gap.camera} was not stored: {error}")
            if news:
                log.error("%s; trying again every %g s", self.error, RETRY_S, exc_info=error)
            return False
        self.error = ""
        self.gap_seconds[gap.reason] = self.gap_seconds.get(gap.reason, 0.0) + gap.seconds
        # The new piece, not the stored row it grew into: a listener may add pieces up.
        _publish(self._published_gap, gap, f"coverage of {gap.camera}")
        return True

    def _give_up(self, gap: Gap) -> None:
        lost = [gap]
        while not self._gaps.empty():
            if (gap := self._gaps.get()) is not None:
                lost.append(gap)
        log.error(
            "%d gaps (%.0f s) of coverage are given up: %s",
            len(lost),
            sum(gap.seconds for gap in lost),
            self.error,
        )

    def _failed(self, sentence: str) -> None:
        self.error = self.last_error = sentence


def _publish(publisher: Callable[[Row], None], row: Row, what: str) -> None:
    try:
        publisher(row)
    except Exception as error:  # it is in the store, which is what counts
        log.error("%s was stored, but not published: %s", what, error, exc_info=error)
