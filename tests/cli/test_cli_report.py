"""`taskmem report`."""

import json
import subprocess
import sys
from pathlib import Path

from taskmem_ros.cli import main


def report(capsys, *arguments):
    status = main(["report", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_report_of_the_past(capsys, database, tmp_path):
    target = tmp_path / "out" / "past.html"
    status, out, err = report(capsys, target, "--database", database, "--utc")
    assert (status, err) == (0, "")
    assert out.startswith(f"{target} (") and "4 memories, 1 gap and 2 questions of 2 days" in out
    html = target.read_text()
    assert "Anna puts the red mug on the table." in html and "Thursday 1 January 2026" in html
    assert "Not watching for 50 s" in html and "Where is the mug?" in html


def test_for_programs_with_a_span_and_a_limit(capsys, database, tmp_path):
    target = tmp_path / "r.html"
    options = ["--database", database, "--utc", "--json", "--camera", "hall", "--limit", "1"]
    status, out, _ = report(capsys, target, *options, "--since", "2026-01-01", "--until", "2026-01-02")
    row = json.loads(out)
    assert (status, row["type"], row["file"], row["bytes"]) == (
        0,
        "report",
        str(target),
        target.stat().st_size,
    )
    # the newest, and the one that an answer stands on
    assert (row["memories"], row["left_out"], row["days"]) == (2, 1, 1)


def test_without_a_target_it_is_in_this_folder(capsys, database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert report(capsys, "--database", database)[0] == 0
    assert (tmp_path / "taskmem-report.html").is_file()


def test_a_wrong_target_is_one_sentence_and_harms_nothing(capsys, database, tmp_path):
    before = Path(database).read_bytes()
    for wrong in (database, tmp_path / "report.txt"):
        status, out, err = report(capsys, wrong, "--database", database)
        assert (status, out) == (2, "") and "name a file that ends in .html" in err and err.count("\n") == 1
    assert Path(database).read_bytes() == before
    status, _, err = report(capsys, tmp_path / "r.html", "--database", tmp_path / "none.db")
    assert status == 2 and "There is no store" in err and not (tmp_path / "r.html").exists()


def test_a_report_needs_no_heavy_library(database, environment, tmp_path):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('cv2', 'rosbags', 'torch', 'transformers', 'rclpy')));"
        "from taskmem_ros.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "report", str(tmp_path / "r.html"), "--database", database]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
