"""An exchange on a host that is reached by ssh: sshfs of fsspec, on asyncssh.

Not fsspec's own sftp, which is paramiko's: there a key exchange or a request without an answer blocks its
thread for ever, and unknown hosts are trusted. Here all runs in an event loop, and what hangs is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
from fsspec.asyn import get_loop
from fsspec.config import conf
from sshfs import SSHFileSystem

from taskmem_ros.exchange.place_errors import PlaceError
from taskmem_ros.exchange.transport.address import Address
from taskmem_ros.exchange.transport.folder import is_partial_of, partial_name
from taskmem_ros.exchange.transport.patience import Patience, is_transient

T = TypeVar("T")
log = logging.getLogger(__name__)

BLOCK = 1 << 20  # asyncssh asks for its parts at once
_FINAL = (
    asyncssh.PermissionDenied,
    asyncssh.HostKeyNotVerifiable,
    asyncssh.IllegalUserName,
    asyncssh.ProtocolNotSupported,
)
_LOST = (
    asyncssh.DisconnectError,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
    asyncssh.ChannelOpenError,
)


class Sftp:
    """A transport, see `choose.Transport`. Keys, agent, ~/.ssh/config and known_hosts are those of ssh."""

    writable = True

    def __init__(self, address: Address, options: Mapping[str, Any], step_s: float):
        given = {"port": address.port, "username": address.user, "password": address.password}
        self._host, self._root = address.host, address.path or "."
        self._options = {
            "known_hosts": (),  # ~/.ssh/known_hosts; sshfs alone would trust any host
            "connect_timeout": step_s,
            "login_timeout": step_s,
            "keepalive_interval": max(1.0, step_s / 4),
            "keepalive_count_max": 3,
            **{name: value for name, value in given.items() if value},
            **conf.get("sftp", {}),  # of FSSPEC_SFTP_... and fsspec's files; sshfs itself does not look
            **options,
        }
        self._step_s = step_s
        self._fs: SSHFileSystem | None = None
        self._client: asyncssh.SFTPClient | None = None

    def names(self, folder: str, patience: Patience) -> list[str]:
        names = self._run(patience, lambda sftp: sftp.listdir(self._path(folder)))
        return [name for name in names if name not in (".", "..")]

    def has_root(self, patience: Patience) -> bool:
        return self._run(patience, lambda sftp: sftp.isdir(self._root))

    def size(self, path: str, patience: Patience) -> int | None:
        return self._run(patience, lambda sftp: sftp.stat(self._path(path))).size

    def blocks(self, path: str, patience: Patience) -> Iterator[bytes]:
        file = self._run(patience, lambda sftp: sftp.open(self._path(path), "rb"))
        try:
            while block := self._run(patience, lambda _: file.read(BLOCK)):
                yield block
        finally:
            # Not waited for: the connection may be what has failed.
            asyncio.run_coroutine_threadsafe(file.close(), get_loop())

    def write(
        self,
        path: str,
        source: Path | bytes,
        patience: Patience,
        advance: Callable[[int], None],
        replace: bool,
    ) -> None:
        target = self._path(path)
        folder, name = posixpath.split(target)
        self._run(patience, lambda sftp: _make_folders(sftp, self._root, folder))
        partial = posixpath.join(folder, partial_name(name))
        written = False
        try:
            self._run(patience, lambda sftp: _upload(sftp, source, partial, patience, advance))
            self._run(patience, lambda sftp: _rename(sftp, partial, target, replace))
            written = True
        finally:
            if not written:
                self._remove_quietly(partial)

    def sweep(self, path: str, patience: Patience) -> None:
        folder, _, name = path.rpartition("/")
        for found in self.names(folder, patience):
            if is_partial_of(found, name):
                partial = posixpath.join(self._path(folder), found)
                self._run(patience, lambda sftp, partial=partial: sftp.remove(partial))

    def is_transient(self, error: BaseException) -> bool:
        if isinstance(error, _FINAL):
            return False
        return isinstance(error, _LOST) or is_transient(error)

    def reset(self) -> None:
        fs, self._fs, self._client = self._fs, None, None
        if fs is not None:
            # Not closed in good form, which would wait for the host.
            get_loop().call_soon_threadsafe(fs.client.abort)

    def _path(self, path: str) -> str:
        return posixpath.join(self._root, path) if path else self._root

    def _run(self, patience: Patience, job: Callable[[asyncssh.SFTPClient], Awaitable[T]]) -> T:
        """The job's result. Errors of the system are raised as such."""
        if self._client is None:
            self._connect(patience)
        try:
            return patience.run(get_loop(), job(self._client))
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
            raise FileNotFoundError(error.reason) from error
        except asyncssh.SFTPPermissionDenied as error:
            raise PermissionError(error.reason) from error

    def _connect(self, patience: Patience) -> None:
        try:
            # Its own instance: a cached one may hold a dead connection. The timeout is that of connecting.
            self._fs = SSHFileSystem(
                self._host, timeout=patience.left(), skip_instance_cache=True, **self._options
            )
        except FileNotFoundError as error:  # of a key; not to be taken for a file in the exchange
            raise PlaceError(f"ssh to {self._host} needs {error.filename}, which is not there") from error
        except asyncssh.HostKeyNotVerifiable as error:
            raise PlaceError(
                f"{error.reason}: see that its key is right and add it to ~/.ssh/known_hosts, as `ssh "
                f"{self._host}` does"
            ) from error
        except asyncssh.PermissionDenied as error:
            raise PermissionError(error.reason) from error
        self._client = patience.run(get_loop(), self._fs.client.start_sftp_client())

    def _remove_quietly(self, partial: str) -> None:
        """Only of ours. Where it cannot be, readers pass over it, and the next writer sweeps it."""
        if self._client is None:
            return
        try:
            self._run(Patience(2.0, 2.0), lambda sftp: sftp.remove(partial))
        except (OSError, asyncssh.Error) as error:
            log.debug("%s stays in the exchange for now (%s)", posixpath.basename(partial), error)


