"""Vectors in the background: every memory gets one, new ones first, while the agent does its work."""

from __future__ import annotations

import logging
import threading

from taskmem_ros.memory import Store
from taskmem_ros.recall import Encoder, VectorIndexer

log = logging.getLogger(__name__)

BATCH = 16  # vectors made before others are let at the file again
RETRY_S = 5.0


class Indexer:
    """A thread that makes the vectors that memories lack. `wake` tells it that there is a new one.

    `made` counts vectors since the start; `error` is why the newest try failed, "" after one that did not. A
    memory without its vector is found by its words meanwhile.
    """

    def __init__(self, store: Store, encoder: Encoder) -> None:
        self.encoder = encoder
        self.made = 0
        self.error = ""
        self._vectors = VectorIndexer(store, encoder)
        self._wake, self._closing = threading.Event(), threading.Event()
        self._wake.set()
        self._thread = threading.Thread(target=self._run, name="taskmem-indexer", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def close(self) -> None:
        """End after the batch that is under way; the store may be closed afterwards."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            while not self._closing.is_set() and self._step():
                pass

    def _step(self) -> bool:
        """Make some vectors; False when there are none to make. What failed is tried again after a while."""
        try:
            count = self._vectors.step(BATCH)
        except Exception as error:  # a full disk, a lock: whatever it is, the thread must live on
            if not self.error:
                log.error("no vectors are made: %s; trying again every %g s", error, RETRY_S, exc_info=error)
            self.error = f"no vectors are made: {error}"
            self._closing.wait(RETRY_S)
            return True
        self.error = ""
        self.made += count
        return count > 0
