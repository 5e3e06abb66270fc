"""An exchange in an object store: S3 and what speaks it, and by fsspec all others (gs://, abfs://, ...).

One put is atomic there, also one of several parts; temporary names are not needed.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import Callback

from taskmem_ros.exchange.transport.address import Address
from taskmem_ros.exchange.transport.patience import Patience, is_transient

BLOCK = 1 << 20
# The smallest that S3 takes. Its parts go one after the other, so that slow links finish each in time.
PART = 5 << 20
# Codes of HTTP that mean "later"; 409: two conditional writes at once.
_LATER = {408, 409, 425, 429, 500, 502, 503, 504}
_CONFLICT = 412
_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded"}


class Objects:
    """A transport, see `choose.Transport`."""

    writable = True

    def __init__(self, address: Address, options: Mapping[str, Any], step_s: float):
        self._root = address.host + address.path
        self._bucket = address.host
        self._fs = fsspec.filesystem(
            address.protocol,
            skip_instance_cache=True,
            **_defaults(address, step_s, options),
        )
        if not isinstance(self._fs, AsyncFileSystem):
            raise ValueError(
                f"an exchange cannot be at {address.protocol}://; use a folder, sftp://, s3://, gs:// or http://"
            )
        self._is_s3 = address.protocol in ("s3", "s3a")

    def names(self, folder: str, patience: Patience) -> list[str]:
        root = self._path(folder)
        found = patience.run(self._fs.loop, self._fs._ls(root, detail=False, refresh=True))
        names = (path.rstrip("/").rpartition("/") for path in found)
        return [name for parent, _, name in names if name and parent.lstrip("/") == root.lstrip("/")]

    def has_root(self, patience: Patience) -> bool:
        """Only the bucket can be missing: folders are but the names of what is in them."""
        try:
            patience.run(self._fs.loop, self._fs._ls(self._bucket, detail=False, refresh=True))
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str, patience: Patience) -> int | None:
        self._fs.invalidate_cache()
        found = patience.run(self._fs.loop, self._fs._info(self._path(path), refresh=True))
        if found["type"] != "file":
            raise FileNotFoundError(path)
        return found["size"]

    def blocks(self, path: str, patience: Patience) -> Iterator[bytes]:
        done, size = 0, self.size(path, patience)
        while done < size:
            end = min(size, done + BLOCK)
            block = patience.run(self._fs.loop, self._fs._cat_file(self._path(path), start=done, end=end))
            if len(block) != end - done:
                raise OSError(f"the store gave {len(block)} bytes where {end - done} were asked for")
            done = end
            yield block

    def write(
        self,
        path: str,
        source: Path | bytes,
        patience: Patience,
        advance: Callable[[int], None],
        replace: bool,
    ) -> None:
        # Only if the name is free, where the store can do that; else the caller has looked.
        try:
            self._put(path, source, patience, advance, {"mode": "overwrite" if replace else "create"})
        except OSError as error:
            if not replace and _status(error) == _CONFLICT:
                raise FileExistsError(errno.EEXIST, "it is there already", path) from error
            if replace or error.errno not in (errno.ENOSYS, errno.ENOTSUP):
                raise
            self._put(path, source, patience, advance, {})
        except NotImplementedError:
            self._put(path, source, patience, advance, {})

    def sweep(self, path: str, patience: Patience) -> None:
        """Nothing shows of an upload that was cut off; stores have rules to drop its parts after days."""

    def is_transient(self, error: BaseException) -> bool:
        status, code = _status(error), _code(error)
        if status is not None:
            return status in _LATER or code in _THROTTLED
        return is_transient(error) or _is_of_network(error)

    def reset(self) -> None:
        self._fs.invalidate_cache()

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _put(
        self,
        path: str,
        source: Path | bytes,
        patience: Patience,
        advance: Callable[[int], None],
        how: dict[str, str],
    ) -> None:
        moved = _Moved(patience, advance)
        if isinstance(source, bytes):
            job = self._fs._pipe_file(self._path(path), source, **how)
        else:
            parts = {"chunksize": PART, "max_concurrency": 1} if self._is_s3 else {}
            job = self._fs._put_file(str(source), self._path(path), callback=moved, **how, **parts)
        patience.run(self._fs.loop, job)
        advance(len(source) if isinstance(source, bytes) else source.stat().st_size)


class _Moved(Callback):
    """fsspec's progress as ours."""

    def __init__(self, patience: Patience, advance: Callable[[int], None]):
        super().__init__()
        self._patience, self._advance = patience, advance

    def call(self, *args: Any, **kwargs: Any) -> None:
        self._patience.touch()
        self._advance(self.value)


def _defaults(address: Address, step_s: float, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with what a URL and the patience say; those given win."""
    found: dict[str, Any] = {"use_listings_cache": False}
    if address.protocol in ("s3", "s3a"):
        if address.user:
            found |= {"key": address.user, "secret": address.password}
        # Trying again is the place's business, not also the two libraries'.
        patient = {"connect_timeout": step_s, "read_timeout": step_s, "retries": {"max_attempts": 1}}
        found["config_kwargs"] = {**patient, **options.get("config_kwargs", {})}
    return found | {
        name: value for name, value in options.items() if name != "config_kwargs" or name not in found
    }


def _chain(error: BaseException) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    """The HTTP status that led to the error, None where it was none."""
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        for name in ("status", "status_code", "code"):
            if type(value := getattr(link, name, None)) is int:
                return value
    return None


def _code(error: BaseException) -> str | None:
    responses = (getattr(link, "response", None) for link in _chain(error))
    return next((found.get("Error", {}).get("Code") for found in responses if isinstance(found, dict)), None)


def _is_of_network(error: BaseException) -> bool:
    """Errors of botocore and aiohttp that are none of the system's."""
    try:
        from botocore.exceptions import ConnectionError as BotoConnectionError
        from botocore.exceptions import HTTPClientError, SSLError
    except ImportError:  # another store's library
        return isinstance(error, asyncio.IncompleteReadError)
    return isinstance(error, (BotoConnectionError, HTTPClientError)) and not isinstance(error, SSLError)
