"""Forgetting on purpose: what is gone, what stays, and that nothing of the text is left in the bytes."""

import random
import sqlite3
import subprocess
import sys
import threading

import pytest

from taskmem_ros.clips import Gap, Pose
from taskmem_ros.memory import Store, StoreError
from taskmem_ros.memory.forget import WITHDRAWN, Forgotten, Place, Selection

S = 1_000_000_000
COMMON = "the mug stands on a table in this kitchen while Anna walks and Ben is waving".split()


def pose(x, y, map_id=""):
    return Pose("map", x, y, 0.0, 0.0, 0.0, 0.0, 1.0, map_id)


def rare_words(dice, count):
    """Words that nothing else has, not even in part: of the kind that `forget` must leave no trace of."""
    return ["".join(dice.choice("bcdfghjklmnpqrstvwxz") for _ in range(14)) for _ in range(count)]


def fill(store, dice, count, rare):
    """Memories of 10 s each, of any length and with any picture; every fourth has a rare word."""
    for index in range(count):
        words = [dice.choice(COMMON) for _ in range(dice.randint(3, 60))]
        if index % 4 == 0:
            words[dice.randrange(len(words))] = rare[index // 4].capitalize() + dice.choice(
                ("", "uing", "us")
            )
        store.add_memory(
            "hall", 0, index * 10 * S, (index + 1) * 10 * S, " ".join(words), pose=pose(index % 10, 0),
            thumbnail=dice.randbytes(dice.randint(50, 6000)),
        )  # fmt: skip


def traces(path, words):
    """Those of the words that are in the bytes of the file or its log. The first letters are left out: the
    word index shortens a word by what it shares with the one before."""
    files = [file for file in (path, path.with_name(path.name + "-wal")) if file.exists()]
    data = b"".join(file.read_bytes() for file in files).lower()
    return [word for word in words if word[3:].encode() in data]


def test_nothing_of_what_is_forgotten_is_left_in_the_bytes(tmp_path):
    path, dice = tmp_path / "memory.db", random.Random(5)
    rare = rare_words(dice, 150)
    with Store.open(path) as agent, Store.open(path) as store:
        agent._connections._writer.execute("PRAGMA synchronous = OFF")  # quicker; changes no byte
        fill(agent, dice, 600, rare)
        with agent._connections.write() as db:  # rows that go one by one make pages join and leave traces
            db.execute("DELETE FROM memories WHERE id % 5 = 2 OR id BETWEEN 300 AND 330")
        gone = rare[25:100]
        assert len(traces(path, gone)) == len(gone)
        wanted = Selection(since_ns=25 * 40 * S, until_ns=100 * 40 * S)
        expected = store.to_forget(wanted)
        assert store.forget(wanted) == expected and expected.memories > 150
        assert traces(path, gone) == []
        kept = " ".join(memory.text for memory in store.memories()).lower()
        assert traces(path, rare) == [word for word in rare if word in kept]
        agent.add_memory("hall", 0, 0, S, "Written by the agent that had the file open.")
        assert traces(path, gone) == [] and store.check() == []
        assert not store.unfinished_forgetting() and agent.memories(25 * 40 * S, 100 * 40 * S) == []
        with store._connections.read() as db:
            for table, column in (("thumbnails", "memory_id"), ("memory_places", "id")):
                sql = f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT id FROM memories)"
                assert db.execute(sql).fetchone()[0] == 0
            assert db.execute("PRAGMA freelist_count").fetchone()[0] == 0
    assert traces(path, gone) == []


