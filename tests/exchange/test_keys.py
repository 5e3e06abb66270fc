"""Keys and keyrings: what they sign and verify, and which files of them are not believed."""

from __future__ import annotations

import base64
import os
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from small_adapters import KEY, OTHER_KEY

from taskmem_ros.exchange.keys import KeyFileError, Keyring, SigningKey, TrustedKey, UntrustedKey, trust

MESSAGE = b"an adapter"


def ring(path, *lines: str) -> Keyring:
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o644)
    return Keyring.read(path)


def test_a_written_key_is_the_same_key(tmp_path):
    path = KEY.write(tmp_path / "new" / "key.pem")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read = SigningKey.read(path)
    assert (read.id, read.sign(MESSAGE)) == (KEY.id, KEY.sign(MESSAGE)) and len(read.sign(MESSAGE)) == 64
    with pytest.raises(KeyFileError, match="already"):
        OTHER_KEY.write(path)
    assert SigningKey.read(path).id == KEY.id


def test_new_keys_differ():
    assert SigningKey.generate().id != SigningKey.generate().id


def test_a_keyring_knows_who_signed(tmp_path):
    keys = ring(tmp_path / "ring", "# ours", "", KEY.public_line("workshop"), OTHER_KEY.public_line("other"))
    assert keys.verify(KEY.id, MESSAGE, KEY.sign(MESSAGE)) == "workshop"
    assert keys.verify(OTHER_KEY.id, MESSAGE, OTHER_KEY.sign(MESSAGE)) == "other"
    with pytest.raises(UntrustedKey, match="changed"):
        keys.verify(KEY.id, MESSAGE, OTHER_KEY.sign(MESSAGE))
    for place in range(64 * 8):
        spoilt = bytearray(KEY.sign(MESSAGE))
        spoilt[place // 8] ^= 1 << place % 8
        with pytest.raises(UntrustedKey):
            keys.verify(KEY.id, MESSAGE, bytes(spoilt))
    for signature in (b"", KEY.sign(MESSAGE)[:63], KEY.sign(MESSAGE) + b"\0", bytes(64)):
        with pytest.raises(UntrustedKey):
            keys.verify(KEY.id, MESSAGE, signature)


def test_the_same_signature_in_another_form_is_none():
    """S + L verifies with a careless library; a signed thing would then have two signatures."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = KEY.sign(MESSAGE)
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    with pytest.raises(UntrustedKey):
        Keyring((TrustedKey("workshop", KEY.public),)).verify(KEY.id, MESSAGE, other)


def test_unknown_and_revoked(tmp_path):
    line = KEY.public_line("workshop")
    with pytest.raises(UntrustedKey, match="not know"):
        ring(tmp_path / "ring").verify(KEY.id, MESSAGE, KEY.sign(MESSAGE))
    for lines in ([f"revoked {line}"], [f"revoked {line}", line], [line, f"revoked {line}"]):
        with pytest.raises(UntrustedKey, match="revoked"):
            ring(tmp_path / "ring", *lines).verify(KEY.id, MESSAGE, KEY.sign(MESSAGE))
    with pytest.raises(KeyFileError, match="revoked"):
        trust(tmp_path / "ring", line)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_private_key_that_others_can_read(tmp_path, mode):
    path = KEY.write(tmp_path / "key.pem")
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        SigningKey.read(path)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_keyring_that_others_can_write(tmp_path, mode):
    path = tmp_path / "ring"
    ring(path, KEY.public_line("workshop"))
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 644"):
        Keyring.read(path)
    with pytest.raises(KeyFileError, match="chmod 644"):
        trust(path, OTHER_KEY.public_line("other"))


def test_files_that_are_no_private_key(tmp_path):
    def put(name: str, data: bytes):
        path = tmp_path / name
        path.write_bytes(data)
        path.chmod(0o600)
        return path

    def pem(key, how=None) -> bytes:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption())

    good = KEY.write(tmp_path / "good.pem").read_bytes()
    for number, data in enumerate((
        b"", b"nonsense", good[:-40], good.replace(b"M", b"N"), KEY.public_line("a").encode(),
        bytes(2_000_000), pem(ec.generate_private_key(ec.SECP256R1())),
        pem(x25519.X25519PrivateKey.generate()),
        pem(KEY._key, BestAvailableEncryption(b"secret")),
    )):  # fmt: skip
        with pytest.raises(KeyFileError):
            SigningKey.read(put(str(number), data))
    for what in (tmp_path, tmp_path / "none"):
        with pytest.raises(KeyFileError):
            SigningKey.read(what)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileError, match="no file"):
        SigningKey.read(tmp_path / "pipe")


@pytest.mark.parametrize(
    "line",
    [
        "ed25519", "ed25519 AAAA", "ed25519 AAAA name", "rsa AAAA name", "revoked",
        "revoked revoked ed25519 A b",
        KEY.public_line("a") + " b", KEY.public_line("a").replace("ed25519", "ED25519"),
        KEY.public_line("a").replace("=", ""), KEY.public_line("a").replace("=", "=*"),
        KEY.public_line("a")[:-1] + "../x", f"ed25519 {base64.b64encode(bytes(33)).decode()} name",
    ],
)  # fmt: skip
def test_a_line_that_is_no_key_is_named(tmp_path, line):
    with pytest.raises(KeyFileError, match="line 2"):
        ring(tmp_path / "ring", "# ours", line)
    with pytest.raises(ValueError):
        trust(tmp_path / "other", line)
    assert not (tmp_path / "other").exists()


def test_a_keyring_hides_no_line(tmp_path):
    """What an editor shows as one line is one: other line ends than \\n do not begin a key."""
    for end in ("\r", "\x0b", "\x0c", "\x85", "\u2028"):
        (tmp_path / "ring").write_text(f"# a note{end}{KEY.public_line('hidden')}\n", newline="")
        (tmp_path / "ring").chmod(0o644)
        assert Keyring.read(tmp_path / "ring").keys == ()


def test_there_is_no_keyring(tmp_path):
    with pytest.raises(KeyFileError, match="taskmem keys trust"):
        Keyring.read(tmp_path / "ring")


@pytest.mark.parametrize("name", ["", "a b", "../a", "a\nb", "x" * 65])
def test_names(name):
    with pytest.raises(ValueError, match="name"):
        KEY.public_line(name)


def test_trusting_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "ring"
    trust(path, KEY.public_line("workshop"))
    before = path.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left"):
        trust(path, OTHER_KEY.public_line("other"))
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["ring"]
    with pytest.raises(KeyFileError, match="No space left"):
        OTHER_KEY.write(tmp_path / "key.pem")
    assert [p.name for p in tmp_path.iterdir()] == ["ring"]
