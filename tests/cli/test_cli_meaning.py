"""Search by meaning from the shell: vectors are made first, by the encoder that is named."""

import json

import pytest
from tiny_encoder import make_encoder

from taskmem_ros.cli import main


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(make_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


def run(capsys, *arguments):
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_vectors_are_made_and_searched(capsys, database, encoder):
    search = ("search", "animal", "--database", database, "--json", "--encoder", encoder)
    status, _, err = run(capsys, *search)
    assert status == 2 and "no vectors" in err and "taskmem index" in err
    status, out, _ = run(capsys, "index", "--database", database, "--encoder", encoder)
    assert status == 0 and out.startswith("4 vectors made")
    assert run(capsys, "index", "--database", database, "--encoder", encoder)[1].startswith("0 vectors")
    status, out, _ = run(capsys, *search)
    hits = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and len(hits) == 4
    assert {reason["by"] for hit in hits for reason in hit["found"]} == {"meaning"}
    status, out, _ = run(
        capsys, "ask", "Is there an animal?", "--no-record", "--json", *search[2:4], *search[5:]
    )
    assert status in (0, 1) and json.loads(out)["status"] in ("answered", "not_in_memory")


def test_search_of_one_episode(capsys, database):
    status, out, _ = run(capsys, "search", "--database", database, "--episode", "1", "--json")
    assert status == 0 and [json.loads(line)["text"] for line in out.splitlines()] == ["A cat sleeps."]


def test_what_is_wrong_is_said(capsys, database, tmp_path, encoder, monkeypatch):
    status, _, err = run(capsys, "index", "--database", database)
    assert status == 2 and "--encoder" in err and "TASKMEM_ENCODER" in err
    monkeypatch.setenv("TASKMEM_ENCODER", str(tmp_path / "none"))
    status, _, err = run(capsys, "index", "--database", database)
    assert status == 2 and str(tmp_path / "none") in err
