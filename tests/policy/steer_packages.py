"""Signed packages of steering vectors for a checkpoint's folder: harmless ones, and ones that ruin it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from taskmem_ros.exchange.keys import SigningKey, trust
from taskmem_ros.exchange.manifest import AdapterManifest, next_id
from taskmem_ros.exchange.package import pack
from taskmem_ros.policy import PROMPT_HASH
from taskmem_ros.policy.load import find_checkpoint

LAYER = 1
MODULE = f"model.language_model.layers.{LAYER}.mlp.down_proj"
HARMLESS, RUINOUS = 1e-4, 3.9


class Workshop:
    """Makes adapters for a base model, signed with a key that `keyring` trusts."""

    def __init__(self, folder: Path, model: str, revision: str):
        self.keyring, self._folder = folder / "trusted_keys", folder / "workshop"
        self._model, self._revision = model, revision
        self._serial = self._made = 0
        self.key = SigningKey.generate()
        folder.mkdir(parents=True, exist_ok=True)
        trust(self.keyring, self.key.public_line("workshop"))
        config = json.loads((Path(find_checkpoint(model)[0]) / "config.json").read_text())
        self._hidden = config["text_config"]["hidden_size"]

    def make(
        self, out: Path, scale: float = HARMLESS, *, serial: int | None = None, revision: str = "", **wrong
    ) -> Path:
        """The package's folder in `out`; its name is the adapter's id."""
        self._serial, self._made = serial or self._serial + 1, self._made + 1
        random = np.random.default_rng(self._made)
        vector = (scale * random.choice([-1.0, 1.0], (1, self._hidden))).astype(np.float32)
        weights = save({f"base_model.model.{MODULE}.beft_bias": vector})
        config = {"peft_type": "BEFT", "target_modules": MODULE.replace(".", r"\."), "init_weights": True}
        plain = self._folder / str(self._made)
        plain.mkdir(parents=True, exist_ok=True)
        (plain / "adapter_model.safetensors").write_bytes(weights)
        (plain / "adapter_config.json").write_text(json.dumps(config | {"inference_mode": True}))
        about = dict(
            id=next_id(f"made-{self._made}", 0, hashlib.sha256(weights).hexdigest()),
            serial=self._serial,
            base_model=self._model,
            base_revision=revision or self._revision,
            prompt_hash=PROMPT_HASH,
            kind="steer",
            layer=LAYER,
            created_ns=0,
        )
        return pack(plain, out, AdapterManifest(**about | wrong), self.key)
