"""`taskmem-train gate`: publish an adapter, or say why not."""

from __future__ import annotations

import argparse
from pathlib import Path

from taskmem_train.gate.settings import GateConfig
from taskmem_train.settings import add_settings, read_settings

PUBLISHED, REFUSED = 0, 3
DESCRIPTION = """\
Measure the adapter of a Phase Two run on tasks that it was not trained on,
against the policy in use and against the recent questions in the prompt. It is
published as DIR/NAME, which a robot loads, when it keeps every rule; else
RUN/refused.json says why. What was measured is kept in RUN/gate: a gate that was
cut off goes on where it was. Homes and tasks that the run was trained on are
refused (exit 1)."""

EPILOG = """exits with 0 when published, 3 when refused, 1 on an error.

examples:
  taskmem-train gate runs/finder --publish adapters --home finder --seeds 7000000-7000039
  taskmem-train gate runs/kitchen --publish adapters --bundle week2.bundle --adapter-in-use adapters/week1 \\
      --quality endpoint --quality-url http://localhost:8000/v1 --quality-model some-model"""


def add_parser(commands) -> None:
    parser = commands.add_parser(
        "gate",
        help="publish an adapter if held-out tasks say that it is better",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a phase-two run")
    add_settings(parser, GateConfig)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from taskmem_train.gate.command import run_gate  # torch

    outcome = run_gate(args.run_folder, read_settings(args, GateConfig))
    decision = outcome.report.decision
    for note in outcome.notes:
        print(f"note: {note}")
    for check in decision.checks:
        print(f"{'passes' if check.passed else 'refuses'}: {check.text}")
    print(f"{'published' if decision.published else 'refused'}: {outcome.path}")
    return PUBLISHED if decision.published else REFUSED
