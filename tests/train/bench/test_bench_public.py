"""Public benchmarks in their published formats, made small: from film and annotation file to score."""

from __future__ import annotations

import csv
import json

import pyarrow
import pyarrow.parquet
import pytest
from small import Looking, Plain
from taskmem_train.bench import (
    PolicyMemorizer,
    RecallReader,
    egolife,
    egotempo,
    run_stream_benchmark,
    videomme,
)
from taskmem_train.bench.egolife_qa import time_ns

from taskmem_ros.clips import NS, ClipSettings

OPTIONS = ["A. In the kitchen.", "B. In the garage.", "C. On the roof.", "D. At sea."]


def mme_row(number: int, video: str, **more) -> dict:
    row = {
        "video_id": f"{number:03}", "duration": "short", "domain": "Life Record",
        "sub_category": "Daily Life", "url": f"https://example.org/{video}", "videoID": video,
        "question_id": f"{number:03}-1", "task_type": "Object Recognition",
        "question": "Where is the robot?", "options": OPTIONS, "answer": "A",
    }  # fmt: skip
    return row | more


def write_rows(path, rows):
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    else:
        path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".json", ".csv"])
def test_videomme_from_films_to_scores(suffix, film, policy, count_tokens, tmp_path):
    videos = tmp_path / "videos"
    film(videos / "data" / "ab-_1.mp4")
    (videos / "broken.mp4").write_bytes(b"no film")
    rows = [
        mme_row(1, "ab-_1"), mme_row(1, "ab-_1", question_id="001-2", task_type="Counting", answer="b"),
        mme_row(2, "gone"), mme_row(3, "broken"), mme_row(4, "far", duration="long"),
    ]  # fmt: skip
    data = videomme(write_rows(tmp_path / f"test{suffix}", rows), videos)
    assert [stream.id for stream in data.streams] == ["ab-_1"]
    assert [q.choices[0] for q in data.streams[0].questions] == ["In the kitchen."] * 2
    assert [q.answer for q in data.streams[0].questions] == ["In the kitchen.", "In the garage."]
    assert len(data.skipped) == 2
    assert "video gone with 1 questions: no film" in data.skipped[0] and "not a film" in data.skipped[1]
    real = suffix == ".parquet"  # the format it is published in
    writer = PolicyMemorizer(policy) if real else Plain()
    reader = RecallReader.of_policy(policy) if real else Looking()
    result = run_stream_benchmark(
        data, {"policy": writer}, reader, tmp_path / "out", count_tokens=count_tokens, progress=False
    )
    row = result.row("policy")
    assert row.questions == 2 and row.memories.clips == 2 and row.memories.true_share is None
    assert {row.kind for row in result.rows} == {"all", "Object Recognition", "Counting"}
    assert "video gone" in (tmp_path / "out" / "results.md").read_text()


def test_egotempo_from_films_to_scores(film, policy, count_tokens, tmp_path):
    clip = "27470817-f803_368.4019995568589_403.56079044314106"
    film(tmp_path / "videos" / f"{clip}.mp4", seconds=12)
    row = {
        "question_id": f"{clip}_0", "clip_id": clip, "question_type": "locating object",
        "question": "Which clip came last?", "answer": "The plain clip, 361.",
    }  # fmt: skip
    missing = row | {"question_id": "x_0", "clip_id": "x"}
    path = tmp_path / "egotempo_openQA.json"
    path.write_text(json.dumps({"info": {"version": "1.0"}, "annotations": [row, missing]}))
    data = egotempo(path, tmp_path / "videos")
    assert data.skipped == (f"video x with 1 questions: no film of that name in {tmp_path / 'videos'}",)
    result = run_stream_benchmark(
        data, {"policy": Plain()}, Looking(), tmp_path / "out", count_tokens=count_tokens, progress=False
    )
    row = result.row("policy", "locating object")
    assert (row.questions, row.coverage.value, row.memories.clips) == (1, 1.0, 2)
    assert row.accuracy.value == 1.0  # one hour and ten seconds after small.START: "plain clip 361"


def life_row(id: int, time: str, target, **more) -> dict:
    row = {
        "ID": str(id), "query_time": {"date": "DAY1", "time": time}, "type": "EntityLog", "type_id": 1,
        "trigger": "the robot", "question": "Where was the robot?", "choice_a": "In the kitchen",
        "choice_b": "In the bedroom", "choice_c": "In the hall", "choice_d": "At sea", "answer": "A",
        "target_time": target, "keywords": "robot",
    }  # fmt: skip
    return row | more


