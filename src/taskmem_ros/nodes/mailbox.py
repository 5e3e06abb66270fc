"""Between the executor and other threads: work goes to a small pool, results come back by a guard condition.

rclpy's own `MultiThreadedExecutor` would let callbacks block, at the price of a much slower executor; here
one executor thread serves everything and nothing in it ever waits. A coroutine that awaits a rclpy future is
only resumed when the executor wakes, so a future is completed in the executor's thread, by the guard's
callback.
"""

from __future__ import annotations

import collections
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future


class Mailbox:
    """`post` runs a function in the executor's thread; `background` awaits one that runs in the pool."""

    def __init__(self, node: Any, workers: int = 32) -> None:
        self._node = node
        self._letters: collections.deque[tuple[Callable[..., None], tuple[Any, ...]]] = collections.deque()
        self._guard = node.create_guard_condition(self._deliver, callback_group=ReentrantCallbackGroup())
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="taskmem-service")

    def post(self, function: Callable[..., None], *args: Any) -> None:
        """Have the executor call `function(*args)` soon. Safe from any thread; its exceptions are logged."""
        self._letters.append((function, args))
        self._guard.trigger()

    async def background(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run `function(*args)` in the pool without blocking the executor; returns or raises what it does."""
        done = Future(executor=self._node.executor)

        def work() -> None:
            try:
                result = function(*args)
            except Exception as error:  # handed to whoever awaits
                self.post(done.set_exception, error)
            else:
                self.post(done.set_result, result)

        self._pool.submit(work)
        return await done

    def start(self, function: Callable[..., Any], *args: Any) -> None:
        """Run `function(*args)` in the pool; nobody waits, its exceptions are logged."""

        def work() -> None:
            try:
                function(*args)
            except Exception:
                self._node.get_logger().error(f"in {function.__qualname__}:\n{traceback.format_exc()}")

        self._pool.submit(work)

    def close(self) -> None:
        """Let running work end; nothing new is taken."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _deliver(self) -> None:
        while self._letters:
            function, args = self._letters.popleft()
            try:
                function(*args)
            except Exception:  # it would end the executor's spin, and the node with it
                self._node.get_logger().error(f"in {function.__qualname__}:\n{traceback.format_exc()}")
