"""`taskmem ingest`: bags and films through clips, a real model and the store, the same each time."""

import json

import cv2
import numpy as np
import pytest
from past import S
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from taskmem_ros.cli import main
from taskmem_ros.memory import Store

TYPES = get_typestore(Stores.ROS2_HUMBLE)
START = 1_767_254_400  # 2026-01-01T08:00:00Z


def picture(index):
    """Something that moves over a coloured ground."""
    image = np.full((120, 160, 3), (40, 90, 60), np.uint8)
    cv2.rectangle(image, (5 * index % 120, 40), (5 * index % 120 + 30, 80), (200, 30, 30), -1)
    return image


@pytest.fixture(scope="module", params=[StoragePlugin.SQLITE3, StoragePlugin.MCAP], ids=["sqlite3", "mcap"])
def bag(request, tmp_path_factory):
    """24 s at 2 Hz, then silence, then 4 s more."""
    path = tmp_path_factory.mktemp("bag") / "walk"
    make = TYPES.types
    with Writer(path, version=9, storage_plugin=request.param) as writer:
        topic = writer.add_connection("/front/image_raw", "sensor_msgs/msg/Image", typestore=TYPES)
        for index in [*range(48), *range(100, 108)]:
            stamp = make["builtin_interfaces/msg/Time"](sec=START + index // 2, nanosec=index % 2 * S // 2)
            header = make["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")
            message = make["sensor_msgs/msg/Image"](
                header=header,
                height=120,
                width=160,
                encoding="rgb8",
                is_bigendian=0,
                step=480,
                data=picture(index).reshape(-1),
            )
            data = TYPES.serialize_cdr(message, "sensor_msgs/msg/Image")
            writer.write(topic, START * S + index * S // 2, data)
    return path


@pytest.fixture
def ingest(capsys, model):
    def run(*arguments):
        status = main(["ingest", *map(str, arguments), "--model", model, "--device", "cpu", "--json"])
        captured = capsys.readouterr()
        return status, [json.loads(line) for line in captured.out.splitlines()], captured.err

    return run


def test_a_bag_gives_the_same_memories_each_time(ingest, bag, tmp_path):
    told = []
    for name in ("one.db", "two.db"):
        status, rows, _ = ingest(bag, "--topic", "/front/image_raw", "--database", tmp_path / name)
        assert status == 0 and rows[-1]["type"] == "ingested"
        told.append(rows[:-1])
        with Store.open(tmp_path / name) as store:
            memories, gaps = store.memories(), store.coverage()
            assert store.check() == []
        assert [m.start_ns // S - START for m in memories if m.start_ns < (START + 20) * S] == [0, 10]
        assert {gap.reason for gap in gaps} == {"no_frames"}
        covered = sorted([(row.start_ns, row.end_ns) for row in [*memories, *gaps]])
        assert all(end == start for (_, end), (start, _) in zip(covered, covered[1:]))
        assert all(m.text and m.camera == "front" and m.model and m.prompt_hash for m in memories)
        assert all(cv2.imdecode(np.frombuffer(m.thumbnail, np.uint8), 1).shape[1] == 160 for m in memories)
    assert told[0] == told[1]


def _film(path):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (160, 120))
    for index in range(60):
        writer.write(picture(index))
    writer.release()
    return path


def test_a_second_ingest_does_not_double_the_past(ingest, bag, tmp_path):
    arguments = (bag, "--topic", "/front/image_raw", "--database", tmp_path / "one.db")
    _, first, _ = ingest(*arguments)
    status, rows, err = ingest(*arguments)
    assert (status, rows) == (2, []) and "--again" in err and err.count("\n") == 1
    status, rows, err = ingest(*arguments, "--again")
    assert status == 0 and "Replacing" in err
    with Store.open(tmp_path / "one.db") as store:
        assert len(store.memories()) == first[-1]["memories"]
        assert len(store.coverage()) == 1
    status, rows, err = ingest(*arguments, "--camera", "back")
    assert status == 0, "as another camera it is another past"


def test_a_slow_camera_is_watched_with_a_longer_stall(ingest, bag, tmp_path):
    arguments = (bag, "--topic", "/front/image_raw", "--max-stall", "60")
    _, rows, _ = ingest(*arguments, "--database", tmp_path / "one.db")
    gaps = [
        (row["start_ns"] // S - START, row["end_ns"] // S - START) for row in rows if row["type"] == "gap"
    ]
    assert gaps == [(30, 50)], "only the whole clips in which nothing came"


def test_a_film_in_the_home_folder(ingest, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    _film(tmp_path / "film.avi")
    assert ingest("~/film.avi", "--database", tmp_path / "film.db")[0] == 0


def test_a_film(ingest, tmp_path):
    film = _film(tmp_path / "film.avi")
    status, rows, _ = ingest(
        film, "--database", tmp_path / "film.db", "--start", "2026-01-01T08:00:07Z", "--utc"
    )
    assert status == 0
    assert rows[0]["start"] == "2026-01-01T08:00:00.000+00:00" and rows[0]["camera"] == "film"
    assert rows[-1]["memories"] + rows[-1]["failures"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.mcap", "--topic", "/x"], "no bag or film at none.mcap"),
        (["BAG"], "image topics of"),
        (["BAG", "--topic", "/back"], "no image topic '/back'"),
        (["FILE"], "not a film"),
        (["FILE", "--topic", "/x"], "has no topic"),
        (["BAG", "--topic", "/front/image_raw", "--window", "0"], "window is 0"),
        (["BAG", "--topic", "/front/image_raw", "--sample-rate", "0"], "sample_rate is 0"),
        (["BAG", "--topic", "/front/image_raw", "--max-new-tokens", "0"], "--max-new-tokens is 0"),
        (["BAG", "--topic", "/front/image_raw", "--model", "/none"], "model '/none'"),
    ],
)
def test_a_wrong_source_is_one_sentence(capsys, bag, tmp_path, arguments, said):
    (tmp_path / "notes.txt").write_text("no film")
    names = {"BAG": str(bag), "FILE": str(tmp_path / "notes.txt")}
    status = main(
        ["ingest", *(names.get(a, a) for a in arguments), "--database", str(tmp_path / "d.db"), "--json"]
    )
    captured = capsys.readouterr()
    assert status == 2 and captured.out == "" and said in captured.err
