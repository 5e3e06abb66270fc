"""Phase One on the demo home, with and without richness: the runs' curves, and what came of them.

    python benchmarks/phase_one.py OUT --figure docs/phase_one.png

Runs that are in OUT already are gone on with, or only drawn. One run takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from taskmem_train.check import check
from taskmem_train.phase_one.run import train
from taskmem_train.phase_one.settings import PhaseOneConfig
from taskmem_train.seeds import seed_range
from taskmem_train.settings import add_settings, read_settings

from taskmem_ros.policy import MemoryPolicy

RECIPE = Path(__file__).parents[1] / "train" / "recipes" / "phase-one-home.yaml"
# weight of richness -> (colour, name); 0.05 is the paper's, for a model that is hardly ever wrong
RUNS = {0.5: ("#0072b2", "richness 0.5"), 0.05: ("#009e73", "richness 0.05"), 0.0: ("#d55e00", "no richness")}
CURVES = (  # (file, what is drawn, its name)
    ("measured", "fidelity", "true of what is stated"),
    ("measured", "facts_per_memory", "true facts a memory"),
    ("measured", "tokens_per_memory", "tokens a memory"),
    ("log", "reward", "reward"),
)
SMOOTH = 5  # steps of the reward's running mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="OUT", help="for the runs")
    parser.add_argument("--figure", type=Path, default=None, help="PNG to draw (default: OUT/phase_one.png)")
    parser.add_argument("--check", default="2000000-2000024", metavar="A-B", help="worlds to check on")
    parser.add_argument("--clips", type=int, default=250)
    parser.add_argument("--questions", type=int, default=250)
    add_settings(parser, PhaseOneConfig)
    parser.set_defaults(config=RECIPE)
    args = parser.parse_args()
    config = read_settings(args, PhaseOneConfig)
    models = {"start": config.model}
    for richness, (_, name) in RUNS.items():
        out = folder_of(args.folder, name)
        models[name] = str(out / "model")
        if not (out / "model" / "model.safetensors").exists():
            train(replace(config, richness=richness), out)
    draw(args.folder, args.figure or args.folder / "phase_one.png")
    for name, model in models.items():
        report = check(MemoryPolicy.load(model), seed_range(args.check), args.clips, args.questions)
        print(json.dumps({"model": name, **report.report()}), flush=True)


def draw(folder: Path, path: Path) -> None:
    figure, axes = pyplot.subplots(1, len(CURVES), figsize=(11, 2.8), layout="constrained")
    for axis, (file, key, title) in zip(axes, CURVES):
        for colour, name in RUNS.values():
            lines = read(folder_of(folder, name) / f"{file}.jsonl")
            steps, values = [line["step"] for line in lines], [line[key] for line in lines]
            if file == "log":
                axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
                values = [
                    sum(part) / len(part)
                    for part in (values[max(0, i + 1 - SMOOTH) : i + 1] for i in range(len(values)))
                ]
            axis.plot(steps, values, color=colour, label=name)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("steps", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    lines, names = axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=8)
    figure.savefig(path, dpi=75)


def folder_of(folder: Path, run: str) -> Path:
    return folder / run.replace(" ", "-")


def read(path: Path) -> list[dict]:
    """Lines of a log; of a step that was done twice, after a run was resumed, the last."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted({line["step"]: line for line in lines}.values(), key=lambda line: line["step"])


if __name__ == "__main__":
    main()
