"""Which demo homes a robot's cameras show, as the settings say it."""

from __future__ import annotations

import pytest
from taskmem_train.shown import ShownHomes

from taskmem_ros.home import HomeSim, visible_facts

SECOND = 1_000_000_000


def test_each_camera_has_a_home_or_the_home_of_all():
    homes = ShownHomes.of(["hall=5", "9", "kitchen=6"])
    assert [homes.seed(camera) for camera in ("hall", "kitchen", "porch")] == [5, 6, 9]
    assert ShownHomes.of(["7"]).seed("camera") == 7 and ShownHomes.of([]) is None
    stamps = [HomeSim(6).epoch_ns + second * SECOND for second in (20, 25)]
    assert homes.facts("kitchen", stamps) == tuple(visible_facts(HomeSim(6), [20 * SECOND, 25 * SECOND]))


@pytest.mark.parametrize(
    "values, said",
    [
        (["-1"], "home_seed is '-1'; write SEED, or CAMERA=SEED"),
        (["hall="], "home_seed is 'hall='"),
        (["hall=5", "hall=6"], "'hall=6' is the second one of camera 'hall'"),
        (["5", "6"], "'6' is the second one of all cameras"),
    ],
)
def test_what_is_no_home_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        ShownHomes.of(values)


def test_a_camera_without_a_home_and_another_homes_time_are_errors():
    homes = ShownHomes.of(["hall=5"])
    with pytest.raises(ValueError, match="nobody said which home camera 'porch' shows; add porch=SEED"):
        homes.facts("porch", [HomeSim(5).epoch_ns])
    for stamps in ([], [HomeSim(5).epoch_ns - 1], [HomeSim(5).epoch_ns, HomeSim(5).epoch_ns + 10 * SECOND]):
        with pytest.raises(ValueError, match="of no 10 s of home 5"):
            homes.facts("hall", stamps)
