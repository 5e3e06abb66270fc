"""Ranges of seeds, as commands take them."""

from __future__ import annotations


def seed_range(text: str) -> range:
    """ "A-B" or "A" -> the seeds from A to B, both included. Raises ValueError."""
    first, dash, last = text.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()) or int(last or first) < int(first):
        raise ValueError(
            f"seeds {text!r} are no range of whole numbers; write FIRST-LAST, as in 2000000-2000049"
        )
    return range(int(first), int(last or first) + 1)
