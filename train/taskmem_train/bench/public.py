"""VideoMME and EgoTempo: short films, each with questions that are asked when it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from taskmem_ros.clips import ClipSettings
from taskmem_train.bench.annotations import Row, read_rows
from taskmem_train.bench.films import Film, cut_in_words, films_in, fingerprint, observe, unreadable
from taskmem_train.bench.types import FIRST_DAY_NS, Dataset, Question, StreamItem

MORNING_NS = FIRST_DAY_NS + 9 * 3600 * 1_000_000_000
DURATIONS = ("short", "medium", "long")
LIST_INSTRUCTION = (
    "List everything seen in the newest clip: the place, people, things, text, what is done and in which "
    'order. Reply as JSON: {"description": "..."}'
)


def videomme(
    annotations: str | Path,
    videos: str | Path,
    *,
    durations: Sequence[str] = ("short", "medium"),
    clips: ClipSettings | None = None,
    limit: int | None = None,
) -> Dataset:
    """Video-MME as published (parquet, JSON, JSON lines or CSV), with a folder of films named by videoID.

    durations: which of its three lengths. limit: so many videos at most. Raises ValueError, naming file, row
    and field, and OSError.
    """
    for duration in durations:
        if duration not in DURATIONS:
            raise ValueError(f"duration {duration!r} is not known; use some of {', '.join(DURATIONS)}")
    rows = [row for row in read_rows(annotations) if _one_of(row, "duration", DURATIONS) in durations]

    def question(row: Row) -> Question:
        choices = row.options("options")
        answer = row.choice("answer", choices)
        return Question(row.text("question_id"), row.text("question"), row.text("task_type"), answer, choices)

    return _dataset("videomme", rows, "videoID", question, videos, clips, limit)


def egotempo(
    annotations: str | Path,
    videos: str | Path,
    *,
    clips: ClipSettings | None = None,
    limit: int | None = None,
) -> Dataset:
    """EgoTempo as published (egotempo_openQA.json), with a folder of films named by clip_id.

    Answers are open: give the run a judge.

    limit and errors: as of `videomme`.
    """

    def question(row: Row) -> Question:
        return Question(
            row.text("question_id"), row.text("question"), row.text("question_type"), row.text("answer")
        )

    return _dataset("egotempo", read_rows(annotations), "clip_id", question, videos, clips, limit)


def _dataset(
    name: str,
    rows: Sequence[Row],
    film_field: str,
    question: Callable[[Row], Question],
    videos: str | Path,
    clips: ClipSettings | None,
    limit: int | None,
) -> Dataset:
    settings = (clips or ClipSettings()).validate()
    asked: dict[str, list[Question]] = {}
    for row in rows:
        asked.setdefault(row.text(film_field), []).append(question(row))
    films, streams, skipped = films_in(videos), [], []
    for id, questions in list(asked.items())[:limit]:
        path = films.get(id)
        if reason := f"no film of that name in {videos}" if path is None else unreadable(path):
            skipped.append(f"video {id} with {len(questions)} questions: {reason}")
            continue
        film = [Film(path, settings.clip_start(MORNING_NS))]
        streams.append(StreamItem(id, tuple(questions), observe(film, settings), fingerprint(film, settings)))
    return Dataset(name, tuple(streams), cut_in_words(settings), LIST_INSTRUCTION, skipped=tuple(skipped))


def _one_of(row: Row, name: str, values: Sequence[str]) -> str:
    value = row.text(name)
    if value not in values:
        raise row.error(name, f"it must be one of {', '.join(values)}")
    return value
