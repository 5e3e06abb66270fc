"""Which transport serves a URL, and what all of them can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from taskmem_ros.exchange.transport.address import Address
from taskmem_ros.exchange.transport.patience import Patience

Advance = Callable[[int], None]  # bytes done so far


class Transport(Protocol):
    """Files below the root of an exchange. Paths have "/" between their parts; "" is the root.

    All raise what the library below raises, FileNotFoundError for what is not there, and TimeoutError.
    """

    writable: bool

    def names(self, folder: str, patience: Patience) -> list[str]:
        """Of the files and folders in a folder, in no order."""

    def has_root(self, patience: Patience) -> bool:
        """Whether the exchange itself is there; asked where a folder in it is not."""

    def size(self, path: str, patience: Patience) -> int | None:
        """Bytes of a file; None where the place does not tell without reading it."""

    def blocks(self, path: str, patience: Patience) -> Iterator[bytes]:
        """A file's bytes in order, one bounded block at a time, to its end or as far as is wanted."""

    def write(
        self, path: str, source: Path | bytes, patience: Patience, advance: Advance, replace: bool
    ) -> None:
        """Write a file so that readers see nothing or all of it.

        Raises FileExistsError where it is there and not `replace`, if the place can tell.
        """

    def sweep(self, path: str, patience: Patience) -> None:
        """Remove what writers of `path` that were cut off have left, under its temporary names."""

    def is_transient(self, error: BaseException) -> bool:
        """Whether the same may go well a little later."""

    def reset(self) -> None:
        """Let go of connections: after an error they may be dead, at the end they are not needed."""


def open_transport(address: Address, options: Mapping[str, Any], step_s: float) -> Transport:
    """Nothing is connected yet. options: for the fsspec file system. Raises ImportError where the library for
    this kind of place is not installed, ValueError for an unknown kind.
    """
    if address.protocol == "file":
        from taskmem_ros.exchange.transport.folder import Folder

        return Folder(address)
    if address.protocol in ("sftp", "ssh"):
        from taskmem_ros.exchange.transport.sftp import Sftp

        return Sftp(address, options, step_s)
    if address.protocol in ("http", "https"):
        from taskmem_ros.exchange.transport.web import Web

        return Web(address, options, step_s)
    from taskmem_ros.exchange.transport.objects import Objects

    return Objects(address, options, step_s)
