"""Files on this side of an exchange: hashed before they leave, written whole when they come.

All raise PlaceError where the disk or the folder is at fault, so that nobody looks for it at the other end.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskmem_ros.exchange.place_errors import PlaceError
from taskmem_ros.exchange.transport.folder import is_partial_of, partial_name

BLOCK = 1 << 20


class PulledFile:
    """A file while it comes: `write` its blocks, `keep` it when it is right; else nothing of it stays.

    It has its name when all of it is on the disk. size: how large it will be; the disk must have the room.
    """

    def __init__(self, path: Path, size: int = 0):
        self._path, self._size = path, size
        self._partial = path.with_name(partial_name(path.name))
        self._digest = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._digest.hexdigest()

    def __enter__(self) -> PulledFile:
        make_folder(self._path.parent)
        with _written(self._path):
            free = shutil.disk_usage(self._path.parent).free
            if self._size > free:
                raise PlaceError(
                    f"{self._path.parent} has room for {free} bytes and {self._size} are to come; make room"
                )
            self._file = self._partial.open("xb")
        return self

    def __exit__(self, *exception: object) -> None:
        with _written(self._path):
            self._partial.unlink(missing_ok=True)
            self._file.close()

    def write(self, block: bytes) -> None:
        with _written(self._path):
            self._file.write(block)
        self._digest.update(block)
        self.bytes += len(block)

    def keep(self) -> None:
        with _written(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._partial.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            for found in self._path.parent.iterdir():  # of pulls that were killed
                if is_partial_of(found.name, self._path.name):
                    found.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    with PulledFile(path, len(data)) as file:
        file.write(data)
        file.keep()


def make_folder(path: Path) -> None:
    with _written(path):
        path.mkdir(parents=True, exist_ok=True)


def read_bytes(path: Path) -> bytes:
    """Of a small file."""
    with _read(path):
        return path.read_bytes()


def about_file(path: Path) -> tuple[int, str]:
    """(bytes, sha256) of a file."""
    digest, size = hashlib.sha256(), 0
    with _read(path), path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def about_bytes(data: bytes) -> tuple[int, str]:
    """(bytes, sha256) of these."""
    return len(data), hashlib.sha256(data).hexdigest()


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except PlaceError:
        raise
    except OSError as error:
        raise PlaceError(
            f"{path} cannot be written ({error.strerror}); make room, or name another folder"
        ) from error


@contextmanager
def _read(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PlaceError(f"{path} cannot be read ({error.strerror}); was it moved or removed?") from error
