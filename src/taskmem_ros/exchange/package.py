"""An adapter's package: a folder with PEFT's two files, a signed manifest, and nothing that was not signed.

    adapter_model.safetensors, adapter_config.json, README.md, gate.json    the last two may be missing
    manifest.json                                                           see `AdapterManifest`
    manifest.sig                                                            Ed25519 over manifest.json's bytes

Whoever wrote the folder is not trusted: what `verify` gives back are the very bytes that it looked at.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskmem_ros.durable import write_folder
from taskmem_ros.exchange.adapter_config import check_config
from taskmem_ros.exchange.keys import SIGNATURE_BYTES, Keyring, SigningKey, UntrustedKey
from taskmem_ros.exchange.manifest import (
    CONFIG_FILE,
    FILES,
    MAX_BYTES,
    REQUIRED,
    WEIGHTS_FILE,
    AdapterManifest,
    FileEntry,
    PackageError,
)
from taskmem_ros.exchange.tensors import LIMITS, Limits, check_weights

__all__ = [
    "FILES",
    "MANIFEST_FILE",
    "SIGNATURE_FILE",
    "Limits",
    "PackageError",
    "VerifiedAdapter",
    "check_fit",
    "pack",
    "read_manifest",
    "verify",
]

MANIFEST_FILE, SIGNATURE_FILE = "manifest.json", "manifest.sig"


@dataclass(frozen=True, eq=False)
class VerifiedAdapter:
    """An adapter whose every byte was signed by a trusted key, and is what it must be.

    signer: the key's name in the keyring. config: for `PeftConfig.from_peft_type(**config)`; weights: for
    `safetensors.torch.load(weights)`. Load these: the folder's files may have been changed since.
    """

    manifest: AdapterManifest
    folder: Path
    signer: str
    config: dict[str, Any]
    weights: bytes


def read_manifest(
    data: bytes, signature: bytes, keyring: Keyring, *, id: str | None = None, limits: Limits = LIMITS
) -> tuple[AdapterManifest, str]:
    """(the manifest, the signer's name in the keyring), before any of its files is there.

    id: the adapter that it must be of, as the folder in an exchange is named; None: of any. Files that it
    names are within the limits: so many bytes are to be fetched, and no more. Raises PackageError.
    """
    manifest = AdapterManifest.from_bytes(data)
    if len(signature) != SIGNATURE_BYTES:
        raise PackageError(
            f"its {SIGNATURE_FILE} has {len(signature)} bytes, but it must have {SIGNATURE_BYTES}; get it "
            "again"
        )
    try:
        signer = keyring.verify(manifest.key, data, signature)
    except UntrustedKey as error:
        raise PackageError(str(error)) from error
    if id is not None and manifest.id != id:
        raise PackageError(f"its manifest is of another adapter, {manifest.id}; get the one of {id}")
    for name, entry in manifest.files.items():
        if entry.bytes > limits.bytes_of(name):
            raise PackageError(
                f"its {name} has {entry.bytes} bytes, but it must have at most {limits.bytes_of(name)}; make "
                "a smaller adapter"
            )
    return manifest, signer


def check_fit(manifest: AdapterManifest, base_revision: str | None = None, robot: str | None = None) -> None:
    """Raise PackageError where the adapter is for another base model or robot; None: for any."""
    if base_revision is not None and manifest.base_revision != base_revision:
        raise PackageError(
            f"it is for the base model {manifest.base_model!r} of revision {manifest.base_revision!r}, and "
            f"this robot has revision {base_revision!r}; train one for that"
        )
    if robot is not None and manifest.robots and robot not in manifest.robots:
        raise PackageError(
            f"it is for {', '.join(manifest.robots[:5])}, and this robot is {robot!r}; sign one for it"
        )


def verify(
    folder: str | Path,
    keyring: Keyring,
    *,
    base_revision: str | None = None,
    robot: str | None = None,
    id: str | None = None,
    limits: Limits = LIMITS,
) -> VerifiedAdapter:
    """The adapter in a folder, if it is whole, signed by a trusted key, for this robot, and harmless.

    base_revision, robot, id: what it must be for, and which; None: any. Each file is opened once, its size is
    known before it is read, and no link is followed. Raises PackageError and nothing else for whatever may be
    in the folder.
    """
    folder = Path(folder).expanduser()
    with _sentences(folder), _opened(folder) as descriptor:
        names = _names(descriptor)
        _need(names, (MANIFEST_FILE, SIGNATURE_FILE))
        data = _read(descriptor, MANIFEST_FILE, MAX_BYTES)
        signature = _read(descriptor, SIGNATURE_FILE, SIGNATURE_BYTES)
        manifest, signer = read_manifest(data, signature, keyring, id=id, limits=limits)
        check_fit(manifest, base_revision, robot)
        _need(names, manifest.files)
        if other := sorted(names & set(FILES) - manifest.files.keys()):
            raise PackageError(f"it has {other[0]}, which was not signed; get it again")
        kept = {name: _read_signed(descriptor, name, entry) for name, entry in manifest.files.items()}
        config = _check_content(kept, manifest, limits)
    return VerifiedAdapter(manifest, folder, signer, config, kept[WEIGHTS_FILE])


def pack(
    adapter_folder: str | Path,
    out: str | Path,
    manifest: AdapterManifest,
    key: SigningKey,
    *,
    limits: Limits = LIMITS,
) -> Path:
    """Make the package OUT/ID of an adapter as PEFT saved it, with README.md and gate.json if there are any.

    manifest: without files and key. The folder gets its name when all of it is on the disk; where the same is
    there already it stays. Returns its path. Raises PackageError, also for what no robot would take.
    """
    adapter_folder, out = Path(adapter_folder).expanduser(), Path(out).expanduser()
    with _sentences(adapter_folder, "give the folder that save_pretrained wrote"):
        files = {
            name: _read_path(adapter_folder / name, limits.bytes_of(name))
            for name in FILES
            if name in REQUIRED or (adapter_folder / name).exists()
        }
        entries = {
            name: FileEntry(len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()
        }
        manifest = replace(manifest, files=entries, key=key.id)
        files[MANIFEST_FILE] = manifest.to_bytes()
        files[SIGNATURE_FILE] = key.sign(files[MANIFEST_FILE])
        _check_content(files, manifest, limits)
    folder = out / manifest.id
    with _sentences(folder, "make room, or choose another folder"):
        if write_folder(folder, files):
            raise PackageError("it is there already with something else; give the adapter another id")
    return folder


def _check_content(files: Mapping[str, bytes], manifest: AdapterManifest, limits: Limits) -> dict[str, Any]:
    config = check_config(files[CONFIG_FILE], manifest.kind, manifest.layer, limits)
    check_weights(files[WEIGHTS_FILE], manifest.kind, config, limits)
    return config


@contextmanager
def _sentences(folder: Path, fix: str = "get the adapter again") -> Iterator[None]:
    """Errors name the folder. fix: of one that the system gives."""
    try:
        yield
    except PackageError as error:
        raise PackageError(f"adapter {str(folder)!r}: {error}") from error
    except OSError as error:
        raise PackageError(f"adapter {str(folder)!r}: {error}; {fix}") from error


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise PackageError("there is no such folder; get the adapter again") from error
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise PackageError("it is a link or no folder; name the adapter's folder itself") from error
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _names(descriptor: int) -> set[str]:
    """Of what is in the folder. Raises PackageError at the first that no package has."""
    names: set[str] = set()
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.name not in (*FILES, MANIFEST_FILE, SIGNATURE_FILE):
                raise PackageError(f"it has {entry.name!r}, which was not signed; get it again")
            names.add(entry.name)
    return names


def _need(names: set[str], needed: Iterable[str]) -> None:
    if missing := [name for name in needed if name not in names]:
        raise PackageError(f"it has no {missing[0]}; get it again")


def _read_signed(descriptor: int, name: str, entry: FileEntry) -> bytes:
    data = _read(descriptor, name, entry.bytes)
    if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise PackageError(f"its {name} is not the one that was signed; get it again")
    return data


def _read(descriptor: int, name: str, most: int) -> bytes:
    """A file's bytes; one with more than `most` is not read."""
    # Looked at first: to open a device may already do something.
    _check_file(name, os.stat(name, dir_fd=descriptor, follow_symlinks=False), most)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with open(os.open(name, flags, dir_fd=descriptor), "rb") as file:
        about = os.fstat(file.fileno())
        _check_file(name, about, most)
        return file.read(about.st_size)


def _check_file(name: str, about: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise PackageError(f"its {name} is no file but a link, folder, pipe or device; get it again")
    if about.st_nlink > 1:
        raise PackageError(f"its {name} has another name elsewhere (a hard link); copy the adapter again")
    if about.st_size > most:
        raise PackageError(
            f"its {name} has {about.st_size} bytes, but it must have at most {most}; get it again"
        )


def _read_path(path: Path, most: int) -> bytes:
    if path.stat().st_size > most:
        raise PackageError(
            f"its {path.name} has {path.stat().st_size} bytes, but it must have at most {most}; make a "
            "smaller one"
        )
    return path.read_bytes()
