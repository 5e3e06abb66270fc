"""Options that choose a model, and loading it in this process."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskmem_ros.policy import MemoryPolicy

QUANTIZATIONS = ("none", "nf4", "int8")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", default="demo", metavar="NAME", help='"demo", a folder or a hub id (default: %(default)s)'
    )
    group.add_argument("--revision", metavar="REV", help="of a hub id: a branch, tag or commit")
    group.add_argument("--quantization", choices=QUANTIZATIONS, default="none", help="default: %(default)s")
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
    group.add_argument(
        "--dtype",
        default="auto",
        metavar="NAME",
        help="auto, float32, bfloat16 or float16 (default: %(default)s)",
    )
    group.add_argument("--adapter", metavar="FOLDER", help="a PEFT adapter for memorizing")


def load_and_tell(options: argparse.Namespace) -> MemoryPolicy:
    """`load_policy`, with what was loaded on stderr; for a program that reads JSON only the warnings."""
    if not options.json:
        print(f"Loading the model {options.model} ...", file=sys.stderr, flush=True)
    policy = load_policy(options)
    for line in policy.report.warnings if options.json else str(policy.report).splitlines():
        print(line, file=sys.stderr)
    return policy


def load_policy(options: argparse.Namespace) -> MemoryPolicy:
    """The policy that the options ask for. Raises LoadError."""
    # Seconds of imports: only for commands that need a model.
    from taskmem_ros.policy import MemoryPolicy
    from taskmem_ros.policy.engine import leave_a_core

    leave_a_core()  # an agent may be running beside
    return MemoryPolicy.load(
        options.model,
        revision=options.revision,
        quantization=options.quantization,
        device=options.device,
        dtype=options.dtype,
        adapter=options.adapter,
    )
