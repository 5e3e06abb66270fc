"""`taskmem doctor`: findings, what to do, and the exit status."""

import json
import sqlite3

import pytest

from taskmem_ros.cli import main
from taskmem_ros.memory import Store


@pytest.fixture
def doctor(capsys):
    def run(*arguments):
        status = main(["doctor", *map(str, arguments), "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_a_good_store_with_a_failed_clip(doctor, database):
    status, checks = doctor("--only", "database", "--database", database, "--utc")
    found = {check["name"]: check for check in checks}
    assert status == 0
    assert found["integrity"]["level"] == "ok"
    assert found["memories"]["text"] == "4, from 2026-01-01 08:00:00+00:00 to 2026-01-02 08:00:10+00:00"
    assert found["tasks"]["text"] == "2 asked, 1 not answered yet"
    assert found["coverage"]["text"] == "not watched: 0:00:50 dropped"
    assert found["failed clips"]["level"] == "warn"
    assert "{oops" in found["failure 1"]["text"] and "not JSON" in found["failure 1"]["text"]


def test_stores_that_are_not_well(doctor, tmp_path):
    (tmp_path / "notes.db").write_text("notes" * 1000)
    status, checks = doctor("--only", "database", "--database", tmp_path / "notes.db")
    assert status == 1 and checks[0]["level"] == "fail" and "not a taskmem store" in checks[0]["text"]
    with Store.open(tmp_path / "broken.db") as store:
        for i in range(200):
            store.add_memory("a", 0, i, i + 1, f"The mug number {i} is on the counter.")
    data = bytearray((tmp_path / "broken.db").read_bytes())
    data[-8000:-4500] = b"\xaa" * 3500
    (tmp_path / "broken.db").write_bytes(data)
    status, checks = doctor("--only", "database", "--database", tmp_path / "broken.db")
    assert status == 1 and any(c["level"] == "fail" and "damaged" in c["text"] for c in checks)


UNINDEX = """INSERT INTO memories_fts (memories_fts, rowid, text) VALUES ('delete', 2, 'Ben opens the door.');
    INSERT INTO memories_fts_docsize VALUES (2, x'04')"""
SPOILED = {
    UNINDEX: "The word index does not find 1 memories, such as 2",
    "DELETE FROM memories_fts_docsize WHERE id = 4": "1 memories are not in the word index",
    "INSERT INTO memories_fts_docsize VALUES (99, x'01')": "word index has 1 memories that are gone",
    "DELETE FROM memory_places WHERE id = 2": "1 memories with a pose are not in the index of places",
    "INSERT INTO memory_places VALUES (99, 1, 1, 1, 1, 1, 1)": "places has 1 memories that are gone",
    "UPDATE memory_places SET min_x = 50, max_x = 50 WHERE id = 2": "at another place than their pose",
    "INSERT INTO thumbnails VALUES (99, x'00')": "1 pictures are of memories that are gone",
    "INSERT INTO vectors VALUES (99, 1, zeroblob(68))": "1 vectors are of memories that are gone",
    "INSERT INTO vectors VALUES (1, 1, zeroblob(60))": "1 vectors are of another length",
    "INSERT INTO vector_codes VALUES (0, x'00')": "1 blocks of codes are of another length",
    "UPDATE tasks SET provenance_id = 99": "Row 1 of tasks names a row of provenance that is gone",
}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("sql", SPOILED)
def test_indices_that_do_not_agree_with_the_memories(doctor, database, monkeypatch, sql, full):
    monkeypatch.setattr("taskmem_ros.doctor.database.QUICK_ABOVE", 0)
    connection = sqlite3.connect(database)
    connection.execute("INSERT INTO encoders VALUES (1, 'test', 64)")
    connection.commit()
    connection.executescript(sql)
    connection.close()
    status, checks = doctor("--only", "database", "--database", database, *["--full"] * full)
    said = [check["text"] for check in checks if check["name"] == "integrity"]
    if "provenance" in sql and not full:
        assert status == 0 and "--full" in said[0]
    else:
        assert status == 1 and SPOILED[sql] in said[0]


def test_a_forgetting_that_was_cut_off(doctor, database):
    with Store.open(database) as store, store._connections.write() as db:
        db.execute("INSERT INTO meta VALUES ('forgetting', '1')")
    status, checks = doctor("--only", "database", "--database", database)
    found = {check["name"]: check for check in checks}
    assert status == 0 and found["forgetting"]["level"] == "warn" and "forget" in found["forgetting"]["fix"]


def test_no_store_yet_is_well(doctor, tmp_path):
    status, checks = doctor("--only", "database", "--database", tmp_path / "new" / "memory.db")
    assert status == 0 and "will make it" in checks[0]["text"] and not (tmp_path / "new").exists()


def test_the_environment(doctor):
    status, checks = doctor("--only", "environment", "--only", "ros", "--only", "gpu")
    found = {check["name"]: check for check in checks}
    assert status == 0
    assert found["sqlite"]["level"] == "ok" and found["torch"]["text"] and found["cuda"]["text"]
    assert found["rclpy"]["level"] in ("ok", "warn")
    assert all(check["fix"] for check in checks if check["level"] != "ok")


def test_a_model_that_loads(doctor, model):
    status, checks = doctor("--only", "model", "--model", model, "--device", "cpu")
    assert status == 0 and [check["name"] for check in checks[1:3]] == ["load", "write"]
    assert "parameters" in checks[1]["text"] and "tokens in" in checks[2]["text"]


@pytest.mark.parametrize(("name", "said"), [("/none", "no folder"), ("FOLDER", "does not load")])
def test_a_model_that_does_not(doctor, tmp_path, name, said):
    status, checks = doctor("--only", "model", "--model", str(tmp_path) if name == "FOLDER" else name)
    assert status == 1 and said in checks[-1]["text"] and checks[-1]["fix"]


def test_a_model_that_is_not_here_is_not_downloaded(doctor):
    status, checks = doctor("--only", "model", "--model", "nobody/Qwen3-VL-none")
    assert status == 0 and checks[0]["level"] == "warn" and "not on this machine" in checks[0]["text"]


def test_people_read_it_too(capsys, database):
    assert main(["doctor", "--only", "database", "--database", database]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "database" and lines[1].startswith("  ok    open")
    assert lines[-1].endswith("failed") and any("->" in line for line in lines)
