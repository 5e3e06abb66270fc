"""Adapters that come from an exchange: which of them concern this robot, and the newest one into its store.

Of what lies in an exchange nothing is believed. The signature over the manifest is verified before a file of
the adapter is pulled, only what the manifest names is pulled, and all of it is verified before it gets a name
among this robot's adapters. Newer means a higher serial, so that an old adapter cannot come again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from taskmem_ros.durable import sync, sync_tree
from taskmem_ros.exchange.keys import KEYRING, Keyring
from taskmem_ros.exchange.manifest import AdapterManifest, PackageError
from taskmem_ros.exchange.notebook import BROKEN, REFUSED, Notebook, Seen
from taskmem_ros.exchange.package import MANIFEST_FILE, SIGNATURE_FILE, read_manifest, verify
from taskmem_ros.exchange.place import Place
from taskmem_ros.exchange.place_errors import PlaceDamaged, PlaceError, is_elsewhere
from taskmem_ros.memory import Store
from taskmem_ros.memory.adapters import STAGED, AdapterUse

OLDER, OTHER_BASE, OTHER_ROBOT = "older", "for another base model", "for another robot"
PASSED_OVER = (OLDER, OTHER_BASE, OTHER_ROBOT)
MOST_READ = 300  # manifests in one round; the others have their turn in the next one
MOST_PULLS = 3  # of files that are not what was signed: they may have been damaged on the way
SPARE_BYTES = 1_000_000  # that stay free on the disk


@dataclass(frozen=True)
class Offer:
    """An adapter in the exchange that concerns this robot. data: the verified manifest's bytes. digest: of
    these and the signature."""

    manifest: AdapterManifest
    data: bytes
    signature: bytes
    digest: str

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.manifest.files.values())


class Arrivals:
    """One look at the adapters of an exchange; what it came to is in the attributes, however it ended.

    staged: id of the adapter that came, "". passed_over: counts by reason. refused: (id, sentence), each once
    in the robot's life. notes: sentences. folder: of this robot's adapters.
    """

    def __init__(
        self,
        store: Store,
        place: Place,
        notebook: Notebook,
        robot: str,
        keyring: str = "",
        say: Callable[[str], None] = lambda what: None,
    ) -> None:
        self.staged = ""
        self.passed_over: Counter[str] = Counter()
        self.refused: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.folder = store.path.absolute().parent / "adapters"
        self._store, self._place, self._robot, self._say = store, place, robot, say
        self._notebook = notebook
        self._partial = f".{store.path.name}.partial"  # another store in this folder has its own
        self._keyring_path = Path(keyring or KEYRING).expanduser()

    def look(self) -> None:
        """Bring the newest adapter that fits. Raises PlaceError, KeyFileError, StoreError, OSError."""
        use, rows = self._store.adapter_use(), self._store.adapters()
        keyring = Keyring.read(self._keyring_path) if self._keyring_path.exists() else Keyring()
        seen = self._notebook.of(self._eyes(use, keyring))
        passed = {id: item.why for id, item in seen.items() if item.why in PASSED_OVER}
        self.passed_over.update(passed.values())
        ids = self._place.adapters(skip={row.id for row in rows} | passed.keys())
        if not ids:
            return
        if not use.base_revision or not keyring.keys:
            missing = f"no key in {self._keyring_path}: trust the workstation's with `taskmem keys trust`"
            if not use.base_revision:
                missing = "no agent has said yet which model it runs: start one"
            self.notes.append(f"there are adapters in the exchange, but {missing}")
            return
        same_base = (row.serial for row in rows if _base_of(row.manifest) == use.base_revision)
        highest = max([use.serial, *same_base])
        offers = self._offers(ids, use, highest, keyring, seen)
        for offer in sorted(offers, key=lambda offer: offer.manifest.serial, reverse=True):
            if self._bring(offer, keyring, use, seen):
                break
        self._notebook.write()

    def _offers(
        self, ids: list[str], use: AdapterUse, highest: int, keyring: Keyring, seen: dict[str, Seen]
    ) -> list[Offer]:
        ids = sorted(sorted(ids, reverse=True), key=lambda id: id in seen)  # new first, by their date
        offers = []
        for number, id in enumerate(ids[:MOST_READ]):
            self._say(f"reading manifests of adapters ({number + 1} of {min(len(ids), MOST_READ)})")
            if (offer := self._offer(id, keyring, seen)) is None:
                continue
            why = self._why_not(offer.manifest, use, highest)
            if why:
                self.passed_over[why] += 1
                seen[id] = Seen(why)
            else:
                offers.append(offer)
        if len(ids) > MOST_READ:
            self.notes.append(f"{len(ids) - MOST_READ} more adapters have their turn in the next rounds")
        return offers

    def _offer(self, id: str, keyring: Keyring, seen: dict[str, Seen]) -> Offer | None:
        """None for what is refused, now or before. Raises PlaceError where it cannot be read for now."""
        before, digest = seen.get(id), ""
        try:
            data, signature = self._place.adapter_manifest(id)
            digest = hashlib.sha256(data + b"\0" + signature).hexdigest()
            if before is not None and before.sha256 == digest:
                if before.why == REFUSED or before.tries >= MOST_PULLS:
                    return None
            elif before is not None:  # somebody put another one in its place
                del seen[id]
            manifest, _signer = read_manifest(data, signature, keyring, id=id)
        except (PackageError, PlaceError) as error:
            if is_elsewhere(error):
                raise
            seen[id] = Seen(REFUSED, digest)
            if before is None or before.sha256 != digest:
                self._refuse(id, str(error))
            return None
        return Offer(manifest, data, signature, digest)

    def _why_not(self, manifest: AdapterManifest, use: AdapterUse, highest: int) -> str:
        if manifest.base_revision != use.base_revision:
            return OTHER_BASE
        if manifest.robots and self._robot not in manifest.robots:
            return OTHER_ROBOT
        return OLDER if manifest.serial <= highest else ""

    def _bring(self, offer: Offer, keyring: Keyring, use: AdapterUse, seen: dict[str, Seen]) -> bool:
        """Pull it, verify all of it, and write it down as staged; False where it is refused."""
        id = offer.manifest.id
        final, partial = self.folder / id, self.folder / f".{id}{self._partial}"

        def check(folder: Path) -> None:
            found = verify(folder, keyring, base_revision=use.base_revision, robot=self._robot, id=id)
            if found.manifest != offer.manifest:
                raise PackageError(f"{folder} has another manifest than the exchange; get it again")

        try:
            if os.path.lexists(final):  # an earlier round was cut off before it could write it down
                try:
                    check(final)
                except PackageError:
                    _remove(final)
            if not os.path.lexists(final):
                self._pull(offer, partial)
                check(partial)
                sync_tree(partial)
                partial.rename(final)
                sync(self.folder)
        except (PackageError, PlaceError) as error:
            if is_elsewhere(error):
                raise
            before = seen.get(id)
            # Only what was pulled in vain is counted: it may have been damaged on the way, but not each time.
            pulled = isinstance(error, (PackageError, PlaceDamaged))
            seen[id] = Seen(BROKEN, offer.digest, (before.tries if before else 0) + pulled)
            if before is None:
                self._refuse(id, str(error))
            return False
        finally:
            _remove(partial)
        self._store.add_adapter(offer.data, final)
        seen.pop(id, None)
        self.staged = id
        return True

    def _pull(self, offer: Offer, partial: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.iterdir():
            if left.name.endswith(self._partial):
                _remove(left)
        free = shutil.disk_usage(self.folder).free
        if free < offer.bytes + SPARE_BYTES:
            raise OSError(
                errno.ENOSPC,
                f"adapter {offer.manifest.id} has {offer.bytes / 1e6:.1f} MB and the disk of {self.folder} "
                f"{free / 1e6:.1f} MB free; make room on it",
            )
        sizes = {name: entry.bytes for name, entry in offer.manifest.files.items()}
        self._place.pull_adapter(offer.manifest.id, partial, sizes)
        # The bytes that were verified, not others that lie there by now.
        (partial / MANIFEST_FILE).write_bytes(offer.data)
        (partial / SIGNATURE_FILE).write_bytes(offer.signature)

    def _refuse(self, id: str, sentence: str) -> None:
        """For the first time; what was seen of it is noted at once, so that it is the last time, too."""
        self.refused.append((id, sentence))
        self._store.note_adapter(REFUSED, id, sentence)
        self._notebook.write()

    def _eyes(self, use: AdapterUse, keyring: Keyring) -> str:
        """What decides about an adapter besides itself: with a new key trusted all are looked at again."""
        keys = sorted(key.line for key in keyring.keys)
        told = json.dumps([use.base_revision, self._robot, keys])
        return hashlib.sha256(told.encode()).hexdigest()


def newest_staged(store: Store) -> str:
    """Id of the newest adapter that came and that the agent may take over, "" for none: it is for the base
    model in use, and newer than any that was taken over.
    """
    use = store.adapter_use()
    newer = [row for row in store.adapters(STAGED) if row.serial > use.serial]
    return next((row.id for row in reversed(newer) if _base_of(row.manifest) == use.base_revision), "")


def _base_of(manifest: str) -> str:
    return json.loads(manifest).get("base_revision", "")


def _remove(path: Path) -> None:
    """Whatever it is; a link itself, not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
