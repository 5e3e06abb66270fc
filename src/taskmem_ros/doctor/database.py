"""Whether a store is whole, what is in it, and what its robot could not remember."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from taskmem_ros.doctor.check import FAIL, OK, WARN, Check
from taskmem_ros.memory import Store, StoreError, default_database
from taskmem_ros.memory.ring import ClipRing

FAILURES_SHOWN = 5
LITTLE_ROOM = 1 << 30  # bytes
QUICK_ABOVE = 256 << 20  # bytes; a larger file is read in full on demand


def check_database(
    path: str | Path | None, *, upgrade: bool = False, full: bool = False, zone: dt.tzinfo | None = None
) -> Iterator[Check]:
    """A store's file: does it open, is it whole, what does it hold. upgrade: bring an older schema up to
    date.

    full: read every page of a large file, too. zone: of the times shown, None is the machine's. Writes
    nothing without `upgrade`.
    """
    file = default_database() if path is None else Path(path).expanduser()
    if not file.exists():
        yield from _no_store(file)
        return
    try:
        if upgrade:
            Store.open(file, create=False).close()
        with Store.open(file, read_only=True) as store:
            yield from _contents(store, full, zone)
    except StoreError as error:
        yield Check("database", "open", FAIL, str(error), "Do what it says, or name another with --database.")
        return
    yield _room(file.parent)


def _no_store(file: Path) -> Iterator[Check]:
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    if os.access(folder, os.W_OK):
        yield Check("database", "open", OK, f"there is no store at {file} yet; the agent will make it")
        yield _room(folder)
    else:
        fix = f"Make {folder} writable, or name another file with --database."
        yield Check(
            "database", "open", FAIL, f"there is no store at {file}, and {folder} is not writable", fix
        )


def _contents(store: Store, full: bool, zone: dt.tzinfo | None) -> Iterator[Check]:
    counts = store.summary()
    yield Check(
        "database", "open", OK, f"{store.path}, schema {counts.schema_version}, {counts.bytes / 1e6:.1f} MB"
    )
    full = full or counts.bytes <= QUICK_ABOVE
    problems = store.check(full)
    for problem in problems:
        fix = "Stop the agent, keep a copy of the file, and restore it with `sqlite3 FILE .recover`."
        yield Check("database", "integrity", FAIL, problem, fix)
    if not problems:
        how = "" if full else "; --full reads the pictures, too"
        text = "every page is whole" if full else "the pages of memories, tasks and coverage are whole"
        yield Check("database", "integrity", OK, f"{text}, and the indices agree with the memories{how}")
    if store.unfinished_forgetting():
        text = "a `taskmem forget` was cut off: traces of what it deleted may be in the file"
        yield Check("database", "forgetting", WARN, text, "Run `taskmem forget` again, with any condition.")
    text = f"{counts.memories}"
    if counts.first_ns is not None and counts.last_ns is not None:
        text += f", from {_when(counts.first_ns, zone)} to {_when(counts.last_ns, zone)}"
    yield Check("database", "memories", OK, text)
    yield from _ring(store, zone)
    text = f"{counts.tasks} asked, {counts.queued_tasks} not answered yet"
    yield Check("database", "tasks", OK, text)
    yield Check("database", "coverage", OK, _gaps(store) or "no gaps")
    yield from _failures(store, counts.memories, counts.failures, zone)


def _ring(store: Store, zone: dt.tzinfo | None) -> Iterator[Check]:
    """The clips that are kept beside the store."""
    ring = ClipRing(store)
    try:
        kept = ring.kept()
    except StoreError as error:
        fix = f"Remove {ring.path}; the agent makes it anew, and only clips to learn from are lost."
        yield Check("database", "kept clips", WARN, str(error), fix)
        return
    text = "none"
    if kept:
        size = f"{ring.bytes / 1e6:.1f} MB in {ring.path.name}"
        text = f"{len(kept)}, from {_when(kept[0].start_ns, zone)}, {size}"
    yield Check("database", "kept clips", OK, text)


def _failures(store: Store, memories: int, failures: int, zone: dt.tzinfo | None) -> Iterator[Check]:
    if not failures:
        yield Check("database", "failed clips", OK, "none")
        return
    share = failures / (failures + memories)
    fix = (
        "The replies below say what the model wrote; another model, or more --max-new-tokens, may do better."
    )
    level = WARN if share > 0.01 else OK
    yield Check("database", "failed clips", level, f"{failures} of {failures + memories} ({share:.1%})", fix)
    for failure in store.failures(FAILURES_SHOWN):
        text = (
            f"{failure.camera} at {_when(failure.start_ns, zone)}: {failure.error}; it wrote {failure.raw!r}"
        )
        yield Check("database", f"failure {failure.id}", level, text)


def _gaps(store: Store) -> str:
    seconds: dict[str, float] = {}
    for gap in store.coverage():
        seconds[gap.reason] = seconds.get(gap.reason, 0.0) + gap.seconds
    text = ", ".join(
        f"{dt.timedelta(seconds=round(total))} {reason}" for reason, total in sorted(seconds.items())
    )
    return text and f"not watched: {text}"


def _room(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    if free < LITTLE_ROOM:
        return Check(
            "database", "disk", WARN, f"{free / 1e6:.0f} MB free in {folder}", "Make room on this disk."
        )
    return Check("database", "disk", OK, f"{free / 1e9:.1f} GB free in {folder}")


def _when(stamp_ns: int, zone: dt.tzinfo | None) -> str:
    at = dt.datetime.fromtimestamp(stamp_ns // 10**9, dt.timezone.utc).astimezone(zone)
    return at.isoformat(sep=" ", timespec="seconds")
