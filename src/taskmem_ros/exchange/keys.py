"""Ed25519 keys: a workstation signs adapters with one, robots trust those of their keyring, a file of lines.

A keyring has lines `ed25519 BASE64 NAME`, `revoked ed25519 BASE64 NAME`, empty ones and `# comments`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from taskmem_ros.exchange.manifest import NAME, NAME_RULE

KEYS_FOLDER = Path("~/.taskmem/keys")
KEYRING = Path("~/.taskmem/trusted_keys")
ALGORITHM, REVOKED = "ed25519", "revoked"
SIGNATURE_BYTES = 64
_MAX_BYTES = 1 << 20


class KeyFileError(ValueError):
    """A key or keyring cannot be read or written: one sentence that names it and the fix."""


class UntrustedKey(ValueError):
    """A signature is not to be trusted: one sentence that says why and what to do."""


class SigningKey:
    """A private key."""

    def __init__(self, key: Ed25519PrivateKey):
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: str | Path) -> SigningKey:
        """From the PEM file that `write` wrote. Raises KeyFileError, also where others can read the file."""
        path = Path(path).expanduser()
        data, mode = _read(path, "make a key with `taskmem keys make NAME`")
        if mode & 0o077:
            raise KeyFileError(
                f"the key {path} can be read by others (mode {mode:04o}); run `chmod 600 {path}`, or make a "
                "new one if they may have"
            )
        try:
            key = load_pem_private_key(data, password=None)
        except TypeError as error:
            raise KeyFileError(f"the key {path} has a password; give one without") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyFileError(
                f"{path} is no private key in PEM; make one with `taskmem keys make`"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(f"the key {path} is not of Ed25519; make one with `taskmem keys make`")
        return cls(key)

    def write(self, path: str | Path) -> Path:
        """As PKCS8 in PEM, readable by its owner alone. Raises KeyFileError; what is there stays."""
        path = Path(path).expanduser()
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise KeyFileError(
                f"there is a key at {path} already; choose another name, or move it away"
            ) from error
        except OSError as error:
            raise KeyFileError(f"the key {path} cannot be written ({error.strerror})") from error
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(pem)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise KeyFileError(f"the key {path} cannot be written ({error.strerror})") from error
        return path

    @property
    def id(self) -> str:
        return key_id(self.public)

    def public_line(self, name: str) -> str:
        """The line for robots' keyrings. Raises ValueError for a name that cannot be in one."""
        return TrustedKey(_checked_name(name), self.public).line

    def sign(self, message: bytes) -> bytes:
        """64 bytes, always the same for one message."""
        return self._key.sign(message)


@dataclass(frozen=True)
class TrustedKey:
    """A line of a keyring. public: the raw key, 32 bytes."""

    name: str
    public: bytes
    revoked: bool = False

    @property
    def id(self) -> str:
        return key_id(self.public)

    @property
    def line(self) -> str:
        words = [REVOKED] * self.revoked + [ALGORITHM, base64.b64encode(self.public).decode(), self.name]
        return " ".join(words)

    @classmethod
    def from_line(cls, line: str) -> TrustedKey:
        """Raises ValueError with a sentence."""
        words = line.split()
        revoked = words[:1] == [REVOKED]
        words = words[revoked:]
        if len(words) != 3 or words[0] != ALGORITHM:
            raise ValueError(f"{line[:80]!r} is no public key; write it as `{ALGORITHM} BASE64 NAME`")
        try:
            public = base64.b64decode(words[1], validate=True)
            Ed25519PublicKey.from_public_bytes(public)
        except (ValueError, binascii.Error) as error:
            raise ValueError(f"{words[1][:80]!r} is no Ed25519 key in base64; copy the line again") from error
        return cls(_checked_name(words[2]), public, revoked)


