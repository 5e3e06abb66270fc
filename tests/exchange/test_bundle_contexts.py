"""A film of the demo home, ingested and bundled: the trainer sees what the policy saw."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from taskmem_train.bundles import contexts, home_bundle, home_facts, training_tasks
from taskmem_train.home import home_stream, role_questions
from taskmem_train.rollout import Sampler

from taskmem_ros.cli import main
from taskmem_ros.clips import Window
from taskmem_ros.clips.jpeg import jpeg_to_rgb, rgb_to_jpeg
from taskmem_ros.exchange import Bundle, BundleError
from taskmem_ros.home import HomeCamera, HomeSim, look_up
from taskmem_ros.memory import Store
from taskmem_ros.policy import MemoryPolicy

S = 1_000_000_000
SEED = 2_000_021


def film(path: Path, seconds: int = 70) -> Path:
    view = HomeCamera(HomeSim(SEED))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 2, (320, 240))
    for number in range(2 * seconds):
        writer.write(cv2.cvtColor(view.frame(number * S // 2), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> tuple[Path, list]:
    """A folder with the film, its store and its bundle; and the windows that the policy was given."""
    folder, given = tmp_path_factory.mktemp("film"), []
    write = MemoryPolicy.write

    def write_and_tell(self, clips, memories, **options):
        given.append((clips, memories))
        if len(given) == 3:  # a reply cut off at two tokens is no memory
            options["max_new_tokens"] = 2
        return write(self, clips, memories, **options)

    film(folder / "home.avi")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryPolicy, "write", write_and_tell)
        options = ["--database", str(folder / "home.db"), "--device", "cpu", "--json"]
        assert main(["ingest", str(folder / "home.avi"), *options]) == 0
    with Store.open(folder / "home.db") as store:
        first = store.memories()[0]
        task = store.add_task("Where is the mug?", known_answer="On the table")
        store.finish_task(task.id, "answered", answer="on the table", evidence=[(first.id, 1.0)])
        task = store.add_task(
            "Who came?", known_answer="Ben", choices=("Ben", "Anna"), since_ns=5, until_ns=9
        )
        store.finish_task(task.id, "answered", answer="Anna", evidence=[(first.id, 1.0)])
        store.add_task("What was it?")
    where = ["--video", str(folder / "home.avi"), "-o", str(folder / "home.bundle")]
    assert main(["bundle", str(folder / "home.db"), *where, "--json"]) == 0
    return folder, given


def test_contexts_are_what_the_policy_saw(seen):
    folder, given = seen
    with Bundle.open(folder / "home.bundle") as bundle:
        found = contexts(bundle)
        jpegs = {clip.start_ns: [frame.jpeg for frame in clip.frames] for clip in bundle.clips()}
    assert len(found) == len(given) == 7
    assert [len(context.clips) for context in found] == [1, 2, 3, 3, 4, 5, 5], "the third failed"
    for context, (clips, memories) in zip(found, given):
        assert context.memories == memories
        for ours, theirs in zip(context.clips, clips, strict=True):
            assert (ours.camera, ours.episode) == (theirs.camera, theirs.episode)
            assert (ours.start_ns, ours.end_ns, ours.times_s) == (
                theirs.start_ns,
                theirs.end_ns,
                theirs.times_s,
            )
            assert [rgb_to_jpeg(frame.image) for frame in theirs.frames] == jpegs[theirs.start_ns]
            for frame, jpeg in zip(ours.frames, jpegs[ours.start_ns]):
                assert np.array_equal(frame.image, jpeg_to_rgb(jpeg))
    assert len({context.id for context in found}) == 7
    with pytest.raises(ValueError, match="is of no demo home"):
        home_facts(found)
    with Bundle.open(folder / "home.bundle") as bundle:
        assert [context.id for context in contexts(bundle)] == [context.id for context in found]
        assert max(len(context.clips) for context in contexts(bundle, window=2)) == 2


def test_read_again_it_is_the_same_bundle(seen, tmp_path):
    folder, _ = seen
    where = ["--video", str(folder / "home.avi"), "-o", str(tmp_path / "again.bundle")]
    assert main(["bundle", str(folder / "home.db"), *where]) == 0
    with Bundle.open(folder / "home.bundle") as one, Bundle.open(tmp_path / "again.bundle") as two:
        assert one.manifest.id == two.manifest.id


def test_only_a_right_answer_tells_when_it_was_seen(seen):
    folder, _ = seen
    with Bundle.open(folder / "home.bundle") as bundle:
        mug, came, what = training_tasks(bundle)
        first = bundle.memories()[0]
    assert (mug.answer, mug.since_ns, mug.until_ns) == ("On the table", first.start_ns, first.end_ns)
    assert (came.answer, came.choices, came.since_ns, came.until_ns) == ("Ben", ("Ben", "Anna"), 5, 9)
    assert (what.answer, what.since_ns) == (None, None)


def test_the_demo_home_as_a_bundle(tmp_path):
    policy, seeds = MemoryPolicy.load("demo", device="cpu"), [2_000_031, 2_000_032, 2_000_033]
    memorizer = Sampler(policy, temperature=0)
    given = (seeds, "finder", 5, memorizer)
    with home_bundle(tmp_path / "home", *given, clips=6, provenance=policy.provenance) as bundle:
        about, tasks, found = bundle.manifest, training_tasks(bundle), contexts(bundle)
        memories = {(memory.camera, memory.start_ns): memory.text for memory in bundle.memories()}
    assert (about.tasks, about.clips, about.memories + about.gaps) == (5, 18, 18)
    assert (about.model, about.prompt_hash) == (policy.provenance.model, policy.provenance.prompt_hash)
    streams = [home_stream(seed, 6) for seed in seeds]
    truth = [seen.facts for stream in streams for seen in stream.seen]
    assert list(home_facts(found, 6).values()) == truth == list(home_facts(found).values())
    assert [c.clips[-1].camera for c in found] == [s.id for s in streams for _ in s.seen]
    for stream in streams:
        window = Window(5)
        for seen in stream.seen:
            clips, before = window.push(seen.clip)
            context = found.pop(0)
            assert context.memories == before
            assert [c.start_ns for c in context.clips] == [c.start_ns for c in clips]
            if text := memories.get((stream.id, seen.clip.start_ns)):
                window.remember(text)
    expected = []
    for turn in range(2):
        for seed, stream in zip(seeds, streams):
            question = role_questions(stream, "finder", 2, seed)[turn]
            source = stream.seen[look_up(question.query, stream.observations).source].clip
            expected.append((question.text, question.answer, source.start_ns, source.end_ns))
    assert [(t.question, t.answer, t.since_ns, t.until_ns) for t in tasks] == expected[:5]
    with pytest.raises(BundleError, match="already"):
        home_bundle(tmp_path / "home", *given, clips=6)
    with home_bundle(tmp_path / "two", *given, clips=6, provenance=policy.provenance) as bundle:
        assert bundle.manifest.id == about.id
    with pytest.raises(ValueError, match="home 5 is for training"):
        home_bundle(tmp_path / "three", [5], "finder", 5, memorizer)
