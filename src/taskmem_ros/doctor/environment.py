"""Python, its packages, SQLite, and the graphics processor."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

from taskmem_ros.doctor.check import FAIL, OK, WARN, Check

MINIMUM_PYTHON = (3, 10)
MODEL_PACKAGES = ("torch", "transformers", "accelerate", "safetensors")
NEEDED = ("numpy", "sqlite-utils", "json_repair", "opencv-python-headless", *MODEL_PACKAGES)
USEFUL = {
    "bitsandbytes": "quantization nf4 and int8",
    "peft": "adapters",
    "rosbags": "`taskmem ingest` of bags",
    "rosbags-image": "images of every encoding where no cv_bridge works",
    "tqdm": "progress of `taskmem ingest`",
}
# One library, several packages that bring it: pip's, Debian's and conda's.
BY_OTHER_NAMES = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
}
INSTALL = "pip install {name} (or `make setup`, which installs the tried versions of all)"


def check_environment() -> Iterator[Check]:
    """Python, packages with their versions, SQLite with its word search."""
    version = platform.python_version()
    where = f"{version} ({sys.executable}), {platform.system()} {platform.machine()}"
    if sys.version_info >= MINIMUM_PYTHON:
        yield Check("environment", "python", OK, where)
    else:
        yield Check("environment", "python", FAIL, where, "Use Python 3.10 or newer.")
    for name in NEEDED:
        found = _version(name)
        fix = "" if found else INSTALL.format(name=name)
        yield Check("environment", name, OK if found else FAIL, found or "is not installed", fix)
    for name, use in USEFUL.items():
        found = _version(name)
        fix = "" if found else INSTALL.format(name=name)
        yield Check("environment", name, OK if found else WARN, found or f"is not installed: no {use}", fix)
    yield _sqlite()


def check_gpu() -> Iterator[Check]:
    """What models can run on. Imports torch."""
    try:
        import torch
    except ImportError as error:
        yield Check("gpu", "torch", FAIL, f"does not import: {error}", INSTALL.format(name="torch"))
        return
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            yield Check("gpu", f"cuda:{index}", OK, f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")
        return
    cards = _nvidia_cards()
    if cards:
        text = f"{', '.join(cards)}, and torch {torch.__version__} cannot use it"
        fix = "Install a CUDA build of torch that fits the driver (pytorch.org/get-started)."
        yield Check("gpu", "cuda", WARN, text, fix)
    else:
        text = f"none found; models run on the processor ({torch.get_num_threads()} threads)"
        yield Check("gpu", "cuda", OK, f"{text}: enough for the demo model, slow for 2B and more")


def _version(name: str) -> str:
    for candidate in (name, *BY_OTHER_NAMES.get(name, ())):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _sqlite() -> Check:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE t USING fts5 (text, tokenize = 'porter unicode61')")
    except sqlite3.OperationalError as error:
        fix = "Use a Python whose SQLite has FTS5 (Debian's and Ubuntu's have)."
        return Check(
            "environment", "sqlite", FAIL, f"{sqlite3.sqlite_version} without word search: {error}", fix
        )
    finally:
        connection.close()
    if sqlite3.sqlite_version_info < (3, 37):
        return Check(
            "environment", "sqlite", FAIL, sqlite3.sqlite_version, "Use a Python with SQLite 3.37 or newer."
        )
    return Check("environment", "sqlite", OK, f"{sqlite3.sqlite_version} with FTS5")


def _nvidia_cards() -> list[str]:
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip().splitlines() if done.returncode == 0 else []
