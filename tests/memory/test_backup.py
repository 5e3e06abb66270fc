"""Copies: consistent while others write, checked, and never over something that is there."""

import subprocess
import sys
import threading

import pytest

from taskmem_ros.clips import Gap, Pose
from taskmem_ros.memory import Store, StoreError, backup, streams

S = 1_000_000_000


def fill(store, count, first=0):
    for index in range(first, first + count):
        pose = Pose("map", index, 0, 0, 0, 0, 0, 1)
        text = f"The mug is at {index}."
        store.add_memory("hall", 0, index * S, (index + 1) * S, text, pose=pose, thumbnail=b"x" * 3000)


def test_a_copy_is_one_state_of_the_file_while_others_write(tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "STEP_PAGES", 8)
    done, seen = threading.Event(), []
    with Store.open(tmp_path / "memory.db") as store, Store.open(tmp_path / "memory.db") as agent:
        fill(store, 100)
        store.path.chmod(0o640)

        def write():
            while True:  # once at least, however quick the copy is
                fill(agent, 1, agent.watermark())
                if done.wait(0.002):
                    return

        thread = threading.Thread(target=write)
        thread.start()
        copy = store.backup(tmp_path / "copy.db", progress=lambda *state: seen.append(state))
        done.set()
        thread.join()
        assert store.watermark() > 100
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.db", "memory.db"]
    with Store.open(copy, read_only=True) as kept:
        numbers = [memory.id for memory in kept.memories()]
        assert len(numbers) >= 100 and numbers == list(range(1, len(numbers) + 1)) and kept.check() == []
    assert len(seen) > 5 and seen[-1][0] == seen[-1][1] == copy.stat().st_size // 4096
    assert copy.stat().st_mode & 0o777 == 0o640
    with Store.open(copy) as kept:
        fill(kept, 1, 500)


def test_what_is_there_is_not_overwritten(tmp_path):
    path, target = tmp_path / "memory.db", tmp_path / "copy.db"
    with Store.open(path) as store:
        fill(store, 1)
        target.write_text("precious")
        with pytest.raises(StoreError, match="is there already"):
            store.backup(target)
        assert target.read_text() == "precious"
        store.backup(target, overwrite=True)
        with Store.open(target) as other:
            fill(other, 1, 1)
            with pytest.raises(StoreError, match="in use"):
                store.backup(target, overwrite=True)
            assert len(other.memories()) == 2
        link = tmp_path / "link.db"
        link.symlink_to(path)
        for wrong, words in (
            (path, "itself"),
            (link, "itself"),
            (tmp_path, "folder"),
            (tmp_path / "a/b", "no folder"),
        ):
            with pytest.raises(StoreError, match=words) as error:
                store.backup(wrong, overwrite=True)
            assert str(wrong) in str(error.value) or wrong.name == "b"
    assert len(list(tmp_path.iterdir())) == 3, "nothing is left behind"


NO_ROOM = """
import resource, sys
from pathlib import Path
from taskmem_ros.memory import Store, StoreError
with Store.open(sys.argv[1], read_only=True) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    try:
        store.backup(sys.argv[2])
    except StoreError as error:
        print(error)
"""


def test_a_target_without_room_is_one_sentence_and_leaves_nothing(tmp_path):
    (tmp_path / "small").mkdir()
    with Store.open(tmp_path / "memory.db") as store:
        fill(store, 100)
    target = tmp_path / "small" / "copy.db"
    command = [sys.executable, "-c", NO_ROOM, str(tmp_path / "memory.db"), str(target)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert str(target.parent) in said and "cannot be written" in said and "\n" not in said
    assert list(target.parent.iterdir()) == []


def test_a_damaged_store_gives_no_copy(tmp_path):
    path = tmp_path / "memory.db"
    with Store.open(path) as store:
        fill(store, 200)
    data = bytearray(path.read_bytes())
    for offset in range(len(data) - 4096 * 20, len(data), 4096):
        data[offset : offset + 300] = b"\xaa" * 300
    path.write_bytes(data)
    with Store.open(path, read_only=True) as store, pytest.raises(StoreError, match="not whole"):
        store.backup(tmp_path / "copy.db")
    assert not [file.name for file in tmp_path.iterdir() if "copy" in file.name]


def test_everything_is_handed_out_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "BATCH", 7)
    with Store.open(tmp_path / "memory.db") as store:
        fill(store, 30)
        store.add_memory("attic", 0, 5 * S, 6 * S, "The same second.")
        for index in range(20):
            store.add_gap(Gap("hall", 0, index * 10 * S, (index * 10 + 5) * S, "dropped"))
            store.add_task(f"Where is {index}?", asked_ns=(index // 3) * S)
        memories = list(store.each_memory(thumbnails=True))
        assert memories == store.memories() and len(memories) == 31 and memories[0].thumbnail
        assert list(store.each_memory(3 * S, 9 * S, "hall")) == store.memories(
            3 * S, 9 * S, "hall", thumbnails=False
        )
        assert list(store.each_gap()) == store.coverage() and len(store.coverage()) == 20
        assert list(store.each_gap(22 * S, 60 * S)) == store.coverage(22 * S, 60 * S)
        assert list(store.each_task()) == store.tasks() and len(store.tasks()) == 20
        assert list(store.each_task(S, 3 * S)) == store.tasks(since_ns=S, until_ns=3 * S)