def test_egolife_from_films_to_scores(film, count_tokens, policy, tmp_path):
    day = tmp_path / "A1_JAKE" / "DAY1"
    for index, time in enumerate(("11094200", "11100200", "11102200")):
        film(day / f"DAY1_A1_JAKE_{time}.mp4", first_s=20 * index)
    rows = [
        life_row(3, "11104210", {"date": "DAY1", "time": "11100505"}),
        life_row(1, "11101205", ["DAY1_11094505", "DAY1_11100205"], type="TaskMaster", answer="B"),
        life_row(2, "11102205", [{"time": "11095005", "date": "DAY1"}, {"date": "DAY3"}]),
        life_row(4, "11104210", {"date": "DAY1", "time_list": ["11104000", "15000000"]}),
        life_row(5, "09000000", None, query_time={"date": "DAY2", "time": "9000000"}),
        life_row(6, "11000000", None),
    ]
    path = write_rows(tmp_path / "EgoLifeQA_A1_JAKE.json", rows)
    data = egolife(path, tmp_path)
    assert [q.id for q in data.streams[0].questions] == ["1", "2", "3"]
    assert data.skipped == (
        "question 6: no film of DAY1 before its query_time",
        "question 4: no film of its target_time, DAY1 15000000",
        "question 5: no film of DAY2 before its query_time",
    )
    # Three films of 20 s, without a gap from 11:09:42 on, cut on the clock's grid of 10 s.
    reader = Looking()
    result = run_stream_benchmark(
        data, {"policy": Plain()}, reader, tmp_path / "out", count_tokens=count_tokens, progress=False
    )
    seen = {id: [int(text.split()[-1]) for text in memories] for id, memories in reader.seen.items()}
    first = (time_ns(1, "11094000") - time_ns(1, "08000000")) // (10 * NS)
    assert {id: [n - first for n in numbers] for id, numbers in seen.items()} == {
        "1": [0, 1, 2], "2": [0, 1, 2, 3], "3": [0, 1, 2, 3, 4, 5, 6],
    }  # fmt: skip
    assert result.row("policy").questions == 3 and result.row("policy", "TaskMaster").questions == 1
    limited = egolife(path, tmp_path, limit=2, clips=ClipSettings(0.2, 10))
    assert [q.id for q in limited.streams[0].questions] == ["1"]  # the earliest two, one of them skipped
    real = run_stream_benchmark(
        limited, {"policy": PolicyMemorizer(policy)}, RecallReader.of_policy(policy), tmp_path / "real",
        count_tokens=count_tokens, progress=False,
    )  # fmt: skip
    assert real.row("policy").memories.clips == 5  # of the two films that begin before it


def test_films_of_several_persons_are_told_apart_by_the_annotation_file(film, tmp_path):
    film(tmp_path / "v" / "DAY1_A1_JAKE_11094200.mp4", seconds=1)
    film(tmp_path / "v" / "DAY1_A2_ALICE_11094200.mp4", seconds=1)
    rows = [life_row(1, "11101205", None)]
    data = egolife(write_rows(tmp_path / "EgoLifeQA_A2_ALICE.json", rows), tmp_path / "v")
    assert data.streams[0].id == "A2_ALICE"
    with pytest.raises(ValueError, match="has films of A1_JAKE, A2_ALICE; give the folder of one person"):
        egolife(write_rows(tmp_path / "EgoLifeQA.json", rows), tmp_path / "v")


def test_times_of_a_life():
    assert (
        time_ns(2, "11210217") - time_ns(1, "00000000") == (24 + 11) * 3600 * NS + 1262 * NS + 17 * NS // 20
    )
    assert time_ns(1, "9000000") == time_ns(1, "09000000")
    for day, clock in (
        (0, "11000000"),
        (1, "24000000"),
        (1, "11600000"),
        (1, "110000000"),
        (1, "99"),
        (1, "11:00:00"),
    ):
        with pytest.raises(ValueError, match="is no time"):
            time_ns(day, clock)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"answer": "E"}, r"row 2: field 'answer' is 'E'; it must be a letter from A to D"),
        ({"answer": None}, r"row 2: field 'answer' is missing"),
        ({"question": "  "}, r"row 2: field 'question' is '  '; it must be a text"),
        ({"question": 1.5}, r"row 2: field 'question' is 1.5; it must be a text"),
        ({"options": ["A. "]}, r"row 2: field 'options' .*two choices or more"),
        ({"options": "red, blue"}, r"row 2: field 'options' is 'red, blue'; it must be a list"),
        ({"options": 4}, r"row 2: field 'options' is 4; it must be a list"),
        ({"duration": "huge"}, r"row 2: field 'duration' is 'huge'; it must be one of short, medium, long"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_field(change, said, tmp_path):
    path = write_rows(tmp_path / "rows.json", [mme_row(1, "a"), mme_row(2, "b", **change)])
    with pytest.raises(ValueError, match=rf"rows\.json, {said}"):
        videomme(path, tmp_path)


@pytest.mark.parametrize("query", ["DAY1", {"date": "DAY1"}, {"date": "first", "time": "11000000"}, 7])
def test_a_bad_query_time_is_named(query, film, tmp_path):
    film(tmp_path / "DAY1_A1_JAKE_11094200.mp4", seconds=1)
    path = write_rows(tmp_path / "qa.json", [life_row(1, "", None, query_time=query)])
    with pytest.raises(ValueError, match=r"qa\.json, row 1: field 'query_time' is .* as in \{"):
        egolife(path, tmp_path)


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("a.txt", "x", "is none of .json, .jsonl, .csv, .parquet"),
        ("a.json", "{", "is not JSON"),
        ("a.json", '{"info": 1}', 'neither a list of rows nor an object with a list under "annotations"'),
        ("a.json", "[1]", "row 1 is 1; it must be an object"),
        ("a.json", "[]", "has no rows"),
        ("a.jsonl", '{"a": 1}\n{', "line 2 is not JSON"),
    ],
)
def test_a_bad_annotation_file_is_named(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        egotempo(tmp_path / name, tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    path = write_rows(tmp_path / "rows.json", [mme_row(1, "a")])
    with pytest.raises(ValueError, match="no folder of videos at .*nowhere"):
        videomme(path, tmp_path / "nowhere")
    with pytest.raises(ValueError, match="duration 'tiny' is not known"):
        videomme(path, tmp_path, durations=("tiny",))
    with pytest.raises(FileNotFoundError):
        videomme(tmp_path / "none.json", tmp_path)
