"""Readers that may look again: what they are told, and how a wish for another search is read and met.

For readers that follow instructions they have not been trained on. A small model that knows one prompt by
heart (models/demo) is given that of prompt.py, in one round.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import json_repair

from taskmem_ros.memory import Memory, Scope, Store, all_of, plain, terms
from taskmem_ros.memory.words import any_of
from taskmem_ros.recall.place import Near
from taskmem_ros.recall.prompt import question_line
from taskmem_ros.recall.search import Found, Search
from taskmem_ros.recall.sighting import clock, day_and_clock
from taskmem_ros.recall.verbs import in_all_forms
from taskmem_ros.recall.when import time_asked

ORDERS = ("best", "newest", "oldest")
NEAR_M = 2.0  # what counts as the same place
INSTRUCTION = """\
You answer a question about what a robot has seen, from its memories alone; what you know of the world \
may help you to understand them, not take their place. Where they differ about how things are, the newest is \
right.
Reply with one JSON object and nothing else. Either answer, with the numbers of all memories that say it:
{"memories": [2, 5], "answer": "a short answer in the memories' own words"}
If no memory says it: {"memories": [], "answer": "not in memory"}"""
SEARCHING = """\
Or, where other memories are needed, search for them; every field may be left out:
{"search": {"words": "red mug", "since": "2026-01-05 09:00", "until": "yesterday evening", \
"near": 2, "order": "oldest"}}
words: what the memories say; other words for the same thing are worth a try. near: what was seen from where \
that memory was seen. order: best, newest or oldest. You may search {left} more {times}."""
LAST = "You have searched enough: answer now."


@dataclass(frozen=True)
class Wish:
    """A search that a reader asks for. near: the number of a memory read, or x and y in metres, or None."""

    words: str = ""
    since: str = ""
    until: str = ""
    near: int | tuple[float, float] | None = None
    order: str = "best"

    def __str__(self) -> str:
        said = {"words": self.words, "since": self.since, "until": self.until, "near": self.near}
        named = [f"{name} {value}" for name, value in said.items() if value not in ("", None)]
        return ", ".join([*named, f"{self.order} first"])


def searching_prompt(
    question: str,
    hits: Sequence[Found],
    choices: Sequence[str],
    timezone: dt.tzinfo | None,
    now_ns: int,
    searched: Sequence[str],
    left: int,
) -> str:
    """The user turn of one round. hits: numbered from 1 in this order. searched: what came of each search.

    left: how many more searches there may be.
    """
    may = SEARCHING.replace("{left}", str(left)).replace("{times}", "time" if left == 1 else "times")
    lines = [
        f"[{number}] {hit.memory.text} {_dated(hit.memory, timezone)}" for number, hit in enumerate(hits, 1)
    ]
    parts = [
        INSTRUCTION,
        may if left > 0 else LAST,
        f"Now it is {day_and_clock(now_ns, timezone)}.",
        "Memories:",
    ]
    return "\n".join([*parts, *(lines or ["none"]), *searched, question_line(question, choices)])


def parse_wish(reply: str) -> Wish | None:
    """The search that a reply asks for, None where it asks for none. What it says wrongly is left out."""
    text = reply.rpartition("</think>")[2].strip()
    parsed = json_repair.loads(text) if text else None
    asked = parsed.get("search") if isinstance(parsed, dict) else None
    if isinstance(asked, str):
        asked = {"words": asked}
    if not isinstance(asked, dict):
        return None
    words = asked.get("words") or asked.get("query") or ""
    if isinstance(words, list):
        words = " ".join(map(str, words))
    since, until = (str(asked.get(name) or "") for name in ("since", "until"))
    order = str(asked.get("order") or "best").lower()
    near = _near(asked.get("near"))
    return Wish(str(words), since, until, near, order if order in ORDERS else "best")


def look_again(
    search: Search,
    store: Store,
    wish: Wish,
    scope: Scope,
    read: Sequence[Found],
    limit: int,
    now: dt.datetime,
) -> tuple[list[Found], str]:
    """(up to `limit` memories that a wish finds and that were not read yet, a line on what came of it).

    scope: beyond which nothing is searched. now: the robot's clock, with its zone. Raises StoreError.
    """
    notes = []
    within, unread = _within(wish, scope, now)
    notes += [f"{text!r} is no time that can be read" for text in unread]
    near = _place(wish.near, read)
    if wish.near is not None and near is None:
        notes.append("where that was is not known")
    known = {hit.memory.id for hit in read}
    found = [
        hit
        for hit in _find(search, store, wish, within, near, limit + len(known))
        if hit.memory.id not in known
    ]
    news = found[:limit]
    first = len(read) + 1
    if not news:
        notes.append("nothing new")
    elif len(news) == 1:
        notes.append(f"memory {first}")
    else:
        notes.append(f"memories {first} to {first + len(news) - 1}")
    return news, f"Searched ({wish}): {'; '.join(notes)}."


def _find(
    search: Search, store: Store, wish: Wish, scope: Scope, near: Near | None, limit: int
) -> list[Found]:
    words = plain(wish.words)
    if wish.order == "best" or near is not None:
        hits = search(words, near=near, scope=scope, limit=limit, thumbnails=False)
        return hits if wish.order == "best" else _ordered(hits, wish.order)
    looked_for = tuple(in_all_forms(term) for term in terms(words))
    if not looked_for:
        memories = store.memories(
            scope.since_ns, scope.until_ns, scope.camera, limit, wish.order == "newest", thumbnails=False
        )
        return [Found(memory, 0.0, ()) for memory in memories]
    ids = [n for match in (all_of, any_of) for n in store.ids_matching(match(looked_for), 2000, scope)]
    memories = store.memories_of(dict.fromkeys(ids), thumbnails=False)
    return _ordered([Found(memory, 0.0, ()) for memory in memories.values()], wish.order)


def _ordered(hits: Sequence[Found], order: str) -> list[Found]:
    return sorted(hits, key=lambda hit: (hit.memory.start_ns, hit.memory.id), reverse=order == "newest")


def _within(wish: Wish, scope: Scope, now: dt.datetime) -> tuple[Scope, list[str]]:
    """The part of a scope that the wish's times leave, and what of them cannot be read."""
    unread = []
    for text, name in ((wish.since, "since_ns"), (wish.until, "until_ns")):
        if not text:
            continue
        stamp = _stamp(text, name, now)
        if stamp is None:
            unread.append(text)
            continue
        before = getattr(scope, name)
        narrower = max if name == "since_ns" else min
        scope = replace(scope, **{name: stamp if before is None else narrower(before, stamp)})
    return scope, unread


