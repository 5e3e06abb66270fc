"""JSON from strangers: what has two readings, or needs more than its own size to be read, is refused."""

from __future__ import annotations

import json
import math
from typing import Any

_DIGITS = 20  # of an int; what Python would read of more takes time that grows with their square
_DEPTH = 32  # of lists and objects in each other


def read_json(data: bytes) -> Any:
    """The value. Raises ValueError for what is no JSON in UTF-8, and where a key comes twice, a number is not
    finite, a text is no Unicode, or it is nested too deeply.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_short,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # an escaped half of a pair of surrogates
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON at character {error.pos}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except UnicodeError as error:
        raise ValueError("a text in it is no Unicode") from error
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """So that whoever shows or compares the value does not run out of stack."""
    layer = [value]
    for _ in range(_DEPTH):
        lists = [list(item.values()) if isinstance(item, dict) else item for item in layer]
        layer = [inner for some in lists if isinstance(some, list) for inner in some]
    if layer:
        raise ValueError("nested too deeply")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:80]!r} is there twice")
        found[name] = value
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _short(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"the number {text[:40]}... is too large")
    return int(text)
