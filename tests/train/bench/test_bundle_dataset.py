"""A robot's bundle as a benchmark: each question goes to the stream that shows its answer, and is asked when
the robot was asked.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small import START, STEP, Looking, Plain, clip
from taskmem_train.bench import bundle_dataset, run_stream_benchmark
from taskmem_train.bench.types import FIRST_DAY_NS
from taskmem_train.bundles import home_bundle
from taskmem_train.cli import main
from taskmem_train.home import home_stream
from taskmem_train.rollout import Sampler

from taskmem_ros.clips import FAILED, NO_FRAMES, Clip, Gap
from taskmem_ros.exchange import Bundle, BundledClip, BundleError
from taskmem_ros.home import look_up, read_question
from taskmem_ros.memory import Memory, Task

HOMES, CLIPS, QUESTIONS = range(7_300_000, 7_300_003), 3, 5


@pytest.fixture(scope="module")
def home(tmp_path_factory, policy) -> Path:
    """What a finder in three demo homes would send."""
    path = tmp_path_factory.mktemp("home") / "finder.bundle"
    home_bundle(path, HOMES, "finder", QUESTIONS, Sampler(policy), clips=CLIPS).close()
    return path


def of_camera(camera: str, index: int, episode: int = 0) -> Clip:
    seen = clip(index)
    return replace(
        seen,
        camera=camera,
        episode=episode,
        frames=tuple(replace(frame, camera=camera) for frame in seen.frames),
    )


def task(id: int, asked: int, known: str | None = "yes", **more) -> Task:
    """asked: in steps after the first clip's start."""
    about = {"choices": (), "source": "", "asked_ns": START + asked * STEP, "known_answer": known}
    return Task(id, f"What of {id}?", "question", **about | more)


def where(path: Path, *others: Path) -> dict[str, str]:
    """What is asked -> camera and first step of the stream."""
    data = bundle_dataset([path, *others])
    found = {}
    for stream in data.streams:
        first = next(iter(stream.observe()))
        found |= {q.text: f"{first.camera} {(first.start_ns - START) // STEP}" for q in stream.questions}
    return found


def ask(data, out, **more) -> Looking:
    reader = Looking(**more)
    run_stream_benchmark(data, {"p": Plain()}, reader, out, count_tokens=len, progress=False)
    return reader


def test_each_question_of_a_home_is_asked_of_its_clips_and_when_they_have_ended(home, tmp_path):
    data = bundle_dataset([home])
    asked = [(stream, question) for stream in data.streams for question in stream.questions]
    assert len(asked) == QUESTIONS and data.skipped == () and data.kinds == ("question/finder",)
    for stream, question in asked:
        pieces = list(stream.observe())
        assert len(pieces) == stream.clips == CLIPS
        assert question.reveal_ns == pieces[-1].end_ns  # when the robot was asked
        seen = home_stream(int(pieces[0].camera.split("-")[1]), CLIPS)
        assert look_up(read_question(question.text), seen.observations).answer == question.answer
        # No reader is told of 1970; the time of day is the home's.
        assert [p.start_ns - FIRST_DAY_NS for p in pieces] == [s.clip.start_ns for s in seen.seen]
        assert pieces[0].frames[0].stamp_ns - FIRST_DAY_NS == seen.seen[0].clip.frames[0].stamp_ns
    reader = ask(data, tmp_path)
    assert all(len(memories) == CLIPS for memories in reader.seen.values()) and len(reader.seen) == QUESTIONS
    assert reader.now == {question.id: question.reveal_ns for _, question in asked}


def test_a_question_in_the_midst_of_a_stream_sees_nothing_later(tmp_path):
    clips = [clip(index) for index in range(4)]
    tasks = [task(1, 2), task(2, 9), task(3, 3, since_ns=START, until_ns=START + 4 * STEP)]
    Bundle.create(tmp_path / "b", clips=clips, tasks=tasks).close()
    data = bundle_dataset([tmp_path / "b"])
    (stream,) = data.streams
    reader = ask(data, tmp_path / "out")
    assert [len(reader.seen[q.id]) for q in stream.questions] == [2, 4, 3]
    assert [reader.now[q.id] - START for q in stream.questions] == [2 * STEP, 9 * STEP, 3 * STEP]


def test_a_question_goes_to_what_shows_its_answer_else_to_the_latest_before_it(tmp_path):
    clips = [of_camera(camera, index) for camera in ("arm", "head") for index in range(4)]
    clips += [of_camera("arm", index, episode=1) for index in (10, 11)]
    memory = Memory(7, "arm", 0, START + STEP, START + 2 * STEP, "The door is open.")
    span = {"since_ns": START + 10 * STEP, "until_ns": START + 12 * STEP}
    tasks = [
        task(1, 20, answer="Yes.", evidence=(7,)),
        task(2, 20, answer="no", evidence=(7,)),  # what a wrong answer stands on shows nothing
        task(3, 20, **span),
        task(4, 5, **span),  # asked before
        task(5, 20, since_ns=START + 2 * STEP, until_ns=START + 11 * STEP),  # most of it on the first day
        task(6, 20, since_ns=START + 50 * STEP, until_ns=START + 60 * STEP),  # nobody saw that
    ]
    Bundle.create(tmp_path / "b", clips=clips, tasks=tasks, memories=[memory]).close()
    found = where(tmp_path / "b")
    assert found["What of 1?"] == "arm 0" and found["What of 2?"] == found["What of 3?"] == "arm 10"
    assert found["What of 4?"].endswith(" 0") and found["What of 5?"].endswith(" 0")
    assert found["What of 6?"] == "arm 10"


