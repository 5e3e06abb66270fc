"""Rows of an annotation file as published: JSON, JSON lines, CSV or parquet."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LABEL = re.compile(r"\(?([A-Za-z])[.):]\s*")


@dataclass(frozen=True)
class Row:
    """A row. where: its file and number, for errors. Every method raises ValueError that names the field."""

    where: str
    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field that must have words; numbers are taken as they are written."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
            raise self.error(name, "it must be a text that is not empty")
        return str(value).strip()

    def value(self, name: str) -> Any:
        """A field that must be there."""
        if self.values.get(name) is None:
            raise ValueError(f"{self.where}: field {name!r} is missing; the row has {', '.join(self.values)}")
        return self.values[name]

    def options(self, name: str) -> tuple[str, ...]:
        """A list of choices, without "A. " before each. A list as CSV writes it is read, too."""
        value = self.value(name)
        if isinstance(value, str):
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                value = None  # no list, whatever it is
        if not isinstance(value, (list, tuple)):
            raise self.error(name, 'it must be a list, as in ["A. red", "B. blue"]')
        choices = [_unlabelled(str(choice), index) for index, choice in enumerate(value)]
        if len(choices) < 2 or not all(choices):
            raise self.error(name, "it must be a list of two choices or more, none of them empty")
        return tuple(choices)

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """The choice that a letter names."""
        letter = self.text(name).strip("().").upper()
        index = ord(letter) - ord("A") if len(letter) == 1 else -1
        if not 0 <= index < len(choices):
            last = chr(ord("A") + len(choices) - 1)
            raise self.error(name, f"it must be a letter from A to {last}")
        return choices[index]

    def error(self, name: str, wanted: str) -> ValueError:
        return ValueError(f"{self.where}: field {name!r} is {self.values.get(name)!r:.80}; {wanted}")


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a file; of JSON, a list or the list under "annotations". Raises ValueError and OSError."""
    path = Path(path).expanduser()
    readers = {".json": _json, ".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}
    if path.suffix not in readers:
        raise ValueError(f"{path} is none of {', '.join(readers)}; give the annotation file as published")
    rows = [Row(f"{path}, row {n}", values) for n, values in enumerate(readers[path.suffix](path), 1)]
    for row in rows:
        if not isinstance(row.values, dict):
            raise ValueError(f"{row.where} is {row.values!r:.80}; it must be an object with named fields")
    if not rows:
        raise ValueError(f"{path} has no rows")
    return rows


def _json(path: Path) -> list:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    rows = found.get("annotations") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise ValueError(f'{path} is neither a list of rows nor an object with a list under "annotations"')
    return rows


def _json_lines(path: Path) -> list:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
    return rows


def _csv(path: Path) -> list:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _parquet(path: Path) -> list:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ValueError(f"{path} needs pyarrow; install taskmem with its extra `export`") from error
    return parquet.read_table(path).to_pylist()


def _unlabelled(choice: str, index: int) -> str:
    """ "B. red" as the second choice -> "red"."""
    label = _LABEL.match(choice)
    own = label is not None and label[1].upper() == chr(ord("A") + index)
    return choice[label.end() :].strip() if own else choice.strip()
