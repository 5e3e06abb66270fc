"""What the policy wrote and what nobody watched: into the store first, and only then onto the topics."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable

from taskmem_ros.clips import FAILED, INACTIVE, Clip, Gap, thumbnail
from taskmem_ros.memory import Memory, Store
from taskmem_ros.policy import Draft, MemoryPolicy

log = logging.getLogger(__name__)


class Recorder:
    """Writes memories in the caller's thread (the engine's) and gaps in its own.

    published_memory(memory) and published_gap(gap) are called after the commit.
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
        self.last_error = ""
        self._store, self._policy = store, policy
        self._published_memory, self._published_gap = published_memory, published_gap
        self._gaps: queue.SimpleQueue[Gap | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_gaps, name="taskmem-coverage", daemon=True)
        self._thread.start()

    def memory(self, clip: Clip, draft: Draft) -> None:
        """The engine tried `clip`: a memory, or a failure with its raw reply and a gap. Raises StoreError."""
        by = self._policy.provenance
        provenance = dict(
            model=by.model, revision=by.revision, adapter=by.adapter, prompt_hash=by.prompt_hash
        )
        span = (clip.camera, clip.episode, clip.start_ns, clip.end_ns)
        if draft.text is None:
            self._store.add_failure(*span, raw=draft.raw, error=draft.error or "", **provenance)
            self.gaps([Gap(*span, FAILED)])
            log.warning("no memory of %s from %d ns: %s", clip.camera, clip.start_ns, draft.error)
            return
        memory = self._store.add_memory(
            *span, draft.text, pose=clip.pose, **provenance, thumbnail=thumbnail(clip, self.thumbnail_width)
        )
        self._published_memory(memory)

    def gaps(self, gaps: Iterable[Gap]) -> None:
        """Record time that was not watched. Returns at once."""
        for gap in gaps:
            self._gaps.put(gap)

    def unfinished(self, clips: Iterable[Clip]) -> None:
        """Clips whose memory was cut off because the agent stopped."""
        self.gaps(Gap(clip.camera, clip.episode, clip.start_ns, clip.end_ns, INACTIVE) for clip in clips)

    def close(self) -> None:
        """Write what is left; the store may be closed afterwards."""
        self._gaps.put(None)
        self._thread.join(timeout=10.0)

    def _write_gaps(self) -> None:
        while (gap := self._gaps.get()) is not None:
            try:
                self._store.add_gap(gap)
                self.gap_seconds[gap.reason] = self.gap_seconds.get(gap.reason, 0.0) + gap.seconds
                # The new piece, not the stored row it grew into: a listener may add pieces up.
                self._published_gap(gap)
            except Exception as error:  # the thread must live on for the next gap
                self.last_error = f"coverage was not recorded: {error}"
                log.exception("coverage of %s was not recorded", gap.camera)
