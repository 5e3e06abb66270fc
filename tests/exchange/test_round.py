"""Whole rounds with a real store and real places: what goes out, what comes in, and what a round survives."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import place_servers as servers
import pytest
from place_servers import sftp_keys
from small_adapters import BASE, KEY, manifest, package, put

from taskmem_ros.exchange import round as rounds
from taskmem_ros.exchange.bundle import Bundle
from taskmem_ros.exchange.child import RoundChild, RoundResult, RoundSettings
from taskmem_ros.exchange.place import Place
from taskmem_ros.exchange.round import Round, only_one
from taskmem_ros.memory import Store, StoreError
from taskmem_ros.memory.forget import Selection

ID = manifest().id


@pytest.fixture
def settings(tmp_path) -> RoundSettings:
    """Of a robot with three tasks, an agent's base model, a keyring, and an exchange with one adapter."""
    place = tmp_path / "place"
    put(place / "adapters" / ID, package(robots=()))
    keyring = tmp_path / "trusted_keys"
    keyring.write_text(KEY.public_line("workshop") + "\n")
    database = tmp_path / "m.db"
    with Store.open(database) as store:
        store.set_base("demo", BASE)
        store.add_memory("hall", 0, 0, 10, "A mug stands on the table.", model="demo")
    ask(database, 3)
    return RoundSettings(str(database), str(place), "robot1", keyring=str(keyring), timeout_s=5.0)


def ask(database: str | Path, count: int) -> None:
    with Store.open(database) as store:
        for _ in range(count):
            task = store.add_task("Where is the mug?")
            store.finish_task(task.id, "answered", answer="on the table", confidence=0.9, evidence=[(1, 0.5)])


def arrived(settings: RoundSettings) -> list[int]:
    """The tasks in the exchange, by their ids, with repetitions."""
    found = []
    for card in Place(settings.exchange).bundles():
        with Bundle.open(Path(settings.exchange, "bundles", card.robot, card.bundle_name)) as bundle:
            found += [task.id for task in bundle.tasks()]
    return sorted(found)


def staged(settings: RoundSettings) -> list[str]:
    with Store.open(settings.database, read_only=True) as store:
        return [row.id for row in store.adapters("staged")]


def test_a_round_and_another(settings):
    seen = []
    result = Round(settings, say=seen.append).run()
    assert result == RoundResult(
        bundles_made=1, bundles_pushed=1, tasks_pushed=3, adapter_staged=ID, staged=ID
    ), result
    assert result.lines() == ["pushed 1 bundle with 3 tasks", f"brought adapter {ID}"]
    assert {progress.network for progress in seen} == {True, False}
    assert arrived(settings) == [1, 2, 3] and staged(settings) == [ID]
    again = Round(settings).run()
    assert again == RoundResult(staged=ID) and again.lines() == ["no new task to push", "no new adapter"]
    ask(settings.database, 1)
    assert Round(settings).run().tasks_pushed == 1
    assert arrived(settings) == [1, 2, 3, 4]


def test_the_real_child_does_the_same(settings):
    seen = []
    result = RoundChild(settings, stall_s=600, round_s=600, progress=seen.append).run()
    assert (result.tasks_pushed, result.adapter_staged, result.errors) == (3, ID, ())
    assert any(progress.what.startswith("pushing") and progress.total for progress in seen)


def test_what_a_bundle_has_is_what_may_leave(settings):
    Round(settings).run()
    ask(settings.database, 1)
    Round(replace(settings, contents="memories")).run()
    first, second = Place(settings.exchange).bundles()
    assert (first.contents, first.memories) == ("tasks", 0)
    assert (second.contents, second.memories) == ("memories", 1)


def test_what_waits_is_taken_back_when_less_may_leave(settings):
    missing = Path(settings.exchange + ".not.mounted")
    result = Round(replace(settings, contents="memories", exchange=str(missing))).run()
    assert result.bundles_waiting == 1 and "no exchange" in result.error
    assert not missing.exists(), "it is not made up: tasks would count as pushed"
    with_tasks = Round(replace(settings, contents="tasks")).run()
    assert (with_tasks.tasks_pushed, with_tasks.bundles_waiting) == (3, 0)
    (card,) = Place(settings.exchange).bundles()
    assert card.contents == "tasks" and arrived(settings) == [1, 2, 3]


def test_what_is_forgotten_is_in_nothing_that_waits(settings):
    missing = settings.exchange + ".not.mounted"
    Round(replace(settings, contents="memories", exchange=missing)).run()
    with Store.open(settings.database) as store:
        (waiting,) = store.outgoing(pushed=False)
        folder = Path(waiting.file).parent
        (folder / ".next.bundle.77.partial").write_text("of a round that was killed")
        store.forget(Selection(camera="hall"))
    assert sorted(file.name for file in folder.iterdir()) == [".lock"]
    assert Round(replace(settings, contents="memories")).run().tasks_pushed == 3
    (card,) = Place(settings.exchange).bundles()
    assert card.memories == 0


