"""Adapters that an agent does not survive: they are not tried, or watched, for ever."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

from taskmem_ros.memory import AdapterRow, AdapterUse, Store
from taskmem_ros.memory.adapters import REFUSED, TRIAL, WATCHED

PAUSED = "paused"  # event: a trial was cut off in good order
# With the same adapter on probation, or in the middle of the same trial: the next start is one too many.
STARTS = 2


def cut_off(store: Store, base_revision: str) -> list[AdapterRow]:
    """Adapters for this base model whose trial did not end, the newest last."""
    return [
        row for row in store.adapters(TRIAL) if json.loads(row.manifest).get("base_revision") == base_revision
    ]


def count_start(store: Store, worry: Callable[[str], None]) -> AdapterUse:
    """The agent starts: give up the adapter with which, or in whose trial, it ended too often; returns what
    is to be used. worry(sentence) is called for each that is given up. Raises StoreError.
    """
    use = store.adapter_use()
    row = store.adapter(use.in_use)
    if row is not None and row.state == WATCHED and store.count_adapter_start() > STARTS:
        reason = f"the agent ended {STARTS + 1} times before it had proved itself"
        use = store.roll_back(reason)
        worry(f"adapter {row.id} is given up: {reason}")
    for row in cut_off(store, use.base_revision):
        events = (event.event for event in store.adapter_events(row.id))
        lately = list(itertools.takewhile(lambda event: event in (TRIAL, PAUSED), events))
        if lately.count(TRIAL) - lately.count(PAUSED) > STARTS:
            reason = f"the agent ended {STARTS + 1} times in the middle of its trial"
            store.set_adapter_state(row.id, REFUSED, reason)
            worry(f"adapter {row.id} is refused: {reason}")
    return use
