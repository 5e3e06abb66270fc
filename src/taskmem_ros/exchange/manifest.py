"""What an adapter says of itself: the model it is made for, what it was fitted to, its files. This is signed.

Nothing of it is believed before its signature is verified; see `exchange.package`.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from taskmem_ros.exchange.strict import read_json

FORMAT = 1
MAX_BYTES = 256 * 1024  # of a manifest
WEIGHTS_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"
README_FILE, GATE_FILE = "README.md", "gate.json"
REQUIRED = (WEIGHTS_FILE, CONFIG_FILE)
FILES = (*REQUIRED, README_FILE, GATE_FILE)  # all that a package may have beside manifest and signature
STEER, LORA = "steer", "lora"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of robots, adapters, keys: safe as a file's name
TASK_UID = re.compile(NAME.pattern + r"/[0-9]{1,19}")
NAME_RULE = "1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"

_KEY = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INT64 = 2**63


class PackageError(ValueError):
    """An adapter's package is not to be used: one sentence that says what is wrong with it and what to do."""


class ManifestError(PackageError):
    """A manifest says what it must not, or cannot be read."""


@dataclass(frozen=True)
class FileEntry:
    """A file of the package. sha256: 64 hex digits, of all its bytes."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class AdapterManifest:
    """An adapter's manifest. `files` and `key` are filled in when it is packed.

    id: as `next_id` makes it. serial: counts up in an exchange, for one base revision; by it, not by a clock,
    a robot knows old from new. parent: id of the adapter that it was trained from or compared with, or "".
    base_model: a name, for people; base_revision: what is compared. layer: 0-based decoder layer of a
    steering vector; None for LoRA. metrics: of the gate. questions: that it was fitted to; tasks: their
    "STORE_ID/TASK_ID"; bundles: ids. robots: that it is for; empty: for any. created_ns: wall time, since
    1970. key: id of the key that signs.
    """

    id: str
    serial: int
    parent: str = ""
    base_model: str
    base_revision: str
    prompt_hash: str
    kind: str
    layer: int | None = None
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    metrics: Mapping[str, float | int | str] = field(default_factory=dict)
    questions: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    bundles: tuple[str, ...] = ()
    robots: tuple[str, ...] = ()
    created_ns: int
    key: str = ""
    format: int = FORMAT

    def validate(self) -> AdapterManifest:
        """Return self, or raise ManifestError: the key, its value and what is allowed."""
        for name, (allowed, rule) in _RULES.items():
            value = getattr(self, name)
            if not allowed(value):
                raise ManifestError(
                    f"the manifest has {name} {_short(value)}, but it must be {rule}; sign the adapter again"
                )
        if (self.layer is None) != (self.kind == LORA):
            raise ManifestError(
                f"the manifest has kind {self.kind!r} with layer {self.layer}; a steering vector has one, "
                "LoRA has none; sign the adapter again"
            )
        return self

    def to_bytes(self) -> bytes:
        """One line of JSON in UTF-8, keys sorted: the same manifest, the same bytes. Raises ManifestError."""
        told = vars(self.validate()) | {"metrics": dict(self.metrics)}
        told["files"] = {name: asdict(entry) for name, entry in self.files.items()}
        text = json.dumps(told, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = f"{text}\n".encode()
        if len(data) > MAX_BYTES:
            raise ManifestError(
                f"the manifest has {len(data)} bytes, but it must have at most {MAX_BYTES}; name fewer "
                "questions or tasks in it"
            )
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> AdapterManifest:
        """What `to_bytes` wrote, or another writer in the same form. Raises ManifestError."""
        if len(data) > MAX_BYTES:
            raise ManifestError(
                f"the manifest has {len(data)} bytes, but it must have at most {MAX_BYTES}; get it again"
            )
        try:
            told = read_json(data)
        except ValueError as error:
            raise ManifestError(f"the manifest cannot be read ({error}); get it again") from error
        if not isinstance(told, dict):
            raise ManifestError(f"the manifest is {_short(told)}, but it must be an object; get it again")
        if type(told.get("format")) is int and told["format"] > FORMAT:
            raise ManifestError(
                f"the manifest has format {told['format']} and this taskmem reads {FORMAT}; update taskmem"
            )
        names = {item.name for item in fields(cls)}
        if other := sorted(names ^ told.keys()):
            what = "an unknown key" if other[0] in told else "no key"
            raise ManifestError(f"the manifest has {what} {_short(other[0])}; sign the adapter again")
        if isinstance(told["files"], dict):
            told["files"] = {name: _entry(name, entry) for name, entry in told["files"].items()}
        for name in ("questions", "tasks", "bundles", "robots"):
            if isinstance(told[name], list):
                told[name] = tuple(told[name])
        return cls(**told).validate()


def next_id(name: str, created_ns: int, weights_sha256: str) -> str:
    """An adapter's id, as in 20261123T0315-robot1-1a2b3c4d: UTC, the robot's or another name, the weights.

    What an id cannot have is replaced by "-" in the name, and a long one is cut.
    """
    created = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=created_ns // 1_000_000_000)
    return f"{created:%Y%m%dT%H%M}-{re.sub(r'[^A-Za-z0-9._-]', '-', name)[:40]}-{weights_sha256[:8]}"


def _entry(name: str, told: Any) -> FileEntry:
    if not isinstance(told, dict) or told.keys() != {"bytes", "sha256"}:
        raise ManifestError(
            f"the manifest has {_short(told)} for the file {_short(name)}, but it must be its bytes and "
            "sha256; sign the adapter again"
        )
    return FileEntry(**told)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _is_int(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value < high  # no bool


def _is_match(*patterns: re.Pattern[str] | str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and any(re.fullmatch(pattern, value) for pattern in patterns)


def _is_text(most: int, least: int = 0) -> Callable[[Any], bool]:
    """Of one line, without what moves a terminal's cursor."""
    return lambda value: (
        isinstance(value, str)
        and least <= len(value) <= most
        and not _CONTROLS.search(value)
        and _is_unicode(value)
    )


