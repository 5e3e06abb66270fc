"""A round of the exchange: tasks out, adapters in. `python -m taskmem_ros.exchange.round` is the process that
exchange/child.py starts: settings on stdin, progress and result as JSON lines on stdout.

A part that fails does not stop the others, and each may be cut off anywhere: the next round goes on where
this one was. No clock decides anything: what is newer is told by serials and sequence numbers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from taskmem_ros.exchange.card import CONTENTS, BundleCard
from taskmem_ros.exchange.child import Progress, RoundResult, RoundSettings
from taskmem_ros.exchange.notebook import Notebook
from taskmem_ros.exchange.transport import read_url
from taskmem_ros.memory import Store, StoreError

if TYPE_CHECKING:
    from taskmem_ros.exchange.outbox import Outbox
    from taskmem_ros.exchange.place import Place

log = logging.getLogger(__name__)

SAY_S = 0.2  # between two lines about the same work
FAILURES = 2  # in a row, after which the other bundles are not tried
MOST_BUNDLES = 100  # made in one round
NICE = 10  # the robot's own work goes first,
OOM_SCORE = 700  # and when memory runs out this process goes first: its work can be done again


class Round:
    """One round. say: what is being done; report: what has been done so far, after each step."""

    def __init__(
        self,
        settings: RoundSettings,
        say: Callable[[Progress], None] = lambda progress: None,
        report: Callable[[RoundResult], None] = lambda result: None,
    ) -> None:
        self.result = RoundResult()
        self._settings, self._say, self._report = settings, say, report

    def run(self) -> RoundResult:
        """Do it; what failed is in the result's errors."""
        with (
            self._part("the round"),
            Store.open(self._settings.database, create=False) as store,
            only_one(store.path),
        ):
            self._run(store)
        return self.result

    def _run(self, store: Store) -> None:
        notebook = Notebook.beside(store.path)
        outbox, place = None, None
        with self._part("making a bundle"):
            outbox = self._outbox(store)
            self._take_back(outbox, store)
            self._fill(outbox)
            self._done(bundles_waiting=len(outbox.waiting()))
        with self._part("the exchange"):
            place = self._place()
        if place is not None:
            try:
                if outbox is not None:
                    with self._part("pushing"):
                        self._push_or_not(outbox, place)
                with self._part("looking for adapters"):
                    self._look(store, place, notebook)
            finally:
                place.close()
        with self._part("the notebook"):
            if self.result.well:
                notebook.succeeded_ns = time.time_ns()
            notebook.write()

    def _outbox(self, store: Store) -> Outbox:
        from taskmem_ros.exchange.outbox import Outbox
        from taskmem_ros.memory.outgoing import outbox_folder
        from taskmem_ros.memory.ring import ClipRing

        settings = self._settings
        folder = outbox_folder(store.path)
        return Outbox(
            store, ClipRing(store), folder, settings.robot, settings.contents, settings.bundle_megabytes
        )

    def _place(self) -> Place:
        from taskmem_ros.exchange.place import Place  # and fsspec, and what serves this kind of place

        settings = self._settings
        address = read_url(settings.exchange)
        if address.protocol == "file" and not Path(address.path).expanduser().is_dir():
            # Made up where a mount is missing, it would swallow tasks that then count as pushed.
            raise NotADirectoryError(
                f"There is no exchange at {address.path}; mount it, or make that folder if it is new."
            )
        return Place(
            settings.exchange,
            timeout_s=settings.timeout_s,
            deadline_s=settings.deadline_s,
            progress=self._moved,
        )

    def _take_back(self, outbox: Outbox, store: Store) -> None:
        """Bundles that hold more than may leave the robot by now; what was in them goes with the next."""
        for path, card in outbox.waiting():
            if not self._may_leave(card):
                store.take_back(card.sequence)
                path.unlink(missing_ok=True)

    def _may_leave(self, card: BundleCard) -> bool:
        return CONTENTS.index(card.contents) <= CONTENTS.index(self._settings.contents)

    def _fill(self, outbox: Outbox) -> bool:
        """All that is new into bundles; whether there was anything."""
        for number in range(MOST_BUNDLES):
            self._say(Progress("making a bundle"))
            if outbox.next() is None:
                return number > 0
            self._done(bundles_made=self.result.bundles_made + 1)
        return True

    def _push_or_not(self, outbox: Outbox, place: Place) -> None:
        if not place.writable:
            if self.result.bundles_waiting:
                note = f"tasks stay here: {place.url} can only be read"
                self._done(notes=(*self.result.notes, note))
            return
        self._push(outbox, place)

    def _push(self, outbox: Outbox, place: Place) -> None:
        """All that wait, and what had no room in the outbox before they were pushed."""
        self._push_waiting(outbox, place)
        if self.result.well and self.result.bundles_pushed and self._fill(outbox):
            self._push_waiting(outbox, place)

    def _push_waiting(self, outbox: Outbox, place: Place) -> None:
        failures, waiting = 0, outbox.waiting()
        self._done(bundles_waiting=len(waiting))
        for path, card in waiting:
            if not self._may_leave(card):  # it could not be taken back
                continue
            self._say(Progress(f"pushing {card.bundle_name}", 0, card.bytes, network=True))
            try:
                place.push_bundle(path, card)
            except (OSError, ValueError) as error:
                failures += 1
                self._failed(error)
                if failures == FAILURES:
                    return
                continue
            failures = 0
            outbox.pushed(card)
            self._done(
                bundles_pushed=self.result.bundles_pushed + 1,
                tasks_pushed=self.result.tasks_pushed + card.tasks,
                bundles_waiting=self.result.bundles_waiting - 1,
            )

    def _look(self, store: Store, place: Place, notebook: Notebook) -> None:
        from taskmem_ros.exchange.arrivals import Arrivals, newest_staged

        def say(what: str) -> None:
            self._say(Progress(what, network=True))

        say("looking for adapters")
        arrivals = Arrivals(store, place, notebook, self._settings.robot, self._settings.keyring, say)
        try:
            arrivals.look()
        finally:
            self._done(
                adapter_staged=arrivals.staged,
                staged=newest_staged(store),
                passed_over=dict(arrivals.passed_over),
                refused=tuple(arrivals.refused),
                notes=(*self.result.notes, *arrivals.notes),
            )

    def _moved(self, done: int, total: int, what: str) -> None:
        self._say(Progress(what, done, total, network=True))

    def _done(self, **changes: Any) -> None:
        self.result = replace(self.result, **changes)
        self._report(self.result)

    @contextlib.contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """What fails in it is written down, and the round goes on after it."""
        try:
            yield
        except (OSError, StoreError, ValueError) as error:  # each with a sentence of its own
            self._failed(error)
        except Exception as error:
            log.error("%s failed:\n%s", name, traceback.format_exc())
            self._failed(f"{name} failed ({type(error).__name__}: {error}); please report it")

    def _failed(self, error: Exception | str) -> None:
        sentence = " ".join(str(error).split()) or type(error).__name__
        self._done(errors=(*self.result.errors, sentence if sentence.endswith(".") else f"{sentence}."))


