"""The camera: right size, deterministic, and every fact can be seen, for it changes the picture."""

from __future__ import annotations

import numpy as np

from taskmem_ros.home import HEIGHT, STEP_NS, WIDTH, HomeCamera, HomeSim

SECOND = 1_000_000_000


def test_a_frame_is_rgb_and_the_same_every_time():
    frame = HomeCamera(HomeSim(2)).frame(33 * SECOND)
    assert frame.shape == (HEIGHT, WIDTH, 3) and frame.dtype == np.uint8 and frame.flags.c_contiguous
    assert np.array_equal(frame, HomeCamera(HomeSim(2)).frame(33 * SECOND))


def test_every_room_can_be_drawn_by_day_and_night_and_on_the_way():
    for hour in (9.0, 22.0):
        sim = HomeSim(2, start_hour=hour)
        camera = HomeCamera(sim)
        for index in range(24):
            for seconds in (0.0, 5.0, 9.4):
                assert camera.frame(int(index * STEP_NS + seconds * SECOND)).shape == (HEIGHT, WIDTH, 3)


def test_what_changes_in_view_changes_the_picture_and_nothing_else_does():
    changed = 0
    for seed in range(6):
        sim = HomeSim(seed)
        camera = HomeCamera(sim)
        for index in range(30):
            room, step = sim.room(index * STEP_NS), sim.step(index)
            for name, action in step.actions.items():
                if action.at_s == 0.0 or room not in (step.start.people[name].room, action.room):
                    continue
                before = camera.frame(int(index * STEP_NS + (action.at_s - 0.05) * SECOND))
                after = camera.frame(int(index * STEP_NS + (action.at_s + 0.05) * SECOND))
                assert not np.array_equal(before, after), (seed, index, name, action)
                changed += 1
    assert changed > 50
