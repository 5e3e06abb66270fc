"""taskmem_sync: the lifecycle node that carries tasks out to an exchange and adapters in.

The network is touched by child processes only, one for each round: nothing that hangs there can keep this
node from answering, let alone the agent.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_srvs.srv import Trigger
from taskmem.msg import SyncStatus

from taskmem_ros.exchange.arrivals import newest_staged
from taskmem_ros.exchange.child import Progress, RoundChild, RoundResult, RoundSettings, shown
from taskmem_ros.exchange.notebook import Notebook
from taskmem_ros.memory import Store, StoreError

from . import qos
from .agent_link import AgentLink
from .conversions import nanoseconds, time_message
from .diagnostics import OK, WARN, Status
from .lifecycle import ManagedNode
from .runner import run
from .schedule import Alarm, S
from .sync_parameters import SYNC, check_sync, database, robot_name, schedule

ASKED = "somebody asked for it"
LATEST_NS = 2**31 * S - 1  # of builtin_interfaces/Time
NEARLY_NS = 2 * S  # as far as two plans may lie apart and be the same


class TaskmemSync(ManagedNode):
    """active: rounds when they are due and when sync_adapter asks; deactivate ends a round at once.

    Requests while a round runs share it. All below is in the executor's thread but `_run` and `_progress`.
    """

    def __init__(self) -> None:
        self._database: Path | None = None
        self._alarm: Alarm | None = None
        self._link: AgentLink | None = None
        self._child: RoundChild | None = None
        self._waiting: list[Future] = []
        self._doing = Progress("")
        self._result: RoundResult | None = None
        self._succeeded_ns = 0  # wall time; 0: never
        self._last_ns: int | None = None  # since when a daily time that was missed is made up for
        self._rounds = 0
        self._said: SyncStatus | None = None
        super().__init__("taskmem_sync", SYNC, check_sync, component="sync")
        self._publisher = self.create_publisher(SyncStatus, "sync_status", qos.newest())
        # Several may wait for the same round.
        group = ReentrantCallbackGroup()
        self.create_service(Trigger, "sync_adapter", self._on_trigger, callback_group=group)

    @property
    def _configured(self) -> bool:
        return self._database is not None

    def _configure(self) -> None:
        values = self._values()
        check_sync(values)
        self._database = database(values, self.get_namespace())
        self._last_ns = self._noted()
        self._link = AgentLink(self, self._look_for_staged)
        self._publish_status()
        self._tell(values)

    def _activate(self) -> None:
        self._set_alarm(self._values(), self._succeeded_ns or self._last_ns)
        self._look_for_staged()
        self._publish_status()

    def _deactivate(self) -> None:
        self._alarm = None
        self._stop("The round was ended: the node was deactivated.")
        self._publish_status()

    def _release(self) -> None:
        self._alarm = None
        self._stop("The round was ended: the node was told to end.")
        if self._link is not None:
            self._link.close()
        self._link = self._database = None

    def _apply(self, values: Mapping[str, Any]) -> None:
        """The next round is by the new values; one that runs is not disturbed."""
        if self._alarm is not None:
            self._set_alarm(values)
        self._publish_status()
        self._tell(values)

    def _tick(self) -> None:
        if self._link is not None:
            self._link.look()
        if self._alarm is not None and self._child is None:
            reason = self._alarm.due(time.time_ns(), time.monotonic_ns())
            if reason:
                self._begin(reason)
        if self._configured:
            self._publish_status(only_news=True)

    def _statuses(self) -> list[Status]:
        values = self._values()
        link, result, now = self._link, self._result, time.time_ns()
        if not values["exchange"]:
            return [Status("exchange", "", OK, "off: the parameter exchange is empty")]
        age_s = (now - self._succeeded_ns) / S if self._succeeded_ns else None
        told = {
            "last success": "never" if age_s is None else _ago(age_s),
            "age of the last success": -1.0 if age_s is None else age_s,
            "rounds": self._rounds,
            "now": self._doing.what if self._child is not None else "",
            "bundles waiting": result.bundles_waiting if result else 0,
            "bundles pushed": result.bundles_pushed if result else 0,
            "tasks pushed": result.tasks_pushed if result else 0,
            "adapter staged": result.adapter_staged if result else "",
            "agent": "there" if link is not None and link.there else "not there",
            "adapter": link.status.adapter or "none" if link is not None and link.status else "",
            "handed over": link.message if link is not None else "",
            "last error": result.error if result else "",
        }
        level, message = OK, "waiting" if self._alarm is not None else "not active"
        if result is not None and not result.well:
            level, message = WARN, result.error
        if self._child is not None:
            message = self._doing.what or "a round begins"
        return [Status("exchange", shown(values["exchange"]), level, message, told)]

    # Rounds

    def _begin(self, reason: str) -> None:
        values = self._values()
        robot = robot_name(values, self.get_namespace())
        settings = RoundSettings.of(values, str(self._database), robot)
        self.get_logger().info(f"a round with {settings.place} begins: {reason}")
        self._doing = Progress("")
        self._child = RoundChild(
            settings, stall_s=values["stall_s"], round_s=values["round_s"], progress=self._progress
        )
        threading.Thread(target=self._run, args=(self._child,), name="taskmem-round", daemon=True).start()
        self._publish_status()

    def _run(self, child: RoundChild) -> None:
        try:
            result = child.run()
        except Exception as error:  # a round that nobody hears of again would be the last one
            result = RoundResult(errors=(f"The round failed ({type(error).__name__}: {error}).",))
        self._mailbox.post(self._ended, child, result)

    def _progress(self, progress: Progress) -> None:
        self._doing = progress

    def _ended(self, child: RoundChild, result: RoundResult) -> None:
        if child is not self._child:  # it was stopped, and everybody knows
            return
        self._child = None
        self._rounds += 1
        self._result = result
        for line in result.lines():
            self.get_logger().info(line)
        for error in result.errors:
            self.get_logger().error(error)
        if result.well:
            self._succeeded_ns = time.time_ns()
        if self._alarm is not None:
            self._alarm.ended(result.well, time.monotonic_ns())
        if self._link is not None:
            self._link.offer(result.staged)
        self._answer(result)
        self._publish_status()

    def _stop(self, why: str) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill(why)
            self._result = RoundResult(errors=(why,))
            self._answer(self._result)

    def _set_alarm(self, values: Mapping[str, Any], last_ns: int | None = None) -> None:
        """last_ns: since when a time that was missed is made up for."""
        plan = schedule(values, robot_name(values, self.get_namespace()))
        if self._alarm is None or plan != self._alarm.schedule:
            self._alarm = Alarm(plan, time.time_ns(), time.monotonic_ns(), last_ns)

    def _noted(self) -> int | None:
        """When a round last ended well, or one was first wanted: a robot that is off each night has no other
        way to know that it missed one.
        """
        notebook = Notebook.beside(self._database)
        self._succeeded_ns = notebook.succeeded_ns or 0
        if notebook.since_ns is None and self._database.parent.is_dir():
            notebook.since_ns = time.time_ns()
            try:
                notebook.write()
            except OSError as error:
                self.get_logger().warning(f"{notebook.path} cannot be written: {error}")
        return notebook.succeeded_ns or notebook.since_ns

    def _tell(self, values: Mapping[str, Any]) -> None:
        if not values["exchange"]:
            self.get_logger().info("the parameter exchange is empty: nothing leaves this robot")
            return
        leaves = {
            "tasks": "questions, answers and feedback; no memories and no pictures, so that nothing can be "
            "learned from them elsewhere (contents: frames in params_file lets pictures out)",
            "memories": "questions, answers, feedback and the memories around; no pictures, so that nothing "
            "can be learned from them elsewhere (contents: frames in params_file lets pictures out)",
            "frames": "questions, answers, feedback, memories and pictures",
        }[values["contents"]]
        robot = robot_name(values, self.get_namespace())
        where = f"{shown(values['exchange'])} as {robot!r}"
        self.get_logger().info(f"to {where} go {leaves}")

    # sync_adapter, sync_status

    async def _on_trigger(self, request: Any, response: Any) -> Any:
        if self._alarm is None:
            response.message = "taskmem_sync is not active; activate it first."
            return response
        if not self.get_parameter("exchange").value:
            response.message = "No exchange is set; give the parameter exchange a folder or a URL."
            return response
        ended = Future(executor=self.executor)
        self._waiting.append(ended)
        if self._child is None:
            self.guarded(self._begin)(ASKED)
        if self._child is None:
            self._answer(RoundResult(errors=(self._last_error,)))
        result = await ended
        response.success = result.well
        response.message = "; ".join([*result.lines(), *result.errors])
        return response

    def _answer(self, result: RoundResult) -> None:
        waiting, self._waiting = self._waiting, []
        for ended in waiting:
            ended.set_result(result)

    def _look_for_staged(self) -> None:
        """An adapter of an earlier round may still wait to be tried."""
        if self._alarm is not None:
            self._mailbox.start(self._read_staged, self._database)

    def _read_staged(self, path: Path) -> None:
        if not path.exists():  # no agent has run yet
            return
        try:
            with Store.open(path, read_only=True) as store:
                id = newest_staged(store)
        except StoreError as error:
            self.get_logger().warning(f"no adapter can be looked for: {error}")
            return
        if id:
            self._mailbox.post(lambda: self._link is not None and self._link.offer(id))

    def _publish_status(self, only_news: bool = False) -> None:
        status = self._status()
        if only_news and self._said is not None and _same(status, self._said):
            return
        self._said = status
        self._publisher.publish(status)

    def _status(self) -> SyncStatus:
        exchange = self.get_parameter("exchange").value
        result = self._result or RoundResult()
        now, steady = time.time_ns(), time.monotonic_ns()
        status = SyncStatus(
            state=SyncStatus.STATE_WAITING,
            exchange=shown(exchange),
            bundles_pushed=result.bundles_pushed,
            tasks_pushed=result.tasks_pushed,
            bundles_waiting=result.bundles_waiting,
            adapter_staged=result.adapter_staged,
            error=result.error,
        )
        if self._child is not None:
            status.state = SyncStatus.STATE_RUNNING
        elif not exchange:
            status.state = SyncStatus.STATE_OFF
        status.header.stamp = _time(now)
        status.last_success = _time(self._succeeded_ns)
        if self._alarm is not None:
            status.next = _time(self._alarm.next_ns(now, steady) or 0)
        return status


def _time(wall_ns: int) -> Time:
    """What a message can hold of it: a clock may be far off."""
    return time_message(min(max(0, wall_ns), LATEST_NS))


def _same(one: SyncStatus, other: SyncStatus) -> bool:
    """Whether both say the same, whenever they say it."""
    for name in one.get_fields_and_field_types():
        if name == "next":
            if abs(nanoseconds(one.next) - nanoseconds(other.next)) > NEARLY_NS:
                return False
        elif name != "header" and getattr(one, name) != getattr(other, name):
            return False
    return True


def _ago(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h ago" if seconds >= 3600 else f"{seconds / 60:.0f} min ago"


def main(args: Sequence[str] | None = None) -> int:
    return run(TaskmemSync, args, __doc__, SYNC)


if __name__ == "__main__":
    sys.exit(main())
