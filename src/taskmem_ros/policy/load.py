"""From a model's name to a Qwen3-VL that is ready to generate.

`demo`, a folder or a hub id; dense or mixture of experts; whole or quantized by bitsandbytes; CUDA or CPU.
Whatever cannot be loaded ends in a LoadError, whose one sentence names the thing, the value and the fix.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils.logging import disable_progress_bar

from taskmem_ros.policy.choices import LoadError, check_quantization, choose_device, choose_dtype, quantizer
from taskmem_ros.policy.packing import VideoPacker, VideoSpec

MODEL_TYPES = ("qwen3_vl", "qwen3_vl_moe")
DEMO = "demo"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded model with what belongs to it.

    model: in eval mode, on one device. name: as asked for. local: it is a folder. revision: the hub's commit,
    or the short sha256 of the local weights. parameters: number of weights before quantization. eos: ids of
    the tokens that end a reply.
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
    place = choose_device(device)
    check_quantization(quantization)
    source, local = find_checkpoint(model)
    hub = {"local_files_only": True} if local else {"revision": revision}
    with _translated(model, local, place):
        described, _ = PreTrainedConfig.get_config_dict(source, **hub)
    check_model_type(model, described.get("model_type"))
    if quantization != "none" and "quantization_config" in described:
        raise LoadError(f"model {model!r} is stored quantized already; load it with quantization none")
    with _translated(model, local, place):
        parameters = count_parameters(AutoConfig.from_pretrained(source, **hub))
        number = choose_dtype(dtype, place, parameters)
        tokenizer = AutoTokenizer.from_pretrained(source, **hub)
        packer = VideoPacker(tokenizer, VideoSpec.from_pretrained(source, **hub))
        network = _load_weights(source, hub, place, number, quantization)
    network.eval().requires_grad_(False)
    return Checkpoint(
        model=network,
        tokenizer=tokenizer,
        packer=packer,
        name=model,
        local=local,
        revision=weights_revision(Path(source))
        if local
        else str(described.get("_commit_hash") or revision or ""),
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
        raise LoadError(
            f"model {model!r} is no folder; give a folder, a hub id like Qwen/Qwen3-VL-2B-Instruct, or {DEMO}"
        )
    return model, False


def check_model_type(model: str, model_type: str | None) -> None:
    """Raise LoadError unless it is a Qwen3-VL."""
    if model_type not in MODEL_TYPES:
        raise LoadError(
            f"model {model!r} is of type {model_type!r}; taskmem needs Qwen3-VL ({' or '.join(MODEL_TYPES)})"
        )


def count_parameters(config: PreTrainedConfig) -> int:
    """Weights of the architecture, tied ones once; nothing is allocated."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def weights_revision(folder: Path) -> str:
    """What tells local weights from others: a hub cache's commit, or the short sha256 of the safetensors."""
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


def first_words(error: Exception, limit: int = 300) -> str:
    """An exception's message on one line of at most about `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[:limit] + "..."


def _load_weights(
    source: str, hub: dict, device: torch.device, dtype: torch.dtype, quantization: str
) -> PreTrainedModel:
    if not sys.stderr.isatty():
        disable_progress_bar()
    model, found = AutoModelForImageTextToText.from_pretrained(
        source,
        dtype=dtype,
        device_map={"": str(device)},
        quantization_config=quantizer(quantization, dtype),
        output_loading_info=True,
        **hub,
    )
    if missing := sorted(found["missing_keys"]):
        raise ValueError(f"{len(missing)} tensors are missing, {missing[0]} for one")
    return model


@contextlib.contextmanager
def _translated(model: str, local: bool, device: torch.device) -> Iterator[None]:
    """Turns whatever absent or damaged files make the libraries raise into a LoadError."""
    try:
        yield
    except LoadError:
        raise
    except torch.OutOfMemoryError as error:
        raise LoadError(
            f"model {model!r} does not fit into the memory of {device}; use nf4 or a smaller model"
        ) from error
    except Exception as error:
        reason = first_words(error)
        if local:
            raise LoadError(
                f"model {model!r} cannot be read ({reason}); is the folder a complete Qwen3-VL checkpoint?"
            ) from error
        raise LoadError(
            f"model {model!r} is no folder and could not be fetched from the Hugging Face hub ({reason}); "
            f"check its name and the network, or fetch it where there is one with `hf download {model}`"
        ) from error


def _demo_folder() -> Path:
    for parent in Path(__file__).resolve().parents:
        for folder in (parent / "models" / "demo", parent / "share" / "taskmem" / "models" / "demo"):
            if (folder / "config.json").is_file():
                return folder
    raise LoadError(
        f"model {DEMO!r} is not installed here; clone the repository with models/demo, or name another model"
    )


def _settle_generation(model: PreTrainedModel, tokenizer) -> tuple[int, ...]:
    """Complete a checkpoint's generation_config with the tokens that end and pad; returns those that end."""
    stored = model.generation_config.eos_token_id
    eos = {*(stored if isinstance(stored, list) else [stored]), tokenizer.eos_token_id} - {None}
    if not eos:
        raise LoadError("the tokenizer and the generation_config name no end-of-text token; add an eos_token")
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(eos)
    model.generation_config.update(eos_token_id=sorted(eos), pad_token_id=pad)
    return tuple(sorted(eos))
