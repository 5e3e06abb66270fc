"""`taskmem report`: one HTML page of what a store holds."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from taskmem_ros.cli import show
from taskmem_ros.cli.look import add_limit, add_span_options, add_store_options
from taskmem_ros.cli.times import span_of, zone_of
from taskmem_ros.memory import Store

TARGET = "taskmem-report.html"

DESCRIPTION = """\
Write one HTML page: coverage, map, questions with their evidence, and the
timeline with pictures. It is one file that loads nothing else, for any
browser, with or without a network."""

EXAMPLES = """examples:
  taskmem report
  taskmem report yesterday.html --since yesterday --until today
  taskmem report --camera hall --limit 0 hall.html"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    report = commands.add_parser(
        "report",
        help="write an HTML page: timeline, map, questions, coverage",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument(
        "target", nargs="?", default=TARGET, metavar="TARGET.html", help="the file (default: %(default)s)"
    )
    add_store_options(report)
    add_span_options(report)
    add_limit(
        report, 300, "list the newest N memories with their pictures (0: all of them; default: %(default)s)"
    )
    report.set_defaults(run=run_report)


def run_report(options: argparse.Namespace) -> int:
    from taskmem_ros.report.gather import gather  # these load jinja2
    from taskmem_ros.report.page import write_report

    zone, (since, until) = zone_of(options), span_of(options)
    target = Path(options.target).expanduser()
    with Store.open(options.database, read_only=True) as store:
        gathered = gather(store, since, until, options.camera, options.limit, zone)
        name = store.path.name
    size = write_report(target, gathered, name=name, zone=zone, made_ns=time.time_ns())
    counts = {
        "memories": len(gathered.memories),
        "left_out": gathered.total - len(gathered.memories),
        "gaps": len(gathered.gaps),
        "questions": len(gathered.tasks),
        "days": len(gathered.days),
    }
    if options.json:
        show.print_record({"type": "report", "file": str(target), "bytes": size} | counts)
        return 0
    left_out = f" ({counts['left_out']} more are not listed: --limit)" if counts["left_out"] else ""
    memories = show.counted(counts["memories"], "memory", "memories")
    gaps = show.counted(counts["gaps"], "gap")
    questions = show.counted(counts["questions"], "question")
    days = show.counted(counts["days"], "day")
    print(f"{target} ({size / 1e6:.1f} MB): {memories}{left_out}, {gaps} and {questions} of {days}.")
    return 0
