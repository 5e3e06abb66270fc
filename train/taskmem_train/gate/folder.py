"""The result of the gate on the disk: a published adapter's folder, or why there is none."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from taskmem_ros.durable import sync, write_file, write_folder
from taskmem_ros.policy.adapter import CONFIG_FILE, WEIGHTS_FILE, Adapter
from taskmem_train.gate.card import card
from taskmem_train.gate.report import GateReport

REPORT_FILE, CARD_FILE, REFUSED_FILE = "gate.json", "README.md", "refused.json"


def publish(adapter_folder: str | Path, out: str | Path, report: GateReport) -> Path:
    """The folder `out`: the adapter as PEFT's save_pretrained wrote it, gate.json and the model card.

    It gets its name when all of it is on the disk. A folder that holds the same already is left as it is.
    Returns its path. Raises ValueError where the report's decision is not to publish, where the adapter
    cannot be read or has numbers that are not finite, and where `out` holds something else.
    """
    adapter_folder, out = Path(adapter_folder), Path(out)
    if not report.decision.published:
        raise ValueError(f"the gate refused {report.name!r}: {' '.join(report.decision.reasons)}")
    check_adapter(adapter_folder)
    files = {name: (adapter_folder / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)}
    files |= {REPORT_FILE: report.json().encode(), CARD_FILE: card(report).encode()}
    if other := write_folder(out, files):
        raise ValueError(
            f"{out} is there already with something else ({', '.join(other)}); publish to another folder"
        )
    return out


def check_adapter(folder: str | Path) -> None:
    """Raise ValueError where an adapter cannot be read or has numbers that are not finite."""
    for name, tensor in Adapter.read(folder).weights.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"adapter {str(folder)!r} has numbers in {name} that are not finite")


def refuse(run_folder: str | Path, report: GateReport) -> Path:
    """refused.json in the run's folder, for people to read why; an older one is replaced. Returns its path.

    Raises ValueError where the decision is to publish.
    """
    if report.decision.published:
        raise ValueError(f"the gate let {report.name!r} through; publish it")
    folder = Path(run_folder)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{REFUSED_FILE}.{os.getpid()}.partial"
    try:
        write_file(partial, report.json().encode())
        partial.replace(folder / REFUSED_FILE)
        sync(folder)
    finally:
        partial.unlink(missing_ok=True)
    return folder / REFUSED_FILE
