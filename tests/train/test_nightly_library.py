"""The adapters of an exchange as the workstation sees them: signed ones count, the others are ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskmem_train.nightly.library import Library, trusted_keys

from taskmem_ros.exchange.keys import SigningKey
from taskmem_ros.exchange.manifest import CONFIG_FILE, WEIGHTS_FILE, AdapterManifest, FileEntry
from taskmem_ros.exchange.place import Place

OURS, THEIRS = SigningKey.generate(), SigningKey.generate()


@pytest.fixture
def exchange(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "exchange").mkdir()
    return tmp_path / "exchange"


def put(exchange: Path, id: str, serial: int, key: SigningKey = OURS, **about) -> Path:
    """A manifest and its signature; of files it only tells."""
    files = {name: FileEntry(4, "ab" * 32) for name in (CONFIG_FILE, WEIGHTS_FILE)}
    values = {"base_revision": "rev", "robots": ("r",)} | about
    manifest = AdapterManifest(
        id=id, serial=serial, base_model="demo", prompt_hash="p", kind="lora", created_ns=1, key=key.id,
        files=files, **values,
    )  # fmt: skip
    folder = exchange / "adapters" / id
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    (folder / "manifest.sig").write_bytes(key.sign(manifest.to_bytes()))
    return folder


def library(exchange: Path, keyring: str = "") -> Library:
    return Library(Place(str(exchange)), trusted_keys(OURS, keyring), exchange.parent / "own")


def test_serials_count_up_among_signed_adapters_of_one_base_model(exchange, tmp_path):
    assert library(exchange).next_serial("rev") == 1
    put(exchange, "a", 3)
    put(exchange, "b", 9, base_revision="other")
    put(exchange, "c", 7, THEIRS)
    flipped = put(exchange, "d", 8) / "manifest.json"
    flipped.write_bytes(flipped.read_bytes().replace(b'"serial":8', b'"serial":80'))
    (put(exchange, "e", 8) / "manifest.json").write_bytes(b"x" * 300_000)
    (put(exchange, "f", 8) / "manifest.json").unlink()
    (put(exchange, "g", 50) / "manifest.sig").unlink()  # is not whole yet: it does not exist
    (put(exchange, "h", 8) / "manifest.json").unlink()
    (exchange / "adapters" / "h" / "manifest.json").mkdir()
    found = library(exchange)
    assert (
        found.next_serial("rev") == 4 and found.next_serial("other") == 10 and found.next_serial("new") == 1
    )
    assert sorted(found.ignored) == ["c", "d", "e", "f", "h"]
    assert "does not know" in found.ignored["c"] and "changed since" in found.ignored["d"]
    keyring = tmp_path / "trusted"
    keyring.write_text(THEIRS.public_line("other") + "\n")
    assert library(exchange, str(keyring)).next_serial("rev") == 8


def test_what_others_publish_while_a_night_trains_is_looked_at_again(exchange):
    put(exchange, "a", 3)
    found = library(exchange)
    assert found.next_serial("rev") == 4
    put(exchange, "b", 4)
    assert found.next_serial("rev") == 4
    found.look_again()
    assert found.next_serial("rev") == 5


def test_our_own_key_can_be_revoked(exchange, tmp_path):
    put(exchange, "a", 3)
    keyring = tmp_path / "trusted"
    keyring.write_text(f"revoked {OURS.public_line('old')}\n")
    found = library(exchange, str(keyring))
    assert found.manifests() == {} and "is revoked" in found.ignored["a"]


def test_the_newest_one_that_all_robots_would_take(exchange):
    put(exchange, "a", 1, robots=())
    put(exchange, "b", 2)
    put(exchange, "c", 3, robots=("s",))
    put(exchange, "d", 4, base_revision="other")
    found = library(exchange)
    assert [found.newest(robots, "rev") for robots in (("r",), ("s",), ("r", "s"))] == ["b", "c", "a"]
    assert found.newest(("r",), "new") == ""


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc", "..", ".", "a/../b", "x" * 5000, "ab", "unknown", "\n"]
)
def test_what_a_bundle_names_is_not_believed_to_be_an_adapter(exchange, tmp_path, name):
    put(exchange, "a", 1)
    folder, why = library(exchange).find(name)
    assert folder is None and "is not in the exchange" in why and len(why) < 200


def test_an_adapter_whose_files_are_not_there_cannot_be_had(exchange):
    put(exchange, "a", 1)
    found = library(exchange)
    folder, why = found.find("a")
    assert folder is None and why
    assert found.find("ab" * 6) == (None, why)  # by the hash of its weights
    assert not list((exchange.parent / "own").iterdir())
