"""What the page's template is given: names, times and sentences, ready to be put in their places."""

from __future__ import annotations

import datetime as dt
from itertools import groupby
from typing import Any

from taskmem_ros.clips import FORGOTTEN, Gap
from taskmem_ros.memory import Memory, Task, known_answer
from taskmem_ros.recall import GAP_WORDS
from taskmem_ros.report.coverage import KINDS, WATCHED
from taskmem_ros.report.diary import Entry, diary
from taskmem_ros.report.gather import MOST_DAYS, Day, Gathered, Hole
from taskmem_ros.report.places import CAMERA_COLOURS
from taskmem_ros.report.svg import Dot, Drawing, drawings
from taskmem_ros.report.times import clock, dates, length, local, long_date, short_date, zone_name

KIND_WORDS = {
    WATCHED: "watched",
    "no_frames": "no pictures",
    "dropped": "model too slow",
    "failed": "nothing written",
    "inactive": "agent not active",
    "forgotten": "forgotten since",
}
STATUS_WORDS = {
    "answered": "Answered",
    "not_in_memory": "Not in memory",
    "not_watching": "Not watching then",
    "timed_out": "Timed out",
    "failed": "Failed",
    "queued": "Waiting",
}


def view(
    gathered: Gathered, *, name: str, zone: dt.tzinfo | None, made_ns: int, title: str = ""
) -> dict[str, Any]:
    """The variables of page.html."""
    return _View(gathered, zone).variables(name, made_ns, title)


