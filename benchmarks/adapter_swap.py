"""How long a swap of adapters holds the engine up, and what 1,000 of them leave behind.

    python benchmarks/adapter_swap.py                       the demo model
    python benchmarks/adapter_swap.py --shape 2B            Qwen3-VL-2B's shape, random weights (4.3 GB)

Two LoRA adapters (rank 8, all products of all decoder layers) and no adapter take turns in a running engine,
as `Engine.between_clips` does it on a robot. Beside it, in the same run: one token, and the plain way, PEFT
loading the adapter from its folder into the model and unloading the one before.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import math
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import save_file
from torch import nn

from taskmem_ros.clips import ClipQueue
from taskmem_ros.exchange.adapter_config import LORA_TARGETS
from taskmem_ros.policy import Engine, MemoryPolicy
from taskmem_ros.policy.adapter import CONFIG_FILE, WEIGHTS_FILE, Adapter

T = TypeVar("T")
LIMIT_S = 0.05
RANK = 8


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--shape", help="of phase_two_shapes.py, random weights in bf16; default: the demo model"
    )
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--refit", type=int, default=10, help="swaps after which other adapters come")
    parser.add_argument("--plain", type=int, default=5, help="swaps in the plain way")
    options = parser.parse_args()
    policy = make_policy(options.shape)
    report = policy.report
    print(f"model: {options.shape or 'demo'}, {report.parameters / 1e6:.0f} M parameters, {report.dtype}")
    with tempfile.TemporaryDirectory() as folder:
        folders = [make_lora(policy.checkpoint.model, Path(folder) / str(seed), seed) for seed in range(2)]
        read, adapters = timed(lambda: [Adapter.read(folder) for folder in folders])
        fit, fitted = timed(lambda: [policy.fit_adapter(adapter) for adapter in adapters])
        layers = len(fitted[0].places)
        print(f"adapter: LoRA of {layers} products; reading {read / 2 * 1e3:.0f} ms, "
              f"fitting {fit / 2 * 1e3:.0f} ms (beside the engine, not in it)")  # fmt: skip
        swaps, memory = swap(policy, adapters, options.swaps, options.refit)
        token = one_token(policy)
        plain = sorted(plainly(policy.checkpoint.model, folders, options.plain))
    told = {
        name: swaps[int(share * (len(swaps) - 1))] * 1e3
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1))
    }
    print("swap: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in told.items()) + f" ({len(swaps)} swaps)")
    print(f"      {statistics.median(plain) / swaps[len(swaps) // 2]:.0f} times quicker than the plain way "
          f"({statistics.median(plain) * 1e3:.0f} ms), {swaps[len(swaps) // 2] / token:.3f} of a token "
          f"({token * 1e3:.0f} ms)")  # fmt: skip
    first, last = memory
    print(f"memory: {first:.1f} MB after a tenth of the swaps, {last:.1f} MB after all ({last - first:+.1f})")
    held = swaps[int(0.95 * (len(swaps) - 1))] <= LIMIT_S
    print(f"at most {LIMIT_S * 1e3:.0f} ms for 95 of 100: {'yes' if held else 'no'}")
    return 0 if held else 1


def make_policy(shape: str | None) -> MemoryPolicy:
    if shape is None:
        return MemoryPolicy.load("demo", device="cpu")
    from phase_two_shapes import make_policy

    return make_policy(shape, "bf16", torch.device("cpu"))


def make_lora(model: nn.Module, folder: Path, seed: int) -> Path:
    """A random adapter as PEFT saves it, without building it into the model."""
    torch.manual_seed(seed)
    tensors = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and re.fullmatch(LORA_TARGETS, name):
            for side, shape in (("A", (RANK, module.in_features)), ("B", (module.out_features, RANK))):
                tensors[f"base_model.model.{name}.lora_{side}.weight"] = torch.randn(shape) / 100
    LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=LORA_TARGETS).save_pretrained(folder)
    save_file(tensors, folder / WEIGHTS_FILE)
    assert (folder / CONFIG_FILE).is_file()
    return folder


def swap(
    policy: MemoryPolicy, adapters: list[Adapter], count: int, refit: int
) -> tuple[list[float], tuple[float, float]]:
    """(seconds of each swap in the engine's thread, sorted; MB after a tenth and after all).

    Every `refit` swaps the adapters' layers are built anew, as if others had come.
    """
    engine, seconds, memory = Engine(policy, ClipQueue(), lambda *_: None), [], []
    engine.start()
    for number in range(count):
        if number % refit == 0:
            fitted = [*(policy.fit_adapter(adapter) for adapter in adapters), None]
        wanted = fitted[number % len(fitted)]

        def work(policy, _, wanted=wanted):
            return timed(lambda: policy.set_adapter(wanted))[0]

        seconds.append(engine.between_clips(work, patience_s=0).result())
        if number + 1 in (count // 10, count):
            gc.collect()
            memory.append(resident_mb())
    engine.stop()
    policy.set_adapter(None)
    return sorted(seconds), (memory[0], memory[-1])


def one_token(policy: MemoryPolicy, count: int = 8) -> float:
    """Seconds from one token to the next, the median of some."""
    ticks: list[float] = []
    for _ in range(3):
        ticks.append(math.nan)  # the first of a reply waits for the prompt
        policy.complete(
            "Where is it?", max_new_tokens=count, yield_point=lambda: ticks.append(time.perf_counter())
        )
    steps = [later - tick for tick, later in itertools.pairwise(ticks)]
    return statistics.median(step for step in steps if not math.isnan(step))


def plainly(model: nn.Module, folders: list[Path], count: int) -> list[float]:
    """Seconds of each swap by PEFT alone: the one before is taken out, the next one read and built in."""
    peft, seconds = PeftModel.from_pretrained(model, folders[0]), []
    for number in range(count):

        def work(peft=peft, folder=folders[(number + 1) % 2]):
            return PeftModel.from_pretrained(peft.unload(), folder)

        took, peft = timed(work)
        seconds.append(took)
    peft.unload()
    return seconds


def timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
