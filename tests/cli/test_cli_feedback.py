"""`taskmem feedback`, and what other commands show of it."""

import json

import pytest

from taskmem_ros.cli import main
from taskmem_ros.memory import Feedback, Store


@pytest.fixture
def taskmem(capsys, database):
    def run(*arguments):
        capsys.readouterr()
        try:
            status = main([*arguments, "--database", database])
        except SystemExit as exit:
            status = exit.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_it_is_kept_and_shown(taskmem, database):
    status, out, err = taskmem("feedback", "1", "wrong", "--answer", "Desk", "--source", "Anna")
    assert (status, out, err) == (0, "", "Task 1: 'table' is wrong; right is 'desk'.\n")
    status, out, _ = taskmem("feedback", "1", "right", "--json")
    said = json.loads(out)
    assert (status, said["verdict"], said["answer"]) == (0, "right", None) and said["source"]
    with Store.open(database, read_only=True) as store:
        first, second = store.feedback()
    assert first == Feedback(1, 1, "wrong", "desk", "Anna", first.given_ns) and second.verdict == "right"
    _, out, _ = taskmem("tasks", "--utc")
    assert "wrong: desk  (said Anna)" in out and out.index("wrong: desk") < out.index("right  (said")
    _, out, _ = taskmem("tasks", "--json")
    shown = [json.loads(line)["feedback"] for line in out.splitlines()]
    assert [[said["verdict"] for said in of_one] for of_one in shown] == [["wrong", "right"], []]


def test_what_cannot_be_is_one_sentence(taskmem, database):
    for given, said in {
        ("9", "right"): "has no task 9; see `taskmem tasks`",
        ("2", "wrong"): "Task 2 is not answered yet",
        ("1", "wrong", "--answer", "bed"): "none of the choices of task 1; give one of table, desk",
        ("1", "good"): "invalid choice",
    }.items():
        status, out, err = taskmem("feedback", *given)
        assert (status, out) == (2, "") and said in err, given
    with Store.open(database, read_only=True) as store:
        assert store.feedback() == []
