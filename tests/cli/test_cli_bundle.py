"""`taskmem bundle`: from a film and the store it was ingested into to one file, and what that shows."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from terminal import on_a_terminal, shown

from taskmem_ros.cli import main
from taskmem_ros.clips import Clip, Frame
from taskmem_ros.memory import Store
from taskmem_ros.memory.ring import ClipRing


def film(path, shade=40):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 2, (160, 120))
    for index in range(70):
        image = np.full((120, 160, 3), (shade, 90, 60), np.uint8)
        cv2.rectangle(image, (index, 40), (index + 30, 80), (200, 30, 30), -1)
        writer.write(image)
    writer.release()
    os.utime(path, ns=(1_767_254_400 * 10**9,) * 2)  # 2026-01-01T08:00:00Z
    return path


@pytest.fixture(scope="module")
def past(model, tmp_path_factory):
    """A folder with two films in one store, and three questions."""
    folder = tmp_path_factory.mktemp("past")
    for name, shade in (("hall", 40), ("attic", 120)):
        given = [str(film(folder / f"{name}.avi", shade)), "--database", str(folder / "past.db")]
        assert main(["ingest", *given, "--model", model, "--device", "cpu", "--json"]) == 0
    with Store.open(folder / "past.db") as store:
        for number, question in enumerate(("Where is the cup?", "Who was there?", "What\x1b[2J?")):
            store.add_task(
                question, asked_ns=(1_767_254_400 + 3600 * number) * 10**9, known_answer="the table"
            )
        store.finish_task(1, "answered", answer="on the desk", evidence=[(store.memories()[0].id, 1.0)])
    return folder


@pytest.fixture
def taskmem(capsys, past):
    def run(*arguments):
        names = {"DB": past / "past.db", "HALL": past / "hall.avi", "ATTIC": past / "attic.avi"}
        capsys.readouterr()
        status = main(["bundle", *(str(names.get(a, a)) for a in arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_from_a_film_to_inspect(taskmem, past, tmp_path):
    target = tmp_path / "walk.bundle"
    status, out, err = taskmem("DB", "--video", "HALL", "ATTIC", "-o", target, "--utc")
    assert (status, out) == (0, "")
    assert f"{target}: 3 tasks, " in err and "8 clips, " in err
    status, out, err = taskmem("inspect", target, "--json", "--utc")
    about, *tasks = map(json.loads, out.splitlines())
    with Store.open(past / "past.db") as store:
        summary = store.summary()
    assert (about["memories"], about["gaps"]) == (summary.memories, summary.gaps)
    assert (about["type"], about["robot"], about["clips"], about["frames"]) == ("bundle", "past", 8, 28)
    assert [(camera["camera"], camera["clips"]) for camera in about["cameras"]] == [("attic", 4), ("hall", 4)]
    assert about["cameras"][0]["start"] == "2026-01-01T08:00:00.000+00:00"
    assert [task["question"] for task in tasks] == ["Where is the cup?", "Who was there?", "What\x1b[2J?"]
    assert tasks[0]["answer"] == "on the desk" and tasks[0]["known_answer"] == "the table"

    status, out, _ = taskmem("inspect", target, "--utc")
    assert status == 0 and "\x1b" not in out and about["id"] in out
    assert "1  01 Jan 08:00:00  Where is the cup?  on the desk  the table" in out.splitlines()
    assert "2  01 Jan 09:00:00  Who was there?  (queued)  the table" in out.splitlines()
    assert any(line.startswith("hall  4  2026-01-01T08:00:00.000+00:00  ") for line in out.splitlines())


def test_asked_in_a_span_and_written_over(taskmem, tmp_path):
    given = ("DB", "--video", "HALL", "-o", tmp_path / "one.bundle", "--json")
    since = ("--since", "2026-01-01T08:30Z", "--until", "2026-01-01T09:30Z", "--robot", "rosie")
    status, out, _ = taskmem(*given, *since)
    about = json.loads(out)
    assert (status, about["tasks"], about["clips"], about["robot"]) == (0, 1, 4, "rosie")
    status, out, err = taskmem(*given)
    assert (status, out) == (2, "") and "is there already" in err
    status, out, _ = taskmem(*given, "--force")
    assert status == 0 and json.loads(out)["tasks"] == 3


def test_on_a_terminal(past, tmp_path, environment):
    target = tmp_path / "walk.bundle"
    assert main(["bundle", str(past / "past.db"), "--video", str(past / "hall.avi"), "-o", str(target)]) == 0
    lines = shown(on_a_terminal(["bundle", "inspect", str(target)], 100, environment))
    assert any(line.split()[:1] == ["1"] and "Where is the cup?" in line for line in lines)
    assert max(map(len, lines)) <= 100


def test_a_damaged_bundle(taskmem, tmp_path):
    target = tmp_path / "one.bundle"
    taskmem("DB", "--video", "HALL", "-o", target)
    data = bytearray(target.read_bytes())
    data[data.index(b"Where is the cup?")] ^= 1
    target.write_bytes(data)
    status, out, err = taskmem("inspect", target)
    assert (status, out) == (2, "") and "is damaged" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspect"], "name the bundle to show"),
        (["inspect", "none.bundle"], "no bundle at none.bundle"),
        (["DB"], "name the file to make with -o"),
        (["DB", "-o", "OUT"], "there are no clips in"),
        (["DB", "--video", "HALL", "--contents", "tasks", "-o", "OUT"], "leave out one"),
        (["DB", "x", "-o", "OUT"], "x is one name too many"),
        (["DB", "--video", "none.avi", "-o", "OUT"], "no bag or film at none.avi"),
        (["DB", "--video", "HALL", "--camera", "cellar", "-o", "OUT"], "not ingested into"),
        (["DB", "--video", "HALL", "--start", "2025-01-01", "-o", "OUT"], "no memory of any of the 4 clips"),
        (["DB", "--video", "HALL", "--clip-seconds", "7", "-o", "OUT"], "no memory of any of the"),
        (["DB", "--video", "HALL", "--clip-seconds", "0", "-o", "OUT"], "clip_seconds is 0"),
        (["DB", "--video", "HALL", "HALL", "-o", "OUT"], "comes twice"),
        (["none.db", "--video", "HALL", "-o", "OUT"], "no store at none.db"),
        (["DB", "--video", "HALL", "-o", "/none/out"], "no folder /none"),
    ],
)
def test_a_wrong_word_is_one_sentence(taskmem, tmp_path, arguments, said):
    status, out, err = taskmem(*(str(tmp_path / "out") if a == "OUT" else a for a in arguments))
    assert (status, out) == (2, "") and said in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_help_tells_both_forms():
    command = [sys.executable, "-m", "taskmem_ros.cli", "bundle", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "taskmem bundle FILE.db --video" in said and "taskmem bundle inspect OUT.bundle" in said


def test_from_what_the_agent_kept_and_no_more_than_is_wanted(taskmem, tmp_path):
    path = tmp_path / "robot.db"
    with Store.open(path) as store:
        ring = ClipRing(store, 10**7)
        for number in range(4):
            image = np.full((48, 64, 3), 40 * number, np.uint8)
            start = 10 * number * 10**9
            ring.add(Clip("hall", 0, start, start + 10**10, (Frame(start, "hall", image),)), opens=not number)
            if number != 2:
                store.add_memory("hall", 0, start, start + 10**10, f"Memory {number}.")
        task = store.add_task("Where is it?", asked_ns=35 * 10**9, known_answer="on the desk")
        store.finish_task(task.id, "answered", answer="here", evidence=[(2, 1.0)])
        store.add_feedback(task.id, "wrong", "on the table", "Anna")
    held = {}
    for contents in ("tasks", "memories", "frames"):
        target = tmp_path / contents
        assert taskmem(path, "-o", target, "--contents", contents, "--json")[0] == 0
        status, out, _ = taskmem("inspect", target, "--json")
        about, *rows = (json.loads(line) for line in out.splitlines())
        held[contents] = [about[name] for name in ("tasks", "feedback", "memories", "clips", "contents")]
        assert [row["type"] for row in rows] == ["task", "feedback"] and rows[1]["answer"] == "on the table"
    assert held["tasks"] == [1, 1, 0, 0, "tasks"]
    assert held["memories"] == [1, 1, 3, 0, "memories"]
    assert held["frames"] == [1, 1, 3, 3, "frames"], "the store knows nothing of the third"
    _, out, _ = taskmem("inspect", tmp_path / "frames")
    assert "1  wrong  on the table  Anna" in out and "here  on the table" in out
    assert "contents     frames" in out and "1 task, 1 feedback, 3 memories, 3 clips" in out
