"""taskmem_agent: the lifecycle node. It declares, converts, enqueues and publishes; the rooms do the work."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .agent_parameters import AGENT, check_agent
from .diagnostics import Status
from .lifecycle import ManagedNode, TryLater
from .runner import run


class TaskmemAgent(ManagedNode):
    """configure opens the store and loads the model; activate listens and serves; deactivate keeps the model.

    While a large model loads, this process answers nothing else, and it has nothing else to do (no
    subscription, no service, no clock is live yet).
    """

    def __init__(self) -> None:
        self._work: Any = None
        self._ended: Any = None  # work that was released, as long as its model is busy
        super().__init__("taskmem_agent", AGENT, check_agent, component="agent")

    @property
    def _configured(self) -> bool:
        return self._work is not None

    def _configure(self) -> None:
        values = self._values()
        check_agent(values)
        self._wait_for_model(self._ended)
        self._busy_with = "loading the model"
        self._publish_diagnostics()
        self.get_logger().info(f"loading the model {values['model']} ...")
        try:
            from .work import Work  # torch and transformers take seconds to import

            self._work = Work(self, self._mailbox, values)
        finally:
            self._busy_with = ""
        self.get_logger().info(f"memories go to {self._work.store.path}")

    def _activate(self) -> None:
        self._wait_for_model(self._work)
        self._work.activate()

    def _deactivate(self) -> None:
        self._work.deactivate()

    def _wait_for_model(self, work: Any) -> None:
        """Raises TryLater while the model of `work` is busy: nothing can be started beside it."""
        if work is not None and not work.stop_engine(0.0):
            raise TryLater(
                "the model is still busy with what it did before the agent was deactivated "
                "and stops at its next token; try again in a while."
            )

    def _release(self) -> None:
        work, self._work = self._work, None
        if work is None:
            return
        self._ended = work
        try:
            if work.active:
                work.deactivate()
        finally:
            work.close()
            self._forget_ended()

    def _forget_ended(self) -> None:
        if self._ended is not None and self._ended.stop_engine(0.0):
            self._ended = None

    def _apply(self, values: Mapping[str, Any]) -> None:
        self._work.apply(values)

    def _tick(self) -> None:
        if self._work is not None:
            self._work.tick(self.get_clock().now().nanoseconds)
        self._forget_ended()

    def _statuses(self) -> list[Status]:
        return self._work.statuses() if self._work is not None else []


def main(args: Sequence[str] | None = None) -> int:
    return run(TaskmemAgent, args, __doc__, AGENT)


if __name__ == "__main__":
    sys.exit(main())
