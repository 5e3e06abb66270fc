"""An exchange that is a folder: of this machine, or mounted (NFS, SMB, a stick)."""

from __future__ import annotations

import errno
import logging
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from taskmem_ros.exchange.transport.address import Address
from taskmem_ros.exchange.transport.patience import Patience, is_transient

log = logging.getLogger(__name__)

BLOCK = 1 << 20
# File systems without links (FAT, some mounts of SMB) say so in one of these ways.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


def partial_name(name: str) -> str:
    """What a file is called while it is written; `is_partial_of` knows it again."""
    return f".{name}.{uuid.uuid4().hex}.partial"


def is_partial_of(name: str, of: str) -> bool:
    return name.startswith(f".{of}.") and name.endswith(".partial")


class Folder:
    """A transport, see `choose.Transport`. A hanging mount is not ours to interrupt."""

    writable = True

    def __init__(self, address: Address):
        self._root = Path(address.path).expanduser().absolute()

    def names(self, folder: str, patience: Patience) -> list[str]:
        patience.touch()
        try:
            return os.listdir(self._root / folder)
        except NotADirectoryError as error:
            raise FileNotFoundError(*error.args) from error

    def has_root(self, patience: Patience) -> bool:
        return self._root.is_dir()

    def size(self, path: str, patience: Patience) -> int | None:
        patience.touch()
        with self._opened(path) as file:
            return os.fstat(file.fileno()).st_size

    def blocks(self, path: str, patience: Patience) -> Iterator[bytes]:
        with self._opened(path) as file:
            while block := file.read(BLOCK):
                patience.touch()
                yield block

    def write(
        self,
        path: str,
        source: Path | bytes,
        patience: Patience,
        advance: Callable[[int], None],
        replace: bool,
    ) -> None:
        target = self._root / path
        self._make_folders(target.parent)
        partial = target.with_name(partial_name(target.name))
        try:
            with partial.open("xb") as file:
                done = 0
                for block in _blocks_of(source):
                    file.write(block)
                    done += len(block)
                    patience.touch()
                    advance(done)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                partial.replace(target)
            else:
                _place(partial, target)
            _sync(target.parent)
        finally:
            partial.unlink(missing_ok=True)

    def sweep(self, path: str, patience: Patience) -> None:
        folder, _, name = path.rpartition("/")
        for found in self.names(folder, patience):
            if is_partial_of(found, name):
                (self._root / folder / found).unlink(missing_ok=True)

    def is_transient(self, error: BaseException) -> bool:
        return is_transient(error)

    def reset(self) -> None:
        pass

    def _opened(self, path: str):
        """A regular file, and nothing else: opening a pipe would wait for ever, a link leads elsewhere."""
        handle = os.open(self._root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(handle, "rb")
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            file.close()
            raise OSError(errno.EINVAL, "it is no regular file", path)
        return file

    def _make_folders(self, folder: Path) -> None:
        """Down from the root, whose own parent must be there: a mount that is missing is not made up."""
        if not self._root.is_dir():
            self._root.mkdir(exist_ok=True)
            _sync(self._root.parent)
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            for made in (folder, *folder.parents):
                _sync(made)
                if made == self._root:
                    break


def _place(partial: Path, target: Path) -> None:
    """Give the file its name, if that is free: of two writers one gets FileExistsError."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        log.debug("%s takes no links (%s); its files are renamed", target.parent, error)
        if target.exists():
            raise FileExistsError(errno.EEXIST, "it is there already", str(target)) from error
        partial.replace(target)


def _blocks_of(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # mounts that sync no folders
            raise
    finally:
        os.close(handle)
