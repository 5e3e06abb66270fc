"""Looking after the store's file: `taskmem backup`, `taskmem forget`, `taskmem prune`."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from dataclasses import asdict
from typing import Any

from taskmem_ros.cli import show
from taskmem_ros.cli.look import DATABASE_HELP
from taskmem_ros.cli.times import TIME_HELP, add_zone_option, day, iso, parse_time, zone_of
from taskmem_ros.memory import Store
from taskmem_ros.memory.forget import Forgotten, Place, Selection
from taskmem_ros.memory.retention import Retention

SHOWN = 3  # memories, before they are forgotten

BACKUP_EXAMPLES = """examples:
  taskmem backup /media/usb/memory.db
  taskmem backup --force robot.db.bak --database robot.db

To restore it: stop the agent and put the copy where the store was."""

FORGET_DESCRIPTION = """\
Forget what was remembered of a time, a camera or a place: memories with their
pictures, words, places and vectors, what was written of failed clips, and the
clips that were kept to learn from. What overlaps the time goes as a whole.
Nothing of it is left in the files' bytes; bundles that are still to be sent
are made anew, and copies made before (taskmem backup, taskmem export) keep
what they have.

The time itself stays known as forgotten. An answer that stood on one of the
memories is withdrawn; its question stays. It works while an agent runs."""

FORGET_EXAMPLES = """exit status: 0 forgotten, 1 nothing to forget or not confirmed, 2 error

examples:
  taskmem forget --from 'yesterday 9:00' --to 'yesterday 9:30'
  taskmem forget --camera bedroom --dry-run
  taskmem forget --place 3.5,-1.2,2 --from 2026-07-14 --to 2026-07-15
  taskmem forget --all --yes"""

PRUNE_DESCRIPTION = """\
Forget what is too old, or more than there is room for: pictures before
memories, and first those that no answer ever stood on."""

PRUNE_EXAMPLES = """examples:
  taskmem prune --max-age-days 365
  taskmem prune --max-megabytes 2000 --thumbnails-megabytes-per-day 10

