"""A pass: finish what was begun, take what is new, train where it is worth while; say what was done and why.

Whatever ends a pass, the next one goes on from OUT/nightly.db. What fails for one robot is said and does not
keep the others from their night.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from taskmem_ros.exchange.keys import SigningKey
from taskmem_ros.exchange.place import Place, PlaceConflict, PlaceDamaged, PlaceError
from taskmem_ros.policy import MemoryPolicy
from taskmem_train.nightly.choose import choose
from taskmem_train.nightly.endpoints import away
from taskmem_train.nightly.intake import take_in
from taskmem_train.nightly.ledger import OPEN, Ledger, Plan, Run
from taskmem_train.nightly.library import ADAPTERS, Library, trusted_keys
from taskmem_train.nightly.log import LOG_FILE, write_log
from taskmem_train.nightly.report import write_report
from taskmem_train.nightly.runs import Runner, settings_of, with_settings
from taskmem_train.nightly.settings import NightlyConfig
from taskmem_train.nightly.tidy import tidy
from taskmem_train.phase_two.fit import load_policy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Passed:
    """What a pass came to. report: the page that was written, None where there was nothing to report. errors:
    of the exchange, of servers that are away and of this machine; what they are about is tried again in the
    next pass.
    """

    report: Path | None
    errors: tuple[str, ...]


def nightly(
    config: NightlyConfig, out: str | Path, *, watching: bool = False, progress: bool = True
) -> Passed:
    """One pass over the exchange. out: folder of nightly.db, bundles, runs, adapters, reports, decisions.log.

    watching: one of many passes; a page is written only when a run has ended. Decisions are printed, too.

    Raises ValueError and OSError where nothing can be done at all: settings, keys, another pass at work here.
    """
    out = Path(out).expanduser().resolve()
    key = SigningKey.read(config.key)
    keyring = trusted_keys(key, config.keyring)
    with _alone(out):
        ledger = Ledger(out / "nightly.db")
        try:
            with Place(config.exchange) as place:
                library = Library(place, keyring, out / ADAPTERS)
                policy = _Policies()
                runner = Runner(out, place, ledger, library, key, keyring, policy, progress=progress)
                night = _Night(config, out, place, ledger, library, runner, policy, progress)
                night.run()
                report = write_report(ledger, out, waits=not watching)
                tidy(ledger, out, config, time.time_ns())
                return Passed(report, tuple(night.errors))
        finally:
            write_log(ledger, out / LOG_FILE)
            ledger.close()


@dataclass
class _Night:
    config: NightlyConfig
    out: Path
    place: Place
    ledger: Ledger
    library: Library
    runner: Runner
    policy: Callable[[NightlyConfig], MemoryPolicy]
    progress: bool
    errors: list[str] = field(default_factory=list)

    def run(self) -> None:
        self._say()  # what a pass that was ended did not write down
        for run in self.ledger.runs(OPEN):
            self._finish(run)
        try:
            self.errors += take_in(
                self.place,
                self.ledger,
                self.out,
                robots=self.config.robots,
                megabytes=self.config.max_megabytes,
                progress=self.progress,
            )
            self._say()
            for id, why in self._ignored():
                self.ledger.decide("-", "ignored an adapter", f"{id}: {why}", once=True)
            for robots in self._groups():
                self._consider(robots)
        except PlaceError as error:
            self.errors.append(str(error))

    def _ignored(self) -> list[tuple[str, str]]:
        self.library.manifests()
        return sorted(self.library.ignored.items())

    def _groups(self) -> list[tuple[str, ...]]:
        """The robots that are trained for together, or each alone; not those with a run that is not done."""
        busy = {robot for run in self.ledger.runs(OPEN) for robot in run.plan.robots}
        known = dict.fromkeys(bundle.robot for bundle in self.ledger.bundles())
        chosen = [robot for robot in known if not self.config.robots or robot in self.config.robots]
        if self.config.together:
            return [tuple(chosen)] if chosen and not busy & set(chosen) else []
        return [(robot,) for robot in chosen if robot not in busy]

    def _consider(self, robots: tuple[str, ...]) -> None:
        """Plan a run for some robots, and do it; or say why not."""
        about = "+".join(robots)
        plan = self._plan(robots)
        if isinstance(plan, str):
            self.ledger.decide(about, "wait", plan, once=True)
            self._say()
            return
        revision = self.policy(self.config).provenance.revision
        if plan.revision and plan.revision != revision:
            self.ledger.decide(
                about,
                "wait",
                f"the robot remembers with revision {plan.revision} of its model and this workstation has "
                f"{revision} of {self.config.model!r}; name the robot's with the setting model",
                once=True,
            )
            return
        now = datetime.now(timezone.utc)
        name = f"{now:%Y%m%dT%H%M%S%f}-{self.config.name or about}"[:80]
        run = self.ledger.plan(plan, name, settings_of(self.config))
        self._say()
        self._finish(run)

    def _plan(self, robots: tuple[str, ...]) -> Plan | str:
        bundles = [bundle for robot in robots for bundle in self.ledger.bundles(robot)]
        tasks = [task for robot in robots for task in self.ledger.tasks(robot)]
        tasks.sort(key=lambda task: task.asked_ns)
        revision = next((b.revision for b in reversed(bundles) if b.revision), "")
        return choose(self.config, bundles, tasks, self.library.newest(robots, revision))

    def _finish(self, run: Run) -> None:
        run, config = self.ledger.begin(run, self.config.tries), self.config
        try:
            config = with_settings(config, run.settings)
            self.runner.finish(run, config)
        except Exception as error:  # whatever a model, a judge or a disk may raise: the other robots go on
            if isinstance(error, PlaceError) and not isinstance(error, (PlaceConflict, PlaceDamaged)):
                self.ledger.put_off(run)
                self.errors.append(f"run {run.name}: {error}")  # no fault of the run: it waits
                return
            if why := away(error, config):
                self.ledger.put_off(run)
                self.errors.append(f"run {run.name}: {why}; it is tried again in the next pass")
                return
            logger.exception("run %s failed", run.name)
            self.ledger.failed(self.ledger.run(run.number), _sentence(error), self.config.tries)
        except BaseException:
            self.ledger.put_off(run)
            raise
        self._say()

    def _say(self) -> None:
        for text in write_log(self.ledger, self.out / LOG_FILE):
            print(text, flush=True)


class _Policies:
    """The base model of some settings, loaded when it is first needed, one at a time."""

    def __init__(self) -> None:
        self._loaded: tuple[tuple, MemoryPolicy] | None = None

    def __call__(self, config: NightlyConfig) -> MemoryPolicy:
        key = (config.model, config.quantization, config.dtype, config.device)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # two may not fit into memory
            self._loaded = (key, load_policy(config))
        return self._loaded[1]


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Raises ValueError where another process works in this folder."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another `taskmem-train nightly` works in {out}; wait for it, or take another folder"
            ) from error
        yield


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"
