"""taskmem_agent: the lifecycle node. It declares, converts, enqueues and publishes; the rooms do the work."""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from . import diagnostics, parameters
from .agent_parameters import AGENT, check_agent
from .diagnostics import ERROR, OK, WARN, Status
from .mailbox import Mailbox
from .runner import run

SUCCESS, FAILURE, FAULT = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


class TryLater(RuntimeError):
    """A transition that cannot be made now and changes nothing."""


class TaskmemAgent(LifecycleNode):
    """configure opens the store and loads the model; activate listens and serves; deactivate keeps the model.

    Transitions run in the executor's thread, as lifecycle nodes' do everywhere: while a large model loads,
    this process answers nothing else, and it has nothing else to do (no subscription, no service, no clock is
    live yet). rclpy turns an exception in a transition into an error without a word, so each is caught and
    logged here. A transition that fails for a reason the user can mend (a parameter, a file) returns to
    unconfigured.
    """

    def __init__(self) -> None:
        super().__init__("taskmem_agent")
        parameters.declare(self, AGENT)
        check_agent(self._values())
        self._work: Any = None
        self._mailbox = Mailbox(self)
        parameters.guard(
            self,
            AGENT,
            check_agent,
            configured=lambda: self._work is not None,
            changed=lambda: self._mailbox.post(self._apply_parameters),
        )
        self._last_error = ""
        self._broken: dict[object, str] = {}  # what failed and has not gone well since
        self._ended: Any = None  # work that was released, as long as its model is busy
        self._loading = False
        self._logs = _ToRos(self)
        logging.getLogger("taskmem_ros").addHandler(self._logs)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Health is reported, and silence noticed, by real time even when sim time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._every_second = self.create_timer(1.0, self.guarded(self._tick), clock=steady)
        self._start: Any = None
        if self.get_parameter("autostart").value:
            self._start = self.create_timer(0.01, self._autostart, clock=steady)
        else:
            self.get_logger().info(
                "waiting for a lifecycle manager to configure and activate this node; "
                "the parameter autostart:=true would make it do so by itself"
            )

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("configure", self._configure, FAILURE)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("activate", self._activate, FAULT)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("deactivate", lambda: self._work.deactivate(), FAULT)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("cleanup", self._release, FAULT)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("shutdown", self._release, FAULT)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything; the node is unconfigured again, and may be configured anew."""
        return self._transition("error handling", self._release, FAILURE)

    def guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """`callback` with its exceptions logged; one that left a callback would end the executor's spin."""
        key = object()

        @functools.wraps(callback)
        def call(*args: Any) -> None:
            try:
                callback(*args)
            except Exception as error:
                self._failed(callback.__qualname__, error, key)
            else:
                self._broken.pop(key, None)

        return call

    def close(self) -> None:
        """Before the process ends: write down what is known, in whatever state the node is."""
        self._every_second.cancel()
        self._release()
        self._mailbox.close()
        logging.getLogger("taskmem_ros").removeHandler(self._logs)

    def _transition(
        self, name: str, step: Callable[[], None], on_error: TransitionCallbackReturn
    ) -> TransitionCallbackReturn:
        try:
            step()
        except TryLater as error:
            self._failed(name, error, "transition")
            return FAILURE
        except Exception as error:
            self._failed(name, error, "transition")
            return on_error
        self._broken.clear()
        self.get_logger().info(f"{name}: done")
        return SUCCESS

    def _configure(self) -> None:
        values = self._values()
        check_agent(values)
        self._wait_for_model(self._ended)
        self._loading = True
        self._publish_diagnostics()
        self.get_logger().info(f"loading the model {values['model']} ...")
        try:
            from .work import Work  # torch and transformers take seconds to import

            self._work = Work(self, self._mailbox, values)
        finally:
            self._loading = False
        self.get_logger().info(f"memories go to {self._work.store.path}")

    def _activate(self) -> None:
        self._wait_for_model(self._work)
        self._work.activate()

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

    def _autostart(self) -> None:
        """Once, after the start. Nobody else looks after this node then, so a failure ends the process."""
        self._start.cancel()
        if self._state() == "unconfigured" and self.trigger_configure() != SUCCESS:
            raise SystemExit(1)
        if self._state() == "inactive" and self.trigger_activate() != SUCCESS:
            raise SystemExit(1)

    def _apply_parameters(self) -> None:
        if self._work is not None:
            self._work.apply(self._values())

    def _tick(self) -> None:
        if self._work is not None:
            self._work.tick(self.get_clock().now().nanoseconds)
        self._forget_ended()
        self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        message = "loading the model" if self._loading else self._state()
        broken = list(self._broken.values())
        level = ERROR if broken else WARN if self._loading else OK
        statuses = [
            Status(
                "agent",
                self.get_fully_qualified_name(),
                level,
                broken[-1] if broken else message,
                {"state": self._state(), "last error": self._last_error},
            )
        ]
        if self._work is not None:
            statuses += self._work.statuses()
        self._diagnostics.publish(
            diagnostics.array(
                self.get_fully_qualified_name().lstrip("/"), self.get_clock().now().to_msg(), statuses
            )
        )

    def _failed(self, where: str, error: Exception, key: object) -> None:
        """Log it, and show it in /diagnostics until what `key` stands for goes well."""
        self._last_error = self._broken[key] = f"{where} failed: {error}"
        trace = "" if isinstance(error, TryLater) else f"\n{traceback.format_exc()}"
        self.get_logger().error(self._last_error + trace)

    def _values(self) -> dict[str, Any]:
        return parameters.read(self, AGENT)

    def _state(self) -> str:
        return self._state_machine.current_state[1]


class _ToRos(logging.Handler):
    """The rooms log by Python's logging; this makes it ROS's, tracebacks included."""

    def __init__(self, node: LifecycleNode) -> None:
        super().__init__(logging.INFO)
        self._logger = node.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        # rclpy wants each line of code to log at one level only.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def main(args: Sequence[str] | None = None) -> int:
    return run(TaskmemAgent, args, __doc__, AGENT)


if __name__ == "__main__":
    sys.exit(main())
