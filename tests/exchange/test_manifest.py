"""The manifest of an adapter: the same bytes for the same, and only what it may say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from small_adapters import manifest, package

from taskmem_ros.exchange.manifest import (
    FILES,
    MAX_BYTES,
    NAME,
    AdapterManifest,
    FileEntry,
    ManifestError,
    next_id,
)
from taskmem_ros.exchange.package import MANIFEST_FILE

SHA = "0" * 64
BOTH = {
    "adapter_config.json": {"bytes": 1, "sha256": SHA},
    "adapter_model.safetensors": {"bytes": 1, "sha256": SHA},
}


def whole(kind: str = "steer") -> AdapterManifest:
    return AdapterManifest.from_bytes(package(kind)[MANIFEST_FILE])


def edited(**told) -> bytes:
    return json.dumps(json.loads(whole().to_bytes()) | told).encode()


def refused(data: bytes) -> str:
    with pytest.raises(ManifestError) as caught:
        AdapterManifest.from_bytes(data)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 800
    return text


@pytest.mark.parametrize("kind", ["steer", "lora"])
def test_there_and_back(kind):
    told = whole(kind)
    assert AdapterManifest.from_bytes(told.to_bytes()) == told
    assert (
        told.kind == kind and set(told.files) == set(FILES) and told.questions[1] == "Wo ist Ännes Schlüssel?"
    )


def test_the_bytes_are_canonical():
    told = whole()
    data = told.to_bytes()
    assert data.count(b"\n") == 1 and data.endswith(b"}\n")
    assert list(json.loads(data)) == sorted(json.loads(data))
    backwards = {name: told.files[name] for name in reversed(told.files)}
    assert replace(told, files=backwards).to_bytes() == data
    assert edited() != data and AdapterManifest.from_bytes(edited()) == told  # another writer's spaces


def test_every_key_is_signed_bytes():
    told = json.loads(whole().to_bytes())
    for name in vars(manifest()):
        assert name in told
        refused(json.dumps({key: value for key, value in told.items() if key != name}).encode())


@pytest.mark.parametrize(
    "told",
    [
        {"format": 0}, {"format": 1.0}, {"format": True}, {"format": "1"},
        {"id": ""}, {"id": "../a"}, {"id": "a/b"}, {"id": ".a"}, {"id": "a" * 65}, {"id": "a\n"}, {"id": 1},
        {"id": "ä"}, {"id": None},
        {"serial": 0}, {"serial": -1}, {"serial": True}, {"serial": 1.0}, {"serial": "1"}, {"serial": 2**53},
        {"parent": "a b"}, {"parent": None},
        {"base_model": ""}, {"base_model": "a\x1b[2J"}, {"base_model": "a\nb"}, {"base_model": "x" * 1025},
        {"base_revision": ""}, {"base_revision": 7},
        {"prompt_hash": None},
        {"kind": "pickle"}, {"kind": "STEER"}, {"kind": ["steer"]},
        {"layer": -1}, {"layer": True}, {"layer": 1.0}, {"layer": "1"}, {"layer": 1000}, {"layer": None},
        {"kind": "lora"},  # with a layer
        {"files": {}}, {"files": []}, {"files": None}, {"files": "x"},
        {"files": {"adapter_config.json": BOTH["adapter_config.json"]}},
        {"files": BOTH | {"../../etc/cron.d/x": {"bytes": 1, "sha256": SHA}}},
        {"files": BOTH | {"/etc/passwd": {"bytes": 1, "sha256": SHA}}},
        {"files": BOTH | {"adapter_model.bin": {"bytes": 1, "sha256": SHA}}},
        {"files": BOTH | {"manifest.json": {"bytes": 1, "sha256": SHA}}},
        {"files": BOTH | {"README.md": {"bytes": -1, "sha256": SHA}}},
        {"files": BOTH | {"README.md": {"bytes": True, "sha256": SHA}}},
        {"files": BOTH | {"README.md": {"bytes": 1.5, "sha256": SHA}}},
        {"files": BOTH | {"README.md": {"bytes": 2**63, "sha256": SHA}}},
        {"files": BOTH | {"README.md": {"bytes": 1, "sha256": SHA.replace("0", "A")}}},
        {"files": BOTH | {"README.md": {"bytes": 1, "sha256": SHA + "\n"}}},
        {"files": BOTH | {"README.md": {"bytes": 1, "sha256": None}}},
        {"files": BOTH | {"README.md": {"bytes": 1}}},
        {"files": BOTH | {"README.md": {"bytes": 1, "sha256": SHA, "url": "x"}}},
        {"files": BOTH | {"README.md": 1}},
        {"metrics": []}, {"metrics": {"a b": 1}}, {"metrics": {"a": None}}, {"metrics": {"a": True}},
        {"metrics": {"a": [1]}}, {"metrics": {"a": "x\n"}}, {"metrics": {f"a{n}": 1 for n in range(201)}},
        {"questions": "Where?"}, {"questions": [1]}, {"questions": ["x" * 4001]}, {"questions": ["x"] * 1001},
        {"tasks": ["7"]}, {"tasks": ["a/-1"]}, {"tasks": ["../7"]}, {"tasks": ["a/b/7"]}, {"tasks": [None]},
        {"bundles": ["a/b"]}, {"bundles": {"a": 1}}, {"robots": ["a b"]}, {"robots": [""]},
        {"robots": "robot1"},
        {"created_ns": -1}, {"created_ns": 2**63}, {"created_ns": 1e18}, {"created_ns": True},
        {"key": ""}, {"key": "g" * 16}, {"key": "0" * 15}, {"key": None},
        {"unknown": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_it_may_not_say(told):
    name = next(iter(told))
    assert name in refused(edited(**told)) or name in ("kind", "files")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"null", b"[]", b'"a"', b"1", b"{", b"{}", b"\xff", b"\xef\xbb\xbf{}", b"{}" * 2,
        b"nonsense", b"[" * 100_000, b'{"a":' * 20_000, b'{"serial":' + b"9" * 5000 + b"}", b'{"a": NaN}',
        b'{"a": Infinity}', b'{"a": 1e999}', b'{"a": "\\ud800"}', b'{"a\\udfff": 1}',
        b'{"a": "\xed\xa0\x80"}',
        b" " * (MAX_BYTES + 1),
    ],
    ids=lambda data: repr(data[:20]),
)  # fmt: skip
def test_what_is_no_manifest(data):
    refused(data)


@pytest.mark.parametrize("old, new", [
    (b'"serial":3', b'"serial":3,"serial":9'),
    (b'"bytes":', b'"bytes":1,"bytes":'),
    (b'"accuracy":0.75', b'"accuracy":NaN'),
    (b'"accuracy":0.75', b'"accuracy":-Infinity'),
    (b'"accuracy":0.75', b'"accuracy":1e400'),
    (b'"accuracy":0.75', b'"accuracy":' + b"[" * 50_000 + b"]" * 50_000),
    (b'"serial":3', b'"serial":' + b"3" * 100_000),
    (b"Where is", b"\\ud83d"),
    (b"robot1-1a2b", b"\\u0000"),
])  # fmt: skip
def test_what_json_would_let_through(old, new):
    data = whole().to_bytes()
    assert old in data
    refused(data.replace(old, new, 1))


def test_a_later_format_is_named_before_what_it_changed():
    assert "update taskmem" in refused(edited(format=2, unknown=1))


def test_too_long_to_write():
    told = replace(whole(), questions=("x" * 4000,) * 100)
    with pytest.raises(ManifestError, match="at most 262144"):
        told.to_bytes()


def test_nothing_wrong_is_written():
    for other in ({"serial": True}, {"metrics": {"a": float("nan")}}, {"layer": None}, {"files": {}}):
        with pytest.raises(ManifestError):
            replace(whole(), **other).to_bytes()
    with pytest.raises(ManifestError):
        replace(whole(), files=whole().files | {"README.md": FileEntry(1, "x")}).to_bytes()


def test_ids():
    assert (
        next_id("robot1", 1_795_403_700_000_000_000, "1a2b3c4d5e" + "0" * 54)
        == "20261123T0315-robot1-1a2b3c4d"
    )
    for name in ("", "../../x", "Küche 3", "x" * 500, "a\nb"):
        for created in (0, 2**63 - 1):
            assert NAME.fullmatch(next_id(name, created, SHA))
