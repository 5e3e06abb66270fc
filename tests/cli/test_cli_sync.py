"""`taskmem sync`: one round in the foreground, with plain lines, JSON and an exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from taskmem_ros.cli import main
from taskmem_ros.cli.sync import Bar
from taskmem_ros.exchange.child import Progress
from taskmem_ros.exchange.place import Place


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    return place


def test_a_round_and_another(database, place, capfd):
    words = ["sync", "--exchange", str(place), "--database", database, "--robot", "kitchen"]
    assert main(words) == 0
    out, err = capfd.readouterr()
    assert out.splitlines() == ["pushed 1 bundle with 1 task", "no new adapter"] and err == ""
    assert [card.robot for card in Place(str(place)).bundles()] == ["kitchen"]
    assert main([*words, "--json"]) == 0
    record = json.loads(capfd.readouterr().out)
    assert (record["type"], record["bundles_pushed"], record["errors"]) == ("round", 0, [])


def test_what_fails_is_said_and_the_exit_code_is_1(database, tmp_path, capfd):
    assert main(["sync", "--exchange", str(tmp_path / "nowhere"), "--database", database]) == 1
    out, err = capfd.readouterr()
    assert "nowhere" in err and err.startswith("taskmem: ") and "Traceback" not in err
    assert out.splitlines() == ["bundles that still wait: 1"]
    assert main(["sync", "--exchange", str(tmp_path), "--database", str(tmp_path / "none.db")]) == 1
    assert "There is no store" in capfd.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--exchange", ""], ["--robot", "a/b"], ["--stall", "0"], ["--exchange", "sftp://a:b@host/x"]]
)
def test_a_wrong_option_is_an_error(database, place, wrong, capfd):
    assert main(["sync", "--exchange", str(place), "--database", database, *wrong]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_says_what_is_done_and_leaves_nothing(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Bar(quiet=False) as bar:
        bar.show(Progress("making a bundle"))
        for done in (0, 2_000_000, 4_000_000):
            bar.show(Progress("pushing 1.bundle", done, 4_000_000, network=True))
        bar.show(Progress("looking for\nadapters", network=True))
    lines = [line.strip() for line in terminal.getvalue().split("\r")]
    assert any(line.startswith("making a bundle") for line in lines)
    assert any(line.startswith("pushing 1.bundle:  50%") and "2.00M/4.00M" in line for line in lines)
    assert any(line.startswith("looking for adapters") for line in lines)
    assert lines[-1] == "" and "\n" not in terminal.getvalue()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_it_leaves_no_process(database, sign, environment):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        exchange = f"sftp://anna@127.0.0.1:{silent.getsockname()[1]}/x"
        words = ["sync", "--exchange", exchange, "--database", database]
        process = subprocess.Popen(
            [sys.executable, "-m", "taskmem_ros.cli", *words],
            env=environment,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C reaches this process and not what it started
            # As in a terminal, also where these tests run in the background of a shell, which ignores it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        silent.settimeout(120)
        connection, _ = silent.accept()
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        os.kill(process.pid, sign)
        process.communicate(timeout=60)
        assert process.returncode == (130 if sign == signal.SIGINT else -sign)
        deadline = time.monotonic() + 60
        while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
            assert time.monotonic() < deadline, "the round outlives the command"
            time.sleep(0.05)
        connection.close()