async def _make_folders(sftp: asyncssh.SFTPClient, root: str, folder: str) -> None:
    """Down from the root, whose own parent must be there."""
    if not await sftp.isdir(root):
        try:
            await sftp.mkdir(root)
        except asyncssh.SFTPError:
            if not await sftp.isdir(root):  # another was not faster
                raise
    await sftp.makedirs(folder, exist_ok=True)


async def _upload(
    sftp: asyncssh.SFTPClient,
    source: Path | bytes,
    partial: str,
    patience: Patience,
    advance: Callable[[int], None],
) -> None:
    def moved(_source: bytes, _target: bytes, done: int, _total: int) -> None:
        patience.touch()
        advance(done)

    if isinstance(source, bytes):
        size = len(source)
        async with sftp.open(partial, "xb") as file:
            await file.write(source)
        advance(size)
    else:
        size = source.stat().st_size
        await sftp.put(str(source), partial, progress_handler=moved)
    if (await sftp.stat(partial)).size != size:
        raise OSError(f"the host took {(await sftp.stat(partial)).size} of {size} bytes")
    async with sftp.open(partial, "r+b") as file:
        try:
            await file.fsync()
        except asyncssh.SFTPOpUnsupported:
            log.debug("the host cannot be told to put files on its disk at once")


async def _rename(sftp: asyncssh.SFTPClient, partial: str, target: str, replace: bool) -> None:
    """SFTP's rename does not replace a file, so of two writers one gets FileExistsError."""
    if not replace:
        try:
            return await sftp.rename(partial, target)
        except asyncssh.SFTPError as error:
            if await sftp.exists(target):  # and perhaps no partial any more: whoever was faster has swept
                raise FileExistsError(f"{target} is there already") from error
            raise
    try:
        await sftp.posix_rename(partial, target)
    except asyncssh.SFTPOpUnsupported:
        await sftp.remove(target)
        await sftp.rename(partial, target)
