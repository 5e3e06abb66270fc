"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Check:
    """name: what was looked at. level: OK, WARN (something works less) or FAIL. text: what was found. fix:
    what to do, "" where nothing.
    """

    area: str
    name: str
    level: str
    text: str
    fix: str = ""