class _View:
    def __init__(self, gathered: Gathered, zone: dt.tzinfo | None) -> None:
        self._all, self._zone = gathered, zone
        names = [memory.camera for memory in gathered.memories] + [gap.camera for gap in gathered.gaps]
        names += [coverage.camera for day in gathered.days for coverage in day.coverage]
        self._colours = {
            camera: number % len(CAMERA_COLOURS) for number, camera in enumerate(dict.fromkeys(names))
        }
        self._shown = {memory.id: memory for memory in gathered.memories}
        self._citing: dict[int, list[int]] = {}
        for task in reversed(gathered.tasks):
            for number in task.evidence:
                self._citing.setdefault(number, []).append(task.id)

    def variables(self, name: str, made_ns: int, title: str) -> dict[str, Any]:
        days = self._all.days
        return {
            "title": title or (dates(days[0].date, days[-1].date) if days else "Nothing yet"),
            "name": name,
            "zone": zone_name(days[-1].start_ns if days else made_ns, self._zone),
            "made": f"{local(made_ns, self._zone):%Y-%m-%d %H:%M}",
            "figures": self._figures(),
            "notices": list(self._notices()),
            "cameras": [{"name": camera, "colour": colour} for camera, colour in self._colours.items()],
            "kinds": self._kinds(),
            "coverage": [self._coverage(day) for day in days if day.coverage],
            "maps": [self._map(drawing) for drawing in drawings(self._all.memories)],
            "questions": [self._question(task) for task in self._all.tasks],
            "days": self._timeline(),
        }

    def _figures(self) -> list[tuple[str, str]]:
        """(number, of what)."""
        counts = (
            (self._all.total, "memory", "memories"),
            (len(self._all.gaps) + self._all.gaps_left_out, "gap", "gaps"),
            (len(self._all.tasks) + self._all.tasks_left_out, "question", "questions"),
            (len(self._colours), "camera", "cameras"),
        )
        return [(f"{count:,}", one if count == 1 else many) for count, one, many in counts]

    def _notices(self):
        """What was left out, in sentences."""
        left_out = self._all.total - len(self._all.memories)
        if self._all.earlier:
            yield f"Only the last {MOST_DAYS} days are shown; --until shows earlier ones."
        if left_out:
            yield (
                f"{left_out:,} of {self._all.total:,} memories are not listed, but count in the coverage: "
                f"the newest are, and those that answers stand on. --limit lists more of them."
            )
        if self._all.gaps_left_out:
            yield f"{self._all.gaps_left_out:,} shorter gaps are not listed, but count in the coverage."
        if self._all.tasks_left_out:
            yield f"{self._all.tasks_left_out:,} older questions are not shown."

    def _kinds(self) -> list[dict[str, str]]:
        """The legend of the coverage: what occurs in it."""
        found = {kind for day in self._all.days for coverage in day.coverage for kind in coverage.seconds}
        return [
            {"name": kind, "words": KIND_WORDS[kind], "why": GAP_WORDS.get(kind, "a memory was written")}
            for kind in KINDS
            if kind in found
        ]

    def _coverage(self, day: Day) -> dict[str, Any]:
        return {
            "date": short_date(day.date),
            "anchor": _anchor(day.date),
            "seconds": (day.end_ns - day.start_ns) // 10**9,
            "cameras": [
                {
                    "name": coverage.camera,
                    "colour": self._colours[coverage.camera],
                    "watched": length(coverage.seconds.get(WATCHED, 0)),
                    "rest": [
                        {"name": kind, "words": KIND_WORDS[kind], "length": length(seconds)}
                        for kind, seconds in coverage.seconds.items()
                        if kind != WATCHED
                    ],
                    "strip": coverage.strip,
                }
                for coverage in day.coverage
            ],
        }

    def _map(self, drawing: Drawing) -> dict[str, Any]:
        dots = [
            {
                "x": dot.x,
                "y": dot.y,
                "rings": self._rings(dot),
                "id": dot.place.newest.id,
                "camera": dot.place.newest.camera,
                "when": self._when(dot.place.newest),
                "text": dot.place.newest.text,
                "count": dot.place.count,
                "at": f"x {dot.place.x:.1f} m, y {dot.place.y:.1f} m",
            }
            for dot in drawing.dots
        ]
        return {"drawing": drawing, "dots": dots}

    def _rings(self, dot: Dot) -> list[tuple[float, int]]:
        """(radius, colour) for each camera at a place, the one that was there last outermost."""
        newest_first = sorted(dot.place.latest.values(), key=lambda memory: -memory.id)
        share = dot.radius / len(newest_first)
        return [
            (round(dot.radius - number * share, 1), self._colours[memory.camera])
            for number, memory in enumerate(newest_first)
        ]

    def _question(self, task: Task) -> dict[str, Any]:
        said = [one for one in self._all.feedback if one.task_id == task.id]
        return {
            "id": task.id,
            "kind": task.kind,
            "text": task.question,
            "choices": task.choices,
            "status": task.status,
            "status_words": STATUS_WORDS[task.status],
            "answer": task.answer,
            "message": task.message,
            "known": known_answer(task, said),
            "said": [f"{one.verdict}, says {one.source}" if one.source else one.verdict for one in said],
            "confidence": f"{task.confidence:.0%}" if task.answer is not None else "",
            "asked": self._moment(task.asked_ns),
            "evidence": [self._evidence(number) for number in task.evidence],
        }

    def _evidence(self, number: int) -> dict[str, Any]:
        memory = self._shown.get(number)
        if memory is None:
            why = "forgotten since" if number in self._all.gone else "outside of this report"
            return {"id": number, "shown": False, "why": why}
        return {"id": number, "shown": True, "when": self._when(memory), "text": memory.text}

    def _timeline(self) -> list[dict[str, Any]]:
        rows = [*diary(self._all.memories, self._all.gaps, self._zone), *self._all.holes]
        rows.sort(key=lambda row: row.start_ns)
        days = []
        for date, of_day in groupby(rows, key=lambda row: local(row.start_ns, self._zone).date()):
            hours = [
                {"hour": f"{hour} h", "rows": [self._row(row) for row in of_hour]}
                for hour, of_hour in groupby(of_day, key=lambda row: local(row.start_ns, self._zone).hour)
            ]
            days.append({"date": long_date(date), "anchor": _anchor(date), "hours": hours})
        return days

    def _row(self, row: Entry | Gap | Hole) -> dict[str, Any]:
        times = {"time": clock(row.start_ns, self._zone), "length": length((row.end_ns - row.start_ns) / 1e9)}
        if isinstance(row, Hole):
            until = self._moment(row.end_ns)
            return times | {"kind": "hole", "count": f"{row.count:,}", "until": until}
        if isinstance(row, Gap):
            return times | {
                "kind": "gap",
                "camera": row.camera,
                "reason": row.reason,
                "what": "No memory" if row.reason == FORGOTTEN else "Not watching",
                "why": GAP_WORDS[row.reason],
            }
        first = row.first
        pose = first.pose
        return times | {
            "kind": "memory",
            "id": first.id,
            "camera": first.camera,
            "colour": self._colours[first.camera],
            "place": f"{pose.map_id or pose.frame_id} ({pose.x:.1f}, {pose.y:.1f})" if pose else "",
            "pieces": row.pieces,
            "picture": first.thumbnail,
            "again": [(memory.id, clock(memory.start_ns, self._zone)) for memory in row.memories[1:]],
            "cited": sorted({task for memory in row.memories for task in self._citing.get(memory.id, ())}),
        }

    def _when(self, memory: Memory) -> str:
        return self._moment(memory.start_ns)

    def _moment(self, stamp_ns: int) -> str:
        at = local(stamp_ns, self._zone)
        return f"{short_date(at.date())} {at:%H:%M:%S}"


def _anchor(date: dt.date) -> str:
    return f"day-{date:%Y-%m-%d}"
