"""How quick remembering and searching are, beside eMEM and Milvus Lite: python benchmarks/recall.py

The same texts, vectors, places and questions for all (see recall_world.py), each system in processes of its
own: one that adds, one that opens what the first left and is asked, for ours one that does both at once. It
prints a table for each size, with the better peer's number over ours (of what is better when larger, ours
over the better peer's): above 1, ours is better. What has no number a system does not have.

The peers are installed in an environment of their own, for example:

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install emem==0.3.0 milvus-lite==3.2.2 pymilvus==3.0.2
    python benchmarks/recall.py --peers /tmp/peers/bin/python

Without --peers only ours is measured. A run of a minute: --sizes 1000 --alone 10000. The last table of
RESULTS.md: --sizes 1000 10000 100000 --alone 1000000, which takes 4 GB of disk and about half an hour.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from recall_systems import KINDS, LIMIT, SYSTEMS
from recall_world import World, make_world

OURS = "taskmem"
WORKER = Path(__file__).with_name("recall_worker.py")


def measure(system: str, python: str, folder: Path, count: int, options: argparse.Namespace) -> dict:
    """All that the worker tells about one system and size, in one dict."""
    result: dict = {}
    for step in ("fill", "ask", "both") if system == OURS else ("fill", "ask"):
        command = [python, str(WORKER), step, system, str(folder), "--count", str(count)]
        command += ["--one-by-one", str(options.one_by_one), "--rounds", str(options.rounds)]
        began = time.monotonic()
        command += ["--started", repr(time.time())]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"{system} ended with {done.returncode} at `{step}` with {count} memories", file=sys.stderr)
            return result
        said = json.loads(done.stdout.splitlines()[-1])
        result |= {step: said} if step == "both" else said
        print(f"{system}, {count}, {step}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    result["recall"] = recall(World(folder), count + options.one_by_one, result.pop("nearest"))
    return result


def recall(world: World, count: int, nearest: list[list[int]]) -> float:
    """The share of the truly nearest LIMIT, by float32 cosine with all, that was found."""
    asked = np.stack([question.vector for question in world.questions])
    best = np.full((len(asked), LIMIT), -2.0, np.float32)
    ids = np.full((len(asked), LIMIT), -1)
    for first in range(0, count, 50_000):
        cosines = asked @ world.vectors[first : min(first + 50_000, count)].T
        few = np.argpartition(-cosines, LIMIT - 1, axis=1)[:, :LIMIT]
        both = np.hstack([best, np.take_along_axis(cosines, few, 1)])
        which = np.argsort(-both, axis=1)[:, :LIMIT]
        best = np.take_along_axis(both, which, 1)
        ids = np.take_along_axis(np.hstack([ids, few + first]), which, 1)
    return float(np.mean([len(set(one) & set(found)) / LIMIT for one, found in zip(ids.tolist(), nearest)]))


def table(count: int, results: dict[str, dict]) -> str:
    """Markdown: a row for each measure, a column for each system, and how ours compares."""
    peers = [system for system in results if system != OURS]
    lines = [f"| {count:,} memories | {' | '.join(results)} |" + (" better peer : ours |" if peers else "")]
    lines.append("|---" * (1 + len(results) + bool(peers)) + "|")
    for name, keys, shape, larger in _rows():
        cells = {system: _picked(result, keys) for system, result in results.items()}
        line = f"| {name} | " + " | ".join(_shown(value, shape) for value in cells.values()) + " |"
        if peers:
            line += f" {_ratio(cells, larger)} |"
        lines.append(line)
    return "\n".join(lines)


def _rows() -> list[tuple[str, tuple[str, ...], str, bool]]:
    """(name, keys into a result, format, whether larger is better)."""
    rows = [
        ("added in batches, a second", ("batched_per_s",), ",.0f", True),
        ("added one by one, a second", ("single_per_s",), ",.0f", True),
        ("adding one, ms", ("add_ms",), ".2f", False),
        ("on disk, bytes a memory", ("bytes_each",), ",.0f", False),
        ("process start to first answer, s", ("start_s",), ".2f", False),
        ("of that opening, s", ("open_s",), ".2f", False),
        ("resident when asked all, MB", ("resident_mb",), ",.0f", False),
    ]
    rows += [(f"by {said}, ms", (kind,), ".2f", False) for kind, said in KINDS.items()]
    rows += [("found of a week and a place, of 10", ("filtered", "found"), ".1f", True)]
    return [*rows, ("recall@10 by meaning", ("recall",), ".3f", True)]


def _picked(result: dict, keys: tuple[str, ...]) -> list[float] | None:
    """One number, or p50 and p95."""
    for key in keys:
        result = result.get(key)
        if result is None:
            return None
    return [result["p50"], result["p95"]] if isinstance(result, dict) else [result]


def _shown(value: list[float] | None, shape: str) -> str:
    return "" if value is None else " / ".join(format(number, shape) for number in value)


def _ratio(cells: dict[str, list[float] | None], larger: bool) -> str:
    ours, peers = cells.get(OURS), [v for system, v in cells.items() if system != OURS and v is not None]
    if ours is None or not peers:
        return ""
    better = [max(values) if larger else min(values) for values in zip(*peers)]
    pairs = zip(ours, better) if larger else zip(better, ours)
    return " / ".join(f"{above / max(below, 1e-9):.1f}" for above, below in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10_000], help="default: 1000 10000")
    parser.add_argument("--alone", type=int, nargs="*", default=[], help="sizes for ours only")
    parser.add_argument("--systems", nargs="*", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--peers", metavar="PYTHON", help="of the environment that has the peers")
    parser.add_argument("--questions", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="of all questions (default: %(default)s)")
    parser.add_argument("--one-by-one", type=int, default=200, help="added so (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="to work in and to keep (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for count in sorted({*options.sizes, *options.alone}):
            folder = (options.folder or Path(temporary)) / str(count)
            make_world(folder, count, 2 * options.one_by_one, options.questions)
            systems = [s for s in options.systems if s == OURS or (options.peers and count in options.sizes)]
            results = {}
            for system in systems:
                python = sys.executable if system == OURS else options.peers
                results[system] = measure(system, python, folder, count, options)
            print(table(count, results), end="\n\n", flush=True)
            if both := results.get(OURS, {}).get("both"):
                print(
                    f"While another thread asks all together ({both['asked']} times, "
                    f"{_shown(_picked(both, ('asked_ms',)), '.1f')} ms), {OURS} adds one in "
                    f"{_shown(_picked(both, ('add_ms',)), '.2f')} ms.\n",
                    flush=True,
                )


if __name__ == "__main__":
    main()
