"""search_memory over DDS: by words, meaning, place, box, episode and said times."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not here: source one, or run make setup and . scripts/env.sh")
pytest.importorskip("taskmem.srv", reason="the interfaces are not built: run make build and . scripts/env.sh")

from geometry_msgs.msg import Point
from taskmem.srv import SearchMemory
from tiny_encoder import make_encoder

from taskmem_ros.clips import Pose
from taskmem_ros.memory import Store

S = 1_000_000_000
HOUR = 3600 * S
DAY = 24 * HOUR


def fill(database) -> None:
    """A blue book long ago in another map's episode; a mug yesterday, and another mug an hour ago."""
    now = time.time_ns()
    with Store.open(database) as store:
        for text, at, episode, x in (
            ("the blue book is on the table", now - 30 * DAY, 0, 5.0),
            ("the red mug is on the table", now - DAY, 1, 0.0),
            ("the blue mug is on the table", now - HOUR, 1, 9.0),
        ):
            store.add_memory("eye", episode, at, at + S, text, pose=Pose("map", x, 1.0, 1.2, 0, 0, 0, 1))


def test_search_by_everything(ros, model):
    database = ros.folder / "m.db"
    fill(database)
    encoder = make_encoder(ros.folder / "encoder")
    ros.agent(model=model, database=database, encoder=encoder)
    ros.active()

    def search(**fields):
        response = ros.call(SearchMemory, "search_memory", SearchMemory.Request(**fields))
        assert response.success, response.message
        return response.hits

    ros.wait(lambda: "3" in ros.value("store", "vectors made"), "the vectors of all memories")
    assert [hit.memory_id for hit in search()] == [3, 2, 1]
    first = search(query="mugs red")[0]
    assert first.memory_id == 2 and first.episode == 1 and 0.0 < first.score <= 1.0
    assert {reason.by for reason in first.reasons} == {"words", "meaning"}
    assert [(r.rank, r.detail) for r in first.reasons if r.by == "words"] == [(1, "mugs, red")]
    assert {hit.memory_id for hit in search(query="books", episode=0)} == {1}
    near = search(near_place=True, place=Point(x=8.5, y=1.0))
    assert [hit.memory_id for hit in near] == [3, 1, 2] and near[0].reasons[0].by == "place"
    assert [hit.memory_id for hit in search(near_place=True, place=Point(x=0.1, y=1.0), radius=1.0)] == [2]
    box = dict(in_box=True, box_min=Point(x=-1.0), box_max=Point(x=6.0, y=2.0))
    assert {hit.memory_id for hit in search(**box)} == {1, 2}
    assert {hit.memory_id for hit in search(**box, map_id="elsewhere")} == set()
    assert {hit.memory_id for hit in search(when="an hour ago")} == {3}

    for wrong, named in (
        (dict(when="the red mug"), "the red mug"),
        (dict(in_box=True, box_min=Point(x=3.0)), "3.0"),
        (dict(near_place=True, radius=-2.0), "-2.0"),
    ):
        response = ros.call(SearchMemory, "search_memory", SearchMemory.Request(**wrong))
        assert not response.success and named in response.message and not response.hits


def test_an_encoder_that_is_none_is_refused(ros, model):
    agent = ros.agent(model=model, encoder=ros.folder / "nothing")
    assert agent.wait(60) != 0 and "nothing" in agent.output() and "encoder" in agent.output()
