"""Files of an exchange, whatever it is: read within bounds, written once, tried again where that may help."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from taskmem_ros.exchange.local import PulledFile
from taskmem_ros.exchange.place_errors import (
    NotInPlace,
    PlaceConflict,
    PlaceDamaged,
    PlaceError,
    PlaceUnreachable,
)
from taskmem_ros.exchange.transport import Patience, open_transport, read_url
from taskmem_ros.exchange.transport.patience import OutOfTime

T = TypeVar("T")
Progress = Callable[[int, int, str], None]
log = logging.getLogger(__name__)


class Remote:
    """Below the URL's root, paths with "/". Each call is one step of an operation, whose patience it shares.

    All raise PlaceError. See `place.Place` for the arguments.
    """

    def __init__(self, url: str, options: Mapping[str, Any], step_s: float, retries: int, progress: Progress):
        try:
            self._address = read_url(url)
            self._transport = open_transport(self._address, options, step_s)
        except ImportError as error:
            raise PlaceError(
                f"the exchange at {self._address.url} needs the Python package {error.name}, which is not "
                "installed; run: pip install 'taskmem[sync]'"
            ) from error
        except ValueError as error:
            raise PlaceError(str(error)) from error
        self.url = self._address.url
        self._retries, self._progress = retries, progress

    def reset(self) -> None:
        self._transport.reset()

    @property
    def writable(self) -> bool:
        return self._transport.writable

    def need_writable(self, what: str) -> None:
        if not self.writable:
            raise PlaceError(
                f"cannot {what} at {self.url}, which is read only; name the folder, host or bucket behind it"
            )

    def at(self, path: str) -> str:
        return f"{self.url.rstrip('/')}/{path}"

    def names(self, folder: str, patience: Patience) -> list[str]:
        """In a folder; of one that nobody has made yet, none."""

        def job() -> list[str] | None:
            try:
                return self._transport.names(folder, patience)
            except FileNotFoundError:
                return [] if self._transport.has_root(patience) else None

        names = self._tried(f"list {folder}", job, patience)
        if names is None:
            raise NotInPlace(
                f"there is no exchange at {self.url}; make that folder or bucket, or mend the URL"
            )
        return names

    def read(self, path: str, limit: int, patience: Patience) -> bytes | None:
        """A small file; None where there is none. What is larger than `limit` is not read."""

        def job() -> bytes | None:
            data = bytearray()
            try:
                if (self._transport.size(path, patience) or 0) > limit:
                    raise self._too_large(path, limit)
                for block in self._transport.blocks(path, patience):
                    data += block
                    if len(data) > limit:
                        raise self._too_large(path, limit)
                    self._progress(len(data), 0, f"read {path}")
            except FileNotFoundError:
                return None
            return bytes(data)

        return self._tried(f"read {path}", job, patience)

    def put(
        self, path: str, source: Path | bytes, about: tuple[int, str], patience: Patience, *, replace=False
    ) -> None:
        """Write a file, unless the same is there. about: its bytes and sha256; replace: also over another."""
        size, sha256 = about

        def job() -> None:
            found = self._found(path, patience)
            if found == size and self._hash(path, size, patience) == sha256:
                return
            if found is not None and not replace:
                raise self.conflict(path)
            try:
                self._transport.write(path, source, patience, advance, replace=found is not None)
            except (FileExistsError, FileNotFoundError) as error:
                # Another was faster, perhaps with the same: it has the name, or has swept after it was done.
                found = self._found(path, patience)
                if found is None:
                    raise
                if found != size or self._hash(path, size, patience) != sha256:
                    raise self.conflict(path) from error

        def advance(done: int) -> None:
            self._progress(done, size, f"push {path}")

        self._tried(f"push {path}", job, patience)

    def pull(self, path: str, target: Path, size: int, sha256: str | None, patience: Patience) -> None:
        """Fetch a file of exactly that size, and sha256 unless None; under its name only when it is right."""

        def job() -> None:
            found = self._transport.size(path, patience)
            if found is not None and found != size:
                raise self._damaged(path, f"{found} bytes and not {size}")
            with PulledFile(target, size) as file:
                for block in self._transport.blocks(path, patience):
                    if file.bytes + len(block) > size:
                        raise self._damaged(path, f"more than {size} bytes")
                    file.write(block)
                    self._progress(file.bytes, size, f"pull {path}")
                if file.bytes < size and found is not None:
                    raise ConnectionError(f"it ended after {file.bytes} of {size} bytes")
                if file.bytes < size:
                    raise self._damaged(path, f"{file.bytes} bytes and not {size}")
                if sha256 is not None and file.sha256 != sha256:
                    raise self._damaged(path, f"sha256 {file.sha256} and not {sha256}")
                file.keep()

        self._tried(f"pull {path}", job, patience)

    def sweep(self, paths: Iterable[str], patience: Patience) -> None:
        """Remove what writers that were cut off left of things that are whole now: nobody needs it."""
        for path in paths:
            try:
                self._transport.sweep(path, patience)
            except Exception as error:  # what was pushed stands, and the next push sweeps again
                log.debug("what was left of %s stays (%s)", self.at(path), self._address.clean(str(error)))

    def conflict(self, path: str) -> PlaceConflict:
        return PlaceConflict(
            f"{self.at(path)} is there already with other content, and what is there is never changed: "
            "give yours another name, or remove that one by hand"
        )

    def _found(self, path: str, patience: Patience) -> int | None:
        try:
            return self._transport.size(path, patience)
        except FileNotFoundError:
            return None

    def _hash(self, path: str, size: int, patience: Patience) -> str:
        """sha256 of the file there, of at most so many bytes and one block."""
        digest, done = hashlib.sha256(), 0
        for block in self._transport.blocks(path, patience):
            digest.update(block)
            done += len(block)
            self._progress(done, size, f"compare {path}")
            if done > size:
                break
        return digest.hexdigest()

    def _tried(self, what: str, job: Callable[[], T], patience: Patience) -> T:
        """The job's result, tried again after errors that pass. Raises PlaceError."""
        tried = 0
        while True:
            try:
                return job()
            except PlaceError:
                raise
            except Exception as error:
                self._transport.reset()
                failure = self._failure(what, error)
                may_pass = isinstance(failure, PlaceUnreachable) and not isinstance(error, OutOfTime)
                if not may_pass or tried >= self._retries:
                    raise failure from error
                log.info("%s; trying again", failure)
                self._progress(0, 0, f"{what}, waiting to try again")
                try:
                    patience.before_try(tried)
                except OutOfTime:
                    raise failure from error
                tried += 1

    def _failure(self, what: str, error: Exception) -> PlaceError:
        """A library's error as a sentence."""
        reason = self._address.clean(str(error)) or type(error).__name__
        where = f"cannot {what} at {self.url}: {reason}"
        if isinstance(error, OutOfTime):
            return PlaceUnreachable(f"{where}; is the link too slow, or the deadline too short?")
        if self._transport.is_transient(error):
            return PlaceUnreachable(f"{where}; see whether it can be reached")
        if isinstance(error, FileNotFoundError):
            return NotInPlace(f"{where}; is the URL right, and was it removed?")
        if isinstance(error, PermissionError):
            return PlaceError(f"{where}; see whether the user, key or password may do that there")
        return PlaceError(f"{where} ({type(error).__name__}); mend that, or name another exchange")

    def _too_large(self, path: str, limit: int) -> PlaceDamaged:
        return PlaceDamaged(
            f"{self.at(path)} has more than {limit} bytes, so it is none of ours; remove it by hand"
        )

    def _damaged(self, path: str, what: str) -> PlaceDamaged:
        return PlaceDamaged(f"{self.at(path)} has {what}; who wrote it must push it anew, under another name")
