"""What the lifecycle nodes share: guarded transitions, health once a second, the rooms' logs, autostart."""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from . import diagnostics, parameters
from .diagnostics import ERROR, OK, WARN, Status
from .mailbox import Mailbox
from .parameters import Spec

SUCCESS, FAILURE, FAULT = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


class TryLater(RuntimeError):
    """A transition that cannot be made now and changes nothing."""


class ManagedNode(LifecycleNode):
    """A lifecycle node: its transitions are the methods `_configure`, `_activate`, `_deactivate`, `_release`.

    They run in the executor's thread, as lifecycle nodes' do everywhere. rclpy turns an exception in a
    transition into an error without a word, so each is caught and logged here. A configuration that fails for
    a reason the user can mend (a parameter, a file) returns to unconfigured.

    component: what this node is called in its own line of /diagnostics. check: judges all values of `specs`.
    """

    def __init__(
        self,
        name: str,
        specs: Sequence[Spec],
        check: Callable[[Mapping[str, Any]], None],
        *,
        component: str,
    ) -> None:
        super().__init__(name)
        self._specs, self._check, self._component = specs, check, component
        parameters.declare(self, specs)
        check(self._values())
        self._mailbox = Mailbox(self)
        parameters.guard(
            self,
            specs,
            check,
            configured=lambda: self._configured,
            changed=lambda: self._mailbox.post(self._apply_parameters),
        )
        self._last_error = ""
        self._broken: dict[object, str] = {}  # what failed and has not gone well since
        self._busy_with = ""  # a transition that takes long, for /diagnostics
        self._logs = _ToRos(self)
        logging.getLogger("taskmem_ros").addHandler(self._logs)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Health is reported, and silence noticed, by real time even when sim time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._every_second = self.create_timer(1.0, self.guarded(self._second), clock=steady)
        self._start: Any = None
        if self.get_parameter("autostart").value:
            self._start = self.create_timer(0.01, self._autostart, clock=steady)
        else:
            self.get_logger().info(
                "waiting for a lifecycle manager to configure and activate this node; "
                "the parameter autostart:=true would make it do so by itself"
            )

    # What a node of its own has to say.

    @property
    def _configured(self) -> bool:
        """Between `_configure` and `_release`."""
        raise NotImplementedError

    def _configure(self) -> None:
        raise NotImplementedError

    def _activate(self) -> None:
        raise NotImplementedError

    def _deactivate(self) -> None:
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of everything, in whatever state; more than once is well, too."""
        raise NotImplementedError

    def _apply(self, values: Mapping[str, Any]) -> None:
        """Take over the parameters that changed while configured."""

    def _tick(self) -> None:
        """Once a second, in every state."""

    def _statuses(self) -> list[Status]:
        """The health of its parts, for /diagnostics."""
        return []

    # What all do the same way.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("configure", self._configure, FAILURE)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("activate", self._activate, FAULT)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("deactivate", self._deactivate, FAULT)

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

    def _autostart(self) -> None:
        """Once, after the start. Nobody else looks after this node then, so a failure ends the process."""
        self._start.cancel()
        if self._state() == "unconfigured" and self.trigger_configure() != SUCCESS:
            raise SystemExit(1)
        if self._state() == "inactive" and self.trigger_activate() != SUCCESS:
            raise SystemExit(1)

    def _apply_parameters(self) -> None:
        if self._configured:
            self._apply(self._values())

    def _second(self) -> None:
        self._tick()
        self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        broken = list(self._broken.values())
        level = ERROR if broken else WARN if self._busy_with else OK
        own = Status(
            self._component,
            self.get_fully_qualified_name(),
            level,
            broken[-1] if broken else self._busy_with or self._state(),
            {"state": self._state(), "last error": self._last_error},
        )
        self._diagnostics.publish(
            diagnostics.array(
                self.get_fully_qualified_name().lstrip("/"),
                self.get_clock().now().to_msg(),
                [own, *self._statuses()],
            )
        )

    def _failed(self, where: str, error: Exception, key: object) -> None:
        """Log it, and show it in /diagnostics until what `key` stands for goes well."""
        self._last_error = self._broken[key] = f"{where} failed: {error}"
        trace = "" if isinstance(error, TryLater) else f"\n{traceback.format_exc()}"
        self.get_logger().error(self._last_error + trace)

    def _values(self) -> dict[str, Any]:
        return parameters.read(self, self._specs)

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
