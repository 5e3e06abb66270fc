"""Removing the last traces of what was deleted from a SQLite file: `scrub.py`, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from taskmem_ros.memory import scrub
from taskmem_ros.memory.types import StoreError

PATIENCE_S = 20.0


def remove_traces(path: Path, patience_s: float = PATIENCE_S) -> None:
    """Zeros where the file's pages hold nothing, and an empty log.

    Raises StoreError where somebody reads the log for longer than patience_s.
    """
    command = [sys.executable, "-I", scrub.__file__, str(path), str(patience_s)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        raise StoreError(
            f"What you named is deleted, but traces are left in the log of {path} because another "
            "program has been reading it all the time; end that program and forget the same again."
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise StoreError(
            f"What you named is deleted, but traces are left in {path} ({lines[-1]}); try again."
        )
