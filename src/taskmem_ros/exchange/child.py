"""A round of the exchange in a process of its own: started, followed, and ended where it hangs.

What talks to a network may hang where nothing can interrupt it. So a round (exchange/round.py) is a child
that says what it does in JSON lines, and that is killed with all it started when it is silent for too long,
takes too long, or is no longer wanted. It ends by itself when whoever started it is gone.
"""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from taskmem_ros.exchange.transport import read_url

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "taskmem_ros.exchange.round")
END_S = 5.0  # until a killed child is gone; one that hangs in a disk's driver may never be
LOG_S = 2.0  # for the last lines of one that ended
LINE_BYTES = 1_000_000  # of what a child says at once
TAIL_LINES = 20


def shown(exchange: str) -> str:
    """The URL of an exchange without what must not be shown, "" for none."""
    try:
        return read_url(exchange).url if exchange else ""
    except ValueError:  # the round says what is wrong with it
        return exchange.rpartition("@")[2]


@dataclass(frozen=True)
class RoundSettings:
    """What a round is to do.

    database: the robot's store. exchange: URL of the place. robot: its name there. contents: what leaves the
    robot, "tasks", "memories" or "frames". bundle_megabytes: the largest bundle. keyring: file of the trusted
    keys, "" for the default one. Passwords are no part of it: they come by the environment, or by the usual
    files of ssh and cloud clients.
    """

    database: str
    exchange: str
    robot: str
    contents: str = "tasks"
    bundle_megabytes: float = 200.0
    keyring: str = ""
    timeout_s: float = 60.0
    deadline_s: float = 3600.0

    @property
    def place(self) -> str:
        """The exchange without what must not be shown."""
        return shown(self.exchange)

    @classmethod
    def of(cls, values: Mapping[str, Any], database: str, robot: str) -> RoundSettings:
        """Of the parameters of taskmem_sync."""
        same = ("exchange", "contents", "bundle_megabytes", "keyring")
        return cls(
            database=database,
            robot=robot,
            # So that a place that does not answer gets a sentence of its own, and is not only cut off.
            timeout_s=min(60.0, values["stall_s"] / 4),
            deadline_s=values["round_s"],
            **{name: values[name] for name in same},
        )


@dataclass(frozen=True)
class Progress:
    """What a round is doing. done, total: bytes of it, 0 where that is not known. network: it talks to the
    exchange, and is stuck when nothing moves.
    """

    what: str
    done: int = 0
    total: int = 0
    network: bool = False


