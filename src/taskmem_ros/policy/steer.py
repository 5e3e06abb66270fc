"""The steering vector: one learned vector added to what leaves one decoder layer, h <- h + a.

PEFT's BEFT is just that on the last product of a layer's feed-forward part, because the residual stream is
added to it unchanged. It takes Linear modules only; a mixture of experts has no last product, so here it
takes such a block as well. On disk it is a BEFT adapter like any other.
"""

from __future__ import annotations

import re

from peft import BeftConfig
from peft.tuners.beft import BeftModel
from peft.tuners.beft.layer import BeftLayer
from peft.tuners.beft.layer import Linear as BeftLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn


def steer_config(model: nn.Module, layer: int) -> BeftConfig:
    """A steering vector after decoder layer `layer` (0-based): hidden_size trainable numbers, 0 at first.

    model: a Qwen3-VL, dense or mixture of experts. Raises ValueError for a layer that it has not.
    """
    count = model.config.get_text_config().num_hidden_layers
    if not 0 <= layer < count:
        raise ValueError(f"layer is {layer}; this model has {count} decoder layers, 0 to {count - 1}")
    block = model.get_submodule(f"model.language_model.layers.{layer}.mlp")
    name = "mlp.down_proj" if hasattr(block, "down_proj") else "mlp"
    return BeftConfig(target_modules=re.escape(f"model.language_model.layers.{layer}.{name}"))


class SteeredBlock(BeftLinear):
    """BEFT around a module that is no Linear and gives (batch, tokens, hidden)."""

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: BeftConfig, hidden_size: int):
        nn.Module.__init__(self)
        self.base_layer, self.beft_bias = base_layer, nn.ParameterDict({})
        self._disable_adapters, self.merged_adapters = False, []
        self.in_features = self.out_features = hidden_size
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config=config)

    def update_layer(self, adapter_name: str, config: BeftConfig, **kwargs) -> None:
        self.base_layer.bias = None  # what PEFT asks a base layer for
        super().update_layer(adapter_name, config, **kwargs)

    def _get_base_layer_device_and_dtype(self, base_layer: nn.Module):
        return super()._get_base_layer_device_and_dtype(base_layer.gate)


class SteerModel(BeftModel):
    """BEFT that takes a block of experts too; PEFT is told of it where adapters are loaded."""

    tuner_layer_cls = BeftLayer

    @staticmethod
    def _create_new_module(beft_config, adapter_name, target, **kwargs):
        block = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if hasattr(block, "experts") and hasattr(block, "gate"):
            return SteeredBlock(target, adapter_name, beft_config, block.gate.weight.shape[-1])
        return BeftModel._create_new_module(beft_config, adapter_name, target, **kwargs)

    def _replace_module(self, parent, child_name, new_module, child):
        if any(vector.is_meta for vector in new_module.beft_bias.values()):
            setattr(parent, child_name, new_module)  # PEFT would move it, which an empty tensor cannot be
        else:
            super()._replace_module(parent, child_name, new_module, child)
