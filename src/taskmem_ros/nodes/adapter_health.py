"""How it stands with the agent's adapters: what status and diagnostics tell."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskmem_ros.memory import AdapterUse

STEADY, ON_TRIAL, ON_WATCH = "steady", "trial", "watch"
NOT_KNOWN = AdapterUse("", "", False, 0, "", "")


@dataclass(frozen=True)
class AdapterHealth:
    """A snapshot. problem: why the adapter in use is not the one that should be, or not known to be, "" where
    it is; watched: clips so far, of so many.
    """

    phase: str = STEADY
    in_use: str = ""
    candidate: str = ""
    message: str = ""
    problem: str = ""
    watched: tuple[int, int] = (0, 0)
    use: AdapterUse = field(default=NOT_KNOWN)
