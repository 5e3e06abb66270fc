"""`taskmem-train phase-two`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from taskmem_train.phase_two.settings import PhaseTwoConfig
from taskmem_train.settings import add_settings, read_settings


def add_parser(commands) -> None:
    parser = commands.add_parser(
        "phase-two",
        help="fit an adapter to recent tasks: what to memorize",
        description="Fit a small adapter to recent tasks. Run again with the same folder, it goes on.",
        epilog="example: taskmem-train phase-two runs/finder --home finder",
    )
    parser.add_argument("out", type=Path, help="folder of the run; the result is OUT/adapter")
    add_settings(parser, PhaseTwoConfig)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from accelerate import PartialState

    from taskmem_train.phase_two.fit import phase_two

    report = phase_two(read_settings(args, PhaseTwoConfig), args.out)
    if PartialState().is_main_process:
        print(json.dumps(report))
    return 0