def test_what_cannot_be_taken_back_does_not_leave_either(settings, monkeypatch):
    missing = str(settings.exchange) + ".not.mounted"
    Round(replace(settings, contents="frames", exchange=missing)).run()

    def fail(*_) -> None:
        raise StoreError("the store is locked")

    monkeypatch.setattr(Store, "take_back", fail)
    result = Round(settings).run()
    assert result.error == "the store is locked." and result.bundles_waiting == 1
    assert Place(settings.exchange).bundles() == [] and result.adapter_staged == ID
    monkeypatch.undo()
    assert Round(settings).run().tasks_pushed == 3
    assert [card.contents for card in Place(settings.exchange).bundles()] == ["tasks"]


def test_when_pushing_fails_pulling_goes_on(settings):
    Path(settings.exchange, "bundles").write_text("in the way")
    result = Round(settings).run()
    assert result.adapter_staged == ID and staged(settings) == [ID]
    assert len(result.errors) == 1 and result.bundles_waiting == 1
    Path(settings.exchange, "bundles").unlink()
    result = Round(settings).run()
    assert result.well and result.tasks_pushed == 3 and arrived(settings) == [1, 2, 3]


def test_when_pulling_fails_pushing_went_on(settings):
    Path(settings.keyring).write_text("what is this?\n")
    result = Round(settings).run()
    assert result.tasks_pushed == 3 and len(result.errors) == 1 and "keyring" in result.error
    assert staged(settings) == []


def test_over_sftp_the_secrets_are_those_of_ssh(settings, tmp_path, monkeypatch):
    keys = sftp_keys(tmp_path / "keys")
    (tmp_path / ".ssh").mkdir(mode=0o700)
    shutil.copy(keys / "user", tmp_path / ".ssh" / "id_ed25519")
    with servers.served("sftp", servers.LOCALHOST, settings.exchange, str(keys)) as port:
        here = replace(settings, exchange=f"sftp://{servers.user()}@{servers.LOCALHOST}:{port}/")
        for name in ("HOME", "SSH_AUTH_SOCK"):
            monkeypatch.setenv(name, str(tmp_path))
        unknown = RoundChild(here, stall_s=600, round_s=600).run()
        assert not unknown.well and unknown.bundles_waiting == 1, "an unknown host is not trusted"
        host = (keys / "host.pub").read_text()
        (tmp_path / ".ssh" / "known_hosts").write_text(f"[{servers.LOCALHOST}]:{port} {host}")
        result = RoundChild(here, stall_s=600, round_s=600).run()
    assert (result.tasks_pushed, result.adapter_staged, result.errors) == (3, ID, ())
    assert arrived(settings) == [1, 2, 3]


def test_over_s3_the_secrets_are_in_the_environment(settings, monkeypatch):
    import s3fs

    with servers.served("s3", servers.LOCALHOST) as port:
        url = f"http://{servers.LOCALHOST}:{port}"
        bucket = s3fs.S3FileSystem(endpoint_url=url, **servers.S3_LOGIN)
        bucket.mkdir("robots")
        bucket.put(settings.exchange, "robots/fleet", recursive=True)
        here = replace(settings, exchange="s3://robots/fleet")
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.S3_LOGIN["key"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.S3_LOGIN["secret"])
        result = RoundChild(here, stall_s=600, round_s=600).run()
        assert (result.tasks_pushed, result.adapter_staged, result.errors) == (3, ID, ())
        again = RoundChild(here, stall_s=600, round_s=600).run()
        assert again == RoundResult(staged=ID)
        assert len(bucket.ls("robots/fleet/bundles/robot1")) == 2


def test_a_place_that_is_only_read(settings):
    with served(settings.exchange) as url:
        result = Round(replace(settings, exchange=url)).run()
        assert result.well and result.adapter_staged == ID
        assert result.bundles_waiting == 1 and "can only be read" in result.notes[0]


