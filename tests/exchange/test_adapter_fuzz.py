"""Thousands of packages that somebody changed: none is taken, and nothing but a PackageError comes of them.

Then packages by somebody with a trusted key, who signs whatever they made: only what keeps to the limits is
taken.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from safetensors.torch import load
from small_adapters import BASE, KEY, KEYRING, KINDS, ROBOT, content, manifest, package, put, signed

from taskmem_ros.exchange.manifest import CONFIG_FILE, FILES, GATE_FILE, README_FILE, WEIGHTS_FILE
from taskmem_ros.exchange.package import (
    MANIFEST_FILE,
    SIGNATURE_FILE,
    Limits,
    PackageError,
    VerifiedAdapter,
    read_manifest,
    verify,
)

CASES = 1500
LIMITS = Limits()
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 64, 65, 2**31, 2**63, 2**64, 10**19, 0.0, 0.5, -1e308, 1e308, 5e-324, "",
    "x", "F16", "BF16", "F64", "I8", "../../x", "/etc/passwd", "a\0b", "\x1b[2J", "é" * 300, "LORA", "BEFT",
    "steer", "lora", "all-linear", ".*", [], [[]], [0], [1, 32], [0, 0], [0, 128], [2**40, 2**40], {},
    {"a": 1},
    [[[[[[[[[]]]]]]]]],
)  # fmt: skip
ODD_TEXT = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"00", b'"\\ud800"', b'"\\u0000"', b"9" * 4400,
    b"[" * 3000, b'{"a":' * 3000, b"\xff", b"//", b"{}", b",", b'"', b"}",
)  # fmt: skip
Rng = random.Random

pytestmark = pytest.mark.filterwarnings("error")  # what warns may be an error elsewhere


# How bytes are changed


def flipped(rng: Rng, data: bytes) -> bytes:
    spoilt = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 1, 2, 5, 40))):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def cut(rng: Rng, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) or 1)]


def inserted(rng: Rng, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    more = rng.choice((rng.randbytes(rng.randint(1, 50)), bytes(rng.randint(1, 50)), rng.choice(ODD_TEXT)))
    return data[:place] + more + data[place:]


def removed(rng: Rng, data: bytes) -> bytes:
    place = rng.randrange(len(data) or 1)
    return data[:place] + data[place + rng.randint(1, 20) :]


def moved(rng: Rng, data: bytes) -> bytes:
    """A part of it elsewhere, over what was there."""
    spoilt, size = bytearray(data), rng.randint(1, 64)
    source, target = (rng.randrange(max(1, len(data) - size)) for _ in range(2))
    spoilt[target : target + size] = data[source : source + size]
    return bytes(spoilt)


def of_json(rng: Rng, data: bytes) -> bytes:
    """A value, key or item of JSON edited, and written as JSON again."""
    try:
        told = json.loads(data)
    except ValueError:
        return flipped(rng, data)
    edit(rng, told)
    return json.dumps(told, indent=rng.choice((None, 1)), sort_keys=rng.random() < 0.5).encode()


def of_header(rng: Rng, data: bytes) -> bytes:
    """The header of safetensors edited, with its length or without."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data):
        return flipped(rng, data)
    header = rng.choice((of_json, of_json, of_json, flipped, inserted))(rng, data[8 : 8 + length])
    told = (
        len(header) if rng.random() < 0.8 else rng.choice((0, length, len(data), 2**63, rng.getrandbits(64)))
    )
    return told.to_bytes(8, "little") + header + data[8 + length :]