def _is_question(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 4000 and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)


def _all(allowed: Callable[[Any], bool], most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and len(value) <= most and all(map(allowed, value))


def _are_files(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(REQUIRED) <= value.keys() <= set(FILES)
        and all(isinstance(entry, FileEntry) for entry in value.values())
        and all(
            _is_int(0, _INT64)(entry.bytes) and _is_match(_SHA256)(entry.sha256) for entry in value.values()
        )
    )


def _are_metrics(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) <= 200
        and all(map(_is_match(NAME), value))
        and all(map(_is_metric, value.values()))
    )


def _is_metric(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    return _is_int(-_INT64, _INT64)(value) or _is_text(200)(value)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (_is_int(FORMAT, FORMAT + 1), f"{FORMAT}"),
    "id": (_is_match(NAME), NAME_RULE),
    "serial": (_is_int(1, 2**53), "a whole number from 1"),
    "parent": (_is_match(NAME, ""), f"empty or {NAME_RULE}"),
    "base_model": (_is_text(1024, 1), "a text of one line"),
    "base_revision": (_is_text(200, 1), "a text of one line"),
    "prompt_hash": (_is_text(200), "a text of one line"),
    "kind": (_is_match(STEER, LORA), f"{STEER} or {LORA}"),
    "layer": (lambda value: value is None or _is_int(0, 1000)(value), "null or a layer's number from 0"),
    "files": (_are_files, f"bytes and sha256 of {', '.join(REQUIRED)} or more of {', '.join(FILES)}"),
    "metrics": (_are_metrics, "at most 200 names with finite numbers or texts of one line"),
    "questions": (_all(_is_question, 1000), "at most 1000 texts of at most 4000 characters"),
    "tasks": (_all(_is_match(TASK_UID), 10_000), "at most 10000 of STORE_ID/TASK_ID"),
    "bundles": (_all(_is_match(NAME), 10_000), f"at most 10000, each {NAME_RULE}"),
    "robots": (_all(_is_match(NAME), 1000), f"at most 1000, each {NAME_RULE}"),
    "created_ns": (_is_int(0, _INT64), "nanoseconds since 1970"),
    "key": (_is_match(_KEY), "16 hex digits"),
}  # fmt: skip
