"""Two hosts and the link between them, which goes down in the middle of a push and of a pull.

The hosts are two network namespaces of this machine, joined by a pair of virtual interfaces.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from place_servers import served, sftp_keys, sftp_options
from place_things import MB, bundle, s3_options

from taskmem_ros.exchange.place import Place

ROBOT_IP, HOST_IP = "10.213.7.1", "10.213.7.2"
SIZE = 24 * MB
# Says when it is in the middle, and goes on when it is told to; then says how it ended.
CLIENT = f"""
import json, sys
from pathlib import Path
from taskmem_ros.exchange.card import BundleCard
from taskmem_ros.exchange.place import Place
from taskmem_ros.exchange.place_errors import PlaceError
from taskmem_ros.exchange.transport import patience as waits

waits.LONGEST_WAIT_S = 1.0  # how long tries lie apart is for other tests; here it would be most of the time
url, options, card, path, patience, verb = json.loads(sys.argv[1])
asked = False
def progress(done, total, what):
    global asked
    if not asked and what.startswith(verb) and total == {SIZE} and {SIZE} // 3 < done < {SIZE}:
        asked = True
        print("middle", flush=True)
        sys.stdin.readline()
    elif "again" in what:
        print("again", flush=True)

card = BundleCard.from_bytes(card.encode())
place = Place(url, options=options, progress=progress, **patience)
try:
    done = place.push_bundle(path, card) if verb == "push" else place.pull_bundle(card, path)
    print("done", done, flush=True)
except PlaceError as error:
    print(type(error).__name__, error, flush=True)
"""


class Hosts:
    """The robot's and the other's namespace, as commands to run something in them."""

    def __init__(self) -> None:
        name = f"tm{uuid.uuid4().hex[:6]}"
        self._robot, self._other, self._link = f"{name}r", f"{name}o", f"{name}v"
        self.robot = ["ip", "netns", "exec", self._robot]
        self.other = ["ip", "netns", "exec", self._other]

    def make(self) -> None:
        peer = f"{self._link}o"
        ip("netns", "add", self._robot)
        ip("netns", "add", self._other)
        ip(
            "-n",
            self._robot,
            "link",
            "add",
            self._link,
            "type",
            "veth",
            "peer",
            "name",
            peer,
            "netns",
            self._other,
        )
        for space, link, address in ((self._robot, self._link, ROBOT_IP), (self._other, peer, HOST_IP)):
            ip("-n", space, "addr", "add", f"{address}/24", "dev", link)
            ip("-n", space, "link", "set", link, "up")
            ip("-n", space, "link", "set", "lo", "up")

    def link(self, state: str) -> None:
        ip("-n", self._robot, "link", "set", self._link, state)

    def remove(self) -> None:
        for space in (self._robot, self._other):
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def hosts():
    found = Hosts()
    try:
        found.make()
    except (OSError, subprocess.CalledProcessError) as error:
        found.remove()
        pytest.skip(f"no network namespaces here, which needs root and iproute2: {error}")
    yield found
    found.remove()


@pytest.fixture(scope="module", params=["sftp", "s3", "web"])
def there(request, hosts, tmp_path_factory):
    """(url, options, folder of the exchange or None) of a server on the other host."""
    folder = tmp_path_factory.mktemp(request.param)
    root = folder / "exchange"
    root.mkdir()
    with contextlib.ExitStack() as stack:
        if request.param == "s3":
            port = stack.enter_context(served("s3", HOST_IP, inside=hosts.other))
            options = s3_options(port, HOST_IP)
            code = f"import place_things; place_things.make_bucket({port}, 'exchange', {HOST_IP!r})"
            subprocess.run([*hosts.robot, sys.executable, "-c", code], check=True, env=environment())
            yield "s3://exchange/x", options, None
        elif request.param == "sftp":
            keys = sftp_keys(folder / "keys")
            port = stack.enter_context(served("sftp", HOST_IP, str(root), str(keys), inside=hosts.other))
            yield f"sftp://{HOST_IP}:{port}/", sftp_options(keys, port, HOST_IP), root
        else:
            port = stack.enter_context(served("web", HOST_IP, str(root), inside=hosts.other))
            yield f"http://{HOST_IP}:{port}", {}, root


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"}


@contextlib.contextmanager
def client(hosts, there, card, path, verb, **patience):
    url, options, _root = there
    told = json.dumps([url, options, card.to_bytes().decode(), str(path), patience, verb])
    with subprocess.Popen(
        [*hosts.robot, sys.executable, "-c", CLIENT, told],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def run(hosts, there, card, path, verb) -> str:
    with client(hosts, there, card, path, verb) as process:
        return process.communicate("go\n")[0].splitlines()[-1]


def cut_in_the_middle(hosts, process) -> None:
    assert process.stdout.readline() == "middle\n"
    hosts.link("down")
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_the_link_is_cut_and_comes_back(hosts, there, tmp_path, verb):
    """The same call goes on by trying again."""
    path, card = ready(hosts, there, tmp_path, f"back-{verb}", verb)
    target = path if verb == "push" else tmp_path / "in"
    with client(hosts, there, card, target, verb, timeout_s=3, retries=50) as process:
        try:
            cut_in_the_middle(hosts, process)
            assert process.stdout.readline() == "again\n"
        finally:
            hosts.link("up")
        assert process.stdout.readlines()[-1].startswith("done")
    assert_there(hosts, there, card, path, tmp_path / "check")


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_the_link_is_cut_and_stays_away(hosts, there, tmp_path, verb):
    """A clear error, nothing half to be seen, and the next call goes well."""
    path, card = ready(hosts, there, tmp_path, f"away-{verb}", verb)
    target = path if verb == "push" else tmp_path / "in"
    with client(hosts, there, card, target, verb, timeout_s=2, retries=1) as process:
        try:
            cut_in_the_middle(hosts, process)
            last = process.stdout.readlines()[-1]
        finally:
            hosts.link("up")
    assert last.startswith(f"PlaceUnreachable cannot {verb} bundles/away-{verb}/")
    if verb == "pull":
        assert list(target.iterdir()) == []
    elif there[2] is not None:
        assert Place(there[2]).bundles(f"away-{verb}") == []
    assert run(hosts, there, card, target, verb).startswith("done")
    assert_there(hosts, there, card, path, tmp_path / "check")


def ready(hosts, there, folder, robot, verb):
    """A bundle; for a pull it is there already. An exchange on the web is filled as a folder."""
    path, card = bundle(folder, robot, size=SIZE)
    is_web = there[0].startswith("http")
    if verb == "push" and is_web:
        pytest.skip("places on the web are read only")
    if verb == "pull" and is_web:
        Place(there[2]).push_bundle(path, card)
    elif verb == "pull":
        assert run(hosts, there, card, path, "push").startswith("done")
    return path, card


def assert_there(hosts, there, card, path, folder) -> None:
    assert run(hosts, there, card, folder, "pull").startswith("done")
    assert (folder / card.bundle_name).read_bytes() == path.read_bytes()
