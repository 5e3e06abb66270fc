"""EgoLife: a week of one person's life in films of half a minute; questions are asked in the midst of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskmem_ros.clips import NS, ClipSettings
from taskmem_train.bench.annotations import Row, read_rows
from taskmem_train.bench.films import Film, cut_in_words, films_in, fingerprint, observe
from taskmem_train.bench.public import LIST_INSTRUCTION
from taskmem_train.bench.types import FIRST_DAY_NS, Dataset, Question, StreamItem

DAY_NS = 24 * 3600 * NS
FRAMES_PER_SECOND = 20  # the last two digits of a time count the films' frames
LONGEST_FILM_NS = 60 * NS
_FILM = re.compile(r"DAY(\d+)_(\w+)_(\d{8})")
_TIMES = re.compile(r"DAY(\d+)|(?<!\d)((?:[01]?\d|2[0-3])[0-5]\d[0-5]\d\d\d)(?!\d)")


def egolife(
    annotations: str | Path,
    videos: str | Path,
    *,
    clips: ClipSettings | None = None,
    limit: int | None = None,
) -> Dataset:
    """EgoLifeQA as published, with the folder of that person's films (DAY1/DAY1_A1_JAKE_11094208.mp4).

    One stream; each question is asked at its query_time, of the memories of all films before it. Skipped are
    questions whose day has no film before them, and those whose target_time no film shows. limit: so many
    questions at most, the earliest. Raises ValueError, naming file, row and field, and OSError.
    """
    settings = (clips or ClipSettings()).validate()
    person, films = _films(Path(annotations), videos)
    asked: list[Question] = []
    skipped: list[str] = []
    rows = sorted(read_rows(annotations), key=_query_ns)
    for row in rows[:limit]:
        question = _question(row)
        missing = _missing(row, question.reveal_ns or 0, [film.start_ns for film in films])
        if missing:
            skipped.append(f"question {question.id}: {missing}")
        else:
            asked.append(question)
    last = max((question.reveal_ns or 0 for question in asked), default=0)
    films = [film for film in films if film.start_ns < last]
    stream = StreamItem(person, tuple(asked), observe(films, settings), fingerprint(films, settings))
    streams = (stream,) if asked else ()
    return Dataset("egolife", streams, cut_in_words(settings), LIST_INSTRUCTION, skipped=tuple(skipped))


def time_ns(day: int, clock: str) -> int:
    """Day 1, "11210217" (hours, minutes, seconds, frames) -> nanoseconds. Raises ValueError."""
    digits = clock.zfill(8) if clock.isdecimal() and len(clock) in (7, 8) else "99999999"
    hours, minutes, seconds, frames = (int(digits[i : i + 2]) for i in (0, 2, 4, 6))
    if day < 1 or hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"DAY{day} {clock!r} is no time; write it as DAY1 and HHMMSSFF")
    of_day = (hours * 3600 + minutes * 60 + seconds) * NS + frames * NS // FRAMES_PER_SECOND
    return FIRST_DAY_NS + (day - 1) * DAY_NS + of_day


def _question(row: Row) -> Question:
    choices = tuple(row.text(f"choice_{letter}") for letter in "abcd")
    answer = row.choice("answer", choices)
    kind, id = row.text("type"), row.text("ID")
    return Question(id, row.text("question"), kind, answer, choices, reveal_ns=_query_ns(row))


def _query_ns(row: Row) -> int:
    value = row.value("query_time")
    try:
        return time_ns(int(str(value["date"]).upper().removeprefix("DAY")), str(value["time"]))
    except (TypeError, KeyError, ValueError) as error:
        raise row.error("query_time", 'it must be as in {"date": "DAY1", "time": "11210217"}') from error


def _missing(row: Row, query_ns: int, starts: Sequence[int]) -> str:
    """What films a question lacks, "" where it lacks none."""
    midnight = query_ns - (query_ns - FIRST_DAY_NS) % DAY_NS
    if not any(midnight <= start < query_ns for start in starts):
        return f"no film of DAY{(midnight - FIRST_DAY_NS) // DAY_NS + 1} before its query_time"
    days, clocks = _targets(row.values.get("target_time"))
    for clock in clocks:
        targets = [time_ns(day, clock) for day in days]
        if not any(start <= target < start + LONGEST_FILM_NS for start in starts for target in targets):
            return f"no film of its target_time, {' or '.join(f'DAY{day}' for day in days)} {clock}"
    return ""


def _targets(value: Any) -> tuple[list[int], list[str]]:
    """(days, times) that a target_time names: an object, a list or a text, each with one or several."""
    found = _TIMES.findall(json.dumps(value))
    days = list(dict.fromkeys(int(day) for day, _ in found if day))
    return days, [clock for _, clock in found if clock] if days else []


def _films(annotations: Path, videos: str | Path) -> tuple[str, list[Film]]:
    """(the person, that person's films in order)."""
    persons: dict[str, list[Film]] = {}
    for stem, path in films_in(videos).items():
        if name := _FILM.fullmatch(stem):
            persons.setdefault(name[2], []).append(Film(path, time_ns(int(name[1]), name[3])))
    of_file = [person for person in persons if person in annotations.stem]
    if not persons:
        raise ValueError(f"{videos} has no film named as DAY1_A1_JAKE_11094208.mp4")
    if len(persons) > 1 and len(of_file) != 1:
        raise ValueError(f"{videos} has films of {', '.join(sorted(persons))}; give the folder of one person")
    person = of_file[0] if of_file else next(iter(persons))
    return person, sorted(persons[person], key=lambda film: film.start_ns)
