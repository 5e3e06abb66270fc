"""Memories, tasks, coverage, failures and sources go in and come out as they were."""

import dataclasses
import time

import pytest

from taskmem_ros.clips import Gap, Pose
from taskmem_ros.memory import SCHEMA_VERSION, Box, Memory, Scope, Store, StoreError

S = 1_000_000_000


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as opened:
        yield opened


def remember(store, text, second, camera="hall", seconds=10, **more):
    return store.add_memory(camera, 0, second * S, (second + seconds) * S, text, **more)


def test_a_memory_comes_back_as_it_was_written(store):
    pose = Pose("map", 1.5, -2.0, 0.0, 0.0, 0.0, 0.6, 0.8, map_id="home")
    written = remember(
        store,
        "Anna put the mug down.",
        10,
        pose=pose,
        model="demo",
        revision="r1",
        adapter="a1",
        prompt_hash="p1",
        thumbnail=b"\xff\xd8picture",
    )
    assert store.memory(written.id) == written
    assert store.memory(written.id + 1) is None
    assert store.memories(thumbnails=False) == [dataclasses.replace(written, thumbnail=b"")]


def test_an_unknown_pose_stays_unknown(store):
    assert store.memory(remember(store, "A door.", 0).id).pose is None


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00"])
def test_nothing_is_stored_as_an_empty_memory(store, text):
    with pytest.raises(ValueError, match="is empty"):
        remember(store, text, 0)
    assert store.memories() == []


def test_impossible_values_are_refused_with_a_sentence(store):
    with pytest.raises(ValueError, match="before its start"):
        store.add_memory("hall", 0, 20, 10, "A door.")
    with pytest.raises(ValueError, match="not finite"):
        remember(store, "A door.", 0, pose=Pose("map", float("nan"), 0, 0, 0, 0, 0, 1))
    assert store.memories() == []


def test_a_batch_is_written_as_one_by_one(store):
    pose = Pose("map", 1.5, -2.0, 0.0, 0.0, 0.0, 0.6, 0.8, map_id="home")
    batch = [
        Memory(
            7, "hall", 0, 10 * S, 20 * S, " The umb\x00rella. ", pose, "demo", "r", "a", "p", b"\xff\xd8x"
        ),
        Memory(7, "attic", 3, 20 * S, 20 * S, "A kettle.", model="other"),
    ]
    written = store.add_memories(batch)
    assert [memory.id for memory in written] == [1, 2]
    assert store.memories() == written  # with pictures, poses and writers
    assert written[0].text == "The umb rella." and written[0].created_ns > 0
    assert store.ids_matching("kettle", 5) == [2]
    assert store.ids_in(Scope(box=Box(1, -3, 2, -1)), 5) == [1]
    assert store.add_memories([]) == [] and store.check() == []


def test_of_a_batch_with_one_impossible_memory_none_is_written(store):
    good = Memory(0, "hall", 0, 0, S, "A door.")
    for wrong, why in (
        (dataclasses.replace(good, text=" "), "is empty"),
        (dataclasses.replace(good, start_ns=2 * S), "before its start"),
        (dataclasses.replace(good, pose=Pose("map", float("inf"), 0, 0, 0, 0, 0, 1)), "not finite"),
    ):
        with pytest.raises(ValueError, match=why):
            store.add_memories([good, wrong])
    with pytest.raises(StoreError):  # found out by the file only: no such source
        store.add_memories([good, good], source_id=5)
    assert store.memories() == [] and store.check() == []


def test_a_batch_belongs_to_its_source(store):
    source = store.add_source("a.mcap", "f", "hall")
    store.add_memories([Memory(0, "hall", 0, i * S, i * S, "A door.") for i in range(3)], source_id=source.id)
    assert store.forget_source(source.id) == 3


def test_text_that_utf8_cannot_hold_is_stored_readably(store):
    assert store.memory(remember(store, "a\ud800b\x00c \U0001f600", 0).id).text == "a?b c \U0001f600"


def test_a_time_span_gives_what_overlaps_it(store):
    for second in (0, 10, 20, 30):
        remember(store, f"clip {second}", second)
    remember(store, "a long one", 0, seconds=25)
    remember(store, "an instant", 20, seconds=0)

    def texts(since, until):
        return {m.text for m in store.memories(since and since * S, until and until * S)}

    assert texts(10, 20) == {"clip 10", "a long one"}
    assert texts(20, 21) == {"clip 20", "a long one", "an instant"}
    assert texts(30, None) == {"clip 30"}
    assert texts(None, 10) == {"clip 0", "a long one"}
    assert texts(100, 200) == set()


def test_camera_limit_and_order(store):
    for second in range(0, 50, 10):
        remember(store, f"clip {second}", second, camera="hall" if second % 20 else "kitchen")
    assert [m.text for m in store.memories(camera="hall")] == ["clip 10", "clip 30"]
    assert [m.text for m in store.memories(limit=2, newest_first=True)] == ["clip 40", "clip 30"]
    assert store.watermark() == 5


