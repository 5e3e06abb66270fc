"""A place behind a wire that breaks, freezes or drips: it ends in time, with nothing half left to be seen."""

from __future__ import annotations

import http.server
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
from place_servers import LOCALHOST, Dripping, Wire, free_port, served, sftp_options
from place_things import MB, bundle, kind_of_place

from taskmem_ros.exchange.place import Place
from taskmem_ros.exchange.place_errors import NotInPlace, PlaceConflict, PlaceError, PlaceUnreachable

SIZE = 12 * MB


@pytest.fixture(scope="module", params=["sftp", "s3"])
def kind(request, tmp_path_factory):
    with kind_of_place(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture
def wired(kind):
    make, _root, port = kind
    with Wire(port) as wire:
        yield make, wire


def test_a_push_and_a_pull_go_on_after_a_wire_broke_in_the_middle(wired, tmp_path):
    make, wire = wired
    path, card = bundle(tmp_path, "cut", size=SIZE)
    wire.cut_after(SIZE // 2)
    with make(wire.port, timeout_s=20) as place:
        assert place.push_bundle(path, card) is True
        wire.cut_after(SIZE // 2)
        assert place.pull_bundle(card, tmp_path / "in").read_bytes() == path.read_bytes()
    assert wire.cuts == 2


def test_a_frozen_wire_ends_in_an_error_and_the_next_try_goes_well(wired, tmp_path):
    make, wire = wired
    path, card = bundle(tmp_path, "frozen", size=SIZE)

    def freeze(done: int, total: int, what: str) -> None:
        if total == SIZE and done > SIZE // 4:
            wire.freeze()

    with pytest.raises(PlaceUnreachable, match="push"):
        make(wire.port, timeout_s=2, retries=0, progress=freeze).push_bundle(path, card)
    assert make().bundles("frozen") == []
    wire.thaw()
    assert make(wire.port).push_bundle(path, card) is True
    with pytest.raises(PlaceUnreachable, match="pull"):
        make(wire.port, timeout_s=2, retries=0, progress=freeze).pull_bundle(card, tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []
    wire.thaw()
    assert make(wire.port).pull_bundle(card, tmp_path / "in").read_bytes() == path.read_bytes()


def test_nobody_listens(kind, tmp_path):
    make, _root, _port = kind
    told = []
    with pytest.raises(PlaceUnreachable, match="cannot list bundles at"):
        make(free_port(), retries=2, progress=lambda done, total, what: told.append(what)).bundles()
    assert told == ["list bundles, waiting to try again"] * 2


def test_a_wrong_key_is_not_tried_again(kind, tmp_path):
    make, root, port = kind
    path, card = bundle(tmp_path)
    if root is None:
        options = {"endpoint_url": f"http://{LOCALHOST}:{port}", "key": "k", "secret": "s"}
        place = Place("s3://no-such-bucket/x", options=options)
    else:
        place = Place(
            f"sftp://somebody:secret-1@{LOCALHOST}:{port}/", options={"known_hosts": None, "config": []}
        )
    told = []
    place._remote._progress = lambda done, total, what: told.append(what)
    with pytest.raises(PlaceError) as caught:
        place.push_bundle(path, card)
    assert not isinstance(caught.value, PlaceUnreachable)
    assert not any("again" in what for what in told)


def test_a_folder_on_a_host_that_is_missing_is_not_made_up(kind, tmp_path):
    _make, root, port = kind
    if root is None:
        pytest.skip("of ssh")
    path, card = bundle(tmp_path)
    options = sftp_options(root.parent / "keys", port)
    with pytest.raises(NotInPlace):
        Place(f"sftp://{LOCALHOST}:{port}/no/where", options=options).push_bundle(path, card)
    assert Place(f"sftp://{LOCALHOST}:{port}/new", options=options).push_bundle(path, card) is True


def test_an_unknown_host_is_not_trusted(kind):
    _make, root, port = kind
    if root is None:
        pytest.skip("of ssh")
    with pytest.raises(PlaceError, match="known_hosts"):
        Place(f"sftp://x@{LOCALHOST}:{port}/", options={"known_hosts": os.devnull, "config": []}).bundles()


@pytest.mark.parametrize("url", ["http://{}", "s3://bucket/x", "sftp://x:secret-1@{}/x"])
def test_a_server_that_hangs_is_given_up(url):
    with Dripping(None) as server:
        options = {"endpoint_url": f"http://{LOCALHOST}:{server.port}", "key": "k", "secret": "secret-1"}
        url = url.format(f"{LOCALHOST}:{server.port}")
        place = Place(url, options=options if url.startswith("s3") else {}, timeout_s=1, retries=1)
        with pytest.raises(PlaceUnreachable) as caught:
            place.bundles()
    assert "secret-1" not in str(caught.value)


def test_a_byte_at_a_time_is_not_for_ever(tmp_path):
    _path, card = bundle(tmp_path, size=MB)
    with Dripping(0.2) as server:
        place = Place(f"http://{LOCALHOST}:{server.port}", timeout_s=5, deadline_s=3)
        with pytest.raises(PlaceUnreachable, match="not done within 3 s"):
            place.pull_bundle(card, tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize("url", [
    "http://me:pass%2Fword-1@{}/x", "sftp://me:pass%2Fword-1@{}/x", "s3://me:pass%2Fword-1@bucket/x",
])  # fmt: skip
def test_passwords_are_not_shown(url, caplog):
    caplog.set_level("DEBUG", "taskmem_ros")
    port = free_port()
    options = {"endpoint_url": f"http://{LOCALHOST}:{port}"} if url.startswith("s3") else {}
    place = Place(url.format(f"{LOCALHOST}:{port}"), options=options, retries=1)
    with pytest.raises(PlaceUnreachable) as caught:
        place.bundles()
    chain, error = "", caught.value
    while error is not None:
        chain, error = f"{chain} {error!r} {error}", error.__cause__
    for shown in (chain, caplog.text, repr(place), place.url):
        assert "word-1" not in shown
    assert "me@" in place.url


def test_urls_that_name_no_place():
    for url, words in {
        "": "is empty", "sftp:///x": "no host", "what://x/y": "what", "http://[x/": "host or port",
        "memory://x": "cannot be at memory",
    }.items():  # fmt: skip
        with pytest.raises(PlaceError, match=words):
            Place(url)


def test_a_place_on_the_web_is_read_by_its_index_pages_and_takes_nothing(tmp_path):
    path, card = bundle(tmp_path, size=MB)
    Place(tmp_path / "exchange").push_bundle(path, card)
    with served("web", LOCALHOST, str(tmp_path / "exchange")) as port:
        place = Place(f"http://{LOCALHOST}:{port}/")
        assert (place.robots(), place.bundles(), place.adapters()) == (["robot1"], [card], [])
        assert place.pull_bundle(card, tmp_path / "in").read_bytes() == path.read_bytes()
        assert not place.writable
        with pytest.raises(PlaceError, match="which is read only"):
            place.push_bundle(path, card)
        (tmp_path / "exchange" / "bundles" / "robot1" / card.bundle_name).write_bytes(b"x" * (MB + 1))
        with pytest.raises(PlaceError, match="more than"):
            place.pull_bundle(card, tmp_path / "in2")


def test_a_web_server_that_wants_a_password_gets_it():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            right = self.headers.get("Authorization") == "Basic bWU6cGFzcy93b3Jk"  # me:pass/word
            self.send_response(200 if right else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with http.server.ThreadingHTTPServer((LOCALHOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert Place(f"http://me:pass%2Fword@{LOCALHOST}:{server.server_port}").robots() == []
        with pytest.raises(PlaceError, match="user, key or password"):
            Place(f"http://me:wrong@{LOCALHOST}:{server.server_port}").robots()
        server.shutdown()


@pytest.mark.parametrize("status", [503, 429, 500])
def test_a_server_that_is_busy_is_asked_again(status):
    answers = [status, status, 200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answers.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()

    with http.server.ThreadingHTTPServer((LOCALHOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert Place(f"http://{LOCALHOST}:{server.server_port}").robots() == []
        server.shutdown()
    assert answers == []


def test_a_pusher_that_is_killed_leaves_nothing_to_be_seen(tmp_path):
    path, card = bundle(tmp_path, size=SIZE)
    (tmp_path / "exchange").mkdir()
    (tmp_path / "card").write_bytes(card.to_bytes())
    code = f"""
import os, signal
from pathlib import Path
from taskmem_ros.exchange.card import BundleCard
from taskmem_ros.exchange.place import Place
def progress(done, total, what):
    if what.startswith("push") and done > {SIZE} // 2: os.kill(os.getpid(), signal.SIGKILL)
card = BundleCard.from_bytes(Path({str(tmp_path / "card")!r}).read_bytes())
Place({str(tmp_path / "exchange")!r}, progress=progress).push_bundle({str(path)!r}, card)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    place = Place(tmp_path / "exchange")
    assert place.bundles() == []
    assert len(list((tmp_path / "exchange/bundles/robot1").glob(".*.partial"))) == 1
    assert place.push_bundle(path, card) is True
    assert place.bundles() == [card]
    assert list((tmp_path / "exchange/bundles/robot1").glob(".*.partial")) == []


def test_a_disk_that_takes_no_more_is_said_and_keeps_nothing(tmp_path):
    path, card = bundle(tmp_path, size=MB)
    place = Place(tmp_path / "exchange")
    place.push_bundle(path, card)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MB // 2, limits[1]))  # the system's own refusal in mid-file
    try:
        with pytest.raises(PlaceError, match=r"in.* cannot be written .* make room"):
            place.pull_bundle(card, tmp_path / "in")
        with pytest.raises(PlaceError, match="cannot push"):
            Place(tmp_path / "other").push_bundle(path, card)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "in").iterdir()) == []
    assert list((tmp_path / "other" / "bundles" / "robot1").iterdir()) == []


def test_pipes_and_links_in_a_folder_are_no_files(tmp_path):
    path, card = bundle(tmp_path, size=MB)
    place = Place(tmp_path / "exchange")
    place.push_bundle(path, card)
    there = tmp_path / "exchange" / "bundles" / "robot1" / card.bundle_name
    there.unlink()
    os.mkfifo(there)
    with pytest.raises(PlaceError, match="no regular file"):
        place.pull_bundle(card, tmp_path / "in")
    there.unlink()
    there.symlink_to(path)
    with pytest.raises(PlaceError, match="symbolic links"):
        place.pull_bundle(card, tmp_path / "in")


def test_waiting_grows_and_ends_with_the_deadline(tmp_path):
    began = time.monotonic()
    with pytest.raises(PlaceUnreachable):
        Place(f"http://{LOCALHOST}:{free_port()}", deadline_s=2, retries=1000).bundles()
    assert time.monotonic() - began >= 0.25  # it did try again


def test_another_writer_with_other_content_while_we_write(tmp_path):
    path, card = bundle(tmp_path / "a")
    other, other_card = bundle(tmp_path / "b", seed=1)
    there = tmp_path / "exchange"

    def meanwhile(done: int, total: int, what: str) -> None:
        if what.startswith("push") and not list(there.glob("bundles/robot1/*.json")):
            Place(there).push_bundle(other, other_card)

    with pytest.raises(PlaceConflict):
        Place(there, progress=meanwhile).push_bundle(path, card)
    assert Place(there).bundles() == [other_card]
    assert Place(there).pull_bundle(other_card, tmp_path / "in").read_bytes() == other.read_bytes()