An agent does the same by itself, by its parameters retention.max_age_days,
retention.max_megabytes and thumbnails.megabytes_per_day."""


def add_commands(commands: argparse._SubParsersAction) -> None:
    backup = _add(
        commands, "backup", "copy the store while the agent runs",
        "Copy the store's file, as it is at this moment, and check the copy.", BACKUP_EXAMPLES,
    )  # fmt: skip
    backup.add_argument("target", metavar="TARGET", help="the file to make")
    backup.add_argument("--force", action="store_true", help="overwrite TARGET")
    backup.set_defaults(run=run_backup)

    forget = _add(
        commands, "forget", "forget a time, a camera or a place", FORGET_DESCRIPTION, FORGET_EXAMPLES
    )
    forget.add_argument("--from", dest="since", metavar="TIME", help=f"from this time on: {TIME_HELP}")
    forget.add_argument(
        "--to", dest="until", metavar="TIME", help="before this time, written in the same ways"
    )
    forget.add_argument("--camera", metavar="NAME", help="only of this camera")
    forget.add_argument(
        "--place", metavar="X,Y,RADIUS[,MAP]", help="only what was seen from here: metres in the map's frame"
    )
    forget.add_argument("--all", action="store_true", help="everything, where nothing else is said")
    forget.add_argument("--dry-run", action="store_true", help="only show what would go")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    add_zone_option(forget)
    forget.set_defaults(run=run_forget)

    prune = _add(commands, "prune", "forget by age and size", PRUNE_DESCRIPTION, PRUNE_EXAMPLES)
    prune.add_argument("--max-age-days", type=float, default=0.0, metavar="N", help="forget what is older")
    prune.add_argument("--max-megabytes", type=float, default=0.0, metavar="N", help="of the file")
    prune.add_argument(
        "--thumbnails-megabytes-per-day", type=float, default=0.0, metavar="N", help="of pictures in it"
    )
    prune.add_argument("--yes", action="store_true", help="do not ask")
    add_zone_option(prune)
    prune.set_defaults(run=run_prune)


def _add(commands: Any, name: str, short: str, about: str, examples: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=short,
        description=about,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", metavar="FILE", help=DATABASE_HELP)
    parser.add_argument("--json", action="store_true", help="JSON for programs, one object on each line")
    return parser


def run_backup(options: argparse.Namespace) -> int:
    with Store.open(options.database, read_only=True) as store:
        copy = store.backup(options.target, overwrite=options.force)
    size = copy.stat().st_size
    if options.json:
        show.print_record({"type": "backup", "file": str(copy), "bytes": size})
    else:
        print(f"{copy}, {size / 1e6:.1f} MB, checked", file=sys.stderr)
    return 0


def run_forget(options: argparse.Namespace) -> int:
    what = _selection(options)
    if options.json and not (options.yes or options.dry_run):
        raise ValueError("--json asks nobody; add --yes to forget, or --dry-run to see what would go.")
    if options.dry_run:
        with Store.open(options.database, read_only=True) as store:
            return _tell(store, store.to_forget(what), what, options)
    with Store.open(options.database, create=False) as store:
        gone = store.to_forget(what)
        if not options.json:
            _tell(store, gone, what, options)
        found = bool(gone.memories or gone.failures or gone.clips)
        if not found and not store.unfinished_forgetting():
            return 1 if not options.json else _tell(store, gone, what, options)
        if not options.yes and not _confirmed("Forget it, for good?" if found else "Remove these traces?"):
            return 1
        gone = store.forget(what)
        if options.json:
            return _tell(store, gone, what, options)
        print("Forgotten.", file=sys.stderr)
    return 0


def run_prune(options: argparse.Namespace) -> int:
    limits = (options.max_age_days, options.max_megabytes, options.thumbnails_megabytes_per_day)
    if not any(limits):
        raise ValueError(
            "No limit is given; write --max-age-days, --max-megabytes or --thumbnails-megabytes-per-day."
        )
    policy = Retention.of(*limits)
    if options.json and not options.yes:
        raise ValueError("--json asks nobody; add --yes to forget.")
    with Store.open(options.database, create=False) as store:
        if not options.yes:
            has = store.summary()
            print(f"{store.path} has {has.memories} memories in {has.bytes / 1e6:.1f} MB.", file=sys.stderr)
            if not _confirmed("Forget what is beyond the limits, for good?"):
                return 1
        taken = store.retain(policy)
    if options.json:
        show.print_record({"type": "pruned"} | asdict(taken))
    else:
        print(
            f"{taken.memories} memories, {taken.thumbnails} pictures and {taken.failures} failed clips are "
            f"forgotten; the file has {taken.bytes / 1e6:.1f} MB.",
            file=sys.stderr,
        )
    if taken.short_bytes:
        raise ValueError(
            f"The file is still {taken.short_bytes / 1e6:.1f} MB larger than --max-megabytes "
            f"{options.max_megabytes:g}: no memory is left, and tasks and coverage are kept."
        )
    return 0


def _selection(options: argparse.Namespace) -> Selection:
    given = [options.since, options.until, options.camera, options.place]
    if options.all and any(given):
        raise ValueError("--all is for everything; leave it out where a time, a camera or a place is given.")
    if not options.all and not any(given):
        raise ValueError("Say what to forget: --from and --to, --camera or --place; or --all for everything.")
    zone = zone_of(options)
    since, until = (
        None if text is None else parse_time(text, zone) for text in (options.since, options.until)
    )
    if since is not None and until is not None and until < since:
        raise ValueError(f"--to {options.until} is before --from {options.since}.")
    return Selection(since, until, options.camera, None if options.place is None else _place(options.place))


def _place(text: str) -> Place:
    parts = [part.strip() for part in text.split(",", 3)]
    try:
        x, y, radius = map(float, parts[:3])
    except ValueError as error:
        raise ValueError(
            f"--place {text!r} cannot be read; write X,Y,RADIUS in metres, as in 3.5,-1.2,2."
        ) from error
    return Place(x, y, radius, *parts[3:])


def _tell(store: Store, gone: Forgotten, what: Selection, options: argparse.Namespace) -> int:
    """Say what goes; the exit status, were that all."""
    zone, status = zone_of(options), 0 if gone.memories or gone.failures or gone.clips else 1
    if options.json:
        span = {"start": iso(gone.first_ns, zone), "end": iso(gone.last_ns, zone)}
        show.print_record({"type": "forgotten", "dry_run": options.dry_run} | asdict(gone) | span)
        return status
    for line in _lines(store, gone, what, zone):
        print(line, file=sys.stderr)
    return status


def _lines(store: Store, gone: Forgotten, what: Selection, zone: dt.tzinfo | None) -> list[str]:
    kinds = (
        (gone.memories, "memory", "memories"),
        (gone.thumbnails, "picture", "pictures"),
        (gone.vectors, "vector", "vectors"),
        (gone.failures, "failed clip, with what was written of it", "failed clips, with what was written"),
        (gone.clips, "clip kept to learn from", "clips kept to learn from"),
        (gone.answers, "answer that stood on it (its question stays)", "answers (their questions stay)"),
    )
    lines = [f"  {number} {one if number == 1 else many}" for number, one, many in kinds if number]
    if gone.first_ns is not None and gone.last_ns is not None:
        lines.insert(
            0, f"To forget, in {store.path}, {day(gone.first_ns, zone)} to {day(gone.last_ns, zone)}:"
        )
        some = store.some_to_forget(what, SHOWN)
        lines += [f"  {show.memory_line(memory, zone)}" for memory in some]
        lines += ["  ..."] * (gone.memories > SHOWN)
    elif lines:
        lines.insert(0, f"To forget, in {store.path}:")
    else:
        lines.append(f"{store.path} has nothing of that.")
    if gone.unplaced:
        lines.append(f"Memories of that time that stay, since their place is not known: {gone.unplaced}")
    if store.unfinished_forgetting():
        lines.append("An earlier `taskmem forget` was cut off; traces of what it deleted are removed, too.")
    return lines


def _confirmed(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip().lower()
    if answer not in ("y", "yes"):
        print("Nothing was forgotten.", file=sys.stderr)
        return False
    return True
