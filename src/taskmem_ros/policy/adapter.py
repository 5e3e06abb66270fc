"""The adapter slot: one PEFT adapter (BEFT steering vector or LoRA) in the model, on for memorizing only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, PeftType, set_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch import nn

from taskmem_ros.policy.choices import LoadError
from taskmem_ros.policy.load import file_hash, first_words
from taskmem_ros.policy.steer import SteerModel

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
# PEFT finds an adapter's tensors by this name, so no parameter of a model may contain it.
SLOT = "taskmem_slot"
PEFT_TYPE_TO_TUNER_MAPPING[PeftType.BEFT] = SteerModel


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter read from a folder, not yet in a model. id: what provenance records."""

    id: str
    config: PeftConfig
    weights: dict[str, torch.Tensor]

    @classmethod
    def read(cls, folder: str | Path, id: str = "") -> Adapter:
        """Read what PEFT's save_pretrained wrote. Raises LoadError.

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
            raise LoadError(
                f"adapter {str(folder)!r} cannot be read ({first_words(error)}); copy it again"
            ) from error
        config.inference_mode = True
        return cls(id or file_hash(folder / WEIGHTS_FILE), config, weights)


class AdapterSlot:
    """Puts at most one adapter into a model, in place. Not thread-safe: use it where the model is used."""

    def __init__(self, model: nn.Module):
        self._model = model
        self._peft: PeftModel | None = None
        self._adapter: Adapter | None = None

    @property
    def id(self) -> str:
        """The id of the adapter in use, "" without one."""
        return self._adapter.id if self._adapter else ""

    def set(self, adapter: Adapter | None) -> None:
        """Use this adapter, or none. Raises LoadError where it does not fit; then the old one stays."""
        before = self._adapter
        self._remove()
        if adapter is None:
            return
        try:
            self._insert(adapter)
        except Exception as error:
            self._remove()
            if before is not None:
                self._insert(before)
            raise LoadError(f"adapter {adapter.id} does not fit this model ({first_words(error)})") from error

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """The bare model inside; afterwards the adapter is as it was, also when nested."""
        with self._peft.disable_adapter() if self._peft is not None else contextlib.nullcontext():
            yield

    def _insert(self, adapter: Adapter) -> None:
        peft = PeftModel(self._model, adapter.config, adapter_name=SLOT)
        self._peft, self._adapter = peft, adapter
        result = set_peft_model_state_dict(peft, dict(adapter.weights), adapter_name=SLOT)
        missing = [key for key in result.missing_keys if SLOT in key]
        if missing or result.unexpected_keys:
            keys = (missing + list(result.unexpected_keys))[:3]
            raise ValueError(
                f"{len(missing)} tensors missing, {len(result.unexpected_keys)} unknown: {', '.join(keys)}"
            )
        peft.eval().requires_grad_(False)

    def _remove(self) -> None:
        # PEFT's own unload needs a complete PeftModel, which a failed insertion leaves none of.
        layers = [(path, m) for path, m in self._model.named_modules() if isinstance(m, BaseTunerLayer)]
        for path, layer in layers:
            parent, _, name = path.rpartition(".")
            setattr(self._model.get_submodule(parent), name, layer.get_base_layer())
        if hasattr(self._model, "peft_config"):
            del self._model.peft_config
        self._peft = self._adapter = None
