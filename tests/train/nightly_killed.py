"""A night that is killed (SIGKILL) again and again: `python nightly_killed.py OUT CONFIG.yaml`.

Loads the model once; then a child process for each place at which a night may end goes on with the same night
and dies there. The last one comes to the end. Prints a line of JSON: what happened at each place, and how
often work was done in all of them together.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from taskmem_train.bench.systems import PolicyMemorizer
from taskmem_train.gate import command as gate_command
from taskmem_train.nightly import intake, report, runs
from taskmem_train.nightly import round as night
from taskmem_train.nightly.ledger import Ledger
from taskmem_train.nightly.settings import NightlyConfig
from taskmem_train.phase_two import fit
from taskmem_train.rollout import Sampler
from taskmem_train.settings import read_settings

from taskmem_ros.exchange.place import Place
from taskmem_ros.exchange.remote import Remote

# (where, what of it, which call, before or after)
POINTS: list[tuple[object, str, int, str]] = [
    (Place, "pull_bundle", 1, "before"),
    (Place, "pull_bundle", 1, "after"),
    (Ledger, "take", 1, "after"),
    (night, "choose", 1, "after"),
    (Ledger, "plan", 1, "after"),
    (fit, "sample_candidates", 1, "after"),
    (fit, "choose_pairs", 1, "after"),
    (fit._Curve, "on_log", 2, "after"),
    (fit._Curve, "on_log", 1, "after"),  # of what is left then
    (runs, "phase_two", 1, "after"),
    (Ledger, "advance", 1, "after"),
    (PolicyMemorizer, "write", 3, "after"),
    (gate_command, "publish", 1, "before"),
    (gate_command, "publish", 1, "after"),
    (Ledger, "advance", 1, "after"),
    (runs, "pack", 1, "after"),
    (Remote, "put", 1, "after"),
    (Remote, "put", 3, "after"),
    (Place, "push_adapter", 1, "after"),
    (Ledger, "advance", 1, "after"),
    (Ledger, "logged", 1, "before"),
    (report, "_write", 1, "after"),
    (Ledger, "reported", 1, "before"),
]  # fmt: skip


def main() -> None:
    out, config = Path(sys.argv[1]), read_settings(Namespace(config=Path(sys.argv[2])), NightlyConfig)
    policy = fit.load_policy(config)
    night.load_policy = lambda config: policy
    counts = out.with_name("counts")
    _count(Sampler, "_generate", counts, lambda self, contexts, *rest: [c.id for c in contexts])
    _count(
        fit._Curve, "on_log", counts, lambda self, args, state, *rest, **more: [f"step {state.global_step}"]
    )
    _count(runs, "pack", counts, lambda *args, **more: ["pack"])
    _count(intake, "check", counts, lambda *args: ["check"])
    ends = [_child(out, config, point) for point in [*POINTS, None]]
    print(json.dumps({"ends": ends, "counts": counts.read_text().splitlines()}))


def _child(out: Path, config: NightlyConfig, point: tuple | None) -> str:
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        os.dup2(2, 1)  # what a night says is no part of the result
        try:
            if point:
                _trap(*point)
            night.nightly(config, out, progress=False)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(number, 0)[1]
    name = f"{point[3]} {point[1]} {point[2]}" if point else "end"
    if os.WIFSIGNALED(status):
        return f"{name}: {signal.Signals(os.WTERMSIG(status)).name}"
    return f"{name}: {os.WEXITSTATUS(status)}"


def _trap(owner: object, name: str, call: int, when: str) -> None:
    """Kill this process before or after the given call of a function."""
    inner, seen = getattr(owner, name), [0]

    def trapped(*args, **more):
        seen[0] += 1
        if seen[0] == call and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = inner(*args, **more)
        if seen[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, trapped)


def _count(owner: object, name: str, file: Path, told: Callable[..., list[str]]) -> None:
    """Write down what a function is called with, before it is."""
    inner = getattr(owner, name)

    def counted(*args, **more):
        with file.open("a") as lines:
            lines.writelines(f"{name} {text}\n" for text in told(*args, **more))
        return inner(*args, **more)

    setattr(owner, name, counted)


if __name__ == "__main__":
    main()
