"""Facts in words and back: how a memory of the demo home reads, and what a memory that reads so states.

A memory names its room once: "In the kitchen, the red mug is on the counter and Anna is wearing a blue coat.
The tv is on." Every wording here can be read back; a clause that cannot is a statement that nothing supports.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from taskmem_ros.home.facts import Fact
from taskmem_ros.home.things import COLOURS, DEVICES, GARMENTS, KINDS, PEOPLE, ROOM_OF, ROOMS, SEATS

_THING = rf"(?P<target>(?:{'|'.join(COLOURS)}) (?:{'|'.join(KINDS)}))"
_WHO = rf"(?P<subject>{'|'.join(PEOPLE)})"
_PIECE = rf"(?P<place>{'|'.join(ROOM_OF)})"
_SEAT = rf"(?P<place>{'|'.join(SEATS)})"
_NEAR = rf"(?P<place>{'|'.join((*ROOM_OF, 'door'))})"
_DEVICE = rf"(?:{'|'.join(DEVICES)})"
_CLOTHES = rf"(?P<target>(?:{'|'.join(COLOURS)}) (?:{'|'.join(GARMENTS)}))"
_SUBJECT_THING = _THING.replace("target", "subject")

_SWITCHED = ("opened", "closed", "switched on", "switched off")
_STATES = ("open", "closed", "on", "off")
# (kind, verb, or the verbs that the wording itself names, wording, reading). Wordings of one fact are
# equal choices.
_WORDINGS: tuple[tuple[str, str | tuple[str, ...], str, str], ...] = (
    ("object", "is", "the {subject} is on the {place}", rf"the {_SUBJECT_THING} is on the {_PIECE}"),
    ("object", "is", "a {subject} is on the {place}", rf"a {_SUBJECT_THING} is on the {_PIECE}"),
    ("object", "is", "there is a {subject} on the {place}", rf"there is a {_SUBJECT_THING} on the {_PIECE}"),
    ("person", "standing", "{subject} is standing by the {place}", rf"{_WHO} is standing by the {_NEAR}"),
    ("person", "standing", "{subject} stands by the {place}", rf"{_WHO} stands by the {_NEAR}"),
    ("person", "sitting", "{subject} is sitting on the {place}", rf"{_WHO} is sitting on the {_SEAT}"),
    ("clothes", "wearing", "{subject} is wearing a {target}", rf"{_WHO} is wearing a {_CLOTHES}"),
    ("clothes", "wearing", "{subject} wears a {target}", rf"{_WHO} wears a {_CLOTHES}"),
    (
        "event",
        "put",
        "{subject} put the {target} on the {place}",
        rf"{_WHO} put the {_THING} on the {_PIECE}",
    ),
    (
        "event",
        "took",
        "{subject} took the {target} from the {place}",
        rf"{_WHO} took the {_THING} from the {_PIECE}",
    ),
    ("event", "carrying", "{subject} is carrying the {target}", rf"{_WHO} is carrying the {_THING}"),
    ("event", "sat", "{subject} sat down on the {place}", rf"{_WHO} sat down on the {_SEAT}"),
    ("event", "came", "{subject} came in", rf"{_WHO} came in"),
    ("event", "left", "{subject} went out", rf"{_WHO} went out"),
    ("event", "waved", "{subject} waved", rf"{_WHO} waved"),
    (
        "event",
        _SWITCHED,
        "{subject} {verb} the {target}",
        rf"{_WHO} (?P<verb>{'|'.join(_SWITCHED)}) the (?P<target>{_DEVICE})",
    ),
    (
        "state",
        _STATES,
        "the {subject} is {verb}",
        rf"the (?P<subject>{_DEVICE}) is (?P<verb>{'|'.join(_STATES)})",
    ),
)
_READINGS = tuple((kind, verb, re.compile(pattern)) for kind, verb, _, pattern in _WORDINGS)
_ROOM = re.compile(rf"In the (?P<room>{'|'.join(ROOMS)}), ")
_JOINTS = re.compile(r", | and |\. ")


def clause(fact: Fact, rng: random.Random | None = None) -> str:
    """One fact in words, without its room; rng chooses the wording (None: the first)."""
    wordings = [
        words
        for kind, verb, words, _ in _WORDINGS
        if kind == fact.kind and (fact.verb == verb or (isinstance(verb, tuple) and fact.verb in verb))
    ]
    words = wordings[0] if rng is None else rng.choice(wordings)
    return words.format(subject=fact.subject, verb=fact.verb, target=fact.target, place=fact.place)


def memory_text(facts: Sequence[Fact], rng: random.Random | None = None) -> str:
    """Facts of one room as one or two sentences."""
    clauses = [clause(fact, rng) for fact in facts]
    split = len(clauses)
    if len(clauses) > 2 or (len(clauses) == 2 and (rng is None or rng.random() < 0.5)):
        split = len(clauses) - 1 if rng is None else rng.randint(1, len(clauses) - 1)
    text = f"In the {facts[0].room}, {_join(clauses[:split])}."
    if rest := clauses[split:]:
        second = _join(rest)
        text += f" {second[0].upper()}{second[1:]}."
    return text


def read_memory(text: str) -> tuple[list[Fact], list[str]]:
    """(the facts that a text states, the clauses that are no statement about the demo home).

    A text that names no room of the home is one unreadable clause.
    """
    opening = _ROOM.match(text)
    if opening is None:
        return [], [text]
    facts, unread = [], []
    for part in _JOINTS.split(text[opening.end() :].removesuffix(".")):
        fact = _read_clause(opening["room"], part)
        if fact is None:
            unread.append(part)
        else:
            facts.append(fact)
    return facts, unread


def _read_clause(room: str, words: str) -> Fact | None:
    for candidate in (words, words[:1].lower() + words[1:]):
        for kind, verb, reading in _READINGS:
            if found := reading.fullmatch(candidate):
                groups = found.groupdict()
                return Fact(
                    room,
                    kind,
                    groups["subject"],
                    groups.get("verb") or verb,
                    groups.get("target") or "",
                    groups.get("place") or "",
                )
    return None


def _join(clauses: Sequence[str]) -> str:
    return clauses[0] if len(clauses) == 1 else ", ".join(clauses[:-1]) + " and " + clauses[-1]
