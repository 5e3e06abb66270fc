"""Which memories a search may find: of a time, a camera, an episode, a place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from taskmem_ros.memory.rows import LONGEST, span_filter


@dataclass(frozen=True)
class Box:
    """A part of a map, metres, both ends included. map_id, frame_id: None for any."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float
    min_z: float = float("-inf")
    max_z: float = float("inf")
    map_id: str | None = None
    frame_id: str | None = None

    def __post_init__(self) -> None:
        # The comparison is also false for nan.
        if not (self.min_x <= self.max_x and self.min_y <= self.max_y and self.min_z <= self.max_z):
            raise ValueError(f"the box {self} ends before it begins; give the smaller number first")


@dataclass(frozen=True)
class Scope:
    """Memories that overlap [since_ns, until_ns), of a camera, an episode, written from inside a box, with
    ids from first_id to last_id.

    None is all of them.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    camera: str | None = None
    episode: int | None = None
    box: Box | None = None
    first_id: int | None = None
    last_id: int | None = None


EVERYTHING = Scope()


def scope_filter(scope: Scope, id_column: str = "m.id") -> tuple[str, dict[str, Any]]:
    """SQL and its values for rows of `memories AS m` that are of the scope. Exact, and for rows at hand."""
    where, values = span_filter("m", scope.since_ns, scope.until_ns, scope.camera)
    if scope.episode is not None:
        where += " AND m.episode = :episode"
        values["episode"] = scope.episode
    if scope.box is not None:
        tests, more = _inside(scope.box)
        where += f" AND {tests}"
        values |= more
    if scope.first_id is not None:
        where += f" AND {id_column} >= :first_id"
        values["first_id"] = scope.first_id
    if scope.last_id is not None:
        where += f" AND {id_column} <= :last_id"
        values["last_id"] = scope.last_id
    return where, values


def scope_rows(scope: Scope) -> tuple[str, str, dict[str, Any]]:
    """(tables, filter, values) of SQL that finds all `memories AS m` of a scope, by an index."""
    where, values = scope_filter(scope)
    if scope.box is None:
        return "memories AS m", where, values
    tables = "memory_places AS p CROSS JOIN memories AS m ON m.id = p.id"
    return tables, f"{_placed(scope)} AND {where}", values


def scope_ids(scope: Scope) -> tuple[str, dict[str, Any]] | None:
    """SQL and its values for the ids of a scope, and perhaps of some more, read from one index and from no
    memory; None where no index has them.
    """
    _, values = scope_filter(scope)
    if scope.box is not None:
        return f"SELECT p.id FROM memory_places AS p WHERE {_placed(scope)}", values
    tests = []
    if scope.camera is not None:
        tests.append("m.camera = :camera")
    if scope.since_ns is not None:
        tests.append(f"m.start_ns >= :since - ({LONGEST})")
    if scope.until_ns is not None:
        tests.append("m.start_ns < :until")
    return (f"SELECT m.id FROM memories AS m WHERE {' AND '.join(tests)}", values) if tests else None


def indexed(scope: Scope) -> bool:
    """Whether `scope_ids` gives the ids of the scope and hardly any more."""
    box = scope.box
    whole = box is None or (box.map_id is None and box.frame_id is None and box.max_z - box.min_z == math.inf)
    return whole and scope.episode is None and (box is None or scope.camera is None)


def _placed(scope: Scope) -> str:
    """The test of `memory_places AS p`, for overlap, not containment: the tree rounds outward."""
    tests = [f"p.min_{axis} <= :max_{axis} AND p.max_{axis} >= :min_{axis}" for axis in "xy"]
    if scope.since_ns is not None:
        tests.append("p.max_day >= :since / 864e11")
    if scope.until_ns is not None:
        tests.append("p.min_day <= :until / 864e11")
    return " AND ".join(tests)


def _inside(box: Box) -> tuple[str, dict[str, Any]]:
    tests, values = [], {}
    for axis in "xyz":
        tests.append(f"m.{axis} BETWEEN :min_{axis} AND :max_{axis}")
        values |= {f"min_{axis}": getattr(box, f"min_{axis}"), f"max_{axis}": getattr(box, f"max_{axis}")}
    for name in ("map_id", "frame_id"):
        if getattr(box, name) is not None:
            tests.append(f"m.{name} = :{name}")
            values[name] = getattr(box, name)
    return " AND ".join(tests), values
