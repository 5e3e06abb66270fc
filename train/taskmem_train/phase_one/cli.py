"""`taskmem-train phase-one`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from taskmem_train.phase_one.settings import PhaseOneConfig
from taskmem_train.settings import add_settings, read_settings


def add_parser(commands) -> None:
    parser = commands.add_parser(
        "phase-one",
        help="train how to memorize: truthful, well formed, rich (GSPO)",
        description="Train a policy's memories on the demo home with rewards for format, thinking length, "
        "quality and richness. Run again with the same folder, it goes on; one process for each GPU with "
        "`accelerate launch -m taskmem_train.cli phase-one ...`.",
        epilog="example: taskmem-train phase-one runs/one --config train/recipes/phase-one-home.yaml",
    )
    parser.add_argument("out", type=Path, help="folder for checkpoints, logs and the model (OUT/model)")
    add_settings(parser, PhaseOneConfig)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    config = read_settings(args, PhaseOneConfig)
    from taskmem_train.phase_one.run import train  # torch and TRL take seconds to import

    folder = train(config, args.out)
    if int(os.environ.get("RANK", "0")) == 0:  # of several processes one speaks
        print(folder)
    return 0
