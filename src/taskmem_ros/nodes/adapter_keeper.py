"""Which adapter the agent memorizes with: here one is tried, taken over, watched and gone back from.

What is decided is in the store first, and then in the model: a restart goes on from the store. Nothing of
this can end the agent: where an adapter cannot be had, the one before it is used, and at last the bare model.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

from taskmem_ros.exchange.keys import KeyFileError
from taskmem_ros.exchange.package import PackageError
from taskmem_ros.memory import AdapterRow, Store, StoreError
from taskmem_ros.memory.adapters import GOOD, REFUSED, ROLLED_BACK, STAGED, TRIAL, WATCHED
from taskmem_ros.memory.ring import ClipRing
from taskmem_ros.policy import Engine, EngineStopped, LoadError, MemoryPolicy, NoRoom
from taskmem_ros.policy.slot import FittedAdapter
from taskmem_ros.policy.trial import Verdict
from taskmem_ros.policy.watch import Baseline, Watch, WatchLimits

from .adapter_health import NOT_KNOWN, ON_TRIAL, ON_WATCH, STEADY, AdapterHealth
from .adapter_in_use import AdapterInUse, AdapterSettings, Refused, named
from .adapter_starts import PAUSED, count_start, cut_off
from .adapter_trial import Cancelled, Trial, run_trial
from .letters import Letters

log = logging.getLogger(__name__)

# What was before a take-over, to compare with.
MEMORIES_BEFORE, TASKS_BEFORE = 300, 100
END_S = 2.0
# What could not be tried is offered again at once; it is not tried again before that.
AGAIN_S = 600.0
# How often what should be in use, and could not be had, is looked for.
MISSING_S = 60.0


class AdapterKeeper:
    """Commands come from any thread, news of clips and answers too; one thread of its own does what takes
    time. changed() is called, in any thread, when `health` is another; apart(work) does some work in a thread
    where it may wait.

    ring: a ClipRing, from which the trial has its clips.
    """

    def __init__(
        self,
        store: Store,
        policy: MemoryPolicy,
        engine: Engine,
        ring: ClipRing,
        settings: AdapterSettings,
        changed: Callable[[], None],
        apart: Callable[[Callable[[], None]], None],
    ) -> None:
        self.settings = settings
        self._store, self._policy, self._engine, self._ring = store, policy, engine, ring
        self._changed, self._apart = changed, apart
        self._use = NOT_KNOWN
        self._message = self._problem = ""
        self._unread = ""  # why it is not known what another program wrote
        self._following = False
        self._looked_at = 0.0  # steady: for what should be in use
        self._trial: Trial | None = None
        self._not_now: dict[str, tuple[float, str]] = {}  # steady time, and why it could not be tried
        self._watch: tuple[str, Watch] | None = None
        self._owed: tuple[str, str] | None = None  # a rollback that the store did not take
        self._turn = threading.RLock()  # one decision at a time; never waited for in the engine's thread
        self._letters: Letters | None = None  # from the first `open` on
        self._open = False
        self._model = AdapterInUse(store, policy, engine, settings, self._worry)

    @property
    def health(self) -> AdapterHealth:
        trial, watch = self._trial, self._watch
        return AdapterHealth(
            phase=ON_TRIAL if trial else ON_WATCH if watch else STEADY,
            in_use=self._policy.adapter_id,
            candidate=trial.id if trial else "",
            message=self._message,
            problem=self._problem or self._unread,
            watched=(watch[1].clips, self.settings.watch_clips) if watch else (0, 0),
            use=self._use,
        )

    def start_up(self) -> None:
        """Before the engine's first start: the last good adapter, or one that has still to prove itself."""
        by = self._policy.provenance
        with self._told_of_store("which adapter was in use is not known"):
            left = self._store.set_base(by.model, by.revision)
            self._use = self._store.adapter_use()
            if self.settings.by_hand:
                self._say(f"adapter {self._policy.adapter_id} is set by hand (parameter adapter)")
                return
            if left:
                self._worry(f"adapter {left} was made for another base model and is put aside")
            with self._told_of_store("how often the agent started with this adapter is not known"):
                self._use = count_start(self._store, self._worry)
            with self._model.alone():
                self._settle()
            if not self._problem:
                self._say(f"{named(self._policy.adapter_id)} is in use")

    def settle(self) -> None:
        """Before the engine starts again: what is in the store is in the model, whatever came between."""
        if not self.settings.by_hand:
            with self._told_of_store("which adapter is in use is not known"), self._turn, self._model.alone():
                self._settle()

    def open(self) -> None:
        """The engine runs: go on with a trial or a watch that was cut off."""
        if self.settings.by_hand:
            return
        self._join()
        self._letters = Letters("taskmem-adapters", self._failed)
        self._open, self._watch = True, None
        with self._told_of_store("what was going on with adapters is not known"), self._turn:
            row = self._store.adapter(self._use.in_use)
            if row is not None and row.state == WATCHED and row.id == self._policy.adapter_id:
                self._begin_watch(row.id)
            self._go_on_with(cut_off(self._store, self._use.base_revision))

    def close(self) -> None:
        """The engine is about to stop; a trial is cut off, and goes on after the next `open`."""
        if self._open:
            self._letters.put(self._forgive)
        self._open = False
        if (trial := self._trial) is not None:
            trial.cancel()
        if self._letters is not None:
            self._letters.close()

    def end(self) -> None:
        """After `close` and the engine's stop, before the store is closed: wait for the thread."""
        if self._letters is None and not self.settings.by_hand:  # the agent was never active
            try:
                self._forgive()
            except StoreError as error:
                log.warning("that the agent ended in good order was not stored: %s", error)
        self._join()

    def wrote(self, text: str | None) -> None:
        """The engine tried a clip. In the engine's thread: with the adapter in use."""
        if self._watch is not None:
            id = self._policy.adapter_id
            self._letters.put(lambda: self._watched(id, lambda watch: watch.memory(text)))

    def answered(self, status: str) -> None:
        """A question came to this end."""
        if (watched := self._watch) is not None and status in ("answered", "not_in_memory"):
            self._letters.put(
                lambda: self._watched(watched[0], lambda watch: watch.answer(status == "not_in_memory"))
            )

    def tick(self) -> None:
        """Once a second: what the store did not take is tried again, what another program wrote (`taskmem
        adapters`) is done, and what should be in use and could not be had is looked for.
        """
        if not self._open:
            return
        if self._owed is not None:
            self._letters.put(self._pay)
            return
        try:
            behind = self._store.adapter_use() != self._use
        except StoreError as error:
            self._unread = f"which adapter should be in use is not known: {error}"
            return
        self._unread = ""
        if (behind or self._is_missing()) and not self._following:  # it may have to wait for its turn
            self._following = True
            self._apart(self._follow)

    def try_adapter(self, id: str) -> str:
        """Begin the trial of an adapter that has come; returns what is going on. Raises Refused."""
        with self._deciding():
            row, use = self._model.row(id), self._use
            if self._trial is not None and self._trial.id == id:
                return f"adapter {id} is on trial already"
            if use.in_use == id:
                raise Refused(f"adapter {id} is in use already")
            if row.state in (REFUSED, ROLLED_BACK):
                said = f"{row.state.replace('_', ' ')} before ({row.reason})"
                raise Refused(f"adapter {id} was {said}; a person may activate it")
            if use.pinned:
                raise Refused(f"{named(use.in_use)} is pinned and stays; unpin it to let others come")
            if self._watch is not None:
                raise Refused(
                    f"adapter {use.in_use} is being watched ({self._watch[1].clips} of "
                    f"{self.settings.watch_clips} clips); try again when it has proved itself"
                )
            self._not_too_soon(id)
            try:
                self._model.verified(row)
            except (KeyFileError, NoRoom) as error:
                raise Refused(f"adapter {id} cannot be verified: {error}") from error
            except PackageError as error:
                self._refuse(row, f"adapter {id} is refused: {error}")
            if row.serial <= use.serial:
                self._refuse(
                    row,
                    f"adapter {id} has serial {row.serial}, and one with {use.serial} was taken over: an old "
                    "one does not come back by itself; a person may activate it",
                )
            self._drop_trial(f"adapter {id} came in its place")
            self._begin_trial(row)
            return f"the trial of adapter {id} has begun"

    def activate(self, id: str) -> str:
        """A person has an adapter used, without a trial; "" is the bare model. Raises Refused."""
        with self._deciding():
            self._not_pinned()
            try:
                fitted = self._model.fitted(self._model.row(id)) if id else None
            except (PackageError, KeyFileError, LoadError) as error:
                raise Refused(f"adapter {id} cannot be used: {error}") from error
            self._drop_trial(f"a person had {named(id)} used")
            self._use = self._store.activate_adapter(id)
            self._watch, self._problem = None, ""
            self._model.swap(fitted)
            return self._say(f"{named(id)} is in use, as a person wished")

    def roll_back(self) -> str:
        """A person goes back to the adapter before. Raises Refused."""
        with self._deciding():
            self._not_pinned()
            if not self._use.in_use:
                raise Refused("the bare model is in use, and there is nothing before it; activate an adapter")
            given_up, self._problem = self._use.in_use, ""
            self._drop_trial("a person rolled back what it was compared with")
            self._roll_back("a person rolled it back")
            return self._say(f"adapter {given_up} is given up; {named(self._model.id)} is in use")

    def pin(self, pinned: bool) -> str:
        """What is in use stays, whatever comes; or no longer."""
        with self._deciding():
            if pinned:
                self._drop_trial("a person pinned what is in use")
                self._watch = None
            self._use = self._store.pin_adapter(pinned)
            return self._say(f"{named(self._use.in_use)} is {'pinned' if pinned else 'no longer pinned'}")

    def _join(self) -> None:
        if self._letters is not None:
            self._letters.join(END_S)

    def _forgive(self) -> None:
        """The agent survives the adapter on probation, also where that could not be had."""
        row = self._store.adapter(self._use.in_use)
        if row is not None and row.state == WATCHED:
            self._store.forgive_adapter_starts()

    def _failed(self, error: Exception) -> None:
        """In the keeper's own thread, in which nobody else would hear of it."""
        if isinstance(error, EngineStopped):
            log.info("the agent stops; what was decided about adapters is done at its next start")
        elif isinstance(error, StoreError):
            self._worry(f"the store did not take what was decided about adapters: {error}")
        else:
            log.error("looking after adapters failed", exc_info=error)
            self._worry(f"looking after adapters failed: {type(error).__name__}: {error}")

    def _begin_trial(self, row: AdapterRow) -> None:
        self._store.set_adapter_state(row.id, TRIAL)
        trial = self._trial = Trial(row.id, self._policy.adapter, self.settings)
        self._letters.put(lambda: self._do_trial(trial))
        self._say(f"adapter {row.id} is on trial")

    def _go_on_with(self, rows: list[AdapterRow]) -> None:
        """With the newest of the trials that were cut off, where it may be tried now as it might before."""
        for row in rows:
            if self._use.pinned:
                why = f"{named(self._use.in_use)} is pinned"
            elif self._watch is not None:
                why = f"adapter {self._watch[0]} is being watched"
            elif row.serial <= self._use.serial:
                why = f"one with serial {self._use.serial} was taken over meanwhile"
            elif row is not rows[-1]:
                why = f"adapter {rows[-1].id} came in its place"
            else:
                self._begin_trial(row)
                return
            self._store.set_adapter_state(row.id, STAGED, why)

    def _do_trial(self, trial: Trial) -> None:
        try:
            fitted = self._model.fitted(self._store.adapter(trial.id))
            verdict = run_trial(trial, fitted, self._engine, self._ring, self._say)
            while not self._judged(trial, fitted, verdict):
                trial.rest()
        except (Cancelled, EngineStopped):
            if not self._open and self._store.adapter(trial.id).state == TRIAL:
                self._store.note_adapter(PAUSED, trial.id, "the agent stopped in the middle of its trial")
        except (KeyFileError, NoRoom) as error:  # nothing is known against it
            self._not_now[trial.id] = time.monotonic(), str(error)
            self._store.set_adapter_state(trial.id, STAGED, str(error))
            self._say(f"adapter {trial.id} cannot be tried now: {error}")
        except (PackageError, LoadError) as error:
            self._store.set_adapter_state(trial.id, REFUSED, str(error))
            self._say(f"adapter {trial.id} is refused: {error}")
        finally:
            with self._turn:
                if self._trial is trial:
                    self._trial = None
                    self._changed()

    def _judged(self, trial: Trial, fitted: FittedAdapter, verdict: Verdict | None) -> bool:
        """Do what the trial came to; False where the store does not take it now. Raises Cancelled."""
        with self._turn:
            try:
                self._catch_up()
                trial.go_on()
                self._trial = None
                if verdict is None or verdict.passed:
                    self._take_over(trial.id, fitted)
                else:
                    self._store.set_adapter_state(trial.id, REFUSED, str(verdict))
                    self._say(f"adapter {trial.id} was tried and is refused: {verdict}")
            except StoreError as error:
                self._trial = trial
                self._say(f"what the trial of adapter {trial.id} came to is not stored yet: {error}")
                return False
            return True

    def _take_over(self, id: str, fitted: FittedAdapter) -> None:
        before = self._use.in_use
        self._use = self._store.take_over(id)
        self._model.swap(fitted)
        self._problem = ""
        self._begin_watch(id)
        self._say(
            f"adapter {id} was taken over from {named(before)}" + (" and is watched" * bool(self._watch))
        )

    def _begin_watch(self, id: str) -> None:
        self._watch = None
        if not self.settings.watch_clips:
            self._store.set_adapter_state(id, GOOD)
            return
        since = self._store.taken_over_ns(id) or 0
        before = self._store.writing(since, MEMORIES_BEFORE, TASKS_BEFORE)
        baseline = Baseline(before.words, before.failures, before.answered, before.abstained)
        self._watch = (id, Watch(baseline, WatchLimits(clips=self.settings.watch_clips)))

    def _watched(self, id: str, seen: Callable[[Watch], str | None]) -> None:
        with self._turn:
            if self._watch is not None:
                self._catch_up()
            if self._watch is None or self._watch[0] != id:
                return
            watch, state = self._watch[1], self._store.adapter(id).state
            if state != WATCHED:  # activated once more, by a person and in the database
                self._watch = None
                self._say(f"adapter {id} is {state}, as was written into the database")
            elif (reason := seen(watch)) is not None:
                self._roll_back(f"{reason} since it was taken over")
                later = "; the store could not take that yet" if self._owed else ""
                self._worry(f"adapter {id} is given up: {reason}; {named(self._model.id)} is in use{later}")
            elif watch.passed:
                self._store.set_adapter_state(id, GOOD)  # where that fails: with the next clip
                self._watch, self._problem = None, ""
                self._say(f"adapter {id} has proved itself over {watch.clips} clips")

    def _roll_back(self, reason: str) -> None:
        """Give up what is in use, for good; where the store does not take that, the model does."""
        self._watch, id = None, self._use.in_use
        try:
            self._use = self._store.roll_back(reason)
        except StoreError as error:
            self._owed = (id, reason)
            log.error("that adapter %s is given up was not stored yet: %s", id, error)
            self._model.swap(self._model.best(self._use.previous))
            return
        self._settle()

    def _pay(self) -> None:
        """Write down a rollback that the store did not take, and go where it leads."""
        with self._turn:
            if self._owed is None:
                return
            id, reason = self._owed
            if self._store.adapter_use().in_use == id:
                self._use = self._store.roll_back(reason)
            self._owed = None
            self._settle()
            self._worry(f"adapter {id} is given up: {reason}; {named(self._model.id)} is in use")

    def _follow(self) -> None:
        try:
            with self._told_of_store("what another program wrote of adapters is not known"), self._turn:
                self._catch_up()
                if self._open and self._is_missing():
                    self._look_again()
        finally:
            self._following = False

    def _is_missing(self) -> bool:
        """Whether to look for what should be in use now; not while something is compared with what is."""
        late = time.monotonic() - self._looked_at >= MISSING_S
        nothing_on = self._trial is None and self._watch is None and self._owed is None
        return late and nothing_on and self._use.in_use != self._policy.adapter_id

    def _look_again(self) -> None:
        """What could not be had may be had by now: there is memory, or the keyring is back."""
        id = self._use.in_use
        self._settle(again=True)
        if id != self._policy.adapter_id:
            return  # why was said
        self._problem = ""
        row = self._store.adapter(id)
        if row is not None and row.state == WATCHED:
            self._begin_watch(id)
        self._say(f"{named(id)} could be had again and is in use")

    def _catch_up(self) -> None:
        """Before any decision: what the store did not take, and what another program wrote."""
        if self._owed is not None:
            self._pay()
            return
        use = self._store.adapter_use()
        if use == self._use or not self._open:
            return
        before, self._use = self._use.in_use, use
        if use.pinned or use.in_use != before:
            self._watch = None
            self._drop_trial("a person decided about what is in use")
        if use.in_use != before:
            self._problem = ""
            self._settle()
            self._say(f"{named(self._policy.adapter_id)} is in use, as was written into the database")
        self._changed()

    def _settle(self, again: bool = False) -> None:
        """Have in the model what the store says, as far as it can be had. again: as AdapterInUse.settle."""
        if self._owed is not None:
            self._pay()
            return
        self._looked_at = time.monotonic()
        self._use = self._model.settle(again)
        self._changed()

    def _not_too_soon(self, id: str) -> None:
        """Else what finds no room would be verified, fitted and given back all the time. Raises Refused."""
        at, why = self._not_now.get(id, (-AGAIN_S, ""))
        if why and time.monotonic() - at < AGAIN_S:
            raise Refused(
                f"adapter {id} could not be tried a moment ago ({why}); it may be offered again "
                f"{AGAIN_S / 60:g} minutes after that, or activated"
            )

    def _not_pinned(self) -> None:
        if self._use.pinned:
            raise Refused(f"{named(self._use.in_use)} is pinned; unpin it first")

    def _refuse(self, row: AdapterRow, sentence: str) -> None:
        """What never was in use is not offered again."""
        if row.state in (STAGED, TRIAL):
            self._store.set_adapter_state(row.id, REFUSED, sentence)
            self._say(sentence)
        raise Refused(sentence)

    def _drop_trial(self, why: str) -> None:
        if (trial := self._trial) is not None:
            trial.cancel()
            self._trial = None
            if self._store.adapter(trial.id).state == TRIAL:  # else a person decided about it, too
                self._store.set_adapter_state(trial.id, STAGED, why)

    def _say(self, message: str) -> str:
        if message != self._message:
            self._message = message
            log.info("%s", message)
            self._changed()
        return message

    def _worry(self, problem: str) -> None:
        """Something that a person should know."""
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = self._message = problem
        self._changed()

    @contextmanager
    def _deciding(self):
        """One command at a time, while the agent is active. Raises Refused."""
        if self.settings.by_hand:
            raise Refused(
                f"the adapter is set by hand (parameter adapter: {self.settings.by_hand}), so none comes by "
                "itself; leave that parameter empty to have it so"
            )
        with self._turn:
            if not self._open:
                raise Refused("the agent is not active; activate it first")
            try:
                self._catch_up()
                yield
            except StoreError as error:
                raise Refused(str(error)) from error
            except EngineStopped as error:
                raise Refused("the agent stops; it is done at its next start") from error

    @contextmanager
    def _told_of_store(self, what: str):
        try:
            yield
        except StoreError as error:  # a full disk is no reason not to remember
            self._worry(f"{what}: {error}")
