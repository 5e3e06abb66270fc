"""When a round is due: in local time, over summer time and clocks that jump, and not all robots at once."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from taskmem_ros.nodes.schedule import AGAIN_NS, Alarm, S, Schedule, time_of_day

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = 60 * S
HOUR = 60 * MINUTE


def ns(text: str) -> int:
    """Of a time with its offset, as in 2026-07-14T03:00+02:00."""
    return int(dt.datetime.fromisoformat(text).timestamp()) * S


def at(text: str, zone: dt.tzinfo = BERLIN, **more) -> Schedule:
    return Schedule(time_of_day(text), zone=zone, **more)


def iso(wall_ns: int | None) -> str:
    return dt.datetime.fromtimestamp(wall_ns / S, dt.timezone.utc).isoformat()[:16]


class Clocks:
    """A wall clock and a steady one, asked every `step` seconds; `due` gathers what was due and when."""

    def __init__(self, schedule: Schedule, wall: str, last: str = "") -> None:
        self.wall, self.steady = ns(wall), 5 * S
        self.alarm = Alarm(schedule, self.wall, self.steady, ns(last) if last else None)
        self.due: list[tuple[str, str]] = []

    def run(self, seconds: float, step: float = 60.0) -> Clocks:
        for _ in range(round(seconds / step)):
            self.wall += int(step * S)
            self.steady += int(step * S)
            if reason := self.alarm.due(self.wall, self.steady):
                self.due.append((iso(self.wall), reason))
        return self

    def jump(self, seconds: float) -> Clocks:
        self.wall += int(seconds * S)
        return self

    @property
    def next(self) -> str:
        return iso(self.alarm.next_ns(self.wall, self.steady))


@pytest.mark.parametrize("text, expected", [("03:00", dt.time(3)), ("3:05", dt.time(3, 5)), ("", None)])
def test_a_time_of_day(text, expected):
    assert time_of_day(text) == expected


@pytest.mark.parametrize("text", ["24:00", "3", "3:60", "03:00:00", "noon", "-1:00", "٠٣:٠٠"])
def test_no_time_of_day(text):
    with pytest.raises(ValueError, match="as in 03:00"):
        time_of_day(text)


def test_each_local_day_has_one_also_where_clocks_are_put_forward_and_back():
    schedule = at("02:30")
    found, here = [], ns("2026-03-27T12:00+01:00")
    for _ in range(4):
        here = schedule.after(here)
        found.append(iso(here))
    # On the 29th there is no 02:30: clocks go from 02:00 to 03:00.
    assert found == ["2026-03-28T01:30", "2026-03-29T01:30", "2026-03-30T00:30", "2026-03-31T00:30"]
    found, here = [], ns("2026-10-23T12:00+02:00")
    for _ in range(4):
        here = schedule.after(here)
        found.append(iso(here))
    # On the 25th there are two: the first counts.
    assert found == ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30", "2026-10-27T01:30"]


def test_a_week_over_the_end_of_summer_time_has_seven_rounds():
    clocks = Clocks(at("02:30"), "2026-10-21T12:00+02:00").run(7 * 86400 + 3600)
    assert [when for when, _ in clocks.due] == [
        *(f"2026-10-{day}T00:30" for day in (22, 23, 24, 25)),
        *(f"2026-10-{day}T01:30" for day in (26, 27, 28)),
    ]
    assert {reason for _, reason in clocks.due} == {"it is 02:30"}


def test_never():
    clocks = Clocks(at(""), "2026-07-14T00:00+02:00").run(3 * 86400)
    assert clocks.due == [] and clocks.alarm.next_ns(clocks.wall, clocks.steady) is None


def test_a_clock_put_back_does_not_bring_the_same_round_again():
    clocks = Clocks(at("03:00"), "2026-07-14T02:50+02:00").run(11 * 60)
    assert clocks.due == [("2026-07-14T01:00", "it is 03:00")]
    clocks.jump(-600)
    assert clocks.next == "2026-07-15T01:00"
    clocks.run(1200)
    assert len(clocks.due) == 1


def test_a_clock_put_back_by_days_still_has_its_next_round():
    clocks = Clocks(at("03:00"), "2026-07-14T12:00+02:00").jump(-5 * 86400).run(86400)
    assert clocks.due == [("2026-07-10T01:00", "it is 03:00")]


def test_a_time_that_was_slept_through_is_made_up_for_once():
    clocks = Clocks(at("03:00"), "2026-07-14T23:00+02:00").run(600).jump(3 * 86400 + 9 * 3600).run(3600)
    assert [reason for _, reason in clocks.due] == ["03:00 was missed"]
    assert clocks.next == "2026-07-19T01:00"


def test_what_was_slept_through_comes_with_the_robots_share_of_the_jitter():
    schedule = at("03:00", jitter_s=1800.0, name="robot1")
    share = schedule.share_ns("missed", 1800.0)
    clocks = Clocks(schedule, "2026-07-14T23:00+02:00").run(600).jump(9 * 3600)
    clocks.run(60)
    start = clocks.wall
    assert clocks.alarm.next_ns(clocks.wall, clocks.steady) == start + share
    clocks.run(1800, step=1.0)
    assert clocks.due == [(iso(start + -(-share // S) * S), "03:00 was missed")]


@pytest.mark.parametrize(
    "last, missed",
    [
        ("2026-07-14T03:01+02:00", False),
        ("2026-07-13T14:00+02:00", True),
        # By a clock that was not set, or wrongly: a robot that is off each night would never go again.
        ("2020-01-01T00:00+01:00", True),
        ("2090-01-01T00:00+01:00", True),
        ("", False),  # a new robot waits for its first night
    ],
)
def test_a_time_missed_while_off(last, missed):
    clocks = Clocks(at("03:00"), "2026-07-14T08:00+02:00", last).run(600)
    assert [reason for _, reason in clocks.due] == ["03:00 was missed"] * missed


def test_a_clock_that_is_not_set_has_no_time_of_day():
    clocks = Clocks(at("03:00"), "1970-01-01T00:00+00:00").run(2 * 86400)
    assert clocks.due == [] and clocks.alarm.next_ns(clocks.wall, clocks.steady) is None
    clocks.jump(ns("2026-07-14T10:00+02:00") / S).run(600)  # the network has told the time
    assert clocks.due == [] and clocks.next.endswith("T01:00")


def test_a_robot_that_is_carried_to_another_zone(monkeypatch):
    schedule = Schedule(dt.time(3))  # in the machine's zone
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert iso(schedule.after(ns("2026-07-14T12:00+02:00"))) == "2026-07-15T01:00"
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert iso(schedule.after(ns("2026-07-14T12:00+02:00"))) == "2026-07-14T18:00"
    monkeypatch.undo()
    schedule.after(0)  # the zone of the other tests


def test_every_so_often_goes_by_the_steady_clock():
    clocks = Clocks(at("", every_s=1800.0), "2026-07-14T12:00+02:00").run(900).jump(-86400).run(4500)
    assert len(clocks.due) == 3 and {reason for _, reason in clocks.due} == {"30 minutes have passed"}


def test_both_may_be_wanted():
    clocks = Clocks(at("03:00", every_s=7200.0), "2026-07-14T00:30+02:00").run(4 * 3600)
    assert [reason for _, reason in clocks.due] == [
        "120 minutes have passed",
        "it is 03:00",
        "120 minutes have passed",
    ]


def test_after_a_failure_it_is_tried_again_later_and_later():
    clocks = Clocks(at("03:00", retry_s=600.0), "2026-07-14T02:59+02:00").run(60)
    assert clocks.due.pop() == ("2026-07-14T01:00", "it is 03:00")
    for wait in (10, 20, 40):
        clocks.alarm.ended(False, clocks.steady)
        before = clocks.wall
        clocks.run(wait * 60)
        assert clocks.due == [(iso(before + wait * MINUTE), "the last round failed")]
        clocks.due.clear()
    clocks.alarm.ended(True, clocks.steady)
    clocks.run(12 * 3600)
    assert clocks.due == []


def test_failing_all_day_stays_below_a_round_in_six_hours_and_takes_the_next_time():
    clocks = Clocks(at("03:00", retry_s=600.0), "2026-07-14T02:59+02:00")
    for _ in range(2 * 24 * 60):
        before = len(clocks.due)
        clocks.run(60)
        if len(clocks.due) > before:
            clocks.alarm.ended(False, clocks.steady)
    assert ("2026-07-15T01:00", "it is 03:00") in clocks.due
    assert len(clocks.due) < 2 * 4 + 8


def test_a_fleet_does_not_knock_at_once_and_each_robot_keeps_its_time():
    noon = ns("2026-07-14T12:00+02:00")
    times = [at("03:00", jitter_s=600.0, name=f"robot{n}").after(noon) for n in range(50)]
    late = [time - ns("2026-07-15T03:00+02:00") for time in times]
    assert min(late) >= 0 and max(late) < 600 * S and len(set(late)) == 50
    assert max(late) - min(late) > 300 * S
    assert times == [at("03:00", jitter_s=600.0, name=f"robot{n}").after(noon) for n in range(50)]
    later = at("03:00", jitter_s=600.0, name="robot0").after(noon + 24 * HOUR) - ns("2026-07-16T03:00+02:00")
    assert later != late[0], "not the same robot first every night"


def test_a_time_just_before_midnight_with_its_jitter_after_it():
    schedule = at("23:59", jitter_s=3600.0, name="robot3")
    due = schedule.after(ns("2026-07-14T12:00+02:00"))
    assert due > ns("2026-07-15T00:00+02:00")
    assert schedule.after(due - 1) == due and schedule.after(due) > due + 22 * HOUR
    assert AGAIN_NS < 22 * HOUR
