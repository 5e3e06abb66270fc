"""How memories, gaps and tasks look: as lines for people and as dictionaries for programs."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

from rich.text import Text

from taskmem_ros.cli.times import clock, iso, local, span
from taskmem_ros.clips import FORGOTTEN, Gap, Pose
from taskmem_ros.memory import RIGHT, Feedback, Memory, Task
from taskmem_ros.recall import GAP_WORDS

DIM, WARNING = "dim", "yellow"
STATUS_STYLES = {"answered": "green", "failed": "red", "timed_out": "red"}
HIGH_M = 0.5  # a height that is worth a number
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")  # a text must not move the cursor, nor colour what follows


def plain(text: str) -> str:
    """The text for one line of a terminal."""
    return _CONTROLS.sub(" ", text)


def place(pose: Pose | None, named: bool = True) -> str:
    """Where the observer was, to the decimetre: "cellar (1.0, -2.0)", with the height where it is one.

    named: with the name of the map.
    """
    if pose is None:
        return ""
    numbers = [pose.x, pose.y] + [pose.z] * (abs(pose.z) >= HIGH_M)
    at = ", ".join(f"{round(number, 1) + 0.0:.1f}" for number in numbers)  # + 0.0: no "-0.0"
    return f"{map_name(pose)} " * named + f"({at})"


def map_name(pose: Pose) -> str:
    return plain(pose.map_id or pose.frame_id)


def length(seconds: float) -> str:
    """A duration in a few characters: 2.5s, 10s, 4m10s, 1h30m, 3d2h."""
    if seconds < 10 and seconds % 1:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for size, name, smaller, smaller_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{name}" + (f"{rest}{smaller_name}" if rest else "")
    return f"{whole}s"


def gap_words(gap: Gap) -> str:
    """Why there is no memory of that time."""
    what = "no memory" if gap.reason == FORGOTTEN else "not watching"
    return f"{what}: {GAP_WORDS[gap.reason]} ({gap.reason})"


def memory_line(memory: Memory, zone: dt.tzinfo | None) -> str:
    """One memory, whole, on one line."""
    head = [span(memory.start_ns, memory.end_ns, zone), plain(memory.camera), place(memory.pose)]
    return f"{'  '.join(part for part in head if part)}  {plain(memory.text)}  [{memory.id}]"


def gap_line(gap: Gap, zone: dt.tzinfo | None) -> str:
    """One gap on one line."""
    at = span(gap.start_ns, gap.end_ns, zone)
    return f"{at}  {plain(gap.camera)}  ... {length(gap.seconds)} {gap_words(gap)}"


def evidence_head(memory: Memory, score: float, zone: dt.tzinfo | None, lines: int = 1) -> Text:
    """What stands before a memory that was found, on one or two lines: number, time, camera, place, score."""
    at = f"{local(memory.start_ns, zone):%a %d %b} {span(memory.start_ns, memory.end_ns, zone)}"
    rest = "  ".join(filter(None, [plain(memory.camera), place(memory.pose), f"score {score:.2f}"]))
    return Text.assemble((f"[{memory.id}]", "bold"), (f"  {at}{'  ' if lines == 1 else chr(10)}{rest}", DIM))


def task_head(task: Task, zone: dt.tzinfo | None) -> Text:
    """What stands before a question: when it was asked, and its number."""
    return Text.assemble(f"{clock(task.asked_ns, zone)}  ", (f"[{task.id}] ", DIM))


def task_question(task: Task) -> Text:
    """The question and its choices."""
    text = Text.assemble((plain(task.question), "bold"))
    if task.choices:
        text.append(f"  ({plain(' / '.join(task.choices))})")
    if task.kind != "question":
        text.append(f"  ({task.kind})")
    return text


def task_outcome(task: Task) -> Text:
    """The answer and what it stands on, or why there is none."""
    if task.answer is None:
        text = Text(f"{plain(task.message)}  " if task.message else "")
        return text.append(f"({task.status})", STATUS_STYLES.get(task.status, WARNING))
    known = f"; known answer: {plain(task.known_answer)}" if task.known_answer else ""
    sources = f"; memories {', '.join(map(str, task.evidence))}" if task.evidence else ""
    text = Text.assemble((plain(task.answer), STATUS_STYLES["answered"]))
    return text.append(f"  (confidence {task.confidence:.2f}{sources}{known})", DIM)


def feedback_line(said: Feedback) -> Text:
    """What somebody said of a task's answer."""
    style = STATUS_STYLES["answered"] if said.verdict == RIGHT else WARNING
    text = Text.assemble((said.verdict, style), f": {plain(said.answer)}" if said.answer else "")
    return text.append(f"  (said {plain(said.source)})" if said.source else "", DIM)


def memory_record(memory: Memory, zone: dt.tzinfo | None) -> dict[str, Any]:
    left_out = ("pose", "thumbnail", "created_ns")
    record = {"type": "memory"} | {
        name: value for name, value in vars(memory).items() if name not in left_out
    }
    record |= {"start": iso(memory.start_ns, zone), "end": iso(memory.end_ns, zone)}
    return record | {"pose": vars(memory.pose) if memory.pose else None}


def gap_record(gap: Gap, zone: dt.tzinfo | None) -> dict[str, Any]:
    return {"type": "gap"} | vars(gap) | {"start": iso(gap.start_ns, zone), "end": iso(gap.end_ns, zone)}


def task_record(task: Task, zone: dt.tzinfo | None) -> dict[str, Any]:
    return (
        {"type": "task"}
        | vars(task)
        | {"asked": iso(task.asked_ns, zone), "answered": iso(task.answered_ns, zone)}
    )


def print_record(record: dict[str, Any]) -> None:
    """One JSON object on one line."""
    print(json.dumps(record, ensure_ascii=False))


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 day", "2 days"."""
    return f"{number} {one if number == 1 else many or one + 's'}"
