"""Settings of a command: a dataclass, its values from a YAML file (a recipe) and from the command line.

What stands on the command line goes before what stands in the file, and that before the defaults.
"""

from __future__ import annotations

import argparse
import types
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

Config = TypeVar("Config")


def add_settings(parser: argparse.ArgumentParser, config: type) -> None:
    """--config FILE.yaml, and an option for each field of a dataclass; `metadata["help"]` describes it.

    Fields are str, int, float, bool, one of these or None, or a tuple of one of these.
    """
    parser.add_argument("--config", type=Path, metavar="FILE.yaml", help="settings; options go before them")
    hints = get_type_hints(config)
    for item in fields(config):
        kind, many = _kind(hints[item.name])
        default = "required" if _is_required(item) else f"default: {_shown(item)}"
        options: dict[str, Any] = {"help": f"{item.metadata.get('help', '')} ({default})".strip()}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options |= {"type": kind, "metavar": kind.__name__.upper()}
            if many:
                options["nargs"] = "*"
            if choices := item.metadata.get("choices"):
                options |= {"choices": choices, "metavar": None}
        parser.add_argument(f"--{item.name.replace('_', '-')}", default=argparse.SUPPRESS, **options)


def read_settings(args: argparse.Namespace, config: type[Config]) -> Config:
    """The dataclass that `add_settings`' options give. Raises ValueError and OSError."""
    given = vars(args)
    values = _from_yaml(args.config, config) if args.config else {}
    values |= {item.name: given[item.name] for item in fields(config) if item.name in given}
    missing = [item.name for item in fields(config) if _is_required(item) and item.name not in values]
    if missing:
        raise ValueError(f"--{missing[0].replace('_', '-')} is not given; it has no default")
    hints = get_type_hints(config)
    for name, value in values.items():
        if _kind(hints[name])[1] and value is not None:
            values[name] = tuple(value)
    return config(**values)


def _from_yaml(path: Path, config: type) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ValueError(f"settings cannot be read from {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no settings; write lines like steps: 40")
    known = {item.name: item for item in fields(config)}
    hints = get_type_hints(config)
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"{path}: setting {name!r} is not known; known are {', '.join(known)}")
        values[name] = _checked(f"{path}: {name}", value, hints[name])
    return values


def _checked(where: str, value: Any, hint: Any) -> Any:
    kind, many = _kind(hint)
    if value is None and type(None) in get_args(hint):
        return None
    items = value if many else [value]
    if not isinstance(items, list):
        raise ValueError(f"{where} is {value!r}; it must be a list of {kind.__name__}")
    for item in items:
        fits = isinstance(item, kind) or (kind is float and isinstance(item, int))
        if not fits or (isinstance(item, bool) and kind is not bool):
            raise ValueError(f"{where} is {item!r}; it must be {kind.__name__}")
    return value


def _kind(hint: Any) -> tuple[type, bool]:
    """(type of a value, whether there are many)."""
    if get_origin(hint) in (Union, types.UnionType):
        return _kind(next(part for part in get_args(hint) if part is not type(None)))
    return (get_args(hint)[0], True) if get_origin(hint) is tuple else (hint, False)


def _is_required(item) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _shown(item) -> Any:
    value = item.default_factory() if item.default is MISSING else item.default
    return " ".join(map(str, value)) if isinstance(value, tuple) else value
