"""The gate: an adapter is published only when held-out tasks say that it is better and as truthful."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskmem_train.gate.command import run_gate
    from taskmem_train.gate.folder import publish, refuse
    from taskmem_train.gate.held_out import HeldOut, measure
    from taskmem_train.gate.measures import Measures
    from taskmem_train.gate.report import Example, GateReport
    from taskmem_train.gate.rules import Check, Decision, GateRules, decide
    from taskmem_train.gate.settings import GateConfig

# Loaded on first use: the command's help needs no torch.
_ON_USE = {
    "command": ("run_gate",),
    "folder": ("publish", "refuse"),
    "held_out": ("HeldOut", "measure"),
    "measures": ("Measures",),
    "report": ("Example", "GateReport"),
    "rules": ("Check", "Decision", "GateRules", "decide"),
    "settings": ("GateConfig",),
}
_MODULE_OF = {name: module for module, names in _ON_USE.items() for name in names}

__all__ = [
    "Check",
    "Decision",
    "Example",
    "GateConfig",
    "GateReport",
    "GateRules",
    "HeldOut",
    "Measures",
    "decide",
    "measure",
    "publish",
    "refuse",
    "run_gate",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
