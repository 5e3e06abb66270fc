"""The outbox: what never left leaves once, as much of it as is to leave, and nothing that was forgotten."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from small_past import FAILED_CLIP, START, S, clips, fill

from taskmem_ros.clips import Clip
from taskmem_ros.exchange import Bundle, BundleError
from taskmem_ros.exchange import outbox as outbox_module
from taskmem_ros.exchange.outbox import Outbox
from taskmem_ros.memory import Store, StoreError
from taskmem_ros.memory.forget import Selection
from taskmem_ros.memory.outgoing import outbox_folder
from taskmem_ros.memory.ring import ClipRing


@pytest.fixture(scope="module")
def run() -> list[Clip]:
    return clips()


@pytest.fixture(scope="module")
def past(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("past") / "past.db"
    fill(path, run)
    with Store.open(path) as store:
        ring = ClipRing(store, 100_000_000)
        for number, clip in enumerate(run):
            ring.add(clip, opens=number == 0)
    return path


@pytest.fixture
def store(past, tmp_path):
    for name in ("past.db", "past.frames.db"):
        shutil.copy(past.with_name(name), tmp_path / name)
    with Store.open(tmp_path / "past.db") as store:
        yield store


def outbox(store, contents="memories", megabytes=200.0):
    return Outbox(store, ClipRing(store), outbox_folder(store.path), "rosie", contents, megabytes)


def read(path):
    with Bundle.open(path) as bundle:
        return bundle.manifest, bundle.tasks(), bundle.feedback(), bundle.memories(), list(bundle.clips())


def ask(store, number, **more):
    task = store.add_task(f"Where is it, {number}?", asked_ns=START + number * S)
    return store.finish_task(task.id, "answered", answer="here", **more)


def test_what_never_left_leaves_once(store):
    box = outbox(store)
    card = box.next()
    assert (card.robot, card.sequence, card.tasks, card.feedback, card.clips) == ("rosie", 1, 1, 1, 0)
    assert card.store_id == store.store_id() and box.next() is None
    ((path, waiting),) = box.waiting()
    assert waiting == card and path.name == card.bundle_name and path.stat().st_size == card.bytes
    about, tasks, feedback, memories, kept = read(path)
    assert (about.sequence, about.contents, about.adapter, about.model) == (1, "memories", "", "demo")
    assert [task.id for task in tasks] == [1] and feedback == store.feedback() and kept == []
    assert {3} < {memory.id for memory in memories}, "the evidence, and what is around it"
    box.pushed(card)
    assert box.waiting() == [] and not path.exists() and box.next() is None
    box.pushed(card)

    # The second question is answered only now, and the first is judged again.
    store.finish_task(2, "not_in_memory")
    said = store.add_feedback(1, "wrong", "under the table")
    card = box.next()
    _, tasks, feedback, memories, _ = read(box.waiting()[0][0])
    assert (card.sequence, [task.id for task in tasks], feedback) == (2, [2], [said])
    assert 3 in {memory.id for memory in memories}, "feedback brings what its task stood on"
    assert outbox(store).waiting() == box.waiting() and box.next() is None
    store.add_task("Bring the mug", kind="task")
    assert box.next().tasks == 1, "it is never answered, so nothing is waited for"


def test_what_leaves_is_chosen(store):
    ask(store, 250, evidence=[(7, 1.0)])
    found = {}
    for contents in ("tasks", "memories", "frames"):
        box = outbox(store, contents)
        assert box.next().contents == contents
        ((path, _),) = box.waiting()
        found[contents] = path.read_bytes()
        about, tasks, feedback, memories, kept = read(path)
        assert len(tasks) == 2 and len(feedback) == 1 and about.model == "demo"
        assert bool(memories) == bool(about.gaps) == (contents != "tasks")
        assert bool(kept) == bool(about.frames) == (contents == "frames")
        store.take_back(about.sequence)
    words = [memory.text.encode() for memory in store.memories()]
    assert not [word for word in words if word in found["tasks"]], "no word of a memory"
    assert [word for word in words if word in found["memories"]] and b"\xff\xd8\xff" not in found["memories"]
    assert [clip.start_ns for clip in kept] == [clip.start_ns for clip in clips()]
    assert [clip.opens for clip in kept] == [True] + [False] * 11


def test_no_more_than_there_is_room_for(store, run):
    jpegs = list(ClipRing(store).clips())
    one = sum(len(frame.jpeg) for frame in jpegs[0].frames)
    box = outbox(store, "frames", megabytes=6.5 * one / 1e6)
    card = box.next()
    assert card.bytes < 6.5 * one and 3 <= card.clips <= 6
    *_, kept = read(box.waiting()[0][0])
    assert {run[0].start_ns, run[1].start_ns, run[2].start_ns} <= {clip.start_ns for clip in kept}
    tight = outbox(store, "frames", megabytes=0.01)
    ask(store, 300)
    assert (tight.next().tasks, tight.waiting()[-1][1].clips) == (1, 0), "tasks go in any case"


def test_clips_go_once_and_evidence_again(store, run):
    box = outbox(store, "frames")
    assert box.next().clips == 12
    assert FAILED_CLIP in {(clip.start_ns - START) // (10 * S) for clip in read(box.waiting()[0][0])[-1]}
    later = replace(run[3], start_ns=START + 900 * S, end_ns=START + 910 * S)
    ask(store, 800, evidence=[(3, 1.0)])
    store.add_memory(later.camera, 0, later.start_ns, later.end_ns, "The mug is gone.")
    ring = ClipRing(store, 100_000_000)
    ring.add(later)
    ring.add(replace(later, start_ns=later.end_ns, end_ns=later.end_ns + 10 * S))
    box.next()
    *_, kept = read(box.waiting()[1][0])
    starts = [(clip.start_ns - START) // (10 * S) for clip in kept]
    assert starts == [0, 1, 2, 90], "evidence with its window, and what is new and known"
    assert [clip.opens for clip in kept] == [True, False, False, True]


def test_what_is_forgotten_does_not_leave(store, run):
    box = outbox(store, "frames")
    card = box.next()
    store.forget(Selection(since_ns=run[2].start_ns, until_ns=run[2].end_ns))
    assert box.waiting() == [] and not (box.folder / card.bundle_name).exists()
    (box.folder / ".next.bundle.77.partial").write_text("of a process that was killed")
    store.forget(Selection(since_ns=run[0].start_ns - 1, until_ns=run[0].start_ns))
    assert (box.folder / ".next.bundle.77.partial").exists(), "nothing was forgotten"
    store.add_memory("attic", 0, 0, S, "A cat.")
    store.forget(Selection(camera="attic"))
    assert sorted(file.name for file in box.folder.iterdir()) == [".lock"]
    again = box.next()
    assert (again.sequence, again.tasks, again.feedback, again.clips) == (2, 1, 1, 11)
    _, tasks, _, memories, kept = read(box.waiting()[0][0])
    assert tasks[0].answer is None and run[2].start_ns not in {clip.start_ns for clip in kept}
    assert not [memory for memory in memories if memory.start_ns == run[2].start_ns]


def test_what_is_forgotten_while_a_bundle_is_made_does_not_leave(store, run, monkeypatch):
    box, write, forgotten = outbox(store, "frames"), Outbox._write, []

    def write_and_forget(self, *given):
        made = write(self, *given)
        if not forgotten:
            forgotten.append(store.forget(Selection(since_ns=run[2].start_ns, until_ns=run[2].end_ns)))
        return made

    monkeypatch.setattr(Outbox, "_write", write_and_forget)
    card = box.next()
    assert forgotten and (card.sequence, card.tasks, card.clips) == (1, 1, 11)
    assert sorted(file.name for file in box.folder.iterdir()) == [".lock", card.bundle_name]


def test_a_file_that_is_lost_or_damaged_is_made_anew(store):
    box = outbox(store)
    card = box.next()
    ((path, _),) = box.waiting()
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    assert box.waiting() == []
    assert box.next().tasks == 1 and not path.exists()
    ((path, second),) = box.waiting()
    path.unlink()
    assert box.waiting() == [] and box.next().sequence == 3
    assert store.outgoing()[-1].tasks == card.tasks == second.tasks


def test_leftovers_go_and_other_files_stay(store):
    box = outbox(store)
    box.folder.mkdir()
    left = ("00000007-0123456789abcdef.bundle", ".next.bundle.77.partial", "next.bundle", "notes.txt")
    for name in left:
        (box.folder / name).write_text("x")
    card = box.next()
    assert sorted(file.name for file in box.folder.iterdir()) == [".lock", card.bundle_name, "notes.txt"]


def test_not_too_many_wait_and_one_makes_at_a_time(store, monkeypatch):
    monkeypatch.setattr(outbox_module, "MOST_WAITING", 2)
    box = outbox(store)
    assert box.next()
    ask(store, 300)
    assert box.next()
    ask(store, 301)
    assert box.next() is None and len(box.waiting()) == 2
    box.pushed(box.waiting()[0][1])
    assert box.next().tasks == 1
    with box._alone(), pytest.raises(BundleError, match="another process makes a bundle"):
        outbox(store).next()
    with pytest.raises(BundleError, match="the robot's name is 'a b'; in an exchange it must be"):
        Outbox(store, ClipRing(store), "x", "a b")
    with pytest.raises(BundleError, match="the contents 'all' are unknown"):
        Outbox(store, ClipRing(store), "x", "rosie", "all")


def test_a_store_that_is_restored_sends_no_number_twice(store):
    box = outbox(store)
    first = box.next()
    with pytest.raises(StoreError):
        store.add_outgoing(store.outgoing()[0], [], [], forgets=0)
    assert store.never_sent() == ([], []) and first.sequence == 1
