"""Does a robot remember better what it is asked about? Phase Two on the demo home, against its baselines:
python benchmarks/phase_two.py OUT --seeds 0 1 2

Parts: roles (the table), changing (a role that changes, an update each night), mixed (all roles at once),
ablations (what matters how much, on one role). OUT keeps every fit and every answer: a run that was cut off
goes on. Prints Markdown, and with --figures FOLDER draws it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean

import phase_two_parts as parts
import torch
from phase_two_lab import SMALL, Lab, Scale
from taskmem_train.bench.report import Result

from taskmem_ros.home import ROLES
from taskmem_ros.policy import MemoryPolicy

PARTS = ("roles", "changing", "mixed", "ablations")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--small", action="store_true", help="fewer homes and steps: one seed in 20 minutes")
    parser.add_argument("--threads", type=int, default=0, help="of torch (default: torch's)")
    parser.add_argument("--model", default="demo", help="(default: %(default)s)")
    parser.add_argument("--ablated", nargs="+", default=["finder"], choices=list(ROLES), metavar="ROLE")
    parser.add_argument(
        "--ablations", nargs="+", default=list(parts.ABLATIONS), choices=list(parts.ABLATIONS)
    )
    parser.add_argument("--figures", type=Path, help="folder for phase_two.png and nights.png")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    policy = MemoryPolicy.load(options.model)
    scale = SMALL if options.small else Scale()
    labs = [Lab(policy, options.out, seed, scale) for seed in options.seeds]
    print(f"{options.model}, seeds {options.seeds}, {json.dumps(asdict(scale))}\n", flush=True)
    run: dict[str, Callable[[], None]] = {
        "roles": lambda: show_roles(labs, options.figures),
        "changing": lambda: show_changing(labs, options.figures),
        "mixed": lambda: show("All roles at once", [parts.mixed(lab) for lab in labs], tuple(ROLES)),
        "ablations": lambda: [
            show(
                f"What matters: {role}",
                [parts.ablations(lab, role, options.ablations) for lab in labs],
                (role,),
            )
            for role in options.ablated
        ],
    }
    for part in options.parts:
        run[part]()
    return 0


def show_roles(labs: Sequence[Lab], figures: Path | None) -> None:
    results = [parts.roles(lab) for lab in labs]
    show("Roles", results, tuple(ROLES))
    rows = []
    for role in ROLES:
        counts = [parts.compared(lab, role) for lab in labs]
        total = sum(sum(one.values()) for one in counts)
        shares = [
            f"{100 * sum(one[what] for one in counts) / total:.0f} %" for what in ("win", "tie", "loss")
        ]
        reports = [lab.report(role) for lab in labs]
        seconds = max(one["seconds"] for one in reports)
        pairs = " / ".join(f"{one['pairs']} of {one['contexts']}" for one in reports)
        rows.append([role, *shares, pairs, f"{seconds:.0f}"])
    print("Memories of the same contexts, after against before, by the judge; what the fit had and took:\n")
    print(
        table(["role", "win", "tie", "loss", "pairs of contexts", "longest update, s"], rows) + "\n",
        flush=True,
    )
    if figures:
        from phase_two_figures import draw_roles

        draw_roles(results, figures / "phase_two.png")


def show_changing(labs: Sequence[Lab], figures: Path | None) -> None:
    runs = [parts.changing(lab) for lab in labs]
    names = [name for name in runs[0][0] if name not in ("day", "role")]
    rows = [
        [day[0]["day"], day[0]["role"]]
        + [
            "{:.1f} ({:.1f})".format(
                *(100 * mean(one[name][what] for one in day) for what in ("accuracy", "true"))
            )
            for name in names
        ]
        for day in zip(*runs)
    ]
    print("### A role that changes\n\nAccuracy, and in brackets the share of true statements, %.\n")
    print(table(["day", "asked by", *names], rows) + "\n", flush=True)
    if figures:
        from phase_two_figures import draw_nights

        draw_nights(runs, figures / "nights.png")


def show(title: str, results: Sequence[Result], roles: Sequence[str]) -> None:
    """A table of the means over seeds; the span of the seeds behind each accuracy."""
    rows = []
    for kind in (*roles, "all") if len(roles) > 1 else roles:
        for system in dict.fromkeys(row.system for row in results[0].rows):
            of_seeds = [result.row(system, kind) for result in results]
            accuracy = [100 * row.accuracy.value for row in of_seeds]
            span = f" ({min(accuracy):.0f} to {max(accuracy):.0f})" if len(accuracy) > 1 else ""
            rows.append([
                kind, system, f"{mean(accuracy):.1f}{span}",
                f"{100 * mean(row.coverage.value for row in of_seeds):.1f}",
                f"{100 * mean(row.precision.value if row.precision else 0.0 for row in of_seeds):.1f}",
                f"{100 * mean(row.memories.true_share for row in of_seeds):.1f}",
                f"{mean(row.memories.facts_per_memory for row in of_seeds):.2f}",
                f"{mean(row.memories.tokens_per_memory for row in of_seeds):.1f}",
            ])  # fmt: skip
    questions = sum(result.row(rows[0][1]).questions for result in results)
    print(f"### {title}\n\n{questions} questions over {len(results)} seeds; in %, but facts and tokens.\n")
    head = ["asked by", "memories of", "accuracy", "coverage", "precision", "true", "facts", "tokens"]
    print(table(head, rows) + "\n", flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    raise SystemExit(main())
