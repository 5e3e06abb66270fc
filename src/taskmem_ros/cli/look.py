"""What the store holds: `taskmem timeline`, `taskmem tasks`, `taskmem search`."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from taskmem_ros.cli import show
from taskmem_ros.cli.diary import Diary
from taskmem_ros.cli.meaning import add_encoder_option, encoder_of
from taskmem_ros.cli.paper import Paper
from taskmem_ros.cli.pictures import Pictures, add_pictures_option, protocol
from taskmem_ros.cli.times import TIME_HELP, add_zone_option, day, local, span_of, zone_of
from taskmem_ros.clips import Gap
from taskmem_ros.memory import STATUSES, Memory, Scope, Store
from taskmem_ros.recall import Found, Near, Search

DATABASE_HELP = "the store's file (default: $TASKMEM_DATABASE, else ~/.taskmem/memory.db)"

TIMELINE_EXAMPLES = """examples:
  taskmem timeline --since 2h
  taskmem timeline --since 'yesterday 9:00' --camera hall
  taskmem timeline --limit 0 --json | jq -r 'select(.type == "memory").text'"""

TASKS_EXAMPLES = """examples:
  taskmem tasks --since today
  taskmem tasks --status not_in_memory --json"""

SEARCH_EXAMPLES = """examples:
  taskmem search red mug
  taskmem search 'who opened the door' --since 1d --json
  taskmem search '"red mug"' --since 'this morning' --near 3.5,-1.2,2"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    timeline = commands.add_parser(
        "timeline",
        help="what was remembered, as a diary with its gaps",
        description="What was remembered, day by day, with the gaps in which nobody was watching.",
        epilog=TIMELINE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_store_options(timeline)
    add_span_options(timeline)
    add_limit(timeline, 100, "the newest N memories (0: all of them; default: %(default)s)")
    add_pictures_option(timeline, default="off")
    timeline.set_defaults(run=run_timeline)

    tasks = commands.add_parser(
        "tasks",
        help="what was asked, and what came of it",
        description="The questions and tasks that the robot was given, with their answers.",
        epilog=TASKS_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_store_options(tasks)
    add_span_options(tasks, camera=False)
    tasks.add_argument("--status", choices=STATUSES, help="only those with this status")
    add_limit(tasks, 100, "the newest N (0: all of them; default: %(default)s)")
    tasks.set_defaults(run=run_tasks)

    search = commands.add_parser(
        "search",
        help="memories by words, meaning, place and time, best first",
        description="The memories that say most of the words (English stems), mean the like (with an encoder)"
        " or were written nearest to a place, best first; without either the newest.",
        epilog=SEARCH_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    search.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="in any form; umb* for words that begin so, '\"red mug\"' for a phrase",
    )
    search.add_argument(
        "--near",
        metavar="X,Y[,RADIUS[,MAP]]",
        type=_near,
        help="what was seen from near here: metres, in the map",
    )
    add_store_options(search)
    add_span_options(search)
    search.add_argument("--episode", metavar="N", type=_count, help="only this episode")
    add_encoder_option(search)
    add_limit(search, 10, "at most N memories (default: %(default)s)")
    add_pictures_option(search)
    search.set_defaults(run=run_search)


def add_store_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", metavar="FILE", help=DATABASE_HELP)
    parser.add_argument("--json", action="store_true", help="JSON for programs, one object on each line")
    add_zone_option(parser)


def add_span_options(parser: argparse.ArgumentParser, camera: bool = True) -> None:
    parser.add_argument("--since", metavar="TIME", help=f"from this time on: {TIME_HELP}")
    parser.add_argument("--until", metavar="TIME", help="before this time, written in the same ways")
    if camera:
        parser.add_argument("--camera", metavar="NAME", help="only this camera")


def add_limit(parser: argparse.ArgumentParser, default: int, text: str) -> None:
    """--limit N."""
    parser.add_argument("--limit", type=_count, default=default, metavar="N", help=text)


def _near(text: str) -> Near:
    parts = [part.strip() for part in text.split(",", 3)]
    try:
        x, y, *radius = map(float, parts[:3])
        return Near(x, y, radius_m=radius[0] if radius else None, map_id=parts[3] if parts[3:] else None)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no place; write X,Y or X,Y,RADIUS in metres, as in 3.5,-1.2,2"
        ) from error


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; write 0, 1, 2, ...")
    return int(text)


