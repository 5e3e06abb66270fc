"""What things in an exchange may be called: nothing else becomes part of a path."""

from __future__ import annotations

import re

from taskmem_ros.exchange.manifest import NAME

MAX_SEQUENCE = 99_999_999  # eight digits
_ID = re.compile(r"[0-9a-f]{16}")
_CARD = re.compile(r"([0-9]{8})-([0-9a-f]{16})\.json")


def is_name(text: object) -> bool:
    """Whether text is the name of a robot or the id of an adapter: one part of a path, and not hidden."""
    return isinstance(text, str) and NAME.fullmatch(text) is not None


def is_bundle_id(text: object) -> bool:
    """Whether text is a bundle's id: the first 16 hex digits of the sha256 over its rows."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def bundle_stem(sequence: int, id: str) -> str:
    """ "00000012-0123456789abcdef": what a bundle and its card are called, without their ends."""
    return f"{sequence:08}-{id}"


def sequence_and_id(name: str) -> tuple[int, str] | None:
    """Of the name of a bundle's card; None where it is no such name."""
    match = _CARD.fullmatch(name)
    return None if match is None else (int(match[1]), match[2])
