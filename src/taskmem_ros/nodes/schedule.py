"""When the next round of the exchange is due, by a wall clock that may jump and a steady one that does not.

No ROS and no timer: whoever has one asks `due` every second or so. A daily time is a time of the wall: it
comes once on each date, on days of 23 and 25 hours too. An interval and the wait after a failure go by the
steady clock. Each robot comes a little later than the time, by its name and the date, so that a fleet does
not knock all at once and yet everybody can tell when it will.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import time
from dataclasses import dataclass

from taskmem_ros.recall.when.days import DAY, MachineZone, to_ns, wall_to_ns

S = 1_000_000_000
UNSET_NS = to_ns(dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc))  # a clock before this was never set
STEP_NS = 2 * S  # a wall clock that went this far from the steady one was set, or the robot slept
AGAIN_NS = 3600 * S  # however the clock is set, a daily time is not taken twice within this
LONGEST_JITTER_S = LONGEST_RETRY_S = 6 * 3600.0


def time_of_day(text: str) -> dt.time | None:
    """ "03:00" as a time, "" as None. Raises ValueError with a sentence."""
    if not text:
        return None
    if not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f"{text!r} is no time of day; write hours and minutes, as in 03:00, or nothing.")
    return dt.time(*map(int, text.split(":")))


@dataclass(frozen=True)
class Schedule:
    """What is wanted.

    at: time of day in `zone`, None for never. every_s: from one round to the next, 0 for never. jitter_s: how
    much later than that a robot may come. retry_s: from a failed round to the next try, doubled each time, 0
    for none. name: the robot's.
    """

    at: dt.time | None
    every_s: float = 0.0
    jitter_s: float = 0.0
    retry_s: float = 0.0
    name: str = ""
    zone: dt.tzinfo = MachineZone()

    def after(self, wall_ns: int) -> int | None:
        """The first daily time after `wall_ns`, with this robot's share of the jitter."""
        if self.at is None:
            return None
        time.tzset()  # the machine may have been carried to another zone
        here = dt.datetime.fromtimestamp(wall_ns // S, dt.timezone.utc).astimezone(self.zone).date()
        days = (
            here + DAY * number for number in range(-1, 3)
        )  # yesterday's, with its jitter, may be to come
        return min(at for day in days if (at := self._on(day)) > wall_ns)

    def missed(self, since_ns: int, wall_ns: int) -> bool:
        """Whether a daily time came after `since_ns` and not after `wall_ns`."""
        at = self.after(since_ns)
        return at is not None and at <= wall_ns

    def share_ns(self, of: str, longest_s: float) -> int:
        """This robot's part of `longest_s`: the same each time for the same name and `of`, nanoseconds."""
        digest = hashlib.sha256(f"{self.name} {of}".encode()).digest()
        return int.from_bytes(digest[:6], "big") * int(longest_s * S) >> 48

    def _on(self, day: dt.date) -> int:
        at = wall_to_ns(dt.datetime.combine(day, self.at), self.zone)
        return at + self.share_ns(day.isoformat(), min(self.jitter_s, LONGEST_JITTER_S))


class Alarm:
    """A schedule in the course of time. wall_ns: by the wall clock; steady_ns: by the steady one.

    last_ns: when a round last ended well, or was first wanted (None: it is wanted for the first time). A
    daily time that came since then, while the robot was off, is made up for; so is one that it slept through.
    """

    def __init__(self, schedule: Schedule, wall_ns: int, steady_ns: int, last_ns: int | None = None) -> None:
        self.schedule = schedule
        self._seen = (wall_ns, steady_ns)
        self._failures = 0
        # All by the steady clock:
        self._taken: int | None = None  # when a daily time was last taken
        self._late: int | None = None  # when one is made up for
        self._retry: int | None = None
        self._interval = int(schedule.every_s * S)
        first = schedule.share_ns("first", min(schedule.jitter_s, schedule.every_s))
        self._every = steady_ns + self._interval + first if self._interval else None
        if last_ns is not None and self._missed_while_off(last_ns, wall_ns):
            self._late = self._made_up_for(steady_ns)

    def due(self, wall_ns: int, steady_ns: int) -> str:
        """Why a round is due now, as in "it is 03:00", which this call takes; "" where none is."""
        reason = self._daily(wall_ns, steady_ns)
        if self._every is not None and steady_ns >= self._every:
            self._every = steady_ns + self._interval
            reason = reason or f"{self.schedule.every_s / 60:g} minutes have passed"
        if self._retry is not None and steady_ns >= self._retry:
            reason = reason or "the last round failed"
        if reason:
            self._retry = self._late = None
        return reason

    def ended(self, well: bool, steady_ns: int) -> None:
        """A round ended, whoever asked for it."""
        self._failures = 0 if well else self._failures + 1
        self._retry = None
        if not well and self.schedule.retry_s:
            longest = max(LONGEST_RETRY_S, self.schedule.retry_s)
            wait_s = min(self.schedule.retry_s * 2 ** min(self._failures - 1, 20), longest)
            share = self.schedule.share_ns(f"retry {self._failures}", min(self.schedule.jitter_s, wait_s / 2))
            self._retry = steady_ns + int(wait_s * S) + share

    def next_ns(self, wall_ns: int, steady_ns: int) -> int | None:
        """When the next round will be, by the wall clock as it is now; None where none is planned."""
        planned = [
            wall_ns + at - steady_ns for at in (self._late, self._every, self._retry) if at is not None
        ]
        if wall_ns >= UNSET_NS and self.schedule.at is not None:
            planned.append(self.schedule.after(wall_ns + (AGAIN_NS if self._just_taken(steady_ns) else 0)))
        return max(wall_ns, min(planned)) if planned else None

    def _daily(self, wall_ns: int, steady_ns: int) -> str:
        wall_before, steady_before = self._seen
        self._seen = (wall_ns, steady_ns)
        if self._late is not None and steady_ns >= self._late:
            self._taken = steady_ns
            return f"{self.schedule.at:%H:%M} was missed"
        if wall_before < UNSET_NS or self._just_taken(steady_ns):
            return ""
        if not self.schedule.missed(wall_before, wall_ns):
            return ""
        if (wall_ns - wall_before) - (steady_ns - steady_before) > STEP_NS:
            self._late = self._made_up_for(steady_ns)
            return ""
        self._taken = steady_ns
        return f"it is {self.schedule.at:%H:%M}"

    def _missed_while_off(self, last_ns: int, wall_ns: int) -> bool:
        if self.schedule.at is None or wall_ns < UNSET_NS:
            return False
        # Of a time still to come only that much is known: the clock was wrong, then or now. A robot that is
        # off each night would wait for it until then.
        return last_ns > wall_ns or self.schedule.missed(last_ns, wall_ns)

    def _just_taken(self, steady_ns: int) -> bool:
        return self._taken is not None and steady_ns - self._taken < AGAIN_NS

    def _made_up_for(self, steady_ns: int) -> int:
        return steady_ns + self.schedule.share_ns("missed", self.schedule.jitter_s)
