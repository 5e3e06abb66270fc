"""A task bundle: the same when read, the same id for the same content, and never half a one."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from small_past import COUNT, FAILED_CLIP, START, S, clips, fill
from sqlite_utils import Database

from taskmem_ros.clips import FORGOTTEN, Clip
from taskmem_ros.clips.jpeg import rgb_to_jpeg
from taskmem_ros.exchange import Bundle, BundleError, build_bundle
from taskmem_ros.exchange.rows import row_hash
from taskmem_ros.memory import Store
from taskmem_ros.memory.forget import Selection

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def run() -> list[Clip]:
    return clips()


@pytest.fixture(scope="module")
def database(run, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("past") / "past.db"
    fill(path, run)
    return path


@pytest.fixture(scope="module")
def good(run, database, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.bundle"
    with Store.open(database, read_only=True) as store:
        build_bundle(store, [run], path, robot="rosie").close()
    return path


def content(bundle: Bundle) -> tuple:
    return bundle.tasks(), bundle.memories(), bundle.gaps(), bundle.feedback(), list(bundle.clips())


def test_what_goes_in_comes_out(good, run, database):
    with Bundle.open(good) as bundle, Store.open(database, read_only=True) as store:
        about = bundle.manifest
        assert bundle.tasks() == store.tasks()
        assert bundle.memories() == store.memories(thumbnails=False)
        assert bundle.gaps() == store.coverage()
        assert bundle.feedback() == store.feedback() and len(store.feedback()) == 1
        assert about.store_id == store.store_id() and (about.sequence, about.contents) == (0, "frames")
        found = list(bundle.clips())
    assert [clip.opens for clip in found] == [True] + [False] * (COUNT - 1)
    for held, clip in zip(found, run, strict=True):
        assert (held.camera, held.start_ns, held.end_ns) == (clip.camera, clip.start_ns, clip.end_ns)
        assert [f.jpeg for f in held.frames] == [rgb_to_jpeg(f.image) for f in clip.frames]
        assert [(f.stamp_ns, f.pose) for f in held.frames] == [(f.stamp_ns, f.pose) for f in clip.frames]
        decoded = held.decoded()
        assert decoded.pose == clip.pose and decoded.times_s == clip.times_s
        for seen, frame in zip(decoded.frames, clip.frames):
            assert seen.image.shape == frame.image.shape and seen.image.flags["C_CONTIGUOUS"]
            assert abs(seen.image.astype(int) - frame.image).mean() < 2
    assert (about.tasks, about.feedback, about.memories, about.gaps) == (2, 1, 11, 2)
    assert (about.clips, about.frames) == (12, 48)
    assert (about.robot, about.model, about.revision, about.prompt_hash) == ("rosie", "demo", "r1", "p1")
    assert about.id == about.sha256[:16] and abs(time.time_ns() - about.created_ns) < 600 * S


def test_the_same_content_has_the_same_id(good, run, database, tmp_path):
    def made(name, **other):
        with Bundle.open(good) as bundle:
            parts = dict(zip(("tasks", "memories", "gaps", "feedback"), content(bundle)))
            parts |= {"clips": run, "store_id": bundle.manifest.store_id} | other
        with Bundle.create(tmp_path / name, **{"robot": "rosie", **parts}) as bundle:
            return bundle.manifest

    with Store.open(database, read_only=True) as store, Bundle.open(good) as bundle:
        again = build_bundle(store, [run], tmp_path / "again", robot="rosie", created_ns=5)
        assert again.manifest == replace(bundle.manifest, created_ns=5)
        tasks, memories, *_ = content(bundle)
    backwards = made("backwards", clips=run[::-1], memories=memories[::-1])
    assert backwards == made("forwards", created_ns=backwards.created_ns)
    ids = {
        backwards.id,
        again.manifest.id,  # its first clip opens a recording
        made("other robot", robot="bert").id,
        made("a clip less", clips=run[1:]).id,
        made("another word", memories=[replace(memories[0], text="No."), *memories[1:]]).id,
        made("another number", sequence=3).id,
        made("other contents", contents="memories").id,
        made("no feedback", feedback=[]).id,
        made("another answer", tasks=[replace(tasks[0], known_answer="no"), tasks[1]]).id,
        made("another writer", memories=[*memories[:-1], replace(memories[-1], adapter="a")]).id,
    }
    assert len(ids) == 10


def test_damaged_bytes_are_refused_or_not_read(good, tmp_path):
    whole, refused = good.read_bytes(), 0
    with Bundle.open(good) as bundle:
        expected = content(bundle)
    rng = random.Random(0)
    places = [*range(0, 100, 3), *(rng.randrange(len(whole)) for _ in range(120))]
    for number, place in enumerate(places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path = tmp_path / f"{number}.bundle"
        path.write_bytes(damaged)
        try:
            with Bundle.open(path) as bundle:
                assert content(bundle) == expected, f"byte {place}"
        except BundleError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
        path.unlink()
    assert refused > 100
    for size in (0, 10, 100, 4096, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(BundleError, match="is (damaged|no task bundle)"):
            Bundle.open(tmp_path / "cut")


GARBAGE = {
    "UPDATE tasks SET choices = 'no json'": Bundle.tasks,
    "UPDATE tasks SET evidence = '7'": Bundle.tasks,
    "UPDATE memories SET pose = '{\"up\": 1}'": Bundle.memories,
    "UPDATE gaps SET reason = 'tired'": Bundle.gaps,
    "UPDATE feedback SET verdict = 'fine'": Bundle.feedback,
    "UPDATE gaps SET end_ns = start_ns": Bundle.gaps,
    "UPDATE frames SET pose = '[]'": lambda bundle: list(bundle.clips()),
    "UPDATE frames SET jpeg = x'ffd8ff'": lambda bundle: [clip.decoded() for clip in bundle.clips()],
    "UPDATE frames SET jpeg = x'00'": lambda bundle: [clip.decoded() for clip in bundle.clips()],
}


@pytest.mark.parametrize("sql", GARBAGE)
def test_garbage_in_rows_is_one_sentence(good, tmp_path, sql):
    path = tmp_path / "garbage.bundle"
    change(good, path, sql)
    with pytest.raises(BundleError, match="damaged: its rows are not those"):
        Bundle.open(path)
    sign(path)
    with Bundle.open(path) as bundle, pytest.raises(BundleError) as caught:
        GARBAGE[sql](bundle)
    assert "\n" not in str(caught.value) and "get " in str(caught.value)


def change(good: Path, path: Path, sql: str) -> None:
    shutil.copy(good, path)
    with sqlite3.connect(path) as connection:
        connection.executescript(sql)


def sign(path: Path) -> None:
    """Make the manifest name the rows that are there."""
    db = Database(path)
    told = {row["key"]: row["value"] for row in db["manifest"].rows}
    digest = row_hash(db, told)
    db["manifest"].update("sha256", {"value": digest})
    db["manifest"].update("id", {"value": digest[:16]})


FOREIGN = {
    "PRAGMA application_id = 5": "is no task bundle",
    "PRAGMA user_version = 1": "has format 1 and this taskmem reads 2",
    "CREATE TABLE more (x)": "other tables",
    "CREATE TRIGGER t AFTER INSERT ON tasks BEGIN SELECT 1; END": "other tables",
    "DROP TABLE gaps": "other tables",
    "DELETE FROM manifest WHERE key = 'robot'": "damaged",
    "INSERT INTO manifest VALUES ('note', 'x')": "damaged",
    "UPDATE manifest SET value = 'x' WHERE key = 'created_ns'": "damaged",
    "UPDATE manifest SET value = '99' WHERE key = 'tasks'": "counts other rows",
    "UPDATE manifest SET value = 'bert' WHERE key = 'robot'": "its rows are not those",
    "UPDATE manifest SET value = '7' WHERE key = 'sequence'": "its rows are not those",
    "UPDATE manifest SET value = 'all' WHERE key = 'contents'": "its rows are not those",
    "DELETE FROM feedback": "its rows are not those",
    "DELETE FROM tasks WHERE id = 2": "its rows are not those",
}


@pytest.mark.parametrize("sql", FOREIGN)
def test_a_foreign_or_changed_bundle_is_one_sentence(good, tmp_path, sql):
    path = tmp_path / "other.bundle"
    change(good, path, sql)
    with pytest.raises(BundleError, match=FOREIGN[sql]) as caught:
        Bundle.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "kind"),
    [("disk I/O error", OSError), ("unable to open database file", OSError), ("no such table", BundleError)],
)
def test_what_fails_for_this_machine_is_no_fault_of_the_bundle(good, monkeypatch, said, kind):
    def fails(*told, **more):
        raise sqlite3.OperationalError(said)

    monkeypatch.setattr(sqlite3, "connect", fails)
    with pytest.raises(kind, match=said):
        Bundle.open(good)


def test_other_files_are_one_sentence(database, tmp_path):
    (tmp_path / "text").write_text("no bundle, but long enough to be a header of a SQLite file" * 9)
    for path, said in (
        (tmp_path / "none", "there is no bundle at"),
        (tmp_path, "there is no bundle at"),
        (tmp_path / "text", "not a SQLite file"),
        (database, "is no task bundle"),
    ):
        with pytest.raises(BundleError, match=said):
            Bundle.open(path)


def test_what_was_forgotten_or_never_known_stays_out(run, database, tmp_path):
    shutil.copy(database, tmp_path / "past.db")
    with Store.open(tmp_path / "past.db") as store:
        store.forget(Selection(since_ns=run[2].start_ns, until_ns=run[3].start_ns))
        store.add_memory("hall", 0, START - 900 * S, START - 890 * S, "Ben leaves.")
        far = store.add_memory("hall", 0, START - 3600 * S, START - 3590 * S, "The mug stands on the table.")
        store.finish_task(2, "answered", answer="Ben", evidence=[(far.id, 1.0)])
        assert any(gap.reason == FORGOTTEN for gap in store.coverage())
        later = [replace(clip, start_ns=clip.start_ns + 10**13, end_ns=clip.end_ns + 10**13) for clip in run]
        with build_bundle(store, [run, later], tmp_path / "out") as bundle:
            kept = [clip.start_ns for clip in bundle.clips()]
            texts = [memory.text for memory in bundle.memories()]
        with pytest.raises(BundleError, match="no memory of any of the 12 clips"):
            build_bundle(store, [later], tmp_path / "none")
        with build_bundle(store, [], tmp_path / "tasks", since_ns=START + 250 * S) as bundle:
            assert [task.id for task in bundle.tasks()] == [2] and not list(bundle.clips())
            assert [memory.id for memory in bundle.memories()] == [far.id]
    assert kept == [clip.start_ns for number, clip in enumerate(run) if number != 2]
    assert run[FAILED_CLIP].start_ns in kept, "the policy saw it, too"
    assert "The mug stands on the table." in texts and "Ben leaves." not in texts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "past.db", "tasks"]


def test_an_interrupted_write_leaves_what_was_there(run, good, tmp_path):
    def cut_off():
        yield from run[:3]
        raise KeyboardInterrupt

    for path, before in ((tmp_path / "new", None), (tmp_path / "old", good.read_bytes())):
        if before:
            path.write_bytes(before)
        with pytest.raises(KeyboardInterrupt):
            Bundle.create(path, clips=cut_off(), overwrite=True)
        assert (path.read_bytes() if path.exists() else None) == before
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    with pytest.raises(BundleError, match="comes twice"):
        Bundle.create(tmp_path / "new", clips=[run[0], run[0]])
    with pytest.raises(BundleError, match="is there already"):
        Bundle.create(tmp_path / "old")
    with pytest.raises(BundleError, match="there is no folder"):
        Bundle.create(tmp_path / "none" / "new")
    with pytest.raises(BundleError, match="is a folder"):
        Bundle.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


ENDLESS = """
import sys
from pathlib import Path
from dataclasses import replace
from small_past import clips
from taskmem_ros.exchange import Bundle
def endless():
    run = clips(count=2)
    for number in range(10**6):
        if number == 40:
            print("writing", flush=True)
        yield replace(run[0], episode=number)
Bundle.create(sys.argv[1], clips=endless())
"""


def test_a_killed_write_leaves_no_bundle(tmp_path):
    child = start(ENDLESS, tmp_path / "new.bundle", stdout=subprocess.PIPE)
    assert child.stdout.readline() == "writing\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    (partial,) = tmp_path.iterdir()
    assert partial.name == f".new.bundle.{child.pid}.partial"
    with pytest.raises(BundleError):
        Bundle.open(partial)


def test_a_full_disk_is_one_sentence(tmp_path):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    child = start(ENDLESS, tmp_path / "new.bundle", stderr=subprocess.PIPE, preexec_fn=small_files)
    _, said = child.communicate(timeout=120)
    assert "BundleError" in said.splitlines()[-1] and "cannot be written" in said.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def start(code: str, path: Path, **options) -> subprocess.Popen:
    paths = os.pathsep.join([str(HERE), *sys.path])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, str(path)], env=environment, text=True, **options)
