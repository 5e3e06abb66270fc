"""The figures of `phase_two.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import matplotlib
import phase_two_parts as parts
from taskmem_train.bench.report import Result

from taskmem_ros.home import ROLES

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {
    parts.PHASE_ONE: "#9aa3ad", parts.RANDOM: "#d5d9dd", parts.PROMPT: "#7fb2d9",
    parts.PHASE_TWO: "#1f6fb2", parts.ORACLE: "#f0b75a",
}  # fmt: skip


def draw_roles(results: Sequence[Result], path: Path) -> None:
    """Accuracy by role and system, means over seeds with their spans."""
    figure, axis = plt.subplots(figsize=(7.6, 3.0), dpi=110)
    width = 0.8 / len(COLOURS)
    for place, (system, colour) in enumerate(COLOURS.items()):
        values = [[100 * result.row(system, role).accuracy.value for result in results] for role in ROLES]
        heights = [mean(some) for some in values]
        spans = [
            [height - min(some) for height, some in zip(heights, values)],
            [max(some) - height for height, some in zip(heights, values)],
        ]
        at = [number + (place - len(COLOURS) / 2 + 0.5) * width for number in range(len(ROLES))]
        axis.bar(at, heights, width, yerr=spans, color=colour, label=system, error_kw={"lw": 0.8})
    axis.set_xticks(range(len(ROLES)), list(ROLES))
    axis.set_ylabel("right answers, %")
    axis.set_ylim(0, 100)
    axis.legend(ncols=len(COLOURS), fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.15))
    _finish(figure, axis, path)


def draw_nights(runs: Sequence[Sequence[dict]], path: Path) -> None:
    """Accuracy by day, while the role changes."""
    figure, axis = plt.subplots(figsize=(5.6, 2.8), dpi=110)
    days = [day["day"] for day in runs[0]]
    for name, colour in ((parts.PHASE_ONE, COLOURS[parts.PHASE_ONE]), ("nightly", COLOURS[parts.PHASE_TWO])):
        for run in runs:
            axis.plot(days, [100 * day[name]["accuracy"] for day in run], color=colour, lw=0.6, alpha=0.5)
        means = [100 * mean(run[number][name]["accuracy"] for run in runs) for number in range(len(days))]
        axis.plot(days, means, color=colour, lw=2, marker="o", label=name)
    changed = [n for n in range(1, len(days)) if runs[0][n]["role"] != runs[0][n - 1]["role"]]
    for number in changed:
        axis.axvline(days[number] - 0.5, color="#b04a3a", lw=1, ls=":")
        was, now = runs[0][number - 1]["role"], runs[0][number]["role"]
        axis.text(days[number] - 0.45, 4, f"{was} becomes {now}", fontsize=7, color="#b04a3a")
    axis.set_xticks(days)
    axis.set_xlabel("day (an update each night)")
    axis.set_ylabel("right answers, %")
    axis.set_ylim(0, 100)
    axis.legend(fontsize=7, frameon=False, loc="lower right")
    _finish(figure, axis, path)


def _finish(figure, axis, path: Path) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