class Keyring:
    """The keys that a robot trusts, and those it does no more.

    keys: each once, and revoked where any line says so.
    """

    def __init__(self, keys: Iterator[TrustedKey] | tuple[TrustedKey, ...] = ()):
        found: dict[str, TrustedKey] = {}
        for key in keys:
            known = found.setdefault(key.id, key)
            if key.revoked:
                found[key.id] = replace(known, revoked=True)
        self.keys = tuple(found.values())
        self._found = found

    @classmethod
    def read(cls, path: str | Path = KEYRING) -> Keyring:
        """Raises KeyFileError, also where others could write to the file, and for a line that is no key."""
        path = Path(path).expanduser()
        return cls(tuple(key for _line, key in _read_lines(path) if key is not None))

    def verify(self, key_id: str, message: bytes, signature: bytes) -> str:
        """The name of the trusted key that signed the message. Raises UntrustedKey."""
        key = self._found.get(key_id)
        if key is None:
            raise UntrustedKey(
                f"it is signed by the key {key_id[:16]!r}, which this keyring does not know; if it is yours, "
                "trust it with `taskmem keys trust`"
            )
        if key.revoked:
            raise UntrustedKey(
                f"it is signed by the key {key_id} ({key.name}), which is revoked; sign it with another one"
            )
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
        except InvalidSignature as error:
            raise UntrustedKey(
                f"its signature is not that of the key {key_id} ({key.name}), so it was changed since; get "
                "it again"
            ) from error
        return key.name


def key_id(public: bytes) -> str:
    """16 hex digits."""
    return hashlib.sha256(public).hexdigest()[:16]


def trust(path: str | Path, line: str) -> TrustedKey:
    """Add a public line to the keyring file, which is made where there is none. Raises ValueError, also for a
    key that is revoked there; one that is trusted already stays as it is.
    """
    path, key = Path(path).expanduser(), TrustedKey.from_line(line)
    if key.revoked:
        raise ValueError(f"{line[:120]!r} revokes a key; use `taskmem keys revoke`")
    lines = _read_lines(path) if path.exists() else []
    known = Keyring(tuple(old for _text, old in lines if old is not None))._found
    if key.id in known:
        if known[key.id].revoked:
            raise KeyFileError(
                f"the key {key.id} ({known[key.id].name}) is revoked in {path}; make a new one, or take that "
                "line out"
            )
        return known[key.id]
    if other := next((old for old in known.values() if old.name == key.name and not old.revoked), None):
        raise KeyFileError(
            f"{path} has the name {key.name!r} for the key {other.id} already; give the new one another name"
        )
    _write_lines(path, [*(text for text, _old in lines), key.line])
    return key


def revoke(path: str | Path, what: str) -> TrustedKey:
    """Trust a key no more. what: its id, its name in the keyring, or its public line. Raises ValueError."""
    path, what = Path(path).expanduser(), what.strip()
    lines = _read_lines(path) if path.exists() else []
    keys = [old for _text, old in lines if old is not None]
    chosen = {key.id: key for key in keys if what in (key.id, key.name)}
    if len(chosen) > 1:
        raise KeyFileError(f"{path} has {len(chosen)} keys named {what!r} ({', '.join(chosen)}); give the id")
    if not chosen and len(what.split()) < 3:
        raise KeyFileError(f"{path} has no key {what!r}; give an id or a name out of `taskmem keys list`")
    key = replace(next(iter(chosen.values()), None) or TrustedKey.from_line(what), revoked=True)
    kept = [text if old is None or old.id != key.id else key.line for text, old in lines]
    _write_lines(path, kept if key.line in kept else [*kept, key.line])
    return key


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"a key's name is {name[:80]!r}, but it must be {NAME_RULE}")
    return name


def _read_lines(path: Path) -> list[tuple[str, TrustedKey | None]]:
    """Each line, with the key that it has."""
    data, mode = _read(path, "trust a key with `taskmem keys trust`")
    if mode & 0o022:
        raise KeyFileError(
            f"the keyring {path} can be written by others (mode {mode:04o}); look through it, then run "
            f"`chmod 644 {path}`"
        )
    found: list[tuple[str, TrustedKey | None]] = []
    try:
        for line in data.decode("utf-8").removesuffix("\n").split("\n"):
            text = line.strip()
            found.append((line, TrustedKey.from_line(text) if text and not text.startswith("#") else None))
    except ValueError as error:
        raise KeyFileError(f"line {len(found) + 1} of the keyring {path} is wrong: {error}") from error
    return found


def _write_lines(path: Path, lines: list[str]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with partial.open("w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise KeyFileError(f"the keyring {path} cannot be written ({error.strerror})") from error
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path, missing: str) -> tuple[bytes, int]:
    """A small file's bytes and mode."""
    with _told(path, missing):
        if not stat.S_ISREG(path.stat().st_mode):
            raise KeyFileError(f"{path} is no file; give the file of a key")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    if len(data) > _MAX_BYTES:
        raise KeyFileError(f"{path} is too large for keys; give another file")
    return data, mode


@contextmanager
def _told(path: Path, missing: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise KeyFileError(f"there is no {path}; {missing}") from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read ({error.strerror}); give another file") from error
