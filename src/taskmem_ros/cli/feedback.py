"""`taskmem feedback`: say whether an answer was right, and what would have been."""

from __future__ import annotations

import argparse
import getpass
import sys

from taskmem_ros.cli import show
from taskmem_ros.cli.look import DATABASE_HELP
from taskmem_ros.memory import RIGHT, VERDICTS, Store

DESCRIPTION = """\
Say whether the answer to a question was right. It is kept beside the question,
goes with it into bundles, and is what the robot learns from; of several the
newest counts. It works while an agent runs. An abstention may be right, too."""

EXAMPLES = """examples:
  taskmem tasks                                   (shows the numbers)
  taskmem feedback 12 right
  taskmem feedback 13 wrong --answer 'under the kitchen table'"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    feedback = commands.add_parser(
        "feedback",
        help="say whether an answer was right",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    feedback.add_argument("task", type=int, metavar="ID", help="the question's number")
    feedback.add_argument("verdict", choices=VERDICTS, help="of the robot's answer")
    feedback.add_argument("--answer", metavar="TEXT", help="the right answer, where the robot's was wrong")
    feedback.add_argument("--source", metavar="NAME", help="who says so (default: who is logged in)")
    feedback.add_argument("--database", metavar="FILE", help=DATABASE_HELP)
    feedback.add_argument("--json", action="store_true", help="JSON for programs, one object on one line")
    feedback.set_defaults(run=run_feedback)


def run_feedback(options: argparse.Namespace) -> int:
    source = _user() if options.source is None else options.source
    with Store.open(options.database, create=False) as store:
        said = store.add_feedback(options.task, options.verdict, options.answer, source)
        task = store.task(options.task)
    if options.json:
        show.print_record({"type": "feedback"} | vars(said))
        return 0
    given = repr(show.plain(task.answer)) if task and task.answer else "that there is no answer"
    then = "" if said.verdict == RIGHT or not said.answer else f"; right is {show.plain(said.answer)!r}"
    print(f"Task {said.task_id}: {given} is {said.verdict}{then}.", file=sys.stderr)
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return "cli"
