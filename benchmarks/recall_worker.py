"""One system in a process of its own, for benchmarks/recall.py.

Prints one line of JSON. Steps: `fill` adds all memories in batches and some one by one; `ask` opens what is
there, asks every question and says how much memory the process holds; `both` adds one by one while another
thread asks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from recall_systems import SYSTEMS
from recall_world import World

BATCH = 2000


def fill(system_class: type, place: Path, world: World, count: int, one_by_one: int) -> dict:
    """Batches of BATCH, some one by one on top, and closing, which belongs to the batches."""
    place.mkdir(parents=True)
    system = system_class(place, world)
    _ = world.texts, world.vectors, world.places
    began = time.perf_counter()
    for first in range(0, count, BATCH):
        system.add(range(first, min(first + BATCH, count)))
    batches = time.perf_counter() - began
    durable, began = [], time.perf_counter()
    for index in range(count, count + one_by_one):
        durable.append(system.add_one(index))
    single = time.perf_counter() - began
    began = time.perf_counter()
    system.close()
    batches += time.perf_counter() - began
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return {
        "batched_per_s": count / batches,
        "single_per_s": one_by_one / single,
        "add_ms": quantiles(durable),
        "bytes_each": size / (count + one_by_one),
    }


def ask(system_class: type, place: Path, world: World, rounds: int, started: float) -> dict:
    """Of the rounds each question's median counts: a hiccup of the machine is not the system's."""
    imported = time.time()
    system, questions = system_class(place, world), world.questions
    system.ready()
    opened = time.time()
    getattr(system, system.kinds[-1])(questions[0])
    answered = time.time()
    result: dict = {"start_s": answered - started, "open_s": opened - imported}
    for kind in system.kinds:
        way = getattr(system, kind)
        found = [way(asked) for asked in questions[:5]]  # the first of a kind are warm-up
        seconds = np.zeros((rounds, len(questions)))
        for row in seconds:
            found = []
            for number, asked in enumerate(questions):
                began = time.perf_counter()
                found.append(way(asked))
                row[number] = time.perf_counter() - began
        result[kind] = quantiles(np.median(seconds, axis=0)) | {
            "found": float(np.mean([len(f) for f in found]))
        }
        if kind == "meaning":
            result["nearest"] = found
    result["resident_mb"], result["peak_mb"] = memory_mb()
    system.close()
    return result


def both(system_class: type, place: Path, world: World, first: int, one_by_one: int) -> dict:
    """Add one by one while another thread of the process asks without a pause."""
    system, questions = system_class(place, world), world.questions
    system.ready()
    ended, asked_ms = threading.Event(), []

    def go_on_asking() -> None:
        number = 0
        while not ended.is_set():
            began = time.perf_counter()
            system.together(questions[number % len(questions)])
            asked_ms.append(time.perf_counter() - began)
            number += 1

    asking = threading.Thread(target=go_on_asking)
    asking.start()
    try:
        durable = []
        for index in range(first, first + one_by_one):
            durable.append(system.add_one(index))
            time.sleep(0.02)  # a robot has one in 10 s
    finally:
        ended.set()
        asking.join()
    system.close()
    return {"add_ms": quantiles(durable), "asked_ms": quantiles(asked_ms), "asked": len(asked_ms)}


def quantiles(seconds: object) -> dict[str, float]:
    p50, p95 = 1000 * np.quantile(np.asarray(seconds), [0.5, 0.95])
    return {"p50": float(p50), "p95": float(p95)}


def memory_mb() -> tuple[float, float]:
    """Resident and at most resident, of this process and those it started; Linux only."""
    resident = peak = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = dict(
                line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
            )
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        if "VmRSS" in fields and os.getpid() in (int(process.name), int(fields["PPid"])):
            resident += int(fields["VmRSS"].split()[0]) / 1000
            peak += int(fields["VmHWM"].split()[0]) / 1000
    return resident, peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("fill", "ask", "both"))
    parser.add_argument("system", choices=list(SYSTEMS))
    parser.add_argument("folder", type=Path, help="of the world; the systems' files are made in it")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--one-by-one", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--started", type=float, default=time.time(), help="when the process was started")
    options = parser.parse_args()
    world, place = World(options.folder), options.folder / options.system.replace(" ", "-")
    one = SYSTEMS[options.system]
    if options.step == "fill":
        result = fill(one, place, world, options.count, options.one_by_one)
    elif options.step == "ask":
        result = ask(one, place, world, options.rounds, options.started)
    else:
        result = both(one, place, world, options.count + options.one_by_one, options.one_by_one)
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
