"""What can be chosen when a model is loaded: device, number format and quantization."""

from __future__ import annotations

import importlib.util
import logging
import re

import torch
from transformers import BitsAndBytesConfig

QUANTIZATIONS = ("none", "nf4", "int8")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# The vision tower is small and loses most by rounding; the output layer may share its weights with the
# embedding.
WHOLE_MODULES = ("model.visual", "lm_head")
# On a CPU, models above this many parameters run in bfloat16: half the memory, and what reads fewer bytes
# is faster.
LARGE_ON_CPU = 1_000_000_000


def _is_news(record: logging.LogRecord) -> bool:
    """False for two lines of bitsandbytes on a CPU: a kernel it would like to fetch from the network as it is
    imported, and the cast of every 8-bit product of a model that is not float16."""
    return not record.msg.startswith(
        ("Failed to load CPU gemm_4bit_forward", "MatMul8bitLt: inputs will be cast")
    )


# Set before anything imports bitsandbytes, as peft does.
for _name in ("bitsandbytes.backends.cpu.ops", "bitsandbytes.autograd._functions"):
    logging.getLogger(_name).addFilter(_is_news)


class LoadError(ValueError):
    """A model or adapter cannot be loaded as asked; the message says what to change."""


class NoRoom(LoadError):
    """An adapter finds no memory now. Nothing is known against it: later it may."""


def choose_device(device: str) -> torch.device:
    """`auto` takes the first CUDA device where there is one. Raises LoadError."""
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    match = re.fullmatch(r"(cpu)|cuda(?::(\d+))?", device)
    if not match:
        raise LoadError(f"device {device!r} is unknown; use auto, cpu, cuda or cuda:N")
    if match.group(1):
        return torch.device("cpu")
    count, index = torch.cuda.device_count(), int(match.group(2) or 0)
    if not torch.cuda.is_available():
        why = (
            "this torch is built without CUDA" if torch.version.cuda is None else "no CUDA device is visible"
        )
        raise LoadError(f"device {device!r} is not here ({why}); use device cpu or auto")
    if index >= count:
        raise LoadError(f"device {device!r} is not here; CUDA devices are 0 to {count - 1}")
    return torch.device("cuda", index)


def choose_dtype(dtype: str, device: torch.device, parameters: int) -> torch.dtype:
    """`auto`: on CUDA bfloat16, float16 on old devices; on a CPU float32, bfloat16 for large models."""
    if dtype in DTYPES:
        return DTYPES[dtype]
    if dtype != "auto":
        raise LoadError(f"dtype {dtype!r} is unknown; use auto or one of {', '.join(DTYPES)}")
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    return torch.bfloat16 if parameters > LARGE_ON_CPU else torch.float32


def quantizer(quantization: str, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """bitsandbytes settings: nf4 with double quantization, or LLM.int8; the vision tower stays whole."""
    whole = list(WHOLE_MODULES)
    if quantization == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=whole,
        )
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=whole)
    return None


def check_quantization(quantization: str) -> None:
    """Raise LoadError unless it is known and its library is here."""
    if quantization not in QUANTIZATIONS:
        raise LoadError(f"quantization {quantization!r} is unknown; use one of {', '.join(QUANTIZATIONS)}")
    if quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise LoadError(f"quantization {quantization!r} needs bitsandbytes; run `pip install bitsandbytes`")
