"""The trial of an adapter: it and the one in use write memories of kept clips, one by one, between clips."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, wait
from typing import Any

from taskmem_ros.clips import Clip
from taskmem_ros.memory import StoreError, content_words
from taskmem_ros.memory.ring import ClipRing
from taskmem_ros.policy import Engine, EngineStopped
from taskmem_ros.policy.adapter import no_room, out_of_memory
from taskmem_ros.policy.slot import FittedAdapter
from taskmem_ros.policy.trial import TrialLimits, Tried, Verdict, judge_trial

log = logging.getLogger(__name__)

# Between two looks at how many clips are kept by now, and at whether it was cancelled.
LOOK_S = 1.0


class Cancelled(Exception):
    """The trial is not wanted any more."""


class Trial:
    """One that goes on. used: what it is compared with. settings: AdapterSettings when it began."""

    def __init__(self, id: str, used: FittedAdapter | None, settings: Any):
        self.id, self.used, self.settings = id, used, settings
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        self._cancelled.set()

    def go_on(self) -> None:
        """Raises Cancelled."""
        if self.cancelled:
            raise Cancelled

    def rest(self) -> None:
        """Raises Cancelled, at the latest after LOOK_S."""
        self._cancelled.wait(LOOK_S)
        self.go_on()


def run_trial(
    trial: Trial,
    fitted: FittedAdapter,
    engine: Engine,
    ring: ClipRing,
    say: Callable[[str], Any],
    limits: TrialLimits | None = None,
) -> Verdict | None:
    """Try an adapter on the newest kept clips; None where no trial is wished.

    Waits for the clips, and for moments in which none waits for the policy. Raises Cancelled, EngineStopped,
    and NoRoom where the memory runs out in it.
    """
    count = trial.settings.trial_clips
    if not count:
        return None
    pairs = []
    for number, (clips, memories) in enumerate(_contexts(trial, ring, count, say), 1):
        used, tried = (_write(trial, adapter, engine, clips, memories) for adapter in (trial.used, fitted))
        pairs.append(Tried(used, tried))
        say(f"adapter {trial.id} is on trial: {number} of {count} clips")
    verdict = judge_trial(pairs, content_words, limits or TrialLimits())
    log.info("trial of adapter %s: %s", trial.id, verdict.numbers)
    return verdict


def _contexts(
    trial: Trial, ring: ClipRing, count: int, say: Callable[[str], Any]
) -> list[tuple[Sequence[Clip], Sequence[str]]]:
    while True:
        trial.go_on()
        try:
            kept = len(ring.kept())
            if kept >= count and len(found := ring.contexts(count, window=trial.settings.window)) >= count:
                return found
            off = not trial.settings.frames
            why = "; frames.gigabytes is 0, so none is kept: raise it, or set adapters.trial_clips to 0" * off
        except StoreError as error:
            kept, why = 0, f"; {error}"
        say(f"adapter {trial.id} waits for its trial until {count} clips are kept, {kept} are now{why}")
        trial.rest()


def _write(
    trial: Trial,
    adapter: FittedAdapter | None,
    engine: Engine,
    clips: Sequence[Clip],
    memories: Sequence[str],
) -> str | None:
    """The memory that an adapter writes of a clip; None where it fails. Raises NoRoom."""

    def work(policy, yield_point):
        def at_token() -> None:
            trial.go_on()
            yield_point()

        length = trial.settings.max_new_tokens
        return policy.try_adapter(adapter, clips, memories, max_new_tokens=length, yield_point=at_token)

    future = engine.between_clips(work)
    while not wait([future], LOOK_S).done:
        if trial.cancelled and future.cancel():
            raise Cancelled
    try:
        return future.result().text
    except (Cancelled, EngineStopped):
        raise
    except CancelledError as error:
        raise Cancelled from error
    except Exception as error:  # as in the engine: a clip of which there is no memory
        if out_of_memory(error):
            raise no_room(f"the trial of adapter {trial.id}", error) from error
        name = adapter.id if adapter else "the bare model"
        log.error("in the trial %s failed: %s", name, error, exc_info=error)
        return None