def test_a_task_is_a_row_from_asking_to_answer(store):
    memories = [remember(store, f"clip {i}", i * 10) for i in range(3)]
    asked = store.add_task(
        "Where is the mug?", choices=("kitchen", "hall"), source="test", since_ns=5, until_ns=9
    )
    assert (asked.status, asked.answer, asked.answered_ns) == ("queued", None, None)
    assert store.tasks(status="queued") == [asked]
    done = store.finish_task(
        asked.id,
        "answered",
        answer="hall",
        confidence=0.5,
        evidence=[(memories[2].id, 1.0), (memories[0].id, 0.2)],
        watermark=3,
        model="demo",
    )
    assert done == store.task(asked.id)
    assert (done.status, done.answer, done.evidence, done.watermark) == ("answered", "hall", (3, 1), 3)
    assert done.answered_ns >= asked.asked_ns
    assert store.tasks(status="queued") == []


def test_tasks_are_refused_with_a_sentence(store):
    with pytest.raises(ValueError, match="question is empty"):
        store.add_task("  ")
    with pytest.raises(ValueError, match="choices"):
        store.add_task("Where?", choices=["a", " "])
    with pytest.raises(ValueError, match="kind"):
        store.add_task("Where?", kind="riddle")
    asked = store.add_task("Where?")
    with pytest.raises(ValueError, match="answered"):
        store.finish_task(asked.id, "answered", answer="")
    with pytest.raises(ValueError, match="answered"):
        store.finish_task(asked.id, "timed_out", answer="the hall")
    with pytest.raises(StoreError, match="no task 99"):
        store.finish_task(99, "timed_out")
    assert store.tasks() == [asked]


def test_gaps_that_touch_become_one(store):
    for start, end in ((0, 10), (10, 20), (40, 50), (30, 40)):
        store.add_gap(Gap("hall", 0, start * S, end * S, "dropped"))
    store.add_gap(Gap("hall", 0, 20 * S, 30 * S, "no_frames"))
    store.add_gap(Gap("attic", 0, 20 * S, 30 * S, "dropped"))
    assert store.coverage(camera="hall") == [
        Gap("hall", 0, 0, 20 * S, "dropped"),
        Gap("hall", 0, 20 * S, 30 * S, "no_frames"),
        Gap("hall", 0, 30 * S, 50 * S, "dropped"),
    ]
    joined = store.add_gap(Gap("hall", 0, 15 * S, 35 * S, "dropped"))
    assert joined == Gap("hall", 0, 0, 50 * S, "dropped")
    assert len(store.coverage(45 * S, 60 * S)) == 1


def test_a_failed_clip_keeps_what_the_policy_wrote(store):
    written = store.add_failure("hall", 1, 0, 10 * S, raw="", error="the reply is empty", model="demo")
    assert store.failures() == [written]


def test_a_source_is_read_once_and_can_be_taken_out(store):
    remember(store, "seen live: the umbrella", 0)
    source = store.add_source("walk.mcap", "abc", "hall")
    with pytest.raises(StoreError):
        store.add_source("walk.mcap", "abc", "hall")
    remember(store, "from the bag: the umbrella", 10, source_id=source.id, thumbnail=b"x")
    store.add_gap(Gap("hall", 0, 20, 30, "failed"), source_id=source.id)
    store.finish_source(source.id)
    assert store.source("abc", "hall").finished_ns is not None
    assert store.forget_source(source.id) == 1
    assert store.source("abc", "hall") is None
    assert [store.memory(n).text for n in store.ids_by_bm25("umbrella", 8)] == ["seen live: the umbrella"]
    assert store.coverage() == []
    assert store.check() == []
    assert remember(store, "new", 40).id == 3, "the id of a deleted memory is not given again"


def test_everything_is_there_after_opening_again(tmp_path):
    path = tmp_path / "new" / "folders" / "memory.db"
    with Store.open(path) as store:
        remember(store, "clip", 0)
        store.add_task("Where?")
        before = store.summary()
    with Store.open(path) as store:
        after = store.summary()
        assert dataclasses.replace(after, bytes=before.bytes) == before
        assert (after.memories, after.tasks, after.queued_tasks, after.schema_version) == (
            1,
            1,
            1,
            SCHEMA_VERSION,
        )
        assert store.check() == []


def test_where_the_record_of_a_camera_ends(store):
    assert store.record_end("hall") is None
    remember(store, "The first loop of a bag.", 190)
    store.add_memory("hall", 1, 100 * S, 110 * S, "Its second loop.")
    assert store.record_end("hall") == (1, 110 * S), "the newest episode, though its times are older"
    store.add_gap(Gap("hall", 1, 110 * S, 115 * S, "dropped"))
    store.add_gap(Gap("hall", 1, 95 * S, 100 * S, "failed"))
    assert store.record_end("hall") == (1, 115 * S)
    source = store.add_source("walk", "f00d", "hall")
    remember(store, "From a bag.", 500, source_id=source.id)
    store.add_gap(Gap("hall", 7, 510 * S, 520 * S, "no_frames"), source_id=source.id)
    assert store.record_end("hall") == (1, 115 * S), "ingested bags count their own episodes"
    assert store.record_end("attic") is None


def test_the_end_of_a_long_record_is_found_at_once(store):
    with store._connections.write() as db:
        rows = (("hall", n, n + 1, "dropped") for n in range(0, 400_000, 2))
        insert = "INSERT INTO coverage (camera, episode, start_ns, end_ns, reason) VALUES (?, 0, ?, ?, ?)"
        db.conn.executemany(insert, rows)
    started = time.monotonic()
    assert store.record_end("hall") == (0, 399_999)
    assert time.monotonic() - started < 0.2
