"""`taskmem-train nightly`: from robots' bundles to signed adapters, every night, unattended."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from pathlib import Path

from taskmem_train.nightly.settings import NightlyConfig
from taskmem_train.settings import add_settings, read_settings

logger = logging.getLogger(__name__)

DONE, UNREACHABLE, STOPPED = 0, 4, 130
DESCRIPTION = """\
Take what is new from an exchange, train where there is enough, let the gate
decide on tasks that were held out, sign what it lets through and publish it.
All that is known is in OUT/nightly.db: ended by whatever, run again it goes on
where it was, and nothing is trained or published twice. OUT/decisions.log has a
line for each decision, OUT/reports a page for each night."""

EPILOG = """exits with 0 when the pass was made, also where nothing was published; 4 where the
exchange was not reached for all that was to do (run again); 1 on an error.

examples:
  taskmem keys make workstation
  taskmem-train nightly nights --exchange sftp://robots@nas/taskmem --key ~/.taskmem/keys/workstation.pem \\
      --config train/recipes/nightly-8b-nf4.yaml
  taskmem-train nightly nights --exchange s3://robots/taskmem --key key.pem --allow-unchecked --watch"""


def add_parser(commands) -> None:
    parser = commands.add_parser(
        "nightly",
        help="take bundles from an exchange, train, gate, sign and publish adapters",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of everything that is kept")
    parser.add_argument("--watch", action="store_true", help="go on every EVERY_MINUTES until ended")
    add_settings(parser, NightlyConfig)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    config = read_settings(args, NightlyConfig)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if not args.watch:
            return _pass(args.out, config, watching=False)
        while True:
            try:
                _pass(args.out, config, watching=True)
            except (ValueError, OSError) as error:  # the next pass may go better
                print(f"taskmem-train: {error}", file=sys.stderr, flush=True)
            except Exception:  # and so it may after a full disk below SQLite, or a GPU that others had filled
                logger.exception("this pass failed; the next one is in %g minutes", config.every_minutes)
            time.sleep(60 * config.every_minutes)
    except KeyboardInterrupt:
        print("taskmem-train: ended; run again to go on", file=sys.stderr)
        return STOPPED


def _pass(out: Path, config: NightlyConfig, *, watching: bool) -> int:
    from taskmem_train.nightly.round import nightly  # torch

    found = nightly(config, out, watching=watching)
    for error in found.errors:
        print(f"taskmem-train: {error}", file=sys.stderr, flush=True)
    if found.report:
        print(f"report: {found.report}", flush=True)
    elif not watching:
        print("nothing new", flush=True)
    return UNREACHABLE if found.errors else DONE
