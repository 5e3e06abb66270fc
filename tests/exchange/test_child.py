"""The child of a round, seen from outside: it works, hangs, trickles, dies, and nothing is left of it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from taskmem_ros.exchange.child import Progress, RoundChild, RoundResult, RoundSettings

SETTINGS = RoundSettings("/data/memory.db", "memory://place", "robot1")
SAY = """
import json, os, subprocess, sys, time
settings = json.loads(sys.stdin.readline())
def say(**what):
    print(json.dumps(what), flush=True)
"""
LONG_S = 600.0


def child(script: str, *, stall_s: float = LONG_S, round_s: float = LONG_S, **more) -> RoundChild:
    command = (sys.executable, "-c", SAY + textwrap.dedent(script))
    return RoundChild(SETTINGS, stall_s=stall_s, round_s=round_s, command=command, **more)


def test_it_gets_its_settings_and_says_what_it_did():
    seen: list[Progress] = []
    result = child(
        """
        say(what=settings["robot"])
        say(what="pushing", done=3, total=7, network=True)
        say(result={"bundles_pushed": 1, "tasks_pushed": 2, "refused": [["a", "it is bad"]]}, done=True)
        """,
        progress=seen.append,
    ).run()
    assert seen == [Progress("robot1"), Progress("pushing", 3, 7, True)]
    assert result == RoundResult(bundles_pushed=1, tasks_pushed=2, refused=(("a", "it is bad"),))
    assert result.well


def test_a_result_survives_the_way():
    result = RoundResult(1, 2, 3, 4, "a", "b", {"older": 2}, (("c", "no"),), ("so",), ("oh", "dear"))
    assert RoundResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert result.error == "oh dear" and not result.well


def test_what_is_silent_for_too_long_is_killed_with_all_it_started(tmp_path):
    pids = tmp_path / "pids"
    result = child(
        f"""
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10000)"])
        open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{other.pid}}")
        say(result={{"bundles_pushed": 2}})
        say(what="pushing 3.bundle", network=True)
        time.sleep(10000)
        """,
        stall_s=0.5,
    ).run()
    assert result.bundles_pushed == 2, "what was done before counts"
    assert "Nothing moved at memory://place for 0.5 s (pushing 3.bundle)" in result.error
    for pid in map(int, pids.read_text().split()):
        gone(pid)


def test_what_hangs_where_nothing_interrupts_it_is_killed():
    """A stopped process answers no more than one that waits for a dead disk."""
    result = child(
        """
        say(what="listing", network=True)
        os.kill(os.getpid(), 19)
        """,
        stall_s=0.5,
    ).run()
    assert "for 0.5 s (listing)" in result.error


def test_work_of_its_own_may_take_long_but_not_for_ever():
    slow = "say(what='writing a bundle')\ntime.sleep(1.5)\nsay(result={'bundles_made': 1}, done=True)"
    assert child(slow, stall_s=0.2).run() == RoundResult(bundles_made=1)
    result = child("say(what='writing a bundle')\ntime.sleep(10000)", round_s=1.0).run()
    assert "memory://place was not done within 1 s (writing a bundle)" in result.error


def test_what_trickles_ends_with_the_rounds_time():
    result = child(
        """
        for number in range(10000):
            say(what="pulling", done=number, network=True)
            time.sleep(0.05)
        """,
        stall_s=30.0,
        round_s=2.0,
    ).run()
    assert "not done within 2 s (pulling)" in result.error


@pytest.mark.parametrize(
    "script, words",
    [
        ("sys.exit('it is broken')", ["ended with code 1", "it is broken"]),
        ("os.kill(os.getpid(), 9)", ["killed by signal 9"]),
        ("sys.exit(0)", ["ended with code 0 before it was done"]),
    ],
)
def test_one_that_dies_has_a_sentence(script, words):
    result = child(script).run()
    assert all(word in result.error for word in words), result.error


def test_one_that_cannot_be_started():
    result = RoundChild(SETTINGS, stall_s=1.0, round_s=1.0, command=("/no/such/program",)).run()
    assert "cannot be started" in result.error


@pytest.mark.parametrize(
    "exchange, said",
    [
        ("sftp://anna:hunter2@host:22/x", "sftp://anna@host:22/x"),
        ("sftp://anna:hunter2@host:port/x", "host:port/x"),
        ("/mnt/x", "/mnt/x"),
        ("", ""),
    ],
)
def test_a_password_is_never_shown(exchange, said):
    assert RoundSettings("a", exchange, "c").place == said


def test_what_is_not_a_line_of_ours_does_no_harm(caplog):
    result = child(
        """
        print("a library says hello")
        print(json.dumps([1]), flush=True)
        say(colour="red")
        say(result={"bundles_pushed": 1, "surprise": 2})
        say(result={"bundles_pushed": 1}, done=True)
        """
    ).run()
    assert result == RoundResult(bundles_pushed=1)
    assert len(caplog.records) == 4


def test_it_is_killed_from_another_thread_at_once():
    seen = threading.Event()
    running = child("say(what='pushing', network=True)\ntime.sleep(10000)", progress=lambda _: seen.set())
    results = []
    thread = threading.Thread(target=lambda: results.append(running.run()))
    thread.start()
    assert seen.wait(60)
    running.kill("The node was deactivated.")
    thread.join(60)
    assert results[0].error == "The node was deactivated."
    late = child("say(result={}, done=True)")
    late.kill("It is not wanted.")
    assert late.run().error == "It is not wanted.", "one that was killed before its start never starts"


def test_it_ends_when_its_parent_is_killed(tmp_path):
    pid_file = tmp_path / "pid"
    parent = textwrap.dedent(
        f"""
        import sys, textwrap
        from taskmem_ros.exchange.child import RoundChild, RoundSettings
        script = '''
        import os, sys, time
        from taskmem_ros.exchange.round import settings_from
        settings_from(sys.stdin.buffer)
        open({str(pid_file)!r}, "w").write(str(os.getpid()))
        time.sleep(10000)
        '''
        command = (sys.executable, "-c", textwrap.dedent(script))
        RoundChild(RoundSettings("a", "b", "c"), stall_s=999, round_s=999, command=command).run()
        """
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    try:
        until(lambda: pid_file.exists() and pid_file.read_text())
    finally:
        process.kill()
        process.wait()
    gone(int(pid_file.read_text()))


def gone(pid: int) -> None:
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
