"""JSON from strangers: what has two readings, or needs more than its own size to be read, is refused."""

from __future__ import annotations

import json
import math
from typing import Any

_DIGITS = 20  # of an int; what Python would read of more takes time that grows with their square


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
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:80]!r} is there twice")
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
