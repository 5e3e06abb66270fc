"""The schema: a version in the file, migrations forward, and nothing half done."""

import sqlite3
import subprocess
import sys

import pytest

from taskmem_ros.memory import Store, StoreError, schema

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
        assert store.summary().schema_version == 2
    Store.open(path, read_only=True).close()


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