def _stamp(text: str, name: str, now: dt.datetime) -> int | None:
    try:
        at = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        said = time_asked(text, now)
        if said is None:
            return None
        first, second = (
            (said.since_ns, said.until_ns) if name == "since_ns" else (said.until_ns, said.since_ns)
        )
        return second if first is None else first
    at = at if at.tzinfo else at.replace(tzinfo=now.tzinfo)
    return int(at.timestamp()) * 10**9


def _near(value: object) -> int | tuple[float, float] | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.strip().isdigit():
        return int(value)
    if (
        isinstance(value, (list, tuple))
        and len(value) >= 2
        and all(isinstance(n, (int, float)) for n in value)
    ):
        return float(value[0]), float(value[1])
    return None


def _place(near: int | tuple[float, float] | None, read: Sequence[Found]) -> Near | None:
    if isinstance(near, tuple):
        return Near(*near, radius_m=NEAR_M)
    if near is None or not 1 <= near <= len(read) or read[near - 1].memory.pose is None:
        return None
    pose = read[near - 1].memory.pose
    return Near(pose.x, pose.y, pose.z, NEAR_M, pose.map_id or None, pose.frame_id)


def _dated(memory: Memory, timezone: dt.tzinfo | None) -> str:
    return (
        f"({day_and_clock(memory.start_ns, timezone)} to {clock(memory.end_ns, timezone)}, {memory.camera})"
    )
