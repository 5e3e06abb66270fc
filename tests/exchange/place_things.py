"""Bundles and adapters for the tests of places, and places of every kind that can be written to."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from place_servers import LOCALHOST, S3_LOGIN, SSHD, served, sftp_keys, sftp_options, sshd

from taskmem_ros.exchange.card import BundleCard
from taskmem_ros.exchange.place import Place

KINDS = [
    "folder",
    "sftp",
    pytest.param(
        "sshd", marks=pytest.mark.skipif(SSHD is None, reason="no sshd here: apt install openssh-server")
    ),
    "s3",
]
ADAPTER = "20261123T0315-robot1-1a2b3c4d"
MB = 1_000_000
MakePlace = Callable[..., Place]


def bundle(
    folder: Path, robot: str = "robot1", sequence: int = 1, size: int = 1000, seed: int = 0
) -> tuple[Path, BundleCard]:
    """A file with as many bytes and its card."""
    data = hashlib.shake_256(f"{robot} {sequence} {seed}".encode()).digest(size)
    sha256 = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{robot}-{sequence}-{seed}"
    path.write_bytes(data)
    id = hashlib.sha256(f"{robot} {sequence}".encode()).hexdigest()[:16]
    card = BundleCard(
        robot=robot, store_id="store-1", sequence=sequence, id=id, bytes=size, sha256=sha256, tasks=3
    )
    return path, card


def adapter(folder: Path, id: str = ADAPTER, seed: str = "") -> Path:
    """A folder as `package.pack` leaves it, as far as a place looks into it."""
    path = folder / id
    path.mkdir(parents=True)
    (path / "adapter_model.safetensors").write_bytes(b"weights" * 100)
    (path / "adapter_config.json").write_text("{}")
    (path / "manifest.json").write_text(f'{{"seed":"{seed}"}}\n')
    (path / "manifest.sig").write_bytes(hashlib.sha512(seed.encode()).digest())
    return path


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.glob("adapter_*")}


@contextlib.contextmanager
def kind_of_place(kind: str, folder: Path) -> Iterator[tuple[MakePlace, Path | None, int | None]]:
    """How to make a Place in a new exchange of a kind; where its files lie, None for objects; its port."""
    root = folder / "exchange"
    root.mkdir()
    with contextlib.ExitStack() as stack:
        if kind == "folder":
            yield lambda port=None, **more: Place(root, **more), root, None
            return
        if kind == "s3":
            server = stack.enter_context(served("s3", LOCALHOST))
            make_bucket(server, "exchange")

            def make(port: int = server, **more) -> Place:
                return Place(f"s3://exchange/{folder.name}", options=s3_options(port), **more)

            yield make, None, server
            return
        keys = sftp_keys(folder / "keys")
        chroot = kind == "sftp"
        server = stack.enter_context(
            served("sftp", LOCALHOST, str(root), str(keys)) if chroot else sshd(keys)
        )

        def make(port: int = server, **more) -> Place:
            path = "" if chroot else root
            return Place(f"sftp://{LOCALHOST}:{port}/{path}", options=sftp_options(keys, port), **more)

        yield make, root, server


def s3_options(port: int, host: str = LOCALHOST) -> dict[str, object]:
    return {"endpoint_url": f"http://{host}:{port}", **S3_LOGIN}


def make_bucket(port: int, name: str, host: str = LOCALHOST) -> None:
    import fsspec

    fsspec.filesystem("s3", skip_instance_cache=True, **s3_options(port, host)).mkdir(name)


def put_raw(make: MakePlace, root: Path | None, path: str, data: bytes) -> None:
    """Put a file into an exchange as no place would."""
    if root is not None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    else:
        objects = make()._remote._transport
        objects._fs.pipe_file(objects._path(path), data)


def name_of(text: str) -> str:
    return f"{text}-{uuid.uuid4().hex[:8]}"
