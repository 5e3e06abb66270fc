"""OUT/decisions.log: one line for each decision: when, for which robot, what, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from taskmem_train.nightly.ledger import Ledger

LOG_FILE = "decisions.log"  # under OUT
_TAIL = 1 << 16  # bytes in which a line that was written before a crash is looked for


def write_log(ledger: Ledger, path: Path) -> list[str]:
    """Append what was decided and is not in the log yet; returns these lines. Each stands there once."""
    rows = ledger.unlogged()
    lines = [line(row) for row in rows]
    if lines:
        there = set(_tail(path))
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{text}\n" for text in lines if text not in there)
            file.flush()
            os.fsync(file.fileno())
        ledger.logged(row["id"] for row in rows)
    return lines


def line(row: Mapping[str, Any]) -> str:
    """A decision as it stands in the log."""
    return f"{at(row['at_ns'])} {row['robot']} {row['decision']}: {row['reason']}"


def at(time_ns: int) -> str:
    """A wall time in ISO 8601, UTC, to the millisecond."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03}Z"


def _tail(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return file.read().decode("utf-8", "replace").splitlines()
