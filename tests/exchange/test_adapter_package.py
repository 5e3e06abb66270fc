"""An adapter's package: what is packed is verified, and whatever else may be in the folder is refused."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save
from small_adapters import (
    BASE,
    HIDDEN,
    KEY,
    KEYRING,
    KINDS,
    OTHER_KEY,
    QUERY,
    RANK,
    ROBOT,
    VECTOR,
    content,
    lora_config,
    lora_tensors,
    manifest,
    package,
    put,
    signed,
    steer_config,
    steer_tensors,
)

from taskmem_ros.exchange.keys import Keyring, TrustedKey
from taskmem_ros.exchange.manifest import CONFIG_FILE, README_FILE, REQUIRED, WEIGHTS_FILE, FileEntry
from taskmem_ros.exchange.package import (
    MANIFEST_FILE,
    SIGNATURE_FILE,
    Limits,
    PackageError,
    pack,
    read_manifest,
    verify,
)

SETTINGS = {"steer": steer_config, "lora": lora_config}


def taken(folder: Path, **options):
    return verify(folder, KEYRING, **{"base_revision": BASE, "robot": ROBOT} | options)


def refused(folder: Path, **options) -> str:
    """The sentence why."""
    with pytest.raises(PackageError) as caught:
        taken(folder, **options)
    text = str(caught.value)
    assert str(folder) in text and "\n" not in text and len(text) < 1000
    return text


def weights(tensors, metadata={"format": "pt"}) -> bytes:  # noqa: B006
    return save(tensors, metadata)


def with_weights(data: bytes, kind: str = "steer", **config) -> dict[str, bytes]:
    """A package that is signed, with other weights and settings."""
    settings = SETTINGS[kind]() | config
    files = {WEIGHTS_FILE: data, CONFIG_FILE: json.dumps(settings).encode()}
    return signed(content(kind) | files, manifest(kind))


def as_type(tensors, dtype: str) -> bytes:
    """Safetensors of this type; numpy has no BF16, which is the upper half of F32."""
    told, data = {}, b""
    for name, tensor in tensors.items():
        wide = np.ascontiguousarray(tensor, "<f4")
        some = {
            "F32": wide.tobytes,
            "F16": wide.astype("<f2").tobytes,
            "BF16": (wide.view("<u4") >> 16).astype("<u2").tobytes,
        }[dtype]()
        offsets = [len(data), len(data) + len(some)]
        told[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        data += some
    return raw_weights(json.dumps(told).encode(), data)


def raw_weights(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


# What is good


@pytest.mark.parametrize("kind", KINDS)
def test_packed_and_verified(tmp_path, kind):
    folder = put(tmp_path / "trained", content(kind) | {"optimizer.pt": b"not packed"})
    told = manifest(kind)
    packed = pack(folder, tmp_path / "out", told, KEY)
    assert packed == tmp_path / "out" / told.id
    assert sorted(path.name for path in packed.iterdir()) == sorted(
        [*content(kind), MANIFEST_FILE, SIGNATURE_FILE]
    )
    assert [path.name for path in packed.parent.iterdir()] == [told.id]
    adapter = taken(packed)
    assert adapter.weights == content(kind)[WEIGHTS_FILE] and adapter.signer == "workshop"
    assert adapter.manifest == replace(told, files=adapter.manifest.files, key=KEY.id)
    assert adapter.config.items() <= SETTINGS[kind]().items()
    assert not {"auto_mapping", "base_model_name_or_path"} & adapter.config.keys()
    before = {path.name: path.stat().st_mtime_ns for path in packed.iterdir()}
    assert pack(folder, tmp_path / "out", told, KEY) == packed
    assert {path.name: path.stat().st_mtime_ns for path in packed.iterdir()} == before


def test_two_files_are_enough(tmp_path):
    files = {name: content()[name] for name in REQUIRED}
    packed = pack(put(tmp_path / "trained", files), tmp_path, manifest(), KEY)
    assert taken(packed).manifest.files.keys() == set(REQUIRED)


def test_an_id_is_of_one_adapter(tmp_path):
    packed = pack(put(tmp_path / "trained", content()), tmp_path, manifest(), KEY)
    put(tmp_path / "trained", content(seed=1))
    with pytest.raises(PackageError, match="another id"):
        pack(tmp_path / "trained", tmp_path, manifest(), KEY)
    assert taken(packed).weights == content()[WEIGHTS_FILE]


@pytest.mark.parametrize("kind", KINDS)
def test_other_types_of_numbers(tmp_path, kind):
    tensors = {"steer": steer_tensors, "lora": lora_tensors}[kind]()
    for dtype in ("F32", "F16", "BF16"):
        data = as_type(tensors, dtype)
        assert taken(put(tmp_path / "a", with_weights(data, kind))).weights == data


def test_any_robot_and_any_base(tmp_path):
    folder = put(tmp_path / "a", package(robots=()))
    assert taken(folder, robot="robot9").manifest.robots == ()
    put(folder, package())
    assert verify(folder, KEYRING).manifest.base_revision == BASE


def test_the_bytes_are_those_that_were_checked(tmp_path):
    folder = put(tmp_path / "a", package())
    adapter = taken(folder)
    put(folder, package(seed=1))
    (value,) = load(adapter.weights).values()
    assert np.array_equal(value, steer_tensors()[VECTOR])


def test_it_needs_neither_torch_nor_ros():
    code = "import sys, taskmem_ros.exchange.package as p; p.verify; "
    code += (
        "loaded = {'torch', 'peft', 'transformers', 'rclpy'} & set(sys.modules); assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Who signed


def test_an_unknown_and_a_revoked_key(tmp_path):
    folder = put(tmp_path / "a", package(key=OTHER_KEY))
    assert "does not know" in refused(folder) and OTHER_KEY.id in refused(folder)
    put(folder, package())
    with pytest.raises(PackageError, match="revoked"):
        verify(folder, Keyring((TrustedKey("workshop", KEY.public, revoked=True),)))
    with pytest.raises(PackageError, match="does not know"):
        verify(folder, Keyring())


def test_a_signature_by_another_key_in_the_name_of_a_trusted_one(tmp_path):
    files = package()
    files[SIGNATURE_FILE] = OTHER_KEY.sign(files[MANIFEST_FILE])
    assert "changed" in refused(put(tmp_path / "a", files))


def test_a_signature_of_something_else(tmp_path):
    files = package() | {SIGNATURE_FILE: package(serial=4)[SIGNATURE_FILE]}
    assert "changed" in refused(put(tmp_path / "a", files))


@pytest.mark.parametrize("name", [*content(), MANIFEST_FILE, SIGNATURE_FILE])
def test_a_flipped_bit_anywhere(tmp_path, name):
    good = package()
    folder = put(tmp_path / "a", good)
    taken(folder)
    for place in range(0, 8 * len(good[name]), 7):  # all bytes, all bits in turn
        spoilt = bytearray(good[name])
        spoilt[place // 8] ^= 1 << place % 8
        put(folder, good | {name: bytes(spoilt)})
        with contextlib.suppress(PackageError):
            taken(folder)
            raise AssertionError(f"taken with bit {place} of {name} flipped")
    taken(put(folder, good))


@pytest.mark.parametrize("name", [*content(), MANIFEST_FILE, SIGNATURE_FILE])
def test_a_file_that_is_missing_or_of_another_length(tmp_path, name):
    good = package()
    for data in (good[name][:-1], good[name] + b"\n", b""):
        assert name in refused(put(tmp_path / "a", good | {name: data})) or name == MANIFEST_FILE
    folder = put(tmp_path / "a", {other: data for other, data in good.items() if other != name})
    assert f"has no {name}" in refused(folder)


# For whom


def test_another_base_model_and_another_robot(tmp_path):
    folder = put(tmp_path / "a", package())
    assert "ba5e" in refused(folder, base_revision="ba5e") and BASE in refused(folder, base_revision="ba5e")
    assert "robot2" in refused(folder, robot="robot2")
    assert "another adapter" in refused(folder, id="20261124T0315-robot1-1a2b3c4d")
    taken(folder, id=manifest().id)


# What is in the folder


@pytest.mark.parametrize(
    "name", ["evil.py", "pytorch_model.bin", "adapter_model.bin", ".hidden", "readme.md", "a\nb", "\udcff"]
)
def test_a_file_that_was_not_signed(tmp_path, name):
    folder = put(tmp_path / "a", package())
    (folder / name).write_bytes(b"x")
    assert "not signed" in refused(folder)


def test_a_folder_many_files_and_a_known_name(tmp_path):
    folder = put(tmp_path / "a", package())
    (folder / "sub").mkdir()
    assert "'sub', which was not signed" in refused(folder)
    for number in range(50):
        (folder / f"x{number}").touch()
    assert "not signed" in refused(folder)
    files = {name: content()[name] for name in REQUIRED}
    put(tmp_path / "b", signed(files, manifest()) | {README_FILE: b"x"})
    assert "README.md, which was not signed" in refused(tmp_path / "b")


@pytest.mark.parametrize("name", [*REQUIRED, README_FILE, MANIFEST_FILE, SIGNATURE_FILE])
def test_what_is_no_plain_file(tmp_path, name):
    good = package()
    outside = tmp_path / "outside"
    outside.write_bytes(good[name])

    def made(make) -> Path:
        folder = put(tmp_path / "a", good)
        (folder / name).unlink()
        make(folder / name)
        return folder

    def listen(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            here = os.getcwd()
            os.chdir(path.parent)  # a socket's path must be short
            try:
                made.bind(path.name)
            finally:
                os.chdir(here)

    for make in (
        lambda path: path.symlink_to(outside),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("nowhere"),
        os.mkfifo,
        listen,
    ):
        assert "no file but" in refused(made(make))
        (tmp_path / "a" / name).unlink()
    assert "hard link" in refused(made(lambda path: os.link(outside, path)))
    (tmp_path / "a" / name).unlink()
    folder = put(tmp_path / "a", good)
    (folder / name).unlink()
    (folder / name).mkdir()
    assert "no file but" in refused(folder)


def test_the_folder_itself(tmp_path):
    folder = put(tmp_path / "a", package())
    (tmp_path / "link").symlink_to(folder)
    assert "link" in refused(tmp_path / "link")
    assert "no folder" in refused(folder / CONFIG_FILE)
    assert "no such folder" in refused(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    assert "no folder" in refused(tmp_path / "pipe")
    assert "no manifest.json" in refused(put(tmp_path / "empty", {}))


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    folder, real = put(tmp_path / "a", package()), os.open

    def broken(path, *arguments, **options):
        if path == WEIGHTS_FILE:
            raise OSError(5, "Input/output error", path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", broken)
    assert "Input/output error" in refused(folder) and WEIGHTS_FILE in refused(folder)


def test_a_file_that_is_exchanged_for_a_link_while_it_is_looked_at(tmp_path, monkeypatch):
    folder, real = put(tmp_path / "a", package()), os.stat

    def stat(path, *arguments, **options):
        about = real(path, *arguments, **options)
        if path == WEIGHTS_FILE and not (folder / path).is_symlink():
            (folder / path).rename(tmp_path / "moved")
            (folder / path).symlink_to(tmp_path / "moved")
        return about

    monkeypatch.setattr(os, "stat", stat)
    refused(folder)


def test_a_huge_file_is_not_read(tmp_path):
    folder = put(tmp_path / "a", package())
    for name in (WEIGHTS_FILE, CONFIG_FILE, README_FILE, MANIFEST_FILE, SIGNATURE_FILE):
        size = (folder / name).stat().st_size
        os.truncate(folder / name, 1 << 40)  # sparse: a terabyte
        assert "at most" in refused(folder)
        os.truncate(folder / name, size)
    taken(folder)


@pytest.mark.parametrize(
    "name, most", [(WEIGHTS_FILE, 512 << 20), (CONFIG_FILE, 65536), (README_FILE, 1 << 20)]
)
def test_a_signed_manifest_that_names_huge_files(tmp_path, name, most):
    told = json.loads(package()[MANIFEST_FILE])
    told["files"][name]["bytes"] = most + 1
    data = json.dumps(told).encode()
    with pytest.raises(PackageError, match=f"at most {most}"):
        read_manifest(data, KEY.sign(data), KEYRING)
    files = package() | {MANIFEST_FILE: data, SIGNATURE_FILE: KEY.sign(data)}
    assert f"at most {most}" in refused(put(tmp_path / "a", files))


def test_a_manifest_before_its_files():
    files = package()
    told, signer = read_manifest(files[MANIFEST_FILE], files[SIGNATURE_FILE], KEYRING, id=manifest().id)
    assert (told.serial, signer) == (3, "workshop")
    for data, signature, options in (
        (files[MANIFEST_FILE], files[SIGNATURE_FILE][:-1], {}),
        (files[MANIFEST_FILE], b"", {}),
        (files[MANIFEST_FILE][:-1], files[SIGNATURE_FILE], {}),
        (b"", files[SIGNATURE_FILE], {}),
        (files[MANIFEST_FILE], files[SIGNATURE_FILE], {"id": "another"}),
        (files[MANIFEST_FILE], files[SIGNATURE_FILE], {"limits": Limits(weights_bytes=10)}),
    ):
        with pytest.raises(PackageError):
            read_manifest(data, signature, KEYRING, **options)


# What was signed all the same: settings


def other_config(kind: str, told: object) -> dict[str, bytes]:
    data = told if isinstance(told, bytes) else json.dumps(told).encode()
    return signed(content(kind) | {CONFIG_FILE: data}, manifest(kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "told",
    [
        {"auto_mapping": {"base_model_class": "system", "parent_library": "os"}},
        {"auto_mapping": {"base_model_class": "Qwen3VLForConditionalGeneration", "parent_library": "evil"}},
        {"auto_mapping": "os"},
        {"modules_to_save": ["lm_head"]}, {"revision": "main"}, {"task_type": "CAUSAL_LM"},
        {"base_model_name_or_path": 1}, {"base_model_name_or_path": ["evil/model"]},
        {"inference_mode": "yes"}, {"inference_mode": 1}, {"peft_version": None},
        {"peft_type": "LOHA"}, {"peft_type": "PROMPT_TUNING"}, {"peft_type": None}, {"peft_type": ["LORA"]},
        {"target_modules": None}, {"target_modules": "all-linear"}, {"target_modules": ".*"},
        {"target_modules": ["down_proj"]}, {"target_modules": r"(a+)+$"}, {"target_modules": ""},
        {"target_modules": r"model\.visual\..*"},
        {"runtime_config": {"ephemeral_gpu_offload": True}}, {"trust_remote_code": True}, {"": 1},
        {"layers_to_transform": [1]}, {"__class__": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_no_trainer_of_ours_writes(tmp_path, kind, told):
    folder = put(tmp_path / "a", other_config(kind, SETTINGS[kind]() | told))
    assert next(iter(told)) in refused(folder)


@pytest.mark.parametrize(
    "told",
    [
        {"r": 0}, {"r": -1}, {"r": 65}, {"r": True}, {"r": 4.0}, {"r": "4"}, {"r": 10**19},
        {"lora_alpha": 0}, {"lora_alpha": -8}, {"lora_alpha": 17}, {"lora_alpha": True}, {"lora_alpha": "8"},
        {"lora_alpha": 1e308}, {"init_lora_weights": False}, {"init_lora_weights": "pissa"},
        {"init_lora_weights": 1}, {"use_dora": True}, {"use_rslora": True}, {"use_dora": 0}, {"bias": "all"},
        {"lora_dropout": 0.5}, {"rank_pattern": {"q_proj": 64}}, {"alpha_pattern": {"q_proj": 1e6}},
        {"loftq_config": {"x": 1}}, {"layer_replication": [[0, 4]]}, {"trainable_token_indices": [1]},
        {"megatron_config": {}}, {"megatron_core": "os"}, {"eva_config": {}}, {"corda_config": {}},
        {"target_parameters": ["mlp.experts.gate_up_proj"]}, {"exclude_modules": ".*"},
        {"alora_invocation_tokens": [1]}, {"init_weights": True}, {"peft_type": "BEFT"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_of_lora(tmp_path, told):
    folder = put(tmp_path / "a", other_config("lora", lora_config() | told))
    assert next(iter(told)) in refused(folder)


@pytest.mark.parametrize("told", [
    {"init_weights": False}, {"r": 4}, {"peft_type": "LORA"},
    {"target_modules": r"model\.language_model\.layers\.0\.mlp\.down_proj"},  # the manifest says 1
    {"target_modules": "model.language_model.layers.1.mlp.down_proj"},
    {"target_modules": r"model\.language_model\.layers\.1\.self_attn\.o_proj"},
], ids=str)  # fmt: skip
def test_settings_of_a_steering_vector(tmp_path, told):
    folder = put(tmp_path / "a", other_config("steer", steer_config() | told))
    assert next(iter(told)) in refused(folder)


@pytest.mark.parametrize("name", ["peft_type", "target_modules", "r", "lora_alpha"])
def test_settings_that_are_missing(tmp_path, name):
    told = {key: value for key, value in lora_config().items() if key != name}
    assert f"no {name}" in refused(put(tmp_path / "a", other_config("lora", told)))


@pytest.mark.parametrize("data", [
    b"", b"null", b"[]", b"{", b"\xff", b'{"peft_type": "BEFT", "peft_type": "LORA"}', b"[" * 60_000,
    b'{"a": ' * 10_000 + b"1" + b"}" * 10_000, b'{"r": NaN}',
    b'{"r": ' + b"9" * 60_000 + b"}", b'{"\\ud800": 1}',
], ids=lambda data: repr(data[:20]))  # fmt: skip
def test_settings_that_are_no_json(tmp_path, data):
    assert CONFIG_FILE in refused(put(tmp_path / "a", other_config("steer", data)))


# What was signed all the same: weights


def vector(numbers, name: str = VECTOR) -> dict[str, bytes]:
    return with_weights(weights({name: np.asarray(numbers)}))


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_not_finite(tmp_path, kind, value, dtype):
    tensors = {"steer": steer_tensors, "lora": lora_tensors}[kind]()
    last = list(tensors)[-1]
    tensors[last].flat[-1] = value
    assert "not finite" in refused(put(tmp_path / "a", with_weights(as_type(tensors, dtype), kind)))


def test_a_huge_norm(tmp_path):
    one = np.ones((1, HIDDEN), np.float32)
    for factor in (4.1, 1e4, 3e38):
        assert "at most" in refused(put(tmp_path / "a", vector(one * factor)))
    taken(put(tmp_path / "a", vector(one * 3.9)))
    assert "norm" in refused(put(tmp_path / "a", vector(one)), limits=Limits(norm=5.0))
    tensors = lora_tensors()
    tensors[QUERY.format("B")][0, 0] = 1e6
    assert "at most" in refused(put(tmp_path / "a", with_weights(weights(tensors), "lora")))


def test_numbers_too_small_to_compute_with(tmp_path):
    numbers = np.full((1, HIDDEN), 1e-40, np.float32)
    assert "too small" in refused(put(tmp_path / "a", vector(numbers)))
    assert "too small" in refused(put(tmp_path / "a", with_weights(as_type({VECTOR: numbers}, "BF16"))))
    taken(put(tmp_path / "a", vector(np.full((1, HIDDEN), 1e-7, np.float16))))
    taken(put(tmp_path / "a", vector(np.zeros((1, HIDDEN), np.float32))))


@pytest.mark.parametrize("dtype", [np.float64, np.int8, np.int64, np.uint8, np.bool_], ids=str)
def test_another_type(tmp_path, dtype):
    assert "F32" in refused(put(tmp_path / "a", vector(np.ones((1, HIDDEN), dtype))))


@pytest.mark.parametrize(
    "shape", [(), (HIDDEN,), (2, HIDDEN), (HIDDEN, 1), (1, 1, HIDDEN), (0, HIDDEN), (1, 0)]
)
def test_another_shape(tmp_path, shape):
    numbers = np.ones(shape, np.float32)
    text = refused(put(tmp_path / "a", vector(numbers)))
    assert "shape" in text


@pytest.mark.parametrize(
    "names",
    [
        ["model.language_model.layers.1.mlp.down_proj.beft_bias"],
        [VECTOR.replace("layers.1", "layers.0")],
        [VECTOR.replace("down_proj.", "")],
        [VECTOR, VECTOR.replace("layers.1", "layers.0")],
        [VECTOR, "lm_head.weight"],
        ["base_model.model.lm_head.weight"],
        [VECTOR + "\n"], [""], ["x" * 10_000],
    ],
    ids=lambda names: str(names)[:60],
)  # fmt: skip
def test_other_names_of_a_steering_vector(tmp_path, names):
    tensors = {name: np.ones((1, HIDDEN), np.float32) for name in names}
    assert "alone" in refused(put(tmp_path / "a", with_weights(weights(tensors))))


def test_pairs_that_are_none(tmp_path):
    def told(change) -> str:
        tensors = lora_tensors()
        change(tensors)
        return refused(put(tmp_path / "a", with_weights(weights(tensors), "lora")))

    a, b = QUERY.format("A"), QUERY.format("B")
    one = np.ones((RANK, HIDDEN), np.float32)
    assert "one half" in told(lambda t: t.pop(a))
    assert "one half" in told(lambda t: t.pop(b))
    assert "rank" in told(lambda t: t.update({a: one[:2]}))
    assert "rank" in told(lambda t: t.update({a: one[:2], b: one.T[:, :2].copy()}))
    assert "rank" in told(lambda t: t.update({a: one.T.copy()}))
    assert "hidden" in told(lambda t: t.update({a: one[:, :-1].copy()}))
    assert "heads" in told(lambda t: t.update({b: one.T[:-1].copy()}))
    for name in (
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.visual.blocks.0.attn.qkv.lora_A.weight",
        a.replace("lora_A", "lora_embedding_A"),
        a.replace("q_proj", "q_norm"),
        a.replace("layers.0", "layers.-1"),
        a.replace("layers.0", "layers.٣"),  # digits, but not in the name of a module
        a.replace("layers.0", "layers." + "0" * 300),
        a.replace("base_model.model.", ""),
        a + "x",
        a.replace("weight", "bias"),
        a.replace("lora_A", "lora_A.other"),
        VECTOR,
        "__proto__",
        "../../x",
    ):
        assert "none of LoRA's" in told(lambda t, name=name: t.update({name: one}))


def test_a_vector_signed_as_lora_and_the_other_way(tmp_path):
    for kind, other in zip(KINDS, reversed(KINDS)):
        refused(put(tmp_path / "a", signed(content(kind), manifest(other))))
        mixed = content(kind) | {CONFIG_FILE: content(other)[CONFIG_FILE]}
        refused(put(tmp_path / "a", signed(mixed, manifest(kind))))
        refused(put(tmp_path / "a", signed(mixed, manifest(other))))


ENTRY = {"dtype": "F32", "shape": [1, HIDDEN], "data_offsets": [0, 4 * HIDDEN]}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0", b"\0" * 8, b"\xff" * 8, b"\xff" * 200, (1 << 40).to_bytes(8, "little"),
        raw_weights(b""), raw_weights(b"{}"), raw_weights(b"[]"), raw_weights(b"null"),
        raw_weights(b"\xff\xfe"),
        raw_weights(b"{" * 1000), raw_weights(b'{"a":' * 50_000), raw_weights(b"[" * 100_000),
        raw_weights(b" " * (2 << 20)),
        b"PK\x03\x04" + bytes(100), b"\x80\x04\x95" + bytes(100),  # a zip file, as torch writes; a pickle
    ],
    ids=lambda data: repr(data[:24]),
)  # fmt: skip
def test_weights_that_are_no_safetensors(tmp_path, data):
    assert WEIGHTS_FILE in refused(put(tmp_path / "a", with_weights(data)))


@pytest.mark.parametrize(
    "told",
    [
        {VECTOR: {**ENTRY, "data_offsets": [0, 4]}},
        {VECTOR: {**ENTRY, "data_offsets": [4, 4 + 4 * HIDDEN]}},
        {VECTOR: {**ENTRY, "data_offsets": [4 * HIDDEN, 0]}},
        {VECTOR: {**ENTRY, "data_offsets": [-4, 4]}},
        {VECTOR: {**ENTRY, "data_offsets": [0, 2**64]}},
        {VECTOR: {**ENTRY, "data_offsets": [2**64 - 1, 127]}},
        {VECTOR: {**ENTRY, "data_offsets": [0]}},
        {VECTOR: {**ENTRY, "data_offsets": None}},
        {VECTOR: {**ENTRY, "data_offsets": [0, 1 << 40]}},
        {VECTOR: {**ENTRY, "shape": [1, 1 << 40]}},
        {VECTOR: {**ENTRY, "shape": [2**63, 2**63]}},
        {VECTOR: {**ENTRY, "shape": [1, -HIDDEN]}},
        {VECTOR: {**ENTRY, "shape": [True, HIDDEN]}},
        {VECTOR: {**ENTRY, "shape": ["1", HIDDEN]}},
        {VECTOR: {**ENTRY, "shape": {}}},
        {VECTOR: {**ENTRY, "shape": [1] * 100_000}},
        {VECTOR: {**ENTRY, "dtype": ["F32"]}},
        {VECTOR: {**ENTRY, "dtype": "f32"}},
        {VECTOR: {**ENTRY, "more": 1}},
        {VECTOR: [1]},
        {VECTOR: {**ENTRY}, "second": {**ENTRY}},  # the same bytes twice
        {VECTOR: {**ENTRY}, "__metadata__": {"format": "tf"}},
        {VECTOR: {**ENTRY}, "__metadata__": {"format": "pt", "more": "x"}},
        {VECTOR: {**ENTRY}, "__metadata__": []},
        {f"t{n}": {**ENTRY, "shape": [1, 1], "data_offsets": [4 * n, 4 * n + 4]} for n in range(5000)},
    ],
    ids=lambda told: str(told)[-100:],
)  # fmt: skip
def test_headers_that_lie(tmp_path, told):
    data = raw_weights(json.dumps(told).encode(), bytes(4 * HIDDEN))
    assert WEIGHTS_FILE in refused(put(tmp_path / "a", with_weights(data)))


def test_a_huge_header(tmp_path):
    header = json.dumps({VECTOR: ENTRY}).encode()
    folder = put(tmp_path / "a", with_weights(raw_weights(header.ljust(1 << 20), bytes(4 * HIDDEN))))
    taken(folder)
    put(folder, with_weights(raw_weights(header.ljust((1 << 20) + 8), bytes(4 * HIDDEN))))
    assert "header" in refused(folder)


def test_very_many_tensors(tmp_path):
    folder, count = put(tmp_path / "a", package("lora")), len(lora_tensors())
    taken(folder, limits=Limits(tensors=count))
    assert f"1 to {count - 1}" in refused(folder, limits=Limits(tensors=count - 1))


def test_one_name_twice_in_a_header(tmp_path):
    entry = json.dumps(ENTRY)
    data = raw_weights(f'{{"{VECTOR}": {entry}, "{VECTOR}": {entry}}}'.encode(), bytes(4 * HIDDEN))
    assert "twice" in refused(put(tmp_path / "a", with_weights(data)))


def test_bytes_after_the_last_tensor(tmp_path):
    assert "safetensors" in refused(put(tmp_path / "a", with_weights(content()[WEIGHTS_FILE] + bytes(100))))


# What no workstation signs


def test_nothing_is_packed_that_no_robot_would_take(tmp_path):
    for files in (
        content() | {WEIGHTS_FILE: weights({VECTOR: np.full((1, HIDDEN), np.nan, np.float32)})},
        content() | {CONFIG_FILE: json.dumps(steer_config() | {"modules_to_save": ["lm_head"]}).encode()},
        {CONFIG_FILE: content()[CONFIG_FILE]},
        content("lora"),
    ):
        with pytest.raises(PackageError, match=re.escape(str(tmp_path / "trained"))):
            pack(put(tmp_path / "trained", files), tmp_path / "out", manifest(), KEY)
    with pytest.raises(PackageError, match="serial"):
        pack(put(tmp_path / "trained", content()), tmp_path / "out", manifest(serial=0), KEY)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_package(tmp_path, monkeypatch):
    put(tmp_path / "trained", content())

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PackageError, match="No space left.*make room"):
        pack(tmp_path / "trained", tmp_path / "out", manifest(), KEY)
    assert list((tmp_path / "out").iterdir()) == []


def test_entries_are_what_the_manifest_says():
    entry = json.loads(package()[MANIFEST_FILE])["files"][WEIGHTS_FILE]
    assert FileEntry(**entry).bytes == len(content()[WEIGHTS_FILE])
