"""Work that is done one piece after the other in a thread of its own, whoever asks for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Letter = Callable[[], None]


class Letters:
    """Does what is put into it, in that order. failed(error) is told, in that thread, what a piece raised.

    Begins at once; it is not begun a second time.
    """

    def __init__(self, name: str, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._waiting: queue.SimpleQueue[Letter | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, letter: Letter) -> None:
        """Have it done after all that waits; after `close` it is not."""
        self._waiting.put(letter)

    def close(self) -> None:
        """What waits is still done, and then the thread ends. Returns at once."""
        self._waiting.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end, after `close`."""
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (letter := self._waiting.get()) is not None:
            try:
                letter()
            except Exception as error:  # whatever it is, the thread must live on
                self._failed(error)
