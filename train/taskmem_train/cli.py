"""The `taskmem-train` command."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from taskmem_train.bench import cli as bench
from taskmem_train.gate import cli as gate
from taskmem_train.nightly import cli as nightly
from taskmem_train.phase_one import cli as phase_one
from taskmem_train.phase_two import cli as phase_two
from taskmem_train.seeds import seed_range


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="taskmem-train", description="Train and measure memorization policies."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo_model(commands)
    _add_check(commands)
    _add_demo_card(commands)
    phase_one.add_parser(commands)
    phase_two.add_parser(commands)
    gate.add_parser(commands)
    nightly.add_parser(commands)
    bench.add_parser(commands)
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except (ValueError, OSError) as error:
        print(f"taskmem-train: {error}", file=sys.stderr)
        return 1


def _add_demo_model(commands) -> None:
    from taskmem_train.demo.settings import FitConfig

    parser = commands.add_parser(
        "demo-model",
        help="train the demo model from scratch",
        description="Train the demo model on the demo home; run again with the same folder to go on.",
    )
    parser.add_argument("out", type=Path, help="folder for state, log and checkpoint (OUT/model)")
    for item in fields(FitConfig):
        kind = type(item.default)
        options = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        parser.add_argument(
            f"--{item.name.replace('_', '-')}",
            default=item.default,
            help=f"{item.metadata['help']} (default: {item.default})",
            **options,
        )
    parser.set_defaults(run=_run_demo_model)


def _run_demo_model(args: argparse.Namespace) -> int:
    from taskmem_train.demo.fit import fit
    from taskmem_train.demo.settings import FitConfig

    fit(args.out, FitConfig(**{item.name: getattr(args, item.name) for item in fields(FitConfig)}))
    return 0


def _add_check(commands) -> None:
    parser = commands.add_parser(
        "check",
        help="measure a policy's truth and its reader on demo homes never trained on",
        description="Write memories of demo homes and read memories of them; print how much of it is true.",
        epilog="example: taskmem-train check --seeds 2000000-2000049 --json",
    )
    parser.add_argument(
        "--seeds", required=True, help="worlds, FIRST-LAST, at or above 1000000", metavar="A-B"
    )
    parser.add_argument("--model", default="demo", help="demo, a folder or a hub id (default: demo)")
    parser.add_argument("--adapter", default=None, help="folder of a PEFT adapter to memorize with")
    parser.add_argument("--quantization", default="none", choices=("none", "nf4", "int8"))
    parser.add_argument("--clips", type=int, default=500, help="at least so many clips (default: 500)")
    parser.add_argument(
        "--questions", type=int, default=500, help="at least so many questions (default: 500)"
    )
    parser.add_argument("--json", action="store_true", help="print the measures as one JSON object")
    parser.add_argument("--wrong", type=int, default=0, metavar="N", help="show N examples of what was wrong")
    parser.set_defaults(run=_run_check)


def _run_check(args: argparse.Namespace) -> int:
    from taskmem_ros.policy import MemoryPolicy
    from taskmem_train.check import check

    seeds = seed_range(args.seeds)
    policy = MemoryPolicy.load(args.model, adapter=args.adapter, quantization=args.quantization)
    tally = check(policy, seeds, args.clips, args.questions, progress=not args.json)
    report = tally.report()
    if args.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:20} {value}")
    for line in tally.wrong[: args.wrong]:
        print(line, file=sys.stderr)
    return 0


def _add_demo_card(commands) -> None:
    parser = commands.add_parser(
        "demo-card",
        help="measure a trained demo model and write its model card",
        description="Check the demo model in MODEL (OUT/model of demo-model) and write MODEL/README.md.",
    )
    parser.add_argument("model", type=Path)
    parser.add_argument(
        "--seeds", default="2000000-2000099", metavar="A-B", help="worlds (default: %(default)s)"
    )
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--questions", type=int, default=600)
    parser.set_defaults(run=_run_demo_card)


def _run_demo_card(args: argparse.Namespace) -> int:
    from transformers import AutoTokenizer

    from taskmem_ros.policy import MemoryPolicy
    from taskmem_train.check import check
    from taskmem_train.demo.card import write_card

    policy = MemoryPolicy.load(str(args.model))
    report = check(policy, seed_range(args.seeds), args.clips, args.questions).report()
    vocabulary = len(AutoTokenizer.from_pretrained(args.model))
    print(write_card(args.model, report, args.seeds, policy.report.parameters, vocabulary))
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
