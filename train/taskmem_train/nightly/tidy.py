"""What no later night needs goes: frames are large, and nobody looks after this folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from taskmem_train.nightly.choose import DAY_NS, lately
from taskmem_train.nightly.ledger import OPEN, Ledger
from taskmem_train.nightly.runs import RUNS
from taskmem_train.nightly.settings import NightlyConfig


def tidy(ledger: Ledger, out: Path, config: NightlyConfig, now_ns: int) -> None:
    """Remove files of bundles and folders of runs that are older than keep_days and that nothing needs.

    A bundle is needed for as long as it is of the last days by its robot's clock, or a run that goes on has
    it. What was known of it stays in the ledger, reports and adapters stay where they are. now_ns: wall time.
    """
    if not config.keep_days:
        return
    before_ns = now_ns - int(config.keep_days * DAY_NS)
    bundles = ledger.bundles()
    needed = {bundle.file for bundle in lately(bundles, config.days)}
    needed |= {file for run in ledger.runs(OPEN) for file in run.plan.bundles}
    for bundle in bundles:
        if bundle.came_ns < before_ns and bundle.file not in needed:
            ledger.tidied(bundle)
            (out / bundle.file).unlink(missing_ok=True)
    for run in ledger.ended(before_ns):
        shutil.rmtree(out / RUNS / run.name, ignore_errors=True)