@contextlib.contextmanager
def only_one(database: Path) -> Iterator[None]:
    """One round at a time for a database, whoever asks. Raises BlockingIOError with a sentence.

    The lock is the kernel's: it goes with the process, however that ends.
    """
    path = database.with_name(f"{database.name}.sync.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(f"Another round is running for {database}; wait for its end.") from error
        yield
    finally:
        os.close(descriptor)


def settings_from(stream: BinaryIO) -> RoundSettings:
    """The settings, in a line of `stream`; at its end, as nobody waits any more, this process ends too."""
    settings = RoundSettings(**json.loads(stream.readline()))

    def watch() -> None:
        stream.read()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # with what was started for ssh and the like
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()
    return settings


class Lines:
    """Progress and results as JSON lines; progress of the same work not more often than is good."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._last = ("", 0.0)

    def say(self, progress: Progress) -> None:
        now = time.monotonic()
        what, at = self._last
        if progress.what == what and now - at < SAY_S and progress.done < progress.total:
            return
        self._last = (progress.what, now)
        self._write(vars(progress))

    def report(self, result: RoundResult, done: bool = False) -> None:
        self._write({"result": result.to_json(), "done": done})

    def _write(self, said: dict[str, Any]) -> None:
        with self._lock:
            self._stream.write(json.dumps(said).encode() + b"\n")
            self._stream.flush()


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")  # on stderr
    lines = Lines(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever a library prints, it is no line of ours
    os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    current = Round(settings_from(sys.stdin.buffer), lines.say, lines.report)
    lines.report(current.run(), done=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