@dataclass(frozen=True)
class RoundResult:
    """What a round did.

    bundles_waiting: made, and not in the exchange yet. adapter_staged: id of the adapter it brought, "" for
    none. staged: id of the newest adapter that waits to be tried, whenever it came. passed_over: how many
    adapters do not concern this robot, by reason. refused: (id, sentence) of those refused for the first
    time. notes: sentences about what is no error. errors: one sentence for each part that failed.
    """

    bundles_made: int = 0
    bundles_pushed: int = 0
    tasks_pushed: int = 0
    bundles_waiting: int = 0
    adapter_staged: str = ""
    staged: str = ""
    passed_over: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        return not self.errors

    @property
    def error(self) -> str:
        """All that went wrong, "" where nothing did."""
        return " ".join(self.errors)

    def lines(self) -> list[str]:
        """What it did, in sentences without a full stop, for people."""
        lines = []
        if self.bundles_pushed:
            bundles = "1 bundle" if self.bundles_pushed == 1 else f"{self.bundles_pushed} bundles"
            tasks = "1 task" if self.tasks_pushed == 1 else f"{self.tasks_pushed} tasks"
            lines.append(f"pushed {bundles} with {tasks}")
        elif not self.bundles_waiting and not self.errors:
            lines.append("no new task to push")
        if self.bundles_waiting:
            lines.append(f"bundles that still wait: {self.bundles_waiting}")
        if self.adapter_staged:
            lines.append(f"brought adapter {self.adapter_staged}")
        elif not self.errors:
            lines.append("no new adapter")
        if self.passed_over:
            lines.append(
                "adapters passed over: " + ", ".join(f"{n} {why}" for why, n in self.passed_over.items())
            )
        lines += [f"refused adapter {id}: {sentence}" for id, sentence in self.refused]
        return [*lines, *self.notes]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RoundResult:
        """Of `to_json`. Raises ValueError, TypeError where it is not."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"a result has no {', '.join(sorted(unknown))}")
        lists = {name: tuple(values.get(name, ())) for name in ("notes", "errors")}
        refused = tuple((str(id), str(sentence)) for id, sentence in values.get("refused", ()))
        return cls(**{**values, **lists, "refused": refused})


class RoundChild:
    """One round. `run` in any thread, once; `kill` in any other.

    stall_s: how long it may go without progress while it talks to the exchange. round_s: how long it may take
    in all. progress is called in the thread of `run`.
    """

    def __init__(
        self,
        settings: RoundSettings,
        *,
        stall_s: float,
        round_s: float,
        progress: Callable[[Progress], None] = lambda progress: None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._settings, self._command, self._progress = settings, command, progress
        self._stall_s, self._round_s = stall_s, round_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = ""  # why it was killed, in a sentence
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)

    def run(self) -> RoundResult:
        """Run it to its end and return what it did, however it ended: a failure is in `errors`."""
        with self._lock:
            if self._stopped:
                return RoundResult(errors=(self._stopped,))
            try:
                self._process = self._started()
            except OSError as error:
                return RoundResult(errors=(f"A process for the round cannot be started: {error}.",))
        try:
            return self._follow(self._process)
        finally:
            self._end()

    def kill(self, why: str = "The round was ended before it was done.") -> None:
        """End it, with all the processes it started, at once; before `run` it never begins."""
        with self._lock:
            self._stopped = self._stopped or why
            if self._process is not None:
                # Its process group outlives it where it started others.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
        self._lines.put(None)

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            list(self._command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        lines, self._log = (
            threading.Thread(target=read, args=(process,), daemon=True, name="taskmem-round")
            for read in (self._read_lines, self._read_log)
        )
        lines.start()
        self._log.start()
        with contextlib.suppress(BrokenPipeError):  # it ended at once; its log will tell
            # By a pipe: what stands on a command line can be read by every user. The pipe stays open: by its
            # end the child learns that nobody waits for it any more.
            process.stdin.write(json.dumps(asdict(self._settings)).encode() + b"\n")
            process.stdin.flush()
        return process

    def _follow(self, process: subprocess.Popen[bytes]) -> RoundResult:
        result, doing = RoundResult(), Progress("starting")
        begun = moved = time.monotonic()
        while True:
            now = time.monotonic()
            limits = [begun + self._round_s - now]
            if doing.network:
                limits.append(moved + self._stall_s - now)
            try:
                line = self._lines.get(timeout=max(0.0, min(limits)))
            except queue.Empty:
                self.kill(self._sentence(doing, stalled=time.monotonic() - begun < self._round_s))
                return self._unfinished(result)
            if line is None:
                return self._unfinished(result)
            moved = time.monotonic()
            try:
                said = json.loads(line)
                if "result" in said:
                    result = RoundResult.from_json(said["result"])
                    if said.get("done"):
                        return result
                else:
                    doing = Progress(**said)
                    self._progress(doing)
            except (ValueError, TypeError) as error:
                log.warning("the round's process said %.200r, which says nothing (%s)", line, error)

    def _unfinished(self, result: RoundResult) -> RoundResult:
        """What was done until it ended before its end."""
        why = self._stopped
        if not why:
            code = self._wait()
            self._log.join(LOG_S)  # its last words may be under way; what it started may hold the pipe
            how = f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
            last = self._tail[-1] if self._tail else "it said nothing"
            why = f"The round's process {how} before it was done: {last}"
        return replace(result, errors=(*result.errors, why))

    def _sentence(self, doing: Progress, stalled: bool) -> str:
        if stalled:
            return (
                f"Nothing moved at {self._settings.place} for {self._stall_s:g} s ({doing.what}) and the "
                "round was given up; see whether it can be reached."
            )
        return (
            f"The round with {self._settings.place} was not done within {self._round_s:g} s ({doing.what}) "
            "and was given up; the next one goes on where it was, or set round_s higher."
        )

    def _end(self) -> None:
        self.kill()
        if self._wait() is None:
            log.error(
                "the round's process %d was killed and does not end; it hangs in the kernel",
                self._process.pid,
            )
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _wait(self) -> int | None:
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            return None

    def _read_lines(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ValueError):  # closed while it was read
            while line := process.stdout.readline(LINE_BYTES):
                self._lines.put(line)
        self._lines.put(None)

    def _read_log(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ValueError):
            while line := process.stderr.readline(LINE_BYTES):
                text = line.decode(errors="replace").rstrip()
                self._tail.append(text)
                log.debug("%s", text)