@contextlib.contextmanager
def served(folder: str, pause_s: float = 0.0):
    """The folder as a web server shows it. pause_s: before each byte of a body."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def copyfile(self, source, out):
            if not pause_s:
                return super().copyfile(source, out)
            while byte := source.read(1):
                out.write(byte)
                out.flush()
                time.sleep(pause_s)
            return None

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_place_that_answers_a_byte_at_a_time_ends_with_the_round(settings):
    with served(settings.exchange, pause_s=0.05) as url:
        slow = replace(settings, exchange=url, timeout_s=30.0)
        result = RoundChild(slow, stall_s=30.0, round_s=8.0).run()
        assert not result.well and url in result.error and result.adapter_staged == ""
    assert Round(settings).run().adapter_staged == ID


def test_one_round_at_a_time(settings):
    with only_one(Path(settings.database)):
        result = Round(settings).run()
        assert "Another round is running" in result.error
    assert Round(settings).run().well


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda path: path.unlink(), "no store at"),
        (lambda path: path.write_bytes(b"no database" * 1000), "not a taskmem store"),
    ],
)
def test_a_store_that_is_not_there_or_damaged(settings, damage, words):
    damage(Path(settings.database))
    result = Round(settings).run()
    assert words in result.error and len(result.errors) == 1


@pytest.mark.parametrize("now_s", [0, 4_000_000_000, 9_000_000_000])
def test_a_clock_far_off_decides_nothing(settings, now_s, monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: now_s * 10**9)
    result = Round(settings).run()
    assert result.well and result.adapter_staged == ID and result.tasks_pushed == 3
    monkeypatch.undo()
    assert Round(settings).run() == RoundResult(staged=ID)
    assert arrived(settings) == [1, 2, 3]


def test_killed_anywhere_every_task_arrives_once_and_the_adapter_too(settings, tmp_path):
    """Killed before its 1st, 4th, 7th ... operation on files, until it comes through."""
    good = tmp_path / "good"
    good.mkdir()
    for path in tmp_path.iterdir():
        if path != good:
            shutil.move(path, good)
    for number in range(1, 1000, 3):
        home = tmp_path / str(number)
        shutil.copytree(good, home)
        here = replace(
            settings,
            database=str(home / "m.db"),
            exchange=str(home / "place"),
            keyring=str(home / "trusted_keys"),
        )
        child = os.fork()
        if not child:
            kill_before(number, home)
            Round(here).run()
            os._exit(0)
        ended = os.waitpid(child, 0)[1]
        result = Round(here).run()
        assert result.well, (number, result)
        assert arrived(here) == [1, 2, 3] and staged(here) == [ID], number
        assert not list(home.glob("adapters/.*")) and not list(home.glob("m.db.outbox/*.bundle"))
        if ended == 0:
            break
        shutil.rmtree(home)
    assert 20 < number < 997


EVENTS = ("open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "sqlite3.connect")


def kill_before(number: int, folder: Path) -> None:
    """This process, by SIGKILL, before its n-th operation on files below the folder."""
    left = number

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in EVENTS and str(folder) in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


DISK = 'mount -t tmpfs -o size=3m taskmem-test "$1" && shift && exec "$@"'
FULL = """
import json, os, shutil, sys
from dataclasses import asdict, replace
from pathlib import Path
from taskmem_ros.exchange.child import RoundSettings
from taskmem_ros.exchange.round import Round
disk, good, settings = Path(sys.argv[1]), Path(sys.argv[2]), RoundSettings(**json.loads(sys.argv[3]))
shutil.copy(good, disk / "m.db")
here = replace(settings, database=str(disk / "m.db"))
filler = disk / "filler"
left = 4096 * int(sys.argv[4])
filler.write_bytes(bytes(shutil.disk_usage(disk).free - left))
full = Round(here).run()
filler.unlink()
print(json.dumps([full.to_json(), Round(here).run().to_json()]))
"""


def may_mount(folder: Path) -> bool:
    command = ["unshare", "-rm", "sh", "-c", DISK, "sh", str(folder), "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.parametrize("pages", [0, 20, 60, 150, 250])
def test_a_full_disk_is_survived_and_the_next_round_makes_up_for_it(settings, tmp_path, pages):
    """pages: of 4 KiB that are free when the round begins."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not may_mount(disk):
        pytest.skip("this user may not mount a small disk (unshare -rm)")
    with Store.open(settings.database):  # its log goes into the file
        pass
    words = [str(disk), settings.database, json.dumps(vars(settings)), str(pages)]
    command = ["unshare", "-rm", "sh", "-c", DISK, "sh", str(disk), sys.executable, "-c", FULL, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    full, then = map(RoundResult.from_json, json.loads(done.stdout))
    assert not full.well and full.adapter_staged == "", full
    for error in full.errors:
        assert "room" in error or "full" in error or "space" in error, error
        assert "please report it" not in error
    assert then.well and then.adapter_staged == ID, then
    assert full.refused == () and then.refused == ()
    assert arrived(settings) == [1, 2, 3]


def test_children_say_lines_and_libraries_what_they_like(settings):
    """What a library prints on stdout is no line of the child's."""
    script = """
import sys
from taskmem_ros.exchange import round
class Loud(round.Round):
    def run(self):
        print("hello from a library", flush=True)
        return super().run()
round.Round = Loud
sys.exit(round.main())
"""
    child = RoundChild(settings, stall_s=600, round_s=600, command=(sys.executable, "-c", script))
    assert child.run().tasks_pushed == 3
    assert "hello from a library" in child._tail


def test_progress_of_the_same_work_is_said_now_and_then():
    import io

    out = io.BytesIO()
    lines = rounds.Lines(out)
    for done in range(1000):
        lines.say(rounds.Progress("pushing", done, 999, True))
    said = [json.loads(line) for line in out.getvalue().splitlines()]
    assert said[0]["done"] == 0 and said[-1]["done"] == 999 and len(said) < 500