def test_of_cameras_in_turn_a_question_goes_to_the_one_that_was_watched_last(tmp_path):
    clips = [of_camera("arm", index) for index in (0, 1, 2, 6, 7)]
    clips += [of_camera("head", index) for index in (3, 4, 5, 9)]
    Bundle.create(tmp_path / "b", clips=clips, tasks=[task(n, n) for n in (3, 6, 8, 10)]).close()
    assert where(tmp_path / "b") == {
        "What of 3?": "arm 0", "What of 6?": "head 3", "What of 8?": "arm 0", "What of 10?": "head 3",
    }  # fmt: skip


def test_a_question_may_be_about_what_another_bundle_shows(tmp_path):
    early, late = [clip(0), clip(1)], [clip(8), clip(9)]
    Bundle.create(tmp_path / "1", clips=early, tasks=[task(1, 2)], robot="ann").close()
    tasks = [task(1, 2), task(2, 20, since_ns=START, until_ns=START + STEP), task(3, 20)]
    Bundle.create(tmp_path / "2", clips=late, tasks=tasks, robot="ann").close()
    Bundle.create(tmp_path / "3", clips=[clip(30)], tasks=[task(3, 31, source="cli")], robot="bob").close()
    paths = [tmp_path / name for name in "321"]
    assert where(*paths) == {"What of 1?": "camera 0", "What of 2?": "camera 0", "What of 3?": "camera 30"}
    data = bundle_dataset(paths)
    assert [len(stream.questions) for stream in data.streams] == [2, 1, 1]  # as time went by
    assert [q.kind for stream in data.streams for q in stream.questions][-1] == "question/cli"
    assert data.skipped == ("task 1 of 1 ('What of 1?'): it is in another bundle, too",)


def test_choices_are_kept_and_what_cannot_be_asked_is_named(tmp_path):
    tasks = [
        task(1, 9, "B", choices=("red", "blue")),
        task(2, 9, None),
        task(3, 9, "green", choices=("red", "blue")),
        task(4, -1),
    ]
    Bundle.create(tmp_path / "b", clips=[clip(0)], tasks=tasks).close()
    data = bundle_dataset([tmp_path / "b"])
    ((question,),) = [stream.questions for stream in data.streams]
    assert (question.answer, question.choices) == ("blue", ("red", "blue"))
    assert data.skipped == (
        "task 2 of b ('What of 2?'): no answer is known",
        "task 3 of b ('What of 3?'): its known answer 'green' is none of its choices",
        "task 4 of b ('What of 4?'): no camera had a clip before it was asked",
    )


def test_a_stream_is_a_run_of_clips_with_its_gaps_read_as_it_goes(tmp_path, monkeypatch):
    from taskmem_ros.exchange.writer import About, new_bundle

    gaps = [
        Gap("camera", 0, START + n * STEP, START + (n + 1) * STEP, why)
        for n, why in ((1, NO_FRAMES), (2, FAILED))
    ]
    with new_bundle(tmp_path / "b", About("ann")) as writer:
        for index in (0, 2, 3, 6, 7):
            writer.add_clip(clip(index), opens=index in (0, 6))
        writer.add_gaps(gaps)
        writer.add_tasks([task(1, 5), task(2, 9)])
    data = bundle_dataset([tmp_path / "b"])
    pieces = [[(p.start_ns - START) // STEP for p in stream.observe()] for stream in data.streams]
    assert pieces == [[0, 1, 2, 3], [6, 7]]
    assert [type(piece) for piece in data.streams[0].observe()] == [Clip, Gap, Clip, Clip]

    decoded, whole = [], BundledClip.decoded
    monkeypatch.setattr(BundledClip, "decoded", lambda self: decoded.append(self.start_ns) or whole(self))
    observed = iter(data.streams[0].observe())
    next(observed)
    assert len(decoded) <= 2
    assert len(list(observed)) == 3 and len(decoded) == 3


def test_what_is_no_bundle_or_given_twice(home, tmp_path):
    with pytest.raises(BundleError, match="there is no bundle at"):
        bundle_dataset([tmp_path / "none"])
    copy = tmp_path / "copy.bundle"
    copy.write_bytes(home.read_bytes())
    with pytest.raises(ValueError, match=r"copy.bundle has the same content as .*finder.bundle"):
        bundle_dataset([home, copy])


def test_the_command_measures_a_policy_on_a_bundle(home, tmp_path, capsys):
    told = ["bench", str(tmp_path / "out"), "--dataset", "bundle", "--systems", "policy", "--json"]
    assert main(told) == 1 and "--dataset bundle and --bundle FILE go together" in capsys.readouterr().err
    assert main([*told, "--bundle", str(home), "--device", "cpu"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["dataset"], result["settings"]["judge"]) == ("bundle", "exact")
    row = result["rows"][0]
    assert (row["questions"], row["streams"], row["memories"]["clips"]) == (QUESTIONS, 3, 9)
    assert row["memories"]["true_share"] is None and row["failures"] == {}
