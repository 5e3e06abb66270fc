"""The schema: a version in the file, migrations forward, and nothing half done."""

import gzip
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from taskmem_ros.clips import Pose
from taskmem_ros.memory import Box, Scope, Store, StoreError, schema

S = 1_000_000_000


def test_the_file_says_what_it_is(tmp_path):
    path = tmp_path / "memory.db"
    with Store.open(path) as store:
        store.add_memory("a", 0, 0, S, "A door.")
        connection = sqlite3.connect(path)
        facts = [
            connection.execute(f"PRAGMA {p}").fetchone()[0]
            for p in ("journal_mode", "user_version", "application_id")
        ]
        connection.close()
    assert facts == ["wal", schema.SCHEMA_VERSION, schema.APPLICATION_ID]
    assert [p.name for p in tmp_path.iterdir()] == ["memory.db"], "closing folds the log into the file"


def test_an_older_file_is_upgraded_in_place(tmp_path, monkeypatch):
    path = tmp_path / "memory.db"
    with Store.open(path) as store:
        store.add_memory("a", 0, 0, S, "A door.")
    _add_migration(monkeypatch, ("CREATE TABLE tomorrow (id INTEGER PRIMARY KEY)",))
    with pytest.raises(StoreError, match="upgrade"):
        Store.open(path, read_only=True)
    with Store.open(path) as store:
        assert store.memories()[0].text == "A door."
        assert store.summary().schema_version == schema.SCHEMA_VERSION
    Store.open(path, read_only=True).close()


def test_a_file_of_the_first_release_is_upgraded_with_all_it_holds(tmp_path):
    path = tmp_path / "memory.db"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "files/version1.db.gz").read_bytes()))
    with Store.open(path) as store:
        assert store.summary().schema_version == schema.SCHEMA_VERSION and store.check() == []
        texts = [memory.text for memory in store.memories(camera="front")]
        assert len(texts) == 4 and texts[2] == "In the office, the red mug is on the desk."
        assert store.ids_by_bm25("desk", 8) == [3]
        (answered, queued) = store.tasks()
        assert answered.evidence == (3,) and queued.known_answer == "yes"
        assert len(store.memory(1).thumbnail) == 22 and store.memory(4).pose is None
        assert store.coverage() and store.failures() and store.source("f00d", "bag")
        with store._connections.read() as db:
            assert [row["id"] for row in db["memory_places"].rows] == [1, 2, 3]
        assert store.add_memory("front", 0, 0, S, "A door.", pose=store.memory(1).pose).id == 6


def test_a_file_of_version_2_is_upgraded(tmp_path, monkeypatch):
    path = tmp_path / "memory.db"
    with monkeypatch.context() as older:
        older.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:2])
        older.setattr(schema, "SCHEMA_VERSION", 2)
        with Store.open(path) as store:
            for number in range(5):
                pose = Pose("map", number, 2 * number, 3 * number, 0, 0, 0, 1)
                store.add_memory("a", 0, number * S, number * S, "A door.", pose=pose)
            with store._connections.write() as db:
                db.execute("INSERT INTO encoders VALUES (1, 'letters', 64)")
                db.execute("INSERT INTO vectors VALUES (1, 1, ?)", [bytes(68)])  # of version 2's form
                db.execute("INSERT INTO vector_codes VALUES (0, ?)", [bytes(8 * 4096)])
    with Store.open(path) as store:
        assert store.encoder() is None and store.nearest([1.0] * 64, 3) == []
        store.use_encoder("letters", 64)
        assert [number for number, _ in store.without_vector(9, above=0)] == [1, 2, 3, 4, 5]
        store.add_memory("a", 0, 9 * S, 9 * S, "A door.", pose=pose)
        with store._connections.write() as db:
            db["memories"].delete(2)
        assert store.ids_in(Scope(box=Box(0, 0, 4, 8)), 9) == [6, 5, 4, 3, 1]
        assert store.ids_in(Scope(box=Box(2, 4, 4, 8, min_z=7, max_z=10)), 9) == [4]
        assert store.check() == []


def test_an_upgrade_that_fails_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "memory.db"
    Store.open(path).close()
    _add_migration(monkeypatch, ("CREATE TABLE tomorrow (id INTEGER)", "THIS IS NOT SQL"))
    with pytest.raises(StoreError):
        Store.open(path)
    monkeypatch.undo()
    with Store.open(path) as store, store._connections.read() as db:
        assert "tomorrow" not in db.table_names()


def test_two_processes_make_one_file(tmp_path):
    code = "import sys; from taskmem_ros.memory import Store; "
    code += "Store.open(sys.argv[1]).add_memory('a', 0, 0, 1, 'x')"
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "memory.db")]) for _ in range(4)]
    assert [child.wait(timeout=60) for child in children] == [0] * 4
    with Store.open(tmp_path / "memory.db") as store:
        assert store.watermark() == 4 and store.check() == []


def _add_migration(monkeypatch, statements):
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, statements))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
