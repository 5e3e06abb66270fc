"""Keeping clips: a thread that makes JPEGs of them and hands them to the ring, so that the engine waits for
neither.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from typing import Any

from taskmem_ros.clips import Clip, follows
from taskmem_ros.memory.ring import ClipRing

log = logging.getLogger(__name__)

# Clips that wait for the disk, with all their pictures in memory; one more is not kept.
WAITING = 4
CLOSE_S = 6.0


class FrameKeeper:
    """Fills a ring from one thread. Nothing that goes wrong here concerns anybody else: a clip is not kept.

    `error` is why the newest clip was not kept, "" after one that was; `last_error` stays. kept, lost: how
    many clips were kept, and how many were not though they should have been.
    """

    def __init__(self, ring: ClipRing, max_bytes: int) -> None:
        self.error = self.last_error = ""
        self.kept = self.lost = 0
        self._ring, self._max_bytes = ring, max_bytes
        self._last: dict[str, Clip | None] = {}  # of each camera
        self._waiting: queue.Queue[tuple[Clip, bool] | int | None] = queue.Queue()
        self._waiting.put(max_bytes)
        self._thread = threading.Thread(target=self._run, name="taskmem-frames", daemon=True)
        self._thread.start()

    @property
    def ring(self) -> ClipRing:
        return self._ring

    def put(self, clip: Clip) -> None:
        """The policy was shown `clip`, in the order of its camera. Returns at once."""
        if not self._max_bytes:
            self._last.clear()
            return
        last = self._last.get(clip.camera)
        opens = last is None or not follows(clip, last)
        if self._waiting.qsize() >= WAITING:
            self._last[clip.camera] = None  # what comes next does not follow what is kept
            self.lost += 1
            self._not_kept(f"{WAITING} clips wait for {self._ring.path} already")
            return
        self._last[clip.camera] = clip
        self._waiting.put((clip, opens))

    def limit(self, max_bytes: int) -> None:
        """Keep no more than this from now on; 0 removes what there is."""
        if max_bytes != self._max_bytes:
            self._max_bytes = max_bytes
            self._waiting.put(max_bytes)

    def close(self) -> None:
        """Keep what waits, as far as there is time; the store may be closed afterwards."""
        self._waiting.put(None)
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error("the last clips were not kept within %g s; they are given up", CLOSE_S)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                if isinstance(item, int):
                    self._ring.resize(item)
                elif self._ring.max_bytes:
                    self._ring.add(*item)
                    self.kept += 1
            except Exception as error:  # whatever it is, the thread must live on
                self.lost += not isinstance(item, int)
                self._not_kept(str(error), error)
            else:
                self.error = ""

    def _not_kept(self, why: str, error: Exception | None = None) -> None:
        if not self.error:  # the first of a row
            log.error("clips are not kept for learning: %s", why, exc_info=error)
        self.error = self.last_error = f"clips are not kept for learning: {why}"


def ring_bytes(values: Mapping[str, Any]) -> int:
    """How large the agent's parameters let the ring be."""
    return round(values["frames.gigabytes"] * 1e9)
