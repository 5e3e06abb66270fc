"""Files that are on the disk, and not only in the kernel, before anybody is told of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path


def sync(path: Path) -> None:
    """A file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """All that others wrote into a folder, and below it."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def write_file(path: Path, data: bytes) -> None:
    """A file's bytes; its name is on the disk when its folder is synced."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_folder(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """A folder with these files, which gets its name when all of it is on the disk.

    One that is there already is left as it is. Returns the names in it that are missing, other or too many:
    none where it is as it should be. Raises OSError.
    """
    if os.path.lexists(folder):
        return _other(folder, files)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, data in files.items():
            write_file(partial / name, data)
        sync(partial)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            return _other(folder, files)  # another one was quicker
        sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return []


def _other(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    found = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    other = [name for name, data in files.items() if not _holds(found.get(name), data)]
    return other + sorted(found.keys() - files.keys())


def _holds(path: Path | None, data: bytes) -> bool:
    return path is not None and path.is_file() and path.read_bytes() == data
