"""The place where robots and workstations exchange bundles and adapters, named by a URL.

What lies where, and why a reader never sees half of a thing, is in docs/exchange.md. Doing anything twice is
doing it once.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from taskmem_ros.exchange.card import MAX_BYTES as MAX_CARD
from taskmem_ros.exchange.card import BundleCard, CardError
from taskmem_ros.exchange.keys import SIGNATURE_BYTES
from taskmem_ros.exchange.local import about_bytes, about_file, make_folder, read_bytes, write_bytes
from taskmem_ros.exchange.manifest import FILES
from taskmem_ros.exchange.manifest import MAX_BYTES as MAX_MANIFEST
from taskmem_ros.exchange.names import is_name, sequence_and_id
from taskmem_ros.exchange.package import MANIFEST_FILE, SIGNATURE_FILE
from taskmem_ros.exchange.place_errors import (
    NotInPlace,
    PlaceConflict,
    PlaceDamaged,
    PlaceError,
    PlaceUnreachable,
)
from taskmem_ros.exchange.remote import Progress, Remote
from taskmem_ros.exchange.strict import read_json
from taskmem_ros.exchange.transport import Patience

__all__ = [
    "NotInPlace",
    "Place",
    "PlaceConflict",
    "PlaceDamaged",
    "PlaceError",
    "PlaceUnreachable",
    "Progress",
]
log = logging.getLogger(__name__)


class Place:
    """An exchange. Nothing is connected before it is used. Not thread-safe.

    url: a folder, sftp://[USER@]HOST/FOLDER, s3://BUCKET/FOLDER, another object store that fsspec knows, or
    http(s)://HOST/FOLDER for reading. options: for the fsspec file system (s3: endpoint_url, key, secret;
    sftp: what asyncssh.connect takes). timeout_s: how long nothing may move; deadline_s: how long one call
    may take in all; retries: how often a step is tried again after an error that passes. progress: is called
    with bytes done, bytes in all (0: unknown) and what is being done, for each block, perhaps in another
    thread.

    Making one and all its calls raise PlaceError: PlaceUnreachable where later may be better, PlaceConflict,
    PlaceDamaged, NotInPlace; and itself for what is wrong on this side, such as a full disk.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        options: Mapping[str, Any] | None = None,
        timeout_s: float = 60.0,
        deadline_s: float = 3600.0,
        retries: int = 5,
        progress: Progress = lambda done, total, what: None,
    ):
        self._remote = Remote(str(url), options or {}, timeout_s, retries, progress)
        self.timeout_s, self.deadline_s = timeout_s, deadline_s

    @property
    def url(self) -> str:
        """Without a password."""
        return self._remote.url

    @property
    def writable(self) -> bool:
        """Whether anything can be pushed: a place on the web is only read."""
        return self._remote.writable

    def __repr__(self) -> str:
        return f"Place({self.url!r})"

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections; the next call makes new ones."""
        self._remote.reset()

    def robots(self) -> list[str]:
        """Names of the robots that ever pushed, sorted."""
        return self._folders("bundles", self._patience())

    def bundles(self, robot: str | None = None, *, skip: Container[str] = ()) -> list[BundleCard]:
        """Cards of the bundles that are whole, by robot and sequence: of one robot, or of all.

        skip: ids of bundles whose cards need not be read again. What is no card or cannot be read is passed
        over, with a line in the log.
        """
        patience = self._patience()
        if robot is not None:
            return self._cards(_name(robot, "robot"), skip, patience)
        cards: list[BundleCard] = []
        for name in self._folders("bundles", patience):
            with _passed_over():
                cards += self._cards(name, skip, patience)
        return cards

    def push_bundle(self, path: str | Path, card: BundleCard) -> bool:
        """Put a bundle's file there, then its card. False where the same was there already.

        Raises PlaceError also where the file is not what the card says.
        """
        patience = self._patience()
        self._remote.need_writable("push a bundle")
        path, about = Path(path), (card.bytes, card.sha256)
        if about_file(path) != about:
            raise PlaceDamaged(f"{path} is not the bundle that its card tells of; make the card again")
        bundle, card_file = (f"bundles/{card.robot}/{card.stem}.{end}" for end in ("bundle", "json"))
        there = self._card(card_file, patience)
        if there is not None:
            if (there.bytes, there.sha256) != about:
                raise self._remote.conflict(bundle)
            return False
        # Without its card it does not exist: what a host that lost power has left of it is replaced.
        self._remote.put(bundle, path, about, patience, replace=True)
        data = card.to_bytes()
        self._remote.put(card_file, data, about_bytes(data), patience)
        self._remote.sweep([bundle, card_file], patience)
        return True

    def pull_bundle(self, card: BundleCard, folder: str | Path) -> Path:
        """Fetch a bundle into a folder, under its name there. It has been hashed and is what its card says.

        Raises PlaceDamaged where it is not, NotInPlace where it is gone.
        """
        target, about = Path(folder) / card.bundle_name, (card.bytes, card.sha256)
        if not target.is_file() or about_file(target) != about:
            self._remote.pull(f"bundles/{card.robot}/{card.bundle_name}", target, *about, self._patience())
        return target

    def adapters(self, *, skip: Container[str] = ()) -> list[str]:
        """Ids of the adapters that are whole (have their signature), sorted. skip: ids not to ask for. What
        cannot be read is passed over, with a line in the log.
        """
        patience, found = self._patience(), []
        for id in self._folders("adapters", patience):
            with _passed_over():
                if id not in skip and SIGNATURE_FILE in self._remote.names(f"adapters/{id}", patience):
                    found.append(id)
        return found

    def adapter_manifest(self, id: str) -> tuple[bytes, bytes]:
        """The bytes of an adapter's manifest and of its signature, of which nothing is verified yet."""
        patience, base = self._patience(), f"adapters/{_name(id, 'adapter')}"
        signature = self._needed(f"{base}/{SIGNATURE_FILE}", SIGNATURE_BYTES, patience)
        return self._needed(f"{base}/{MANIFEST_FILE}", MAX_MANIFEST, patience), signature

    def push_adapter(self, folder: str | Path) -> bool:
        """Publish a packed adapter's folder, which is called by its id; the signature comes last.

        False where the same was there already. A manifest without a signature is replaced where it names the
        same key: its workstation has packed the adapter anew since a push that was cut.
        """
        patience, folder = self._patience(), Path(folder)
        self._remote.need_writable("publish an adapter")
        base = f"adapters/{_name(folder.name, 'adapter')}"
        names = [*(name for name in FILES if (folder / name).is_file()), MANIFEST_FILE, SIGNATURE_FILE]
        signed = [read_bytes(folder / name) for name in names[-2:]]
        signature = self._remote.read(f"{base}/{SIGNATURE_FILE}", SIGNATURE_BYTES, patience)
        if signature is not None:
            if [self._remote.read(f"{base}/{MANIFEST_FILE}", MAX_MANIFEST, patience), signature] != signed:
                raise self._remote.conflict(base)
            return False
        # A manifest that names the same key is our own of a push that was cut; unsigned, it is not there.
        there = self._remote.read(f"{base}/{MANIFEST_FILE}", MAX_MANIFEST, patience)
        ours = there is not None and _key(there) is not None and _key(there) == _key(signed[0])
        for name in names:
            about = about_file(folder / name)
            replace = ours and name == MANIFEST_FILE
            self._remote.put(f"{base}/{name}", folder / name, about, patience, replace=replace)
        self._remote.sweep([f"{base}/{name}" for name in names], patience)
        return True

    def pull_adapter(self, id: str, folder: str | Path, sizes: Mapping[str, int]) -> Path:
        """Fetch an adapter's manifest, signature and the named files, each of so many bytes, into `folder`.

        The folder is made where there is none. sizes: from a manifest whose signature was verified. The files
        are verified by `package.verify`, not here. Raises PlaceDamaged where a size is another.
        """
        patience, folder, base = self._patience(), Path(folder), f"adapters/{_name(id, 'adapter')}"
        other = sorted(set(sizes) - set(FILES))
        if other:
            raise PlaceError(f"an adapter has no file {other[0]!r:.100}; its files are {', '.join(FILES)}")
        make_folder(folder)
        for name, size in sizes.items():
            self._remote.pull(f"{base}/{name}", folder / name, size, None, patience)
        for name, data in zip((MANIFEST_FILE, SIGNATURE_FILE), self.adapter_manifest(id)):
            write_bytes(folder / name, data)
        return folder

    def _patience(self) -> Patience:
        return Patience(self.timeout_s, self.deadline_s)

    def _folders(self, folder: str, patience: Patience) -> list[str]:
        """Names of robots or adapters; what has another name is passed over."""
        names = self._remote.names(folder, patience)
        strange = sorted(name for name in names if not is_name(name))
        if strange:
            where = self._remote.at(folder)
            log.warning(
                "%s has %d names that are none of ours, such as %.100r", where, len(strange), strange[0]
            )
        return sorted(filter(is_name, names))

    def _cards(self, robot: str, skip: Container[str], patience: Patience) -> list[BundleCard]:
        folder, cards = f"bundles/{robot}", []
        for name in sorted(filter(sequence_and_id, self._remote.names(folder, patience))):
            sequence, id = sequence_and_id(name)
            if id in skip:
                continue
            with _passed_over():
                card = self._card(f"{folder}/{name}", patience)
                if card is None:
                    continue  # removed since it was listed
                if (card.robot, card.sequence, card.id) != (robot, sequence, id):
                    raise PlaceDamaged(f"{self._remote.at(f'{folder}/{name}')} is that of another bundle")
                cards.append(card)
        return cards

    def _card(self, path: str, patience: Patience) -> BundleCard | None:
        data = self._remote.read(path, MAX_CARD, patience)
        try:
            return None if data is None else BundleCard.from_bytes(data)
        except CardError as error:
            raise PlaceDamaged(f"{self._remote.at(path)} is no card of a bundle: {error}") from error

    def _needed(self, path: str, limit: int, patience: Patience) -> bytes:
        data = self._remote.read(path, limit, patience)
        if data is None:
            raise NotInPlace(f"there is no {self._remote.at(path)}; was it removed, or is it not whole yet?")
        return data


@contextmanager
def _passed_over() -> Iterator[None]:
    """One of many that is damaged, or not for us to read, with a line in the log: the others count."""
    try:
        yield
    except (PlaceUnreachable, NotInPlace):  # so would the others be
        raise
    except PlaceError as error:
        log.warning("passed over: %s", error)


def _key(manifest: bytes) -> str | None:
    """The key that a manifest names, which is not verified; None where it names none."""
    try:
        told = read_json(manifest)
    except ValueError:
        return None
    key = told.get("key") if isinstance(told, dict) else None
    return key if isinstance(key, str) and key else None


def _name(name: str, what: str) -> str:
    if not is_name(name):
        raise PlaceError(f"{name!r:.100} is no name of a {what}; it has letters, digits and . _ - only")
    return name
