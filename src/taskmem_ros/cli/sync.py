"""`taskmem sync`: one round of the exchange, as taskmem_sync runs them at night."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from taskmem_ros.cli import show
from taskmem_ros.cli.look import DATABASE_HELP
from taskmem_ros.memory import default_database
from taskmem_ros.nodes.parameters import defaults
from taskmem_ros.nodes.sync_parameters import CONTENTS, SYNC, check_sync, robot_name

if TYPE_CHECKING:
    from taskmem_ros.exchange.child import Progress

DESCRIPTION = """\
Push the tasks that are new to an exchange, and bring the newest adapter that is
signed by a trusted key and fits this robot. This is what taskmem_sync does at
night; beside a running one, or an agent, it does no harm. An adapter that came
is tried by the agent: taskmem_sync asks it to, or `taskmem adapters`."""

EXAMPLES = """examples:
  taskmem sync --exchange /mnt/exchange
  taskmem sync --exchange sftp://robot@workstation/srv/exchange --contents frames
  taskmem sync --exchange s3://robots --robot kitchen --database kitchen.db --json

Passwords and keys: those of ssh, or AWS_ACCESS_KEY_ID and its like in the environment."""

WITHOUT_TOTAL = "{desc} {elapsed}"


def add_commands(commands: argparse._SubParsersAction) -> None:
    sync = commands.add_parser(
        "sync",
        help="one round of the exchange: tasks out, adapters in",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = defaults(SYNC)
    sync.add_argument("--exchange", metavar="URL", required=True, help="where robots and workstations meet")
    sync.add_argument("--database", metavar="FILE", help=DATABASE_HELP)
    sync.add_argument("--robot", metavar="NAME", default="", help="its name there (default: the host's)")
    sync.add_argument(
        "--contents", choices=CONTENTS, default=default["contents"],
        help="what leaves the robot: tasks; also the memories around; also frames (default: %(default)s)",
    )  # fmt: skip
    sync.add_argument(
        "--bundle-megabytes", type=float, metavar="MB", default=default["bundle_megabytes"],
        help="largest bundle (default: %(default)g)",
    )  # fmt: skip
    sync.add_argument(
        "--keyring", metavar="FILE", default="", help="trusted keys (default: ~/.taskmem/trusted_keys)"
    )
    sync.add_argument(
        "--stall", type=float, metavar="S", dest="stall_s", default=default["stall_s"],
        help="give up when nothing moves for so long (default: %(default)g)",
    )  # fmt: skip
    sync.add_argument("--json", action="store_true", help="the result as JSON, for programs")
    sync.set_defaults(run=run_sync)


def run_sync(options: argparse.Namespace) -> int:
    from taskmem_ros.exchange.child import RoundChild, RoundSettings  # and cv2, for bundles

    values = defaults(SYNC) | {
        name: getattr(options, name)
        for name in ("exchange", "robot", "contents", "bundle_megabytes", "keyring", "stall_s")
    }
    values["round_s"] = max(values["round_s"], values["stall_s"])
    check_sync(values)
    if not values["exchange"]:
        raise ValueError("--exchange is empty; name a folder or a URL.")
    database = Path(options.database).expanduser() if options.database else default_database()
    settings = RoundSettings.of(values, str(database), robot_name(values, ""))
    with Bar(quiet=options.json) as bar:
        result = RoundChild(
            settings, stall_s=values["stall_s"], round_s=values["round_s"], progress=bar.show
        ).run()
    if options.json:
        show.print_record({"type": "round", **result.to_json()})
    for line in [] if options.json else result.lines():
        print(show.plain(line))
    for error in result.errors:
        print(f"taskmem: {show.plain(error)}", file=sys.stderr)
    return 0 if result.well else 1


class Bar:
    """One line that says what the round is doing, with a bar where it is known how much there is."""

    def __init__(self, quiet: bool) -> None:
        self._bar = tqdm(
            unit="B", unit_scale=True, unit_divisor=1000, file=sys.stderr, leave=False,
            disable=True if quiet else None, bar_format=WITHOUT_TOTAL,
        )  # fmt: skip

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def show(self, progress: Progress) -> None:
        bar, what = self._bar, show.plain(progress.what)
        if bar.disable:
            return
        bar.bar_format = None if progress.total else WITHOUT_TOTAL
        if what != bar.desc or progress.done < bar.n:
            bar.desc = what
            bar.reset(progress.total or None)
        bar.n = progress.done
        bar.refresh()
