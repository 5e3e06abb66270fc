"""A bundle's card: the small JSON file that lies beside a bundle in an exchange and says that it is whole."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from taskmem_ros.exchange.manifest import NAME_RULE
from taskmem_ros.exchange.names import MAX_SEQUENCE, bundle_stem, is_bundle_id, is_name
from taskmem_ros.exchange.strict import read_json

CARD_FORMAT = 1
MAX_BYTES = 64 * 1024  # of a card
CONTENTS = ("tasks", "memories", "frames")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_COUNT = 2**63 - 1  # what SQLite counts


class CardError(ValueError):
    """Not a card: one sentence that says what is wrong."""


@dataclass(frozen=True)
class BundleCard:
    """What an exchange says of a bundle. Raises CardError where a field cannot be.

    robot, store_id: whose tasks these are; sequence: 1 and up, in the robot's order; id: the bundle's own
    (`Manifest.id`); bytes, sha256: of the bundle's file; tasks, feedback, clips, memories: how many are in
    it; contents: "tasks", "memories" or "frames", what the robot lets out; created_ns: wall time.
    """

    robot: str
    store_id: str
    sequence: int
    id: str
    bytes: int
    sha256: str
    tasks: int = 0
    feedback: int = 0
    clips: int = 0
    memories: int = 0
    contents: str = "memories"
    created_ns: int = 0
    format: int = CARD_FORMAT

    def __post_init__(self) -> None:
        if type(self.format) is not int or self.format != CARD_FORMAT:
            raise CardError(
                f"the bundle's card has format {_shown(self.format)} and this taskmem reads {CARD_FORMAT}; "
                "update the older of the two"
            )
        _check("robot", self.robot, is_name(self.robot), NAME_RULE)
        _check("store_id", self.store_id, is_name(self.store_id), NAME_RULE)
        _check("id", self.id, is_bundle_id(self.id), "16 hex digits")
        good = isinstance(self.sha256, str) and _SHA256.fullmatch(self.sha256) is not None
        _check("sha256", self.sha256, good, "64 hex digits")
        _check("contents", self.contents, self.contents in CONTENTS, "one of " + ", ".join(CONTENTS))
        for name in _COUNTS:
            value, most = getattr(self, name), MAX_SEQUENCE if name == "sequence" else _MAX_COUNT
            least = 1 if name in ("sequence", "bytes") else 0
            good = type(value) is int and least <= value <= most
            _check(name, value, good, f"a whole number from {least} to {most}")

    @property
    def stem(self) -> str:
        """What the bundle (`stem + ".bundle"`) and this card (`stem + ".json"`) are called."""
        return bundle_stem(self.sequence, self.id)

    @property
    def bundle_name(self) -> str:
        return f"{self.stem}.bundle"

    def to_bytes(self) -> bytes:
        """JSON with sorted keys and a newline at the end: equal cards have equal bytes."""
        return (json.dumps(asdict(self), sort_keys=True, separators=(",", ":")) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> BundleCard:
        """Read a card strictly: exactly its fields, each of its type. Raises CardError."""
        if len(data) > MAX_BYTES:
            raise CardError(f"a bundle's card has at most {MAX_BYTES} bytes, not {len(data)}")
        try:
            values = read_json(data)
        except ValueError as error:
            raise CardError(f"the bundle's card cannot be read ({error})") from error
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or values.keys() != names:
            found = sorted(values) if isinstance(values, dict) else type(values).__name__
            raise CardError(f"the bundle's card has the fields {_shown(found)}, not {sorted(names)}")
        return cls(**values)


_COUNTS = ("sequence", "bytes", "tasks", "feedback", "clips", "memories", "created_ns")


def _check(name: str, value: Any, good: bool, wanted: str) -> None:
    if not good:
        raise CardError(f"the bundle's card has {name} {_shown(value)}; it must be {wanted}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
