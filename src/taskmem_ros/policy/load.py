"""From a model's name to a Qwen3-VL that is ready to generate.

`demo`, a folder or a hub id; dense or mixture of experts; whole or quantized by bitsandbytes; CUDA or CPU.
Whatever cannot be loaded ends in a LoadError, whose one sentence names the thing, the value and the fix.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils.logging import disable_progress_bar

from taskmem_ros.policy.packing import VideoPacker, VideoSpec

QUANTIZATIONS = ("none", "nf4", "int8")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MODEL_TYPES = ("qwen3_vl", "qwen3_vl_moe")
# The vision tower is small and loses most by rounding; the output layer may share its weights with the embedding.
WHOLE_MODULES = ("model.visual", "lm_head")
# On a CPU, models above this many parameters run in bfloat16: half the memory, and what reads fewer bytes is faster.
LARGE_ON_CPU = 1_000_000_000
DEMO = "demo"


class LoadError(ValueError):
    """A model or adapter cannot be loaded as asked; the message says what to change."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded model with what belongs to it.

    model: in eval mode, on one device. name: as asked for. local: it is a folder. revision: the hub's commit, or the short sha256 of the local weights.
    parameters: number of weights before quantization. eos: ids of the tokens that end a reply.
    """

    model: PreTrainedModel
    tokenizer: object
    packer: VideoPacker
    name: str
    local: bool
    revision: str
    device: torch.device
    dtype: torch.dtype
    quantization: str
    parameters: int
    eos: tuple[int, ...]
    seconds: float


def load_checkpoint(
    model: str = DEMO,
    *,
    revision: str | None = None,
    quantization: str = "none",
    device: str = "auto",
    dtype: str = "auto",
) -> Checkpoint:
    """Load a Qwen3-VL with its tokenizer and video settings. Arguments as in `MemoryPolicy.load`.

    Raises LoadError.
    """
    started = time.monotonic()
    if not sys.stderr.isatty():
        disable_progress_bar()
    place = choose_device(device)
    if quantization not in QUANTIZATIONS:
        raise LoadError(f"quantization {quantization!r} is unknown; use one of {', '.join(QUANTIZATIONS)}")
    if quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise LoadError(f"quantization {quantization!r} needs bitsandbytes; run `pip install bitsandbytes`")
    source, local = find_checkpoint(model)
    hub = {"local_files_only": True} if local else {"revision": revision}
    try:
        described, _ = PreTrainedConfig.get_config_dict(source, **hub)
    except (OSError, ValueError) as error:
        raise LoadError(_unreadable(model, local, error)) from error
    check_model_type(model, described.get("model_type"))
    if quantization != "none" and "quantization_config" in described:
        raise LoadError(f"model {model!r} is stored quantized already; load it with quantization none")
    try:
        config = AutoConfig.from_pretrained(source, **hub)
        parameters = count_parameters(config)
        number = choose_dtype(dtype, place, parameters)
        tokenizer = AutoTokenizer.from_pretrained(source, **hub)
        packer = VideoPacker(tokenizer, VideoSpec.from_pretrained(source, **hub))
        network = AutoModelForImageTextToText.from_pretrained(
            source,
            dtype=number,
            device_map={"": str(place)},
            quantization_config=quantizer(quantization, number),
            **hub,
        )
    except torch.OutOfMemoryError as error:
        raise LoadError(f"model {model!r} does not fit into the memory of {place}; use nf4 or a smaller model") from error
    except (OSError, ImportError, RuntimeError, ValueError) as error:
        raise LoadError(_unreadable(model, local, error)) from error
    network.eval().requires_grad_(False)
    return Checkpoint(
        model=network,
        tokenizer=tokenizer,
        packer=packer,
        name=model,
        local=local,
        revision=weights_revision(Path(source)) if local else str(described.get("_commit_hash") or revision or ""),
        device=place,
        dtype=number,
        quantization=quantization,
        parameters=parameters,
        eos=_settle_generation(network, tokenizer),
        seconds=time.monotonic() - started,
    )


def find_checkpoint(model: str) -> tuple[str, bool]:
    """(folder or hub id, is it a folder). Raises LoadError when it can be neither."""
    if model == DEMO:
        return str(_demo_folder()), True
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder), True
    if folder.is_absolute() or model.startswith((".", "~")) or not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise LoadError(f"model {model!r} is no folder; give a folder, a hub id like Qwen/Qwen3-VL-2B-Instruct, or {DEMO}")
    return model, False


def check_model_type(model: str, model_type: str | None) -> None:
    """Raise LoadError unless it is a Qwen3-VL."""
    if model_type not in MODEL_TYPES:
        raise LoadError(f"model {model!r} is of type {model_type!r}; taskmem needs a Qwen3-VL ({' or '.join(MODEL_TYPES)})")


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
        why = "this torch is built without CUDA" if torch.version.cuda is None else "no CUDA device is visible"
        raise LoadError(f"device {device!r} is not here ({why}); use device cpu or auto")
    if index >= count:
        raise LoadError(f"device {device!r} is not here; CUDA devices are 0 to {count - 1}")
    return torch.device("cuda", index)


def choose_dtype(dtype: str, device: torch.device, parameters: int) -> torch.dtype:
    """`auto`: bfloat16 on CUDA where the device has it, else float16; on a CPU float32, bfloat16 when large."""
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
        logging.getLogger("bitsandbytes.autograd._functions").addFilter(_not_a_cast)
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=whole)
    return None


def count_parameters(config: PreTrainedConfig) -> int:
    """Weights of the architecture, tied ones once; nothing is allocated."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def weights_revision(folder: Path) -> str:
    """What tells these local weights from others: a hub cache's commit, else the short sha256 of the safetensors."""
    if folder.parent.name == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", folder.name):
        return folder.name
    return file_hash(*sorted(folder.glob("*.safetensors")))


def file_hash(*paths: Path) -> str:
    """The first 12 hex digits of the sha256 over these files' bytes, in this order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()[:12]


def _not_a_cast(record: logging.LogRecord) -> bool:
    """False for the line that bitsandbytes logs at every 8-bit product on a model that is not float16."""
    return "inputs will be cast" not in record.msg


def _demo_folder() -> Path:
    for parent in Path(__file__).resolve().parents:
        for folder in (parent / "models" / "demo", parent / "share" / "taskmem" / "models" / "demo"):
            if (folder / "config.json").is_file():
                return folder
    raise LoadError(f"model {DEMO!r} is not installed here; clone the repository with models/demo, or name another model")


def _settle_generation(model: PreTrainedModel, tokenizer) -> tuple[int, ...]:
    """Replace a checkpoint's sampling defaults: temperature and the like are the caller's to give."""
    stored = model.generation_config.eos_token_id
    eos = {*(stored if isinstance(stored, list) else [stored]), tokenizer.eos_token_id} - {None}
    if not eos:
        raise LoadError("the tokenizer and the generation_config name no end-of-text token; add an eos_token")
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(eos)
    model.generation_config = GenerationConfig(eos_token_id=sorted(eos), pad_token_id=pad)
    return tuple(sorted(eos))


def _unreadable(model: str, local: bool, error: Exception) -> str:
    reason = " ".join(str(error).split())
    reason = reason if len(reason) < 300 else reason[:300] + "..."
    if local:
        return f"model {model!r} cannot be read ({reason}); is the folder a complete Qwen3-VL checkpoint?"
    return (
        f"model {model!r} is no folder and could not be fetched from the Hugging Face hub ({reason}); "
        f"check its name and the network, or fetch it where there is one with `hf download {model}`"
    )