def run_timeline(options: argparse.Namespace) -> int:
    zone, (since, until) = zone_of(options), span_of(options)
    paper = Paper()
    pictures = Pictures("off" if options.json else protocol(options.pictures, paper.terminal))
    with Store.open(options.database, read_only=True) as store:
        limit = options.limit + 1 if options.limit else None
        newest = store.memories(since, until, options.camera, limit, True, thumbnails=pictures.shown)
        cut = limit is not None and len(newest) == limit
        newest = newest[:-1] if cut else newest
        # Where memories are left out, so are the gaps before the first one shown.
        gaps = store.coverage(newest[-1].start_ns if cut else since, until, options.camera)
    if options.json:
        rows: list[Memory | Gap] = sorted([*newest, *gaps], key=lambda row: (row.start_ns, row.camera))
        for row in rows:
            record = show.memory_record if isinstance(row, Memory) else show.gap_record
            show.print_record(record(row, zone))
        return 0
    Diary(paper, pictures, zone).print(newest, gaps)
    if not newest and not gaps:
        print("Nothing is remembered" + (" of that time." if since or until else " yet."), file=sys.stderr)
    elif cut:
        print(f"\n(the newest {options.limit}; --limit 0 shows all)", file=sys.stderr)
    return 0


def run_tasks(options: argparse.Namespace) -> int:
    zone, (since, until) = zone_of(options), span_of(options)
    with Store.open(options.database, read_only=True) as store:
        tasks = store.tasks(
            status=options.status,
            since_ns=since,
            until_ns=until,
            limit=options.limit or None,
            newest_first=True,
        )
        said = {task.id: store.feedback(task.id) for task in tasks}
    paper, today = Paper(), None
    for task in reversed(tasks):
        if options.json:
            feedback = [vars(item) for item in said[task.id]]
            show.print_record(show.task_record(task, zone) | {"feedback": feedback})
            continue
        if (date := local(task.asked_ns, zone).date()) != today:
            if today is not None:
                paper.line()
            paper.line(Text(day(task.asked_ns, zone), "bold"))
            paper.line()
            today = date
        paper.row(show.task_head(task, zone), show.task_question(task))
        paper.row(Text(" " * 10), show.task_outcome(task))
        for item in said[task.id]:
            paper.row(Text(" " * 10), show.feedback_line(item))
    if not tasks and not options.json:
        print("No task is kept that fits.", file=sys.stderr)
    return 0


def print_found(paper: Paper, pictures: Pictures, found: Sequence[Any], zone: dt.tzinfo | None) -> None:
    """What was found, each with a `memory` and a `score`: of a search, or the evidence of an answer."""
    for one in found:
        pictured = pictures.shown and bool(one.memory.thumbnail)
        head = show.evidence_head(one.memory, one.score, zone, lines=2 if pictured else 1)
        if paper.terminal:
            paper.line()
        head = head if pictured else Text("  ") + head
        pictures.row(paper, one.memory.thumbnail, head, Text(show.plain(one.memory.text)), below=True)


def _reasons(hit: Found) -> list[dict[str, Any]]:
    return [{"by": reason.by, "rank": reason.rank, "detail": reason.detail} for reason in hit.reasons]


def run_search(options: argparse.Namespace) -> int:
    zone, (since, until) = zone_of(options), span_of(options)
    paper = Paper()
    pictures = Pictures("off" if options.json else protocol(options.pictures, paper.terminal))
    with Store.open(options.database, read_only=True) as store:
        hits = Search(store, encoder_of(options, store))(
            " ".join(options.words),
            near=options.near,
            scope=Scope(since, until, options.camera, options.episode),
            limit=options.limit or 10**6,
            thumbnails=pictures.shown,
        )
    if options.json:
        for hit in hits:
            show.print_record(
                show.memory_record(hit.memory, zone) | {"score": hit.score, "found": _reasons(hit)}
            )
        return 0 if hits else 1
    print_found(paper, pictures, hits, zone)
    if not hits:
        print("No memory is found by that.", file=sys.stderr)
    return 0 if hits else 1
