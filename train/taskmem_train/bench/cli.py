"""`taskmem-train bench`: the streaming benchmark."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from taskmem_train.bench.settings import BenchConfig
from taskmem_train.settings import add_settings, read_settings

DESCRIPTION = """\
Memories are written as a stream goes on, questions are revealed at their time
and answered from memory alone. A run that was cut off goes on where it was;
OUT keeps memories/ (a store for each system and stream), run.db, results.json
and results.md."""

EXAMPLES = """examples:
  taskmem-train bench out/home
  taskmem-train bench out/home --systems policy task-prompt --adapter finder=runs/finder guard=runs/guard
  taskmem-train bench out/kitchen --dataset bundle --bundle kitchen.bundle
  taskmem-train bench out/videomme --dataset videomme --model Qwen/Qwen3-VL-2B-Instruct \\
      --annotations test-00000-of-00001.parquet --videos videos/
  taskmem-train bench out/egotempo --dataset egotempo --annotations egotempo_openQA.json --videos clips/ \\
      --judge endpoint --judge-url http://localhost:8000/v1 --judge-model some-model"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure memories by the questions that they answer",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="folder for memories, answers and results")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    add_settings(parser, BenchConfig)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from taskmem_train.bench.command import run_bench  # torch

    result = run_bench(read_settings(args, BenchConfig), args.out)
    print(json.dumps(result.as_dict()) if args.json else f"{result.table()}\n\n{args.out / 'results.md'}")
    return 0
