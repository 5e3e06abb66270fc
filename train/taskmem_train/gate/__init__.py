"""The gate: an adapter is published only when held-out tasks say that it is better and as truthful."""

from taskmem_train.gate.folder import publish, refuse
from taskmem_train.gate.measures import Measures
from taskmem_train.gate.report import Example, GateReport
from taskmem_train.gate.rules import Check, Decision, GateRules, decide

__all__ = [
    "Check",
    "Decision",
    "Example",
    "GateReport",
    "GateRules",
    "Measures",
    "decide",
    "publish",
    "refuse",
]
