"""How long a place is waited for: one step, one operation, one more try."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import random
import socket
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
_TRANSIENT = {
    getattr(errno, name)
    for name in (
        "ECONNRESET ECONNREFUSED ECONNABORTED EPIPE ETIMEDOUT EHOSTUNREACH EHOSTDOWN ENETUNREACH ENETDOWN "
        "ENETRESET ENOTCONN ESHUTDOWN EBUSY EAGAIN ESTALE EREMOTEIO"
    ).split()
    if hasattr(errno, name)
}


class OutOfTime(TimeoutError):
    """The whole operation took longer than it may; trying again is no use."""


class Stalled(TimeoutError):
    """Nothing moved for as long as one step may take."""


class Patience:
    """Of one operation. step_s: how long nothing may move; total_s: how long all of it may take.

    `touch` says that something moved; `left` is how long to wait now, and raises OutOfTime.
    """

    def __init__(self, step_s: float, total_s: float):
        self.step_s, self.total_s = step_s, total_s
        self._end = time.monotonic() + total_s
        self._moved = time.monotonic()

    def touch(self) -> None:
        """Something moved. Raises OutOfTime: who goes on reading a byte a second ends too."""
        self._moved = time.monotonic()
        self.left()

    def left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise OutOfTime(f"not done within {self.total_s:g} s")
        return min(left, self.step_s)

    def run(self, loop: asyncio.AbstractEventLoop, job: Awaitable[T]) -> T:
        """The job's result, in a loop that runs in another thread.

        A stalled one is cancelled and not waited for: closing a dead connection can take as long as using it.
        """
        self.touch()
        future = asyncio.run_coroutine_threadsafe(_awaited(job), loop)
        while True:
            wait = min(self._moved + self.step_s, self._end) - time.monotonic()
            try:
                return future.result(max(0.0, min(wait, 1.0)))
            except concurrent.futures.TimeoutError:
                if future.done():  # just now, or by a timeout of its own, which may be of the same class
                    return future.result()
                if wait <= 0:
                    future.cancel()
                    self.left()
                    raise Stalled(f"nothing moved for {self.step_s:g} s") from None
            except BaseException:
                future.cancel()
                raise

    def before_try(self, tried: int) -> None:
        """Wait longer before each further try, at random so that a fleet does not come back all at once."""
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**tried)
        wait = random.uniform(longest / 2, longest)
        if time.monotonic() + wait >= self._end:
            raise OutOfTime(f"not done within {self.total_s:g} s")
        time.sleep(wait)
        self._moved = time.monotonic()


async def _awaited(job: Awaitable[T]) -> T:
    return await job


def is_transient(error: BaseException) -> bool:
    """Whether the same may go well a little later, as far as the system's own errors tell."""
    if isinstance(error, OutOfTime):
        return False
    if isinstance(
        error, (ConnectionError, TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError)
    ):
        return True
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    return isinstance(error, OSError) and error.errno in _TRANSIENT
