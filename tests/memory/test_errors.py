"""What can be wrong with a file or its folder is said in one sentence that names it and the fix."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from taskmem_ros.memory import SCHEMA_VERSION, Store, StoreError, default_database

S = 1_000_000_000


def one_sentence(error, path):
    text = str(error.value)
    assert str(path) in text and "\n" not in text and text.endswith(".")
    return text


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("just some notes, and more of them, to fill a page" * 50)
    for read_only in (False, True):
        with pytest.raises(StoreError) as error:
            Store.open(path, read_only=read_only)
        assert "not a taskmem store" in one_sentence(error, path)
    assert path.read_text().startswith("just some notes")


def test_a_database_of_another_program(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (title)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError) as error:
        Store.open(path)
    assert "another program" in one_sentence(error, path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_left_alone(tmp_path):
    path = tmp_path / "memory.db"
    Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(StoreError) as error:
            Store.open(path, read_only=read_only)
        assert "update taskmem" in one_sentence(error, path)


def test_a_missing_file(tmp_path):
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(StoreError) as error:
            Store.open(tmp_path / "none.db", **options)
        assert "no store" in one_sentence(error, tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_and_a_path_through_a_file(tmp_path):
    with pytest.raises(StoreError) as error:
        Store.open(tmp_path)
    assert "is a folder" in one_sentence(error, tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError) as error:
        Store.open(tmp_path / "file" / "memory.db")
    assert "cannot be made" in one_sentence(error, tmp_path / "file")


def test_a_locked_file(tmp_path):
    path = tmp_path / "memory.db"
    with Store.open(path, busy_seconds=0.1) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as error:
            store.add_memory("a", 0, 0, S, "A door.")
        assert "locked by another program" in one_sentence(error, path)
        assert store.memories() == []  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        assert store.add_memory("a", 0, 0, S, "A door.").id == 1


def test_a_damaged_file_is_found(tmp_path):
    path = tmp_path / "memory.db"
    with Store.open(path) as store:
        for i in range(300):
            store.add_memory("a", 0, i * S, (i + 1) * S, f"The mug number {i} is on the counter.")
    data = bytearray(path.read_bytes())
    for offset in range(4096 * 8, len(data), 4096):
        data[offset : offset + 200] = b"\xaa" * 200
    path.write_bytes(data)
    try:
        with Store.open(path, read_only=True) as store:
            problems = store.check()
    except StoreError as error:
        problems = [str(error)]
    assert problems and "damaged" in problems[0]


def test_a_store_opened_for_reading_never_writes(tmp_path):
    path = tmp_path / "memory.db"
    with Store.open(path) as store:
        store.add_memory("a", 0, 0, S, "A door.")
    with Store.open(path, read_only=True) as store:
        assert len(store.memories()) == 1
        with pytest.raises(StoreError) as error:
            store.add_memory("a", 0, S, 2 * S, "A lamp.")
    assert "reading only" in one_sentence(error, path)


def test_a_closed_store(tmp_path):
    store = Store.open(tmp_path / "memory.db")
    store.close()
    store.close()
    for use in (store.memories, lambda: store.add_task("Where?")):
        with pytest.raises(StoreError, match="was closed"):
            use()


AS_NOBODY = """
import os, sys
from taskmem_ros.memory import Store, StoreError
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    with Store.open(sys.argv[1], read_only=sys.argv[2] == "read") as store:
        print(len(store.memories()), "memories")
except StoreError as error:
    print(error)
"""


def test_a_read_only_folder(tmp_path):
    """In a child that gives up root's rights, for which no folder is read-only."""
    folder = tmp_path / "medium"
    with Store.open(folder / "memory.db") as store:
        store.add_memory("a", 0, 0, S, "A door.")
    (folder / "memory.db").chmod(0o444)
    folder.chmod(0o555)
    everywhere = Path(tempfile.gettempdir())
    opened = [tmp_path, *(parent for parent in tmp_path.parents if everywhere in parent.parents)]
    modes = [(parent, parent.stat().st_mode) for parent in opened]
    try:
        for parent in opened:
            parent.chmod(0o755)

        def child(path, how):
            command = [sys.executable, "-c", AS_NOBODY, str(path), how]
            return subprocess.run(
                command, capture_output=True, text=True, timeout=60, check=True
            ).stdout.strip()

        assert child(folder / "memory.db", "read") == "1 memories"
        for path, what in ((folder / "memory.db", "cannot be used"), (folder / "new.db", "cannot be used")):
            said = child(path, "write")
            assert what in said and str(path) in said and "\n" not in said and "writable" in said
        assert "cannot be made" in child(folder / "deeper" / "new.db", "write")
    finally:
        folder.chmod(0o755)
        for parent, mode in modes:
            parent.chmod(mode)


def test_the_default_database(monkeypatch, tmp_path):
    monkeypatch.setenv("TASKMEM_DATABASE", str(tmp_path / "mine.db"))
    with Store.open() as store:
        assert store.path == tmp_path / "mine.db"
    monkeypatch.delenv("TASKMEM_DATABASE")
    assert str(default_database()) == os.path.expanduser("~/.taskmem/memory.db")
