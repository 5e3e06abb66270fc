"""From taskmem_sync to the agent: adapters that came are handed to it, and what it makes of them is heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from taskmem.msg import AdapterStatus
from taskmem.srv import ManageAdapter

from . import qos

REPLY_S = 60.0  # a trial is only begun in it


class AgentLink:
    """The agent of this namespace, if there is one. All in the executor's thread.

    free() is called when it may try an adapter that it did not try before: it has just appeared, or a trial,
    a watch or a pin of another one has ended. status: the newest adapter_status, None before the first.
    message: what the last handing over came to, in a sentence, "" before the first.
    """

    def __init__(self, node: Any, free: Callable[[], None]) -> None:
        self.status: AdapterStatus | None = None
        self.message = ""
        self.there = False
        self._node, self._free = node, free
        self._offered = ""
        self._asked_at: float | None = None  # steady; a request is under way
        self._client = node.create_client(ManageAdapter, "manage_adapter")
        self._listener = node.create_subscription(
            AdapterStatus, "adapter_status", self._on_status, qos.newest()
        )

    def close(self) -> None:
        self._node.destroy_client(self._client)
        self._node.destroy_subscription(self._listener)

    def offer(self, id: str) -> None:
        """Have the agent try this adapter, now or as soon as there is an agent; "" is nothing to try."""
        self._offered = id
        if id and not self.there:
            self.message = f"adapter {id} waits for an agent: none serves {self._client.srv_name}"
            self._node.get_logger().warning(self.message)
        self._ask()

    def look(self) -> None:
        """Once a second."""
        before, self.there = self.there, self._client.service_is_ready()
        if self._asked_at is not None and time.monotonic() - self._asked_at > REPLY_S:
            self._asked_at = None
            self._say(f"the agent did not reply within {REPLY_S:g} s when asked to try an adapter")
        if self.there and not before and not self._offered:
            self._free()
        self._ask()

    def _ask(self) -> None:
        if not self._offered or self._asked_at is not None or not self.there:
            return
        id, self._offered = self._offered, ""
        self._asked_at = time.monotonic()
        request = ManageAdapter.Request(command=ManageAdapter.Request.TRY, id=id)
        future = self._client.call_async(request)
        future.add_done_callback(lambda future: self._on_reply(id, future))

    def _on_reply(self, id: str, future: Any) -> None:
        self._asked_at = None
        try:
            reply = future.result()
        except Exception as error:  # the middleware's own
            self._say(f"the agent could not be asked to try adapter {id}: {error}")
            return
        if reply.success:
            self.message = reply.message or f"the agent tries adapter {id}"
            self._node.get_logger().info(self.message)
        else:
            self._say(f"the agent does not try adapter {id}: {reply.message}")

    def _on_status(self, status: AdapterStatus) -> None:
        before, self.status = self.status, status
        if status.message and (before is None or before.message != status.message):
            self._node.get_logger().info(f"the agent says: {status.message}")
        if before is not None and _is_free(status) and not _is_free(before):
            self._free()

    def _say(self, message: str) -> None:
        self.message = message
        self._node.get_logger().warning(message)


def _is_free(status: AdapterStatus) -> bool:
    return status.phase == AdapterStatus.PHASE_STEADY and not status.pinned
