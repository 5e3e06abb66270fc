"""A PEFT adapter (BEFT steering vector or LoRA) as it is read: from a folder, or of verified bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftType
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from safetensors.torch import load, load_file

from taskmem_ros.policy.choices import LoadError, NoRoom
from taskmem_ros.policy.load import file_hash, first_words
from taskmem_ros.policy.steer import SteerModel

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
PEFT_TYPE_TO_TUNER_MAPPING[PeftType.BEFT] = SteerModel


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter read from a folder, not yet in a model. id: what provenance records."""

    id: str
    config: PeftConfig
    weights: dict[str, torch.Tensor]

    @classmethod
    def read(cls, folder: str | Path, id: str = "") -> Adapter:
        """Read what PEFT's save_pretrained wrote. Raises LoadError, NoRoom.

        id: by default the short sha256 of the weights.
        """
        folder = Path(folder).expanduser()
        if not folder.is_dir():
            raise LoadError(
                f"adapter {str(folder)!r} is no folder; give the folder that save_pretrained wrote"
            )
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            if not (folder / name).is_file():
                raise LoadError(
                    f"adapter {str(folder)!r} has no {name}; give the folder that save_pretrained wrote"
                )
        try:
            config = PeftConfig.from_pretrained(str(folder))
            weights = load_file(folder / WEIGHTS_FILE)
        except Exception as error:  # whatever a damaged file makes json, peft or safetensors raise
            if out_of_memory(error):
                raise no_room(f"adapter {str(folder)!r}", error) from error
            raise LoadError(
                f"adapter {str(folder)!r} cannot be read ({first_words(error)}); copy it again"
            ) from error
        config.inference_mode = True
        return cls(id or file_hash(folder / WEIGHTS_FILE), config, weights)

    @classmethod
    def from_bytes(cls, id: str, config: Mapping[str, Any], weights: bytes) -> Adapter:
        """Of what was verified: adapter_config.json's object and adapter_model.safetensors' bytes.

        Raises LoadError, NoRoom.
        """
        try:
            made = PeftConfig.from_peft_type(**config)
            tensors = load(weights)
        except Exception as error:  # whatever peft or safetensors raise
            if out_of_memory(error):
                raise no_room(f"adapter {id}", error) from error
            raise LoadError(f"adapter {id} cannot be read ({first_words(error)}); fetch it again") from error
        made.inference_mode = True
        return cls(id, made, tensors)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says only that there is no memory left: nothing is known against what was tried."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # What torch raises on a CPU has no class of its own.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def no_room(what: str, error: BaseException) -> NoRoom:
    """For what found no memory."""
    return NoRoom(
        f"there is no memory left for {what} ({first_words(error)}); free some, or take a smaller model"
    )
