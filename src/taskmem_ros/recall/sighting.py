"""When and where a memory was seen, in words."""

from __future__ import annotations

import datetime as dt

from taskmem_ros.memory import Memory


def sighting(memory: Memory, timezone: dt.tzinfo | None = None) -> str:
    """ "Seen Mon 05 Jan 2026 10:02:10 from (1.0, -2.0) in home, by camera hall." """
    pose = memory.pose
    place = "" if pose is None else f" from ({pose.x:.1f}, {pose.y:.1f}) in {pose.map_id or pose.frame_id}"
    return f"Seen {day_and_clock(memory.start_ns, timezone)}{place}, by {memory.camera}."


def day_and_clock(stamp_ns: int, timezone: dt.tzinfo | None = None) -> str:
    """ "Mon 05 Jan 2026 10:02:10" """
    return f"{_local(stamp_ns, timezone):%a %d %b %Y %H:%M:%S}"


def clock(stamp_ns: int, timezone: dt.tzinfo | None = None) -> str:
    """ "10:02:10" """
    return f"{_local(stamp_ns, timezone):%H:%M:%S}"


def _local(stamp_ns: int, timezone: dt.tzinfo | None) -> dt.datetime:
    return dt.datetime.fromtimestamp(stamp_ns // 10**9, dt.timezone.utc).astimezone(timezone)
