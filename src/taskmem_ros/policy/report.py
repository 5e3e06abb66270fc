"""What was loaded: how large, where, and how much of it is really quantized."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

# With less than this share quantized, the name of the quantization says more than it does.
LITTLE_QUANTIZED = 0.5


@dataclass(frozen=True)
class LoadReport:
    """A loaded policy in numbers.

    parameters: weights before quantization, tied ones once. quantized_share: 0..1, of these, held in 4 or 8
    bits. memory_bytes: what weights, buffers and quantization constants occupy. seconds: time the loading
    took.
    """

    model: str
    revision: str
    adapter: str
    parameters: int
    quantization: str
    quantized_share: float
    memory_bytes: int
    device: str
    dtype: str
    seconds: float
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        quantized = "not quantized"
        if self.quantization != "none":
            quantized = f"{self.quantized_share:.0%} of them in {self.quantization}"
        lines = [
            f"model {self.model}, revision {self.revision or 'unknown'}, adapter {self.adapter or 'none'}",
            f"{count_text(self.parameters)} parameters, {quantized}, {bytes_text(self.memory_bytes)} held",
            f"on {self.device} in {self.dtype}, loaded in {self.seconds:.1f} s",
        ]
        return "\n".join(lines + [f"warning: {warning}" for warning in self.warnings])


def quantized_share(model: nn.Module, parameters: int) -> float:
    """The share (0..1) of `parameters` that lies in bitsandbytes' 4-bit and 8-bit layers."""
    kinds = _quantized_kinds()
    held = sum(m.in_features * m.out_features for m in model.modules() if isinstance(m, kinds))
    return held / parameters


def memory_bytes(model: nn.Module) -> int:
    """Bytes of all storages behind parameters, buffers and quantization constants, shared ones once."""
    storages = {}
    for tensor in _tensors(model):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def quantization_warnings(model: nn.Module, quantization: str, share: float) -> tuple[str, ...]:
    """A sentence that says what stayed whole, where that is the greater part of the model."""
    if quantization == "none" or share >= LITTLE_QUANTIZED:
        return ()
    sizes = _whole_parts(model)
    parts = ", ".join(f"{part} {count_text(size)}" for part, size in sizes.most_common(3) if size)
    reason = " (bitsandbytes does not quantize fused experts)" if sizes["experts"] else ""
    return (f"only {share:.0%} of the weights are in {quantization}; whole stayed {parts}{reason}",)


def count_text(number: int) -> str:
    """12345678 -> '12.3 M'."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(number)


def bytes_text(number: int) -> str:
    """12345678 -> '12.3 MB'."""
    for size, unit in ((10**9, "GB"), (10**6, "MB")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1000:.1f} kB"


def _whole_parts(model: nn.Module) -> Counter[str]:
    """Weights outside quantized layers, by part of the model."""
    kinds, sizes = _quantized_kinds(), Counter()
    seen = set()
    for path, module in model.named_modules():
        if isinstance(module, kinds):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                sizes[_part(f"{path}.{name}", parameter)] += parameter.numel()
    return sizes


def _part(name: str, parameter: nn.Parameter) -> str:
    if "visual" in name:
        return "vision tower"
    if "experts" in name and parameter.ndim == 3:
        return "experts"
    return "embeddings" if "embed" in name or "lm_head" in name else "other layers"


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()
    for module in model.modules():
        if not isinstance(module, _quantized_kinds()):
            continue
        # 4-bit layers keep their scales in a quant_state (nested when doubly quantized), 8-bit ones in SCB.
        state = getattr(module.weight, "quant_state", None)
        while state is not None:
            yield from (t for t in (state.absmax, state.code, state.offset) if isinstance(t, torch.Tensor))
            state = state.state2
        for holder in (module.weight, getattr(module, "state", None)):
            yield from (
                t for t in (getattr(holder, n, None) for n in ("CB", "SCB")) if isinstance(t, torch.Tensor)
            )


def _quantized_kinds() -> tuple[type[nn.Module], ...]:
    if importlib.util.find_spec("bitsandbytes") is None:
        return ()
    import bitsandbytes

    return (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt)
