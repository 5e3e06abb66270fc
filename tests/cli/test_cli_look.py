"""timeline, tasks and search: what people read and what programs get."""

import json
import os
import subprocess
import sys
import time

import pytest
from past import TEXTS

from taskmem_ros import __version__
from taskmem_ros.cli import main


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def records(out):
    return [json.loads(line) for line in out.splitlines()]


def test_the_timeline_reads_as_a_diary(capsys, database):
    status, out, err = run(capsys, "timeline", "--database", database, "--utc")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "Thursday 1 January 2026 (UTC)   places in metres on map",
        "",
        f"08:00:00  10s  hall                {TEXTS[0]}  [1]",
        "08:00:10  50s  hall                ┄┄ not watching: the model was slower than the camera (dropped)",
        f"08:01:00  10s  hall   (2.0, -2.0)  {TEXTS[1]}  [2]",
        f"08:02:00  10s  hall   (3.0, -2.0)  {TEXTS[2]}  [3]",
        "",
        "Friday 2 January 2026 (UTC)   places in metres on map",
        "",
        "08:00:00  10s  attic               A cat sleeps.  [4]",
    ]


def test_the_timeline_for_programs(capsys, database):
    status, out, _ = run(capsys, "timeline", "--database", database, "--json", "--utc")
    rows = records(out)
    assert [row["type"] for row in rows] == ["memory", "gap", "memory", "memory", "memory"]
    assert rows[0]["text"] == TEXTS[0] and rows[0]["pose"] is None and rows[2]["pose"]["x"] == 2.0
    assert rows[0]["start"] == "2026-01-01T08:00:00.000+00:00" and rows[0]["start_ns"] % 10**9 == 0
    assert rows[1]["reason"] == "dropped"


def test_times_are_shown_in_the_zone(database, environment):
    command = [sys.executable, "-m", "taskmem_ros.cli", "timeline", "--database", database]
    out = subprocess.run(
        command, capture_output=True, text=True, env=environment | {"TZ": "Asia/Kolkata"}
    ).stdout
    assert "Thursday 1 January 2026 (IST, UTC+05:30)" in out and "13:30:00  10s" in out


def test_span_camera_and_limit(capsys, database):
    def ids(*options):
        out = run(capsys, "timeline", "--database", database, "--json", "--utc", *options)[1]
        return [row.get("id") for row in records(out)]

    assert ids("--since", "2026-01-01T08:01") == [2, 3, 4]
    assert ids("--until", "2026-01-01T08:00:10Z") == [1]
    assert ids("--since", "2026-01-02", "--camera", "hall") == []
    assert ids("--limit", "2") == [3, 4]
    assert ids("--limit", "0") == [1, None, 2, 3, 4]


def test_tasks(capsys, database):
    status, out, _ = run(capsys, "tasks", "--database", database, "--utc")
    assert status == 0
    assert out.splitlines() == [
        "Thursday 1 January 2026 (UTC)",
        "",
        "08:03:20  [1] Where is the mug?  (table / desk)",
        "          table  (confidence 0.90; memories 1)",
        "08:05:00  [2] Who is it?",
        "          (queued)",
    ]
    queued = records(run(capsys, "tasks", "--database", database, "--json", "--status", "queued")[1])
    assert [(row["id"], row["status"], row["answer"]) for row in queued] == [(2, "queued", None)]


def test_search(capsys, database):
    status, out, _ = run(capsys, "search", "doors", "opened", "--database", database, "--utc")
    assert status == 0 and out.startswith("  [2]  Thu 01 Jan 08:01:00–08:01:10  hall") and TEXTS[1] in out
    row = records(run(capsys, "search", "mug", "--database", database, "--json")[1])[0]
    assert row["id"] == 1 and row["score"] > 0
    status, out, err = run(capsys, "search", "elephants", "--database", database)
    assert (status, out) == (1, "") and "No memory" in err


@pytest.mark.parametrize("command", ["timeline", "tasks", "search x", "ask x", "ask x --no-record"])
def test_a_missing_store_is_one_sentence(capsys, tmp_path, command):
    status, out, err = run(capsys, *command.split(), "--database", tmp_path / "none.db")
    assert (
        (status, out) == (2, "") and err.startswith("taskmem: There is no store at") and err.count("\n") == 1
    )
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    "text", ["soon", "25:00", "2026-13-01", "@x", "99999999d", "9999-01-01", "@1e300", ""]
)
def test_a_time_that_cannot_be_read_is_one_sentence(capsys, database, text):
    status, _, err = run(capsys, "timeline", "--database", database, f"--since={text}")
    assert status == 2 and f"The time {text!r} cannot be read" in err and err.count("\n") == 1


def test_a_span_the_wrong_way_round(capsys, database):
    status, _, err = run(capsys, "timeline", "--database", database, "--since", "10:00", "--until", "09:00")
    assert status == 2 and "--until 09:00 is before --since 10:00" in err


def test_help_and_version(capsys):
    for arguments in (
        ["--help"],
        *([c, "--help"] for c in ("ask", "timeline", "tasks", "search", "report", "ingest", "doctor")),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        assert "usage: taskmem" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"taskmem {__version__}"
    with pytest.raises(SystemExit) as ended:
        main(["juggle"])
    assert ended.value.code == 2


def test_looking_is_quick_and_loads_neither_torch_nor_ros(database, environment):
    code = (
        "import sys; from taskmem_ros.cli import main; main(sys.argv[1:]); "
        "loaded = {'torch', 'transformers', 'rclpy'} & set(sys.modules); assert not loaded, loaded"
    )
    command = [sys.executable, "-c", code, "timeline", "--database", database]
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 2.0  # 0.4 s on an idle machine


def test_a_closed_pipe_is_no_error(database, environment):
    reader, writer = os.pipe()
    os.close(reader)  # nobody reads from the start
    command = [sys.executable, "-m", "taskmem_ros.cli", "timeline", "--json", "--database", database]
    buffered = environment | {"PYTHONUNBUFFERED": ""}  # so that all is written at the end
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, env=buffered)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [["agent"], ["ask", "Who?", "--service", "ask_memory"]])
@pytest.mark.parametrize(
    "failure", ["ModuleNotFoundError('No module', name='rclpy')", "ImportError('librcl.so: cannot open')"]
)
def test_what_needs_ros_says_so_without_it(environment, tmp_path, command, failure):
    (tmp_path / "rclpy.py").write_text(f"raise {failure}")
    paths = [str(tmp_path), environment.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "taskmem_ros.cli", *command]
    env = environment | {"PYTHONPATH": ":".join(filter(None, paths))}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 2 and "needs ROS 2" in done.stderr and "Traceback" not in done.stderr