def of_numbers(rng: Rng, data: bytes) -> bytes:
    """Numbers of safetensors made odd: not finite, huge, tiny."""
    length = 8 + int.from_bytes(data[:8], "little")
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 100))):
        place = length + 4 * rng.randrange(max(1, (len(data) - length) // 4))
        value = rng.choice((0x7F800000, 0xFF800000, 0x7FC00001, 0x7F7FFFFF, 1, 0x80000001, 0, 0x40000000))
        spoilt[place : place + 4] = value.to_bytes(4, "little")
    return bytes(spoilt)


def edit(rng: Rng, told: Any) -> None:
    """Change something in lists and objects, in place."""
    while True:
        inner = told.values() if isinstance(told, dict) else told
        inner = [value for value in inner if isinstance(value, (dict, list)) and value]
        if not inner or rng.random() < 0.4:
            break
        told = rng.choice(inner)
    if isinstance(told, dict):
        name = rng.choice(list(told) or ["x"])
        value = told.get(name)
        kind = rng.randrange(5)
        if kind == 0:
            told.pop(name, None)
        elif kind == 1:
            told[rng.choice(("x", "../x", "README.md", "lm_head.weight", "__metadata__", ""))] = value
        elif kind == 2:
            told[name] = near(rng, value)
        else:
            told[name] = rng.choice(ODD)
    elif told:
        place = rng.randrange(len(told))
        told[place] = rng.choice((near(rng, told[place]), rng.choice(ODD)))
    else:
        told.append(rng.choice(ODD))


def near(rng: Rng, value: Any) -> Any:
    """Almost the same."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        return rng.choice((value + 1, value - 1, -value, float(value), value * 2, str(value)))
    if isinstance(value, str):
        return rng.choice(
            (value[:-1], value + "x", value.upper(), [value], value + "\n", value.replace("1", "0"))
        )
    return rng.choice((None, [value], str(value)))


CHANGES: tuple[Callable[[Rng, bytes], bytes], ...] = (
    flipped, flipped, cut, inserted, removed, moved, of_json, of_json, of_header, of_numbers,
)  # fmt: skip


def changed(rng: Rng, files: Mapping[str, bytes], other: Mapping[str, bytes]) -> dict[str, bytes]:
    """The package with something done to it; `other` is one that was signed as well."""
    made = dict(files)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name, kind = rng.choice(list(files)), rng.random()
        if kind < 0.15:
            made[name] = other[name]
        elif kind < 0.2:
            made.pop(name, None)
        elif kind < 0.25:
            made[name] = made.get(rng.choice(list(files)), b"")
        else:
            made[name] = rng.choice(CHANGES)(rng, made.get(name, files[name]))
    return made


# Without a trusted key


@pytest.mark.parametrize("kind", KINDS)
def test_no_changed_package_is_taken(tmp_path, kind):
    rng = random.Random(f"{kind} 2026")
    good, older = package(kind), package(kind, seed=1, serial=2, id="20261122T0315-robot1-0a0b0c0d")
    verify(put(tmp_path / "a", good), KEYRING, base_revision=BASE, robot=ROBOT)
    cases = set()
    while len(cases) < CASES // 2:
        files = changed(rng, *rng.choice(((good, older), (older, good))))
        case = tuple(sorted(files.items()))
        if files in (good, older) or case in cases:
            continue
        cases.add(case)
        with pytest.raises(PackageError) as caught:
            verify(put(tmp_path / "a", files), KEYRING)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000


def test_no_changed_manifest_is_read():
    rng = random.Random(5)
    good, other = package("steer"), package("lora", serial=4)
    pairs = {(files[MANIFEST_FILE], files[SIGNATURE_FILE]) for files in (good, other)}
    cases: set[tuple[bytes, bytes]] = set()
    while len(cases) < CASES:
        files = changed(rng, {name: good[name] for name in (MANIFEST_FILE, SIGNATURE_FILE)}, other)
        case = (files.get(MANIFEST_FILE, b""), files.get(SIGNATURE_FILE, b""))
        if case in cases or case in pairs:
            continue
        cases.add(case)
        with pytest.raises(PackageError):
            read_manifest(*case, KEYRING)


# With one


def test_whoever_has_a_trusted_key_is_held_to_the_limits(tmp_path):
    rng, taken, refused = random.Random(7), 0, 0
    for _ in range(CASES):
        kind = rng.choice(KINDS)
        files = content(kind)
        for _ in range(rng.choice((1, 1, 2))):
            name = rng.choice(
                (WEIGHTS_FILE, WEIGHTS_FILE, WEIGHTS_FILE, CONFIG_FILE, CONFIG_FILE, README_FILE, GATE_FILE)
            )
            ways = (
                (of_json, of_json, flipped, inserted)
                if name == CONFIG_FILE
                else (*CHANGES, of_header, of_numbers)
            )
            files[name] = rng.choice(ways)(rng, files[name])
        made = signed(files, manifest(kind))
        try:
            adapter = verify(put(tmp_path / "a", made), KEYRING, base_revision=BASE, robot=ROBOT)
        except PackageError:
            refused += 1
        else:
            taken += 1
            check_limits(adapter)
    assert refused > CASES // 2 and taken > CASES // 20


def test_whoever_has_a_trusted_key_signs_any_manifest(tmp_path):
    rng, taken = random.Random(11), 0
    for _ in range(CASES // 2):
        files = package(rng.choice(KINDS))
        data = rng.choice((of_json, of_json, of_json, flipped, inserted, removed, moved))(
            rng, files[MANIFEST_FILE]
        )
        files |= {MANIFEST_FILE: data, SIGNATURE_FILE: KEY.sign(data)}
        try:
            adapter = verify(put(tmp_path / "a", files), KEYRING)
        except PackageError:
            continue
        taken += 1
        adapter.manifest.validate()
        check_limits(adapter)
    assert 0 < taken < CASES // 4


def check_limits(adapter: VerifiedAdapter) -> None:
    """As the agent would load it: only known names of language layers, and numbers of a bounded size."""
    told, config = adapter.manifest, adapter.config
    assert set(told.files) <= set(FILES) and told.serial >= 1
    assert len(adapter.weights) == told.files[WEIGHTS_FILE].bytes <= LIMITS.weights_bytes
    assert config["peft_type"] == {"steer": "BEFT", "lora": "LORA"}[told.kind]
    assert not {"auto_mapping", "base_model_name_or_path", "revision"} & config.keys()
    assert config.get("modules_to_save") is None and config.get("bias", "none") == "none"
    assert config["inference_mode"] is True
    tensors = load(adapter.weights)
    assert 1 <= len(tensors) <= LIMITS.tensors
    for name, tensor in tensors.items():
        assert name.startswith("base_model.model.model.language_model.layers.")
        assert tensor.dtype in (torch.float32, torch.float16, torch.bfloat16) and tensor.ndim == 2
        numbers = tensor.double()
        norm = float(numbers.norm())
        assert math.isfinite(norm) and norm <= LIMITS.norm
        assert norm / math.sqrt(numbers.numel()) <= LIMITS.rms + 1e-9
    if told.kind == "lora":
        assert 1 <= config["r"] <= LIMITS.rank and 0 < config["lora_alpha"] <= LIMITS.scale * config["r"]
        assert {min(tensor.shape) for tensor in tensors.values()} == {config["r"]}
