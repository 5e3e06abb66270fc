"""Real servers for the tests of places, each a process of its own; and a wire between that can fail.

    python place_servers.py sftp HOST FOLDER KEYS    asyncssh's server, where no sshd is installed
    python place_servers.py s3 HOST                  moto's, over HTTP
    python place_servers.py web HOST FOLDER          Python's own

Each prints its port when it listens.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncssh

S3_LOGIN = {"key": "testing", "secret": "testing"}
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
LOCALHOST = "127.0.0.1"


@contextlib.contextmanager
def served(*arguments: str, inside: Sequence[str] = ()) -> Iterator[int]:
    """A server of this file while the block runs; its port. inside: a command to run it with."""
    command = [*inside, sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def sftp_keys(folder: Path) -> Path:
    """A folder with keys of a host and of a user who may come in."""
    folder.mkdir()
    for name in ("host", "user"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(folder / name)
        key.write_public_key(folder / f"{name}.pub")
        (folder / name).chmod(0o600)
    shutil.copy(folder / "user.pub", folder / "authorized")
    return folder


def sftp_options(keys: Path, port: int, host: str = LOCALHOST) -> dict[str, object]:
    known = keys / f"known-{port}"
    written = keys / f"known-{port}-{threading.get_ident()}"  # others read it at the same time
    written.write_text(f"[{host}]:{port} {(keys / 'host.pub').read_text()}")
    written.replace(known)
    return {"known_hosts": str(known), "client_keys": [str(keys / "user")], "username": user(), "config": []}


@contextlib.contextmanager
def sshd(keys: Path, host: str = LOCALHOST, inside: Sequence[str] = ()) -> Iterator[int]:
    """OpenSSH's server while the block runs; its port. As root it needs /run/sshd."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    settings = {
        "Port": port, "ListenAddress": host, "HostKey": keys / "host",
        "AuthorizedKeysFile": keys / "authorized",
        "PasswordAuthentication": "no", "StrictModes": "no", "UsePAM": "no", "PidFile": "none",
        "Subsystem": "sftp internal-sftp",
    }  # fmt: skip
    config = keys / f"sshd-{port}"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (keys / f"sshd-{port}.log").open("w+") as log:
        command = [*inside, SSHD, "-D", "-e", "-f", config]
        with subprocess.Popen(command, stderr=log, start_new_session=True) as process:
            try:
                while "Server listening" not in Path(log.name).read_text():
                    assert process.poll() is None, f"sshd does not start: {Path(log.name).read_text()}"
                    time.sleep(0.05)
                yield port
            finally:
                process.kill()


def user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return probe.getsockname()[1]


class Wire:
    """A port that leads to another, through a wire that can be frozen, or be cut after some bytes to it."""

    def __init__(self, port: int):
        self._target = port
        self._server = socket.create_server((LOCALHOST, 0))
        self.port = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._thawed = threading.Event()
        self._thawed.set()
        self._bytes_left: int | None = None
        self.cuts = 0
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exception: object) -> None:
        self._thawed.set()
        self._server.close()
        self._close_all()

    def cut_after(self, bytes: int) -> None:
        """Once: after so many more bytes in either direction all connections break."""
        with self._lock:
            self._bytes_left = bytes

    def freeze(self) -> None:
        """Nothing goes through any more, and nobody is told."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                server = socket.create_connection((LOCALHOST, self._target))
                with self._lock:
                    self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                self._thawed.wait()
                with self._lock:
                    cut = self._bytes_left is not None and self._bytes_left < len(data)
                    if self._bytes_left is not None:
                        self._bytes_left = None if cut else self._bytes_left - len(data)
                if cut:
                    self.cuts += 1
                    self._close_all()
                    return
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _close_all(self) -> None:
        with self._lock:
            sockets, self._open = self._open, []
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
                one.close()


class Dripping:
    """A web server that answers a byte every so often, without end; or, with no interval, never."""

    def __init__(self, every_s: float | None):
        self._server = socket.create_server((LOCALHOST, 0))
        self.port = self._server.getsockname()[1]
        self._every_s = every_s
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Dripping:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.recv(65536)
            if self._every_s is None:
                client.recv(65536)
                return
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while True:
                client.sendall(b"x")
                time.sleep(self._every_s)


def _serve_sftp(host: str, folder: str, keys: str) -> None:
    import asyncio

    async def serve() -> None:
        server = await asyncssh.listen(
            host, 0, server_host_keys=[f"{keys}/host"], authorized_client_keys=f"{keys}/authorized",
            sftp_factory=functools.partial(asyncssh.SFTPServer, chroot=folder),
        )  # fmt: skip
        print(server.get_port(), flush=True)
        await server.wait_closed()

    asyncio.run(serve())


def _serve_s3(host: str) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    server = make_server(host, 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    print(server.port, flush=True)
    server.serve_forever()


def _serve_web(host: str, folder: str) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer((host, 0), handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    {"sftp": _serve_sftp, "s3": _serve_s3, "web": _serve_web}[sys.argv[1]](*sys.argv[2:])
