"""The adapters of an exchange, as far as a trusted key signed them: what is in use, and the next serial."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from taskmem_ros.exchange.keys import KEYRING, Keyring, SigningKey, TrustedKey
from taskmem_ros.exchange.manifest import NAME, WEIGHTS_FILE, AdapterManifest
from taskmem_ros.exchange.package import PackageError, read_manifest, verify
from taskmem_ros.exchange.place import Place, PlaceError
from taskmem_ros.exchange.place_errors import is_elsewhere

ADAPTERS = "adapters"  # folder under OUT


def trusted_keys(key: SigningKey, file: str) -> Keyring:
    """Our own key and those of a keyring file; "" is the default file, where there is one.

    A key that the file revokes is revoked, our own as well. Raises KeyFileError.
    """
    path = Path(file or KEYRING).expanduser()
    others = Keyring.read(path).keys if file or path.exists() else ()
    return Keyring((TrustedKey("own", key.public), *others))


class Library:
    """What the exchange and OUT/adapters have. Asked anew in each pass; raises PlaceError."""

    def __init__(self, place: Place, keyring: Keyring, folder: Path):
        self._place, self._keyring, self._folder = place, keyring, folder
        self._manifests: dict[str, AdapterManifest] | None = None
        self.ignored: dict[str, str] = {}  # id -> why, of adapters that are not to be believed

    def manifests(self) -> dict[str, AdapterManifest]:
        """id -> manifest, of all in the exchange whose signature is good."""
        if self._manifests is None:
            found: dict[str, AdapterManifest] = {}
            for id in self._place.adapters():
                try:
                    data, signature = self._place.adapter_manifest(id)
                    found[id], _ = read_manifest(data, signature, self._keyring, id=id)
                except (PackageError, PlaceError) as error:
                    if is_elsewhere(error):
                        raise
                    self.ignored[id] = str(error)
            self._manifests = found
        return self._manifests

    def next_serial(self, revision: str) -> int:
        """One more than the highest of this base model."""
        known = [m.serial for m in self.manifests().values() if m.base_revision == revision]
        return max(known, default=0) + 1

    def newest(self, robots: tuple[str, ...], revision: str) -> str:
        """The id of the newest adapter that all of these robots would take, "" where there is none."""
        fit = [
            m
            for m in self.manifests().values()
            if m.base_revision == revision and (not m.robots or set(robots) <= set(m.robots))
        ]
        return max(fit, key=lambda m: m.serial).id if fit else ""

    def look_again(self) -> None:
        """Forget what was read: something was published, here or by another workstation."""
        self._manifests = None

    def find(self, name: str) -> tuple[Path | None, str]:
        """(the folder of an adapter that a robot names, "") or (None, why it cannot be had).

        name: as memories have it: its id, or for one that was loaded by hand the hash of its weights.
        """
        for id in self._ids(name):
            if (self._folder / id).is_dir():
                return self._verified(self._folder / id, id)
            if id in self.manifests():
                return self._pulled(id)
        return None, f"adapter {name[:64]!r} is not in the exchange" + (
            f" ({self.ignored[name]})" if name in self.ignored else ""
        )

    def _ids(self, name: str) -> list[str]:
        """What a name from a bundle may mean; it is not trusted to be one."""
        by_hash = re.fullmatch(r"[0-9a-f]{8,64}", name)
        found = [id for id, m in self.manifests().items() if by_hash and _weights(m).startswith(name)]
        return [name, *found] if NAME.fullmatch(name) else found

    def _pulled(self, id: str) -> tuple[Path | None, str]:
        sizes = {name: entry.bytes for name, entry in self.manifests()[id].files.items()}
        partial = self._folder / f".{id}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            found, why = self._verified(self._place.pull_adapter(id, partial, sizes), id)
            return (partial.rename(self._folder / id), "") if found else (None, why)
        except PlaceError as error:
            if is_elsewhere(error):
                raise
            return None, str(error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _verified(self, folder: Path, id: str) -> tuple[Path | None, str]:
        try:
            return verify(folder, self._keyring, id=id).folder, ""
        except PackageError as error:
            return None, str(error)


def _weights(manifest: AdapterManifest) -> str:
    return manifest.files[WEIGHTS_FILE].sha256