def test_an_agent_writes_and_reads_while_much_is_forgotten(tmp_path):
    path, dice, problems, done = tmp_path / "memory.db", random.Random(6), [], threading.Event()
    rare = rare_words(dice, 100)
    with Store.open(path) as agent:
        fill(agent, dice, 400, rare)
        before = agent.watermark()

        def work():
            second = 10_000
            try:
                while not done.wait(0.02):
                    agent.add_memory("hall", 0, second * S, (second + 1) * S, f"Number {second}.")
                    assert agent.memories(limit=3)
                    second += 1
            except Exception as error:
                problems.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        child = "import sys; from taskmem_ros.memory import Store; from taskmem_ros.memory.forget import *\n"
        child += "print(Store.open(sys.argv[1]).forget(Selection(until_ns=3000 * 10**9)).memories)"
        command = [sys.executable, "-c", child, str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        done.set()
        thread.join()
        assert (said.stdout, said.stderr, problems) == ("300\n", "", [])
        assert traces(path, rare[:75]) == [] and len(traces(path, rare[75:])) == 25
        assert agent.watermark() > before and agent.check() == []


def test_by_time_camera_and_place(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        for index in range(6):
            store.add_memory(
                "ab"[index % 2], 0, index * S, (index + 1) * S, f"At {index}.", pose=pose(index, 0)
            )
        store.add_memory("a", 0, 6 * S, 7 * S, "Somewhere.")
        store.add_memory("a", 0, 7 * S, 8 * S, "Upstairs.", pose=pose(3, 0, "attic"))

        def left(**what):
            if "place" in what:
                what["place"] = Place(*what["place"])
            return store.to_forget(Selection(**what))

        assert left() == Forgotten(8, first_ns=0, last_ns=8 * S)
        assert left(since_ns=2 * S, until_ns=4 * S).memories == 2
        assert left(camera="a").memories == 5
        assert left(place=(3, 0, 1)) == Forgotten(4, unplaced=1, first_ns=2 * S, last_ns=8 * S)
        assert left(place=(3, 0.6, 1)).memories == 2, "a circle, not a box"
        assert left(place=(3, 0, 0, "attic")).memories == left(place=(3, 0, 0.5, "attic")).memories == 1
        assert left(place=(3, 0, 1, "map")).memories == 4, "the frame's name will do"
        assert left(place=(3, 0, 1), camera="b").memories == 1
        assert left(camera="none") == Forgotten()
        store.forget(Selection(camera="a", place=Place(3, 0, 1.5)))
        assert [memory.text for memory in store.memories()] == [
            "At 0.",
            "At 1.",
            "At 3.",
            "At 5.",
            "Somewhere.",
        ]
    for wrong in ((float("nan"), 0, 1), (0, 0, -1)):
        with pytest.raises(ValueError, match="radius"):
            Place(*wrong)


def test_the_time_that_is_forgotten_is_coverage(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        source = store.add_source("walk", "f00d", "hall")
        for index in range(5):
            store.add_memory("hall", 0, index * 10 * S, (index + 1) * 10 * S, f"At {index}.")
        store.add_memory("hall", 0, 20 * S, 20 * S, "An instant.")
        store.add_memory("hall", 1, 10 * S, 20 * S, "Again.")
        store.add_memory("hall", 0, 10 * S, 20 * S, "Read.", source_id=source.id)
        dropped = Gap("hall", 0, 50 * S, 60 * S, "dropped")
        store.add_gap(dropped)
        store.forget(Selection(since_ns=10 * S, until_ns=30 * S))
        forgotten = [Gap("hall", 0, 10 * S, 30 * S, "forgotten"), Gap("hall", 1, 10 * S, 20 * S, "forgotten")]
        found = store.coverage()
        assert len(found) == 4 and found[-1] == dropped and set(forgotten) < set(found)
        store.forget(Selection(since_ns=30 * S))
        assert Gap("hall", 0, 10 * S, 50 * S, "forgotten") in store.coverage()
        assert store.record_end("hall") == (1, 20 * S)
        assert store.forget_source(source.id) == 0 and len(store.coverage()) == 3


def test_answers_that_stood_on_it_are_withdrawn_and_failures_go(tmp_path):
    path = tmp_path / "memory.db"
    with Store.open(path) as store:
        for index, text in enumerate(("A plain door.", "Secret qzxwvyhat.", "A lamp.")):
            store.add_memory("hall", 0, index * 10 * S, (index + 1) * 10 * S, text)
        done = {"answer": "the qzxwvyhat", "confidence": 0.9}
        tasks = [store.add_task("What was there?", known_answer="a hat") for _ in range(6)]
        store.finish_task(tasks[0].id, "answered", **done, evidence=[(1, 0.5), (2, 1.0)], watermark=3)
        store.finish_task(tasks[1].id, "answered", answer="a lamp", evidence=[(3, 1.0)], watermark=3)
        store.finish_task(tasks[2].id, "not_in_memory", message="It said 'qzxwvyhat'.", watermark=2)
        store.finish_task(tasks[3].id, "not_in_memory", message="There is no memory yet.", watermark=1)
        store.finish_task(tasks[4].id, "failed", message="It wrote qzxwvyhat.")
        store.add_failure("hall", 0, 10 * S, 20 * S, raw="{qzxwvyhat", error="no JSON")
        store.add_failure("hall", 0, 20 * S, 30 * S, raw="{other", error="no JSON")
        expected = Forgotten(1, failures=1, answers=1, first_ns=10 * S, last_ns=20 * S)
        assert store.forget(Selection(10 * S, 20 * S)) == expected
        first, second, third, fourth, fifth, sixth = store.tasks()
        assert (first.status, first.answer, first.message) == ("not_in_memory", None, WITHDRAWN)
        assert (first.confidence, first.evidence, first.known_answer) == (0.0, (1, 2), "a hat")
        assert (second.answer, second.evidence) == ("a lamp", (3,))
        assert (third.message, fifth.message, sixth.status) == ("", "", "queued")
        assert fourth.message == "There is no memory yet.", "older than what is forgotten"
        assert [failure.raw for failure in store.failures()] == ["{other"]
        assert traces(path, ["qzxwvyhat"]) == []


def test_what_was_cut_off_is_finished(tmp_path, monkeypatch):
    path, dice = tmp_path / "memory.db", random.Random(7)
    with Store.open(path) as store:
        store.add_memory("hall", 0, 0, S, "The bwvxqzjhfl.")
        monkeypatch.setattr("taskmem_ros.memory.forget.remove_traces", lambda path, patience_s: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.forget(Selection())
        assert store.unfinished_forgetting() and traces(path, ["bwvxqzjhfl"])
        monkeypatch.undo()
        fill(store, dice, 4, ["another"])
        assert store.forget(Selection(camera="none")) == Forgotten()
        assert not store.unfinished_forgetting() and not traces(path, ["bwvxqzjhfl"])
        assert len(store.memories()) == 4


def test_a_reader_that_holds_the_log_is_told_of(tmp_path):
    path = tmp_path / "memory.db"
    with Store.open(path) as store:
        store.add_memory("hall", 0, 0, S, "The bwvxqzjhfl.")
        store.add_memory("hall", 0, S, 2 * S, "A door.")
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM memories").fetchone()
        with pytest.raises(StoreError, match="reading it all the time") as error:
            store.forget(Selection(until_ns=S), patience_s=0.3)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        reader.execute("COMMIT")
        reader.close()
        store.forget(Selection(until_ns=S))
        assert not traces(path, ["bwvxqzjhfl"]) and len(store.memories()) == 1


def test_rows_that_had_moved_leave_no_copy_behind(tmp_path):
    """Deletions make SQLite join pages; with this seed and SQLite 3.40 a copy of a rare word stays behind in
    the unused middle of a page, where secure_delete does not reach."""
    path, dice, count = tmp_path / "memory.db", random.Random(5), 600
    rare = rare_words(dice, count)
    insert = """INSERT INTO memories (camera, episode, start_ns, end_ns, text, provenance_id, created_ns)
        VALUES ('h', 0, ?, ?, ?, 1, 0)"""
    with Store.open(path) as store:
        with store._connections.write() as db:
            db.execute("INSERT INTO provenance VALUES (1, '', '', '', '')")
            for index in range(count):
                words = [dice.choice(COMMON) for _ in range(dice.randint(5, 60))]
                db.execute(insert, [index * S, (index + 1) * S, " ".join([*words, rare[index]])])
        with store._connections.write() as db:
            db.execute("DELETE FROM memories WHERE id % 3 <> 0")
        store.forget(Selection(until_ns=count // 2 * S))
        assert traces(path, rare[: count // 2]) == [] and store.check() == []
        assert len(store.memories()) == count // 6


def test_vectors_and_their_codes_go_too(tmp_path):
    path, dice = tmp_path / "memory.db", random.Random(8)
    with Store.open(path) as store:
        fill(store, dice, 8, ["one", "two"])
        store.use_encoder("test", 64)
        vectors = [[dice.uniform(-1, 1) for _ in range(64)] for _ in range(8)]
        store.add_vectors(range(1, 9), vectors)
        with store._connections.read() as db:
            bytes_of = dict(db.execute("SELECT memory_id, vector FROM vectors"))
        assert store.to_forget(Selection(until_ns=50 * S)).vectors == 5
        store.forget(Selection(until_ns=50 * S))
        data = path.read_bytes()
        assert [bytes_of[number] in data for number in range(1, 9)] == [False] * 5 + [True] * 3
        assert [number for number, _ in store.nearest(vectors[0], 9)] and store.check() == []
