"""What Phase Two costs at the sizes of real models: a step of DPO, rollouts, the vision tower, memory.

    python benchmarks/phase_two_speed.py --shape 2B 4B 8B 30B-A3B          on a GPU
    python benchmarks/phase_two_speed.py --shape tiny --frame-tokens 16    anywhere

Models have Qwen3-VL's published shapes and random weights (phase_two_shapes.py): nothing is fetched. Contexts
are full windows of random clips; all replies are of one length. Measured is the code of `taskmem-train
phase-two` with its settings; a number is the median of some rounds after one that is not counted. Rollouts
are of the model without an adapter, as there, and find their clips looked at already, as DPO does. Peaks of
memory are the GPU's and hold the model. Prints Markdown; a ratio is of two rows above it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import isqrt
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from phase_two_shapes import SHAPES, make_policy
from taskmem_train.contexts import Context
from taskmem_train.phase_two.fit import _dpo_settings
from taskmem_train.phase_two.settings import ADAPTERS, PhaseTwoConfig
from taskmem_train.preference import Preference, adapter_config, fit_preferences
from taskmem_train.rollout import Sampler
from transformers import TrainerCallback

from taskmem_ros.clips import Clip, Frame
from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.choices import LoadError, choose_device
from taskmem_ros.policy.prompt import memorize_parts
from taskmem_ros.policy.report import count_text

WINDOW, FRAMES, S = 5, 4, 10**9  # clips of a context, frames of a clip
MEMORY = "Anna carries a red cup from the table to the sink, and the lamp beside the window is on "
NUMBERS = ("ms a DPO pair", "DPO tokens/s", "rollout tokens/s", "vision, ms a clip", "peak GB")
Numbers = dict[str, float]  # by the names of NUMBERS
T = TypeVar("T")


def make_contexts(count: int, frame_tokens: int) -> list[Context]:
    """Full windows, each begun a clip later. Frames are near squares of 32 x 32 pixels for each token."""
    rows = next(n for n in range(isqrt(frame_tokens), 0, -1) if frame_tokens % n == 0)
    dice, size, clips = np.random.default_rng(0), (32 * rows, 32 * frame_tokens // rows, 3), []
    for start in range(0, (count + WINDOW - 1) * 10 * S, 10 * S):
        stamps = range(start, start + 10 * S, 10 * S // FRAMES)
        frames = [Frame(stamp, "front", dice.integers(0, 256, size, dtype=np.uint8)) for stamp in stamps]
        clips.append(Clip("front", 0, start, start + 10 * S, tuple(frames)))
    memories = (MEMORY,) * (WINDOW - 1)
    return [Context(str(n), tuple(clips[n : n + WINDOW]), memories) for n in range(count)]


class Clock(TrainerCallback):
    """When each round, or each update of a trainer, ended on the device."""

    def __init__(self, device: torch.device):
        self._device, self._ends = device, []

    def on_step_end(self, *args, **kwargs):
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._ends.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        return float(np.median(np.diff(self._ends)))


def seconds(work: Callable, rounds: int, device: torch.device) -> float:
    clock = Clock(device)
    for _ in range(rounds + 1):
        work()
        clock.on_step_end()
    return clock.seconds


@torch.no_grad()
def write(policy: MemoryPolicy, contexts: Sequence[Context], options) -> Numbers:
    """The vision tower on one window, then rollouts."""
    checkpoint, device = policy.checkpoint, policy.checkpoint.device
    window = checkpoint.packer.pack(memorize_parts(contexts[0].clips, contexts[0].memories))
    pixels = window["pixel_values_videos"].to(device, checkpoint.dtype)
    grids, look = window["video_grid_thw"].to(device), checkpoint.model.model.get_video_features
    looking = seconds(lambda: look(pixels, grids, return_dict=True), options.rounds, device)
    sampler = Sampler(policy, temperature=1.0, rows=options.rows, max_new_tokens=options.tokens)
    writing = seconds(lambda: sampler.sample(contexts, options.candidates), options.rounds, device)
    tokens = len(contexts) * options.candidates * options.tokens
    return {"rollout tokens/s": tokens / writing, "vision, ms a clip": 1000 * looking / WINDOW}


def fit(kind: str, policy: MemoryPolicy, contexts: Sequence[Context], options) -> Numbers:
    """Updates of one batch of pairs each. Afterwards the adapter is gone."""
    checkpoint, clock = policy.checkpoint, Clock(policy.checkpoint.device)
    model, tokenizer, size = checkpoint.model, checkpoint.tokenizer, options.batch
    config = PhaseTwoConfig(home="finder", adapter=kind, batch=size, accumulation=1, steps=options.rounds + 1)
    adapter = adapter_config(model, kind, config.layer_of(SHAPES[checkpoint.name].layers), config.rank)
    ids = [tokenizer(text * options.tokens)["input_ids"] for text in (MEMORY, MEMORY[5:])]
    replies = [tokenizer.decode(row[: options.tokens - 1]) for row in ids]  # and the end of the turn
    rows = [Preference(contexts[n % len(contexts)].id, *replies) for n in range(size)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            settings = _dpo_settings(config, Path(folder), policy)
            settings.save_strategy = "no"
            fit_preferences(checkpoint, adapter, rows, {c.id: c for c in contexts}, settings, [clock])
    finally:
        policy.unload_adapter()
        model.eval().requires_grad_(False)
    prompt = checkpoint.packer.pack(memorize_parts(contexts[0].clips, contexts[0].memories))["input_ids"]
    tokens = 2 * (prompt.numel() + options.tokens)
    return {"ms a DPO pair": 1000 * clock.seconds / size, "DPO tokens/s": size * tokens / clock.seconds}


def within_memory(device: torch.device, work: Callable[[], T]) -> T | None:
    """What `work` returns, None where memory does not suffice. What the libraries print goes to stderr."""
    gc.collect()  # trainers and models hold each other
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return work()
    except RuntimeError as error:
        if "out of memory" not in str(error):
            raise
        return None


def measure(shape: str, weights: str, device: torch.device, options) -> Iterator[tuple[list[str], Numbers]]:
    """The first cells of each row, the adapter last, and its numbers: empty where memory does not suffice."""
    how = (shape, weights, device, options.frame_tokens, options.tokens)
    policy = within_memory(device, lambda: make_policy(*how))
    if policy is None:
        yield [shape, "", weights, "", ""], {}
        return
    contexts, report = make_contexts(options.contexts, options.frame_tokens), policy.report
    model = [shape, count_text(report.parameters), weights, f"{report.quantized_share:.0%}"]
    for adapter, work in {"none": write, **{kind: partial(fit, kind) for kind in ADAPTERS}}.items():
        numbers = within_memory(device, partial(work, policy, contexts, options)) or {}
        if numbers and device.type == "cuda":
            numbers["peak GB"] = torch.cuda.max_memory_allocated(device) / 1e9
        yield [*model, adapter], numbers


def row(cells: Sequence[str], numbers: Numbers) -> str:
    shown = [f"{numbers[n]:,.{0 if numbers[n] >= 100 else 2}f}" if n in numbers else "" for n in NUMBERS]
    return f"| {' | '.join([*cells, *(shown if numbers else ['out of memory', *shown[1:]])])} |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=["2B", "4B", "8B", "30B-A3B"])
    parser.add_argument("--weights", nargs="+", choices=("bf16", "nf4"), default=["bf16", "nf4"])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: %(default)s)")
    for name, default, what in (
        ("frame-tokens", 256, "vision tokens of two frames, each for 32 x 32 pixels"),
        ("contexts", 8, "of 5 clips of 4 frames"), ("candidates", 8, "of each context"),
        ("rows", 64, "candidates sampled at once"), ("batch", 8, "pairs of an update"),
        ("tokens", 96, "of every reply"), ("rounds", 3, "that count"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (default: %(default)s)")
    options = parser.parse_args(arguments)
    if few := [name for name, value in vars(options).items() if isinstance(value, int) and value < 1]:
        parser.error(f"--{few[0].replace('_', '-')} is {getattr(options, few[0])}; it must be at least 1")
    try:
        device = choose_device(options.device)
    except LoadError as error:
        parser.error(str(error))
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{place}, torch {torch.__version__}, {json.dumps(vars(options))}\n")
    head = ["shape", "parameters", "weights", "in 4 bits", "adapter", *NUMBERS]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for shape in options.shape:
        found: dict[tuple[str, str], Numbers] = {}
        for weights in options.weights:
            for cells, numbers in measure(shape, weights, device, options):
                found[weights, cells[-1]] = numbers
                print(row(cells, numbers), flush=True)
        for adapter in ("none", *ADAPTERS):
            whole, four = (found.get((weights, adapter)) for weights in ("bf16", "nf4"))
            if whole and four:
                ratios = {name: four[name] / number for name, number in whole.items()}
                print(row([shape, "", "nf4 : bf16", "", adapter], ratios), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
