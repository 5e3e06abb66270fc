"""The world: the same for the same seed, persistent, and whole.

Nothing appears, vanishes or is in two places.
"""

from __future__ import annotations

import pytest

from taskmem_ros.home import STEP_NS, HomeSim, visible_facts
from taskmem_ros.home.things import COLOURS, DOOR_SPOT, KINDS, ROOMS, SLOTS_PER_PIECE

SECOND = 1_000_000_000


def test_the_same_seed_gives_the_same_world_whatever_is_asked_first():
    forwards, backwards = HomeSim(5), HomeSim(5)
    backwards.state(600 * SECOND)
    for t in range(0, 600 * SECOND, 7 * SECOND):
        assert forwards.state(t) == backwards.state(t)
        assert forwards.room(t) == backwards.room(t)


def test_different_seeds_give_different_worlds():
    assert HomeSim(1).state(0) != HomeSim(2).state(0)


@pytest.mark.parametrize("seed", range(8))
def test_things_and_people_are_conserved(seed):
    sim = HomeSim(seed)
    names = {*sim.state(0).objects, *(p.holding for p in sim.state(0).people.values() if p.holding)}
    for index in range(200):
        for seconds in (0.0, 5.0, 9.9):
            state = sim.step(index).at(seconds)
            held = [p.holding for p in state.people.values() if p.holding]
            assert sorted([*state.objects, *held]) == sorted(names)
            assert len(set(state.objects.values())) == len(state.objects), "two things in one slot"
            assert all(slot < SLOTS_PER_PIECE for _, slot in state.objects.values())
            spots = [(p.room, p.spot) for p in state.people.values()]
            assert len(set(spots)) == len(spots), "two people in one spot"
            assert all(spot <= DOOR_SPOT for _, spot in spots)


def test_things_move_while_the_robot_is_elsewhere():
    sim = HomeSim(3)
    unseen = 0
    for index in range(100):
        before, after = sim.step(index).start.objects, sim.step(index + 1).start.objects
        moved = {
            piece for name in before.keys() ^ after.keys() for piece, _ in [before.get(name) or after[name]]
        }
        unseen += any(piece not in sim.order[sim.room(index * STEP_NS)] for piece in moved)
    assert unseen > 10


def test_the_robot_visits_every_room_and_its_pose_is_that_rooms():
    sim = HomeSim(9)
    seen = set()
    for index in range(40):
        t = index * STEP_NS + 4 * SECOND
        seen.add(sim.room(t))
        assert sim.pose(t)[:2] == ROOMS[sim.room(t)].centre
    assert seen == set(ROOMS)


def test_a_drive_is_continuous():
    sim = HomeSim(9)
    last = sim.pose(0)
    for t in range(0, 200 * SECOND, SECOND // 10):
        pose = sim.pose(t)
        assert abs(pose[0] - last[0]) + abs(pose[1] - last[1]) < 1.6
        last = pose


def test_clothes_change_by_day_and_not_within_it():
    sim = HomeSim(4, start_hour=8.0)
    hour, day = 3600 * SECOND, 86400 * SECOND
    assert sim.clothes("Anna", 0) == sim.clothes("Anna", 10 * hour)
    assert len({sim.clothes("Anna", n * day) for n in range(6)}) > 1


def test_night_falls_and_passes():
    sim = HomeSim(4, start_hour=8.0)
    hour = 3600 * SECOND
    assert [sim.is_night(n * hour) for n in (0, 11, 13, 24)] == [False, False, True, False]


def test_a_home_is_large_enough_for_its_purpose():
    assert len(ROOMS) >= 5 and len(KINDS) >= 8 and len(COLOURS) == 6 and len(HomeSim(1).state(0).people) == 4


def test_a_clip_shows_more_facts_than_a_memory_may_hold():
    counts = [
        len(visible_facts(HomeSim(seed), [index * STEP_NS + s * SECOND for s in (0, 2, 5, 7)]))
        for seed in range(20)
        for index in range(10)
    ]
    assert sum(counts) / len(counts) > 6  # a memory holds two or three


def test_facts_need_one_step():
    with pytest.raises(ValueError, match="one step"):
        visible_facts(HomeSim(1), [0, STEP_NS])
