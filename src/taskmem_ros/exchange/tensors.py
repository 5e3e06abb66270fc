"""The weights of an adapter as bytes: what is in them, and whether a model may be given it. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from taskmem_ros.exchange.manifest import (
    CONFIG_FILE,
    GATE_FILE,
    README_FILE,
    STEER,
    WEIGHTS_FILE,
    PackageError,
)
from taskmem_ros.exchange.strict import read_json

_MIB = 1 << 20
_PREFIX = "base_model.model."  # PEFT's, before the module's name
_TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_BLOCK = 1 << 20  # numbers looked at together
# (in, out) of each product, as sizes that all layers share.
_SIDES = {
    "q_proj": ("hidden", "heads"),
    "k_proj": ("hidden", "key heads"),
    "v_proj": ("hidden", "key heads"),
    "o_proj": ("heads", "hidden"),
    "gate_proj": ("hidden", "inner"),
    "up_proj": ("hidden", "inner"),
    "down_proj": ("inner", "hidden"),
}


@dataclass(frozen=True)
class Limits:
    """What a robot takes at most. They keep out what no training makes; whether an adapter is good is for the
    gate, and for the robot's own trial, to say.

    bytes: of each file; rank: of LoRA; scale: its alpha / r; tensors: how many; header: bytes of that of
    safetensors; norm, rms: of each tensor's numbers; subnormal: share of numbers below 1e-38, with which a
    CPU computes many times slower.
    """

    weights_bytes: int = 512 * _MIB
    config_bytes: int = 64 * 1024
    readme_bytes: int = _MIB
    gate_bytes: int = 8 * _MIB
    rank: int = 64
    scale: float = 4.0
    tensors: int = 4096
    header: int = _MIB
    norm: float = 256.0
    rms: float = 4.0
    subnormal: float = 0.01

    def bytes_of(self, name: str) -> int:
        """The most bytes of a package's file."""
        return {
            WEIGHTS_FILE: self.weights_bytes,
            CONFIG_FILE: self.config_bytes,
            README_FILE: self.readme_bytes,
            GATE_FILE: self.gate_bytes,
        }[name]


LIMITS = Limits()


def check_weights(data: bytes, kind: str, config: Mapping[str, Any], limits: Limits) -> None:
    """Raise PackageError unless the bytes are safetensors with just the tensors of such an adapter.

    kind: "steer": one vector; "lora": pairs A (r, in) and B (out, r). config: what `check_config` gave.
    """
    _check_header(data, limits)
    try:
        tensors = deserialize(data)
    except (SafetensorError, ValueError) as error:
        raise _bad(f"is no safetensors file ({error})") from error
    shapes = {name: tuple(tensor["shape"]) for name, tensor in tensors}
    if kind == STEER:
        _check_vector(shapes, config["target_modules"])
    else:
        _check_pairs(shapes, config["target_modules"], config["r"])
    for name, tensor in tensors:
        _check_numbers(name, tensor["dtype"], tensor["data"], limits)


def _check_header(data: bytes, limits: Limits) -> None:
    """That the library has little to read, and that no other could read something else."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(limits.header, len(data) - 8):
        raise _bad(f"says that {length} of its {len(data)} bytes are the header, more than can be")
    try:
        header = read_json(data[8 : 8 + length])
    except ValueError as error:
        raise _bad(f"has a header that cannot be read ({error})") from error
    if not isinstance(header, dict):
        raise _bad("has a header that is no object")
    metadata = header.pop("__metadata__", None)
    if metadata not in (None, {"format": "pt"}):
        raise _bad(f"has metadata {_short(metadata)}, where a trainer writes the format alone")
    if not 1 <= len(header) <= limits.tensors:
        raise _bad(f"has {len(header)} tensors, but it must have 1 to {limits.tensors}")
    for name, told in header.items():
        if not isinstance(told, dict) or told.keys() != {"dtype", "shape", "data_offsets"}:
            raise _bad(f"says {_short(told)} of the tensor {_short(name)}")
        if told["dtype"] not in list(_TYPES):
            raise _bad(
                f"has {_short(name)} of type {_short(told['dtype'])}, but it must be {', '.join(_TYPES)}"
            )
        if not _is_shape(told["shape"]):
            raise _bad(f"has {_short(name)} of shape {_short(told['shape'])}, but it must be two sizes")


def _is_shape(told: Any) -> bool:
    return isinstance(told, list) and len(told) == 2 and all(type(n) is int and 1 <= n < _MIB for n in told)


def _check_vector(shapes: Mapping[str, tuple[int, ...]], target: str) -> None:
    module = target.replace("\\", "")
    name = f"{_PREFIX}{module}.beft_bias"
    if list(shapes) != [name]:
        raise _bad(f"has the tensors {_short(sorted(shapes))}, but it must have {name} alone")
    if shapes[name][0] != 1:
        raise _bad(f"has {name} of shape {shapes[name]}, but it must be one vector")


def _check_pairs(shapes: Mapping[str, tuple[int, ...]], target: str, rank: int) -> None:
    pattern = re.compile(rf"{re.escape(_PREFIX)}({target})\.lora_([AB])\.weight", re.ASCII)
    pairs: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        match = pattern.fullmatch(name)
        if match is None or len(name) > 200:
            raise _bad(f"has the tensor {_short(name)}, which is none of LoRA's in a language model")
        pairs.setdefault(match[1], {})[name[-len("A.weight")]] = shape
    sizes: dict[str, int] = {}
    for module, pair in pairs.items():
        if pair.keys() != {"A", "B"}:
            raise _bad(f"has one half of the pair of {module}")
        (rank_a, wide), (out, rank_b) = pair["A"], pair["B"]
        if (rank_a, rank_b) != (rank, rank):
            raise _bad(f"has a pair of rank {rank_a} and {rank_b} for {module}, where r is {rank}")
        for side, size in zip(_SIDES[module.rpartition(".")[2]], (wide, out)):
            if sizes.setdefault(side, size) != size:
                raise _bad(f"has {size} {side} numbers in {module} and {sizes[side]} before")


def _check_numbers(name: str, dtype: str, data: bytes, limits: Limits) -> None:
    numbers = np.frombuffer(data, _TYPES[dtype])
    squares, tiny = 0.0, 0
    for start in range(0, numbers.size, _BLOCK):
        block = numbers[start : start + _BLOCK]
        if dtype == "BF16":
            block = (block.astype("<u4") << 16).view("<f4")
        with np.errstate(invalid="ignore"):  # what is not finite is told of below
            wide = block.astype(np.float64)
        if not np.isfinite(wide).all():
            raise _bad(f"has numbers in {name} that are not finite")
        squares += float(wide @ wide)
        if dtype != "F16":  # whose small numbers are ordinary ones where it is computed with
            tiny += int(np.count_nonzero((wide != 0) & (np.abs(wide) < np.finfo(np.float32).tiny)))
    norm = squares**0.5
    rms = (squares / numbers.size) ** 0.5
    for what, value, most in (("norm", norm, limits.norm), ("root mean square", rms, limits.rms)):
        if value > most:
            raise _bad(f"has numbers in {name} with a {what} of {value:.3g}, but it must be at most {most:g}")
    if tiny > limits.subnormal * numbers.size:
        raise _bad(f"has {tiny} numbers in {name} that are too small to compute with")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."


def _bad(what: str) -> PackageError:
    return PackageError(f"its {WEIGHTS_FILE} {what}; make the adapter again")
