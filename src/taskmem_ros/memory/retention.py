"""What is kept when not everything can be: by age, by size, and by whether it was ever of use."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from taskmem_ros.clips import Gap
from taskmem_ros.memory.database import Connections
from taskmem_ros.memory.ring import ClipRing
from taskmem_ros.memory.ring_file import RingError
from taskmem_ros.memory.steps import Steps, Stopped
from taskmem_ros.memory.taking import Taking

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retention:
    """How much is kept; 0 is no limit.

    max_age_s: memories that ended longer ago are forgotten, and so are failed clips.
    max_bytes: of the file, its log (some megabytes at most) not counted. What goes first: pictures of
    memories that no answer ever stood on, if they are more than a day old; then those memories; then the
    others; of each the oldest.
    thumbnail_bytes_per_day: pictures of one day (UTC, all cameras). What is too much goes evenly over the
    day; pictures that an answer stood on stay longest.
    """

    max_age_s: float = 0.0
    max_bytes: float = 0
    thumbnail_bytes_per_day: float = 0

    @classmethod
    def of(cls, max_age_days: float, max_megabytes: float, thumbnail_megabytes_per_day: float) -> Retention:
        """In the units that people use; a megabyte is 10^6 bytes. Raises ValueError as the class does."""
        return cls(max_age_days * 86400, max_megabytes * 1e6, thumbnail_megabytes_per_day * 1e6)

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return any(vars(self).values())

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value:g}; it must be 0 (no limit) or more.")


@dataclass(frozen=True)
class Retained:
    """What one run took. bytes: of the file afterwards. longest_s: how long a write had to wait at most.

    short_bytes: by how much the file is still too large, though nothing is left to take.
    """

    memories: int = 0
    thumbnails: int = 0
    failures: int = 0
    bytes: int = 0
    short_bytes: int = 0
    longest_s: float = 0.0


class Retaining:
    """The part of a Store that forgets by rule."""

    _connections: Connections

    def retain(
        self,
        policy: Retention,
        now_ns: int | None = None,
        *,
        forgotten: Callable[[Gap], None] = lambda gap: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Retained:
        """Take what the policy does not keep; the file shrinks by it. now_ns: None is now, by the wall clock.

        In short steps, so that no write waits for more than some hundredths of a second. The time of what is
        taken becomes coverage with the reason "forgotten", and forgotten(gap) is called for each piece, after
        its commit; clips of it leave the ring. stop: asked between steps; what is then left is done by the
        next run. Answers stay, and so may traces: `forget` is for what must not be known any more.
        """
        now = time.time_ns() if now_ns is None else now_ns
        oldest = now - round(policy.max_age_s * 1e9) if policy.max_age_s else None
        with self._connections.aside() as db:
            steps = Steps(db, stop)
            taking, short = Taking(steps, forgotten), 0
            try:
                if oldest is not None:
                    taking.older_than(oldest)
                if policy.thumbnail_bytes_per_day:
                    taking.pictures_over(int(policy.thumbnail_bytes_per_day))
                if policy.max_bytes:
                    taking.until_as_small_as(int(policy.max_bytes), now)
                    short = max(0, taking.over(int(policy.max_bytes)))
                taking.give_back()
                ClipRing(self).drop_forgotten(oldest)
            except Stopped:
                log.info("retention was stopped; the next run goes on with it")
            except RingError as error:  # a cache beside the store; what was taken from the store is taken
                log.warning("clips of what is forgotten stay until the next run: %s", error)
            return Retained(**taking.taken, bytes=taking.bytes, short_bytes=short, longest_s=steps.longest_s)
