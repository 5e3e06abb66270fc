"""The agent's desk for adapters: the service manage_adapter, and the latched topic adapter_status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskmem import msg, srv

from taskmem_ros.exchange.keys import KEYRING
from taskmem_ros.memory import Store
from taskmem_ros.memory.ring import ClipRing
from taskmem_ros.policy import Engine, MemoryPolicy

from . import qos
from .adapter_health import ON_TRIAL, ON_WATCH, STEADY, AdapterHealth
from .adapter_in_use import AdapterSettings, Refused
from .adapter_keeper import AdapterKeeper
from .diagnostics import OK, WARN, Status
from .mailbox import Mailbox

log = logging.getLogger(__name__)

Request, AdapterStatus = srv.ManageAdapter.Request, msg.AdapterStatus
PHASES = {
    STEADY: AdapterStatus.PHASE_STEADY,
    ON_TRIAL: AdapterStatus.PHASE_TRIAL,
    ON_WATCH: AdapterStatus.PHASE_WATCH,
}


class AdapterDesk:
    """Declares, converts and publishes; what is decided, `keeper` decides."""

    def __init__(
        self,
        node: Any,
        mailbox: Mailbox,
        store: Store,
        policy: MemoryPolicy,
        engine: Engine,
        ring: ClipRing,
        values: Mapping[str, Any],
    ) -> None:
        self._node, self._mailbox = node, mailbox
        self._published: AdapterHealth | None = None
        self._publisher = node.create_publisher(AdapterStatus, "adapter_status", qos.newest())
        self._server: Any = None
        self._pending = 0
        self._closing = False
        self.keeper = AdapterKeeper(
            store,
            policy,
            engine,
            ring,
            adapter_settings(values),
            lambda: mailbox.post(self._publish),
            mailbox.start,
        )
        self.keeper.start_up()
        self._publish()

    def open(self) -> None:
        """Serve, and go on with what was cut off. The engine runs."""
        self._closing = False
        self.keeper.open()
        if self._server is None:
            self._server = self._node.create_service(srv.ManageAdapter, "manage_adapter", self._manage)

    def close(self) -> None:
        """Serve no more; a reply under way is sent before the server goes."""
        self.keeper.close()
        self._closing = True
        self._destroy()

    def end(self) -> None:
        """After the engine's stop: nothing is published any more."""
        self.keeper.end()
        self._node.destroy_publisher(self._publisher)
        self._publisher = None

    def status(self, active: bool) -> Status:
        """For /diagnostics."""
        health, use = self.keeper.health, self.keeper.health.use
        values = {
            "in use": health.in_use or "none",
            "goes back to": use.previous or "none",
            "phase": health.phase,
            "on trial": health.candidate or "none",
            "clips watched": "{} of {}".format(*health.watched) if health.phase == ON_WATCH else "",
            "pinned": use.pinned,
            "highest serial": use.serial,
            "base model": use.base_model,
            "base revision": use.base_revision,
            "newest event": health.message,
        }
        level, message = (WARN, health.problem) if health.problem else (OK, health.message)
        return Status("adapter", use.base_model, level, message if active else "not active", values)

    async def _manage(self, request: Any, response: Any) -> Any:
        self._pending += 1
        try:
            response.message = await self._mailbox.background(self._do, request.command, request.id)
            response.success = True
        except Refused as refused:
            response.message = str(refused)
        except Exception as error:  # the client must get a reply, and the executor must spin on
            log.exception("manage_adapter failed")
            response.message = f"{type(error).__name__}: {error}"
        finally:
            self._pending -= 1
            self._mailbox.post(self._destroy)  # runs after the executor has sent this reply
        return response

    def _do(self, command: int, id: str) -> str:
        keeper = self.keeper
        commands = {
            Request.TRY: keeper.try_adapter,
            Request.ACTIVATE: keeper.activate,
            Request.ROLL_BACK: keeper.roll_back,
            Request.PIN: lambda: keeper.pin(True),
            Request.UNPIN: lambda: keeper.pin(False),
        }
        if command not in commands:
            raise Refused(
                f"command is {command}; allowed are TRY (1), ACTIVATE (2), ROLL_BACK (3), PIN (4), UNPIN (5)"
            )
        if command in (Request.TRY, Request.ACTIVATE):
            if not id and command == Request.TRY:
                raise Refused("id is empty; name the adapter that is to be tried")
            return commands[command](id)
        if id:
            raise Refused(f"id is {id!r}, but this command is about the adapter in use; leave id empty")
        return commands[command]()

    def _publish(self) -> None:
        health = self.keeper.health
        if self._publisher is None or health == self._published:
            return
        self._published = health
        status = AdapterStatus(
            base_model=health.use.base_model,
            base_revision=health.use.base_revision,
            phase=PHASES[health.phase],
            adapter=health.in_use,
            previous=health.use.previous,
            candidate=health.candidate,
            pinned=health.use.pinned,
            message=health.message,
        )
        status.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(status)

    def _destroy(self) -> None:
        if self._closing and not self._pending and self._server is not None:
            self._node.destroy_service(self._server)
            self._server = None


def adapter_settings(values: Mapping[str, Any]) -> AdapterSettings:
    """Of the agent's parameters."""
    return AdapterSettings(
        keyring=Path(values["adapters.keyring"] or KEYRING).expanduser(),
        trial_clips=values["adapters.trial_clips"],
        watch_clips=values["adapters.watch_clips"],
        max_new_tokens=values["max_new_tokens"],
        window=values["window"],
        by_hand=values["adapter"],
        frames=values["frames.gigabytes"] > 0,
    )
