"""The adapter slot: at most one adapter in the model, in place, put in and taken out in less than a token.

PEFT builds an adapter's layers into a model, which takes longer the larger the model is. Here it builds them
into a shadow of the model (the same weights under modules of its own), in any thread and ahead of time. What
is left for the engine's thread is to hang some modules into their places.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from peft import PeftModel, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from taskmem_ros.policy.adapter import Adapter, no_room, out_of_memory
from taskmem_ros.policy.choices import LoadError
from taskmem_ros.policy.load import first_words

# PEFT finds an adapter's tensors by this name, so no parameter of a model may contain it.
SLOT = "taskmem_slot"


@dataclass(frozen=True, eq=False)
class Place:
    """Where a module of the model hangs, what is there in the bare model, and what an adapter puts there."""

    parent: nn.Module
    name: str
    bare: nn.Module
    adapted: nn.Module


@dataclass(frozen=True, eq=False)
class FittedAdapter:
    """An adapter whose layers are built for one model, not yet in it. id: what provenance records."""

    id: str
    places: tuple[Place, ...]


class AdapterSlot:
    """Puts at most one adapter into a model. `fit` in any thread, all else only where the model is used."""

    def __init__(self, model: nn.Module):
        self._model = model
        self._fitted: FittedAdapter | None = None
        self._bare: _Tree | None = None
        self._fitting = threading.Lock()

    @property
    def fitted(self) -> FittedAdapter | None:
        """What is in the model."""
        return self._fitted

    def fit(self, adapter: Adapter) -> FittedAdapter:
        """Build an adapter's layers for this model, which goes on as it is. Raises LoadError, NoRoom."""
        with self._fitting:
            # The first time nothing of ours is in the model yet.
            self._bare = self._bare or _Tree.of(self._model)
            try:
                return FittedAdapter(adapter.id, self._bare.built_in(adapter))
            except Exception as error:
                if out_of_memory(error):
                    raise no_room(f"adapter {adapter.id}", error) from error
                raise LoadError(
                    f"adapter {adapter.id} does not fit this model ({first_words(error)})"
                ) from error

    def set(self, fitted: FittedAdapter | None) -> None:
        """Have this adapter in the model, or none."""
        for place in self._fitted.places if self._fitted else ():
            setattr(place.parent, place.name, place.bare)
        for place in fitted.places if fitted else ():
            setattr(place.parent, place.name, place.adapted)
        self._fitted = fitted

    def clear(self) -> None:
        """The bare model, without what others (a trainer) built into it either."""
        self.set(None)
        layers = [(path, m) for path, m in self._model.named_modules() if isinstance(m, BaseTunerLayer)]
        for path, layer in layers:
            parent, _, name = path.rpartition(".")
            setattr(self._model.get_submodule(parent), name, layer.get_base_layer())
        if hasattr(self._model, "peft_config"):
            del self._model.peft_config

    @contextlib.contextmanager
    def wearing(self, fitted: FittedAdapter | None) -> Iterator[None]:
        """This adapter inside, or the bare model; afterwards what was before. May be nested."""
        before = self._fitted
        if fitted is before:
            yield
            return
        self.set(fitted)
        try:
            yield
        finally:
            self.set(before)


@dataclass(frozen=True, eq=False)
class _Tree:
    """The modules of a bare model as they hang, also while adapters are in it."""

    module: nn.Module
    children: dict[str, _Tree]

    @classmethod
    def of(cls, module: nn.Module) -> _Tree:
        bare = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
        return cls(bare, {name: cls.of(child) for name, child in bare.named_children()})

    def built_in(self, adapter: Adapter) -> tuple[Place, ...]:
        """What PEFT puts in which place for this adapter, filled with its weights."""
        shadow = self._shadow()
        # Empty tensors: random numbers, which PEFT would draw, are the sampling's in the engine's thread.
        with torch.device("meta"):
            peft = PeftModel(shadow, adapter.config, adapter_name=SLOT)
        places = tuple(self._places(peft.base_model.model))
        if not places:
            raise ValueError("it changes no module of this model")
        for place in places:
            _allocate(place)
        result = set_peft_model_state_dict(peft, dict(adapter.weights), adapter_name=SLOT)
        missing = [key for key in result.missing_keys if SLOT in key]
        if missing or result.unexpected_keys:
            keys = (missing + list(result.unexpected_keys))[:3]
            raise ValueError(
                f"{len(missing)} tensors missing, {len(result.unexpected_keys)} unknown: {', '.join(keys)}"
            )
        for place in places:
            place.adapted.eval().requires_grad_(False)
            if isinstance(place.adapted, BaseTunerLayer):
                place.adapted.base_layer = place.bare
        return places

    def _shadow(self) -> nn.Module:
        """New modules with the same classes, settings and tensors."""
        shadow = object.__new__(type(self.module))
        shadow.__dict__.update(self.module.__dict__)
        shadow._parameters, shadow._buffers = dict(self.module._parameters), dict(self.module._buffers)
        shadow._modules = dict(self.module._modules)
        shadow._modules |= {name: child._shadow() for name, child in self.children.items()}
        shadow.__dict__["_taskmem_bare"] = self.module
        return shadow

    def _places(self, shadow: nn.Module) -> Iterator[Place]:
        for name, child in self.children.items():
            now = shadow._modules[name]
            if now.__dict__.get("_taskmem_bare") is child.module:
                yield from child._places(now)
            else:
                yield Place(self.module, name, child.module, now)


def _allocate(place: Place) -> None:
    """Make an adapter's empty tensors real, where its base layer's are."""
    device = next((p.device for p in place.bare.parameters()), torch.device("cpu"))
    for module in place.adapted.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and parameter.is_meta:
                module._parameters[name] = nn.Parameter(
                    torch.empty_like(parameter, device=device), requires_grad=False
                )
        if any(buffer is not None and buffer.is_meta for buffer in module._buffers.values()):
            raise ValueError(f"{type(place.adapted).__name__} has buffers; give a LoRA or a steering vector")
