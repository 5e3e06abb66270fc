"""What a memory must speak of to answer a question: the things and people named, and the deed asked about.

"Who put the red mug on the table?" can only be answered by what speaks of putting, a red mug and a table;
"Which clothes is Anna wearing?" by what speaks of Anna, whatever it calls clothes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from taskmem_ros.memory import STOP_WORDS
from taskmem_ros.memory.words import Term
from taskmem_ros.recall.verbs import PAST, in_all_forms

_DETERMINERS = frozenset(
    "the a an this that these those my your his her its their our any some another".split()
)
_AUXILIARY = frozenset(
    "is are was were am be been do does did has have had can could will would should".split()
)
_ENDS = (
    STOP_WORDS
    | _AUXILIARY
    | frozenset(
        "near beside behind inside outside next onto open closed shut empty full ago last first".split()
    )
)
_PARTICLES = frozenset("on off up down in out away back".split())
_PRONOUNS = frozenset("i you we he she it they me us him them".split())
_LONGEST = 4  # words of one thing: "the big red coffee mug"


@dataclass(frozen=True)
class Demands:
    """names: of people and the like. things: the words of each. deed: the verb, if one is asked about."""

    names: tuple[Term, ...] = ()
    things: tuple[tuple[Term, ...], ...] = ()
    deed: tuple[Term, ...] = ()

    @property
    def terms(self) -> tuple[Term, ...]:
        words = (*self.names, *(word for thing in self.things for word in thing), *self.deed)
        return tuple(dict.fromkeys(words))


def demands(question: str) -> Demands:
    """What a question in plain English is about."""
    words = re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*|[^\w\s]", question)
    words = [part for word in words for part in _without_s(word)]
    words = _without_kind(words)
    names, things = [], []
    index = 0
    while index < len(words):
        word = words[index]
        if word.lower() in _DETERMINERS or word == "'s":
            thing = _thing(words[index + 1 :])
            if thing:
                things.append(tuple(_term(part) for part in thing))
            index += len(thing)
        elif index and word[0].isupper() and word != "I":
            names.append(_term(word))
        index += 1
    return Demands(tuple(names), tuple(things), _deed(words))


def _thing(words: list[str]) -> list[str]:
    """The words that follow a determiner and name a thing: "red mug" of "the red mug that Anna took"."""
    found: list[str] = []
    for word in words[:_LONGEST]:
        lower = word.lower()
        doing = lower in PAST or lower.endswith(("ed", "ing"))
        if not word[0].isalnum() or lower in _ENDS or (found and doing):
            break
        found.append(word)
    return found


def _deed(words: list[str]) -> tuple[Term, ...]:
    """ "put" of "Who put ...?" and of "What did Anna put ...?"; "switched on" with its particle."""
    lower = [word.lower() for word in words]
    if lower[:1] == ["who"]:
        at = 2 if lower[1:2] and lower[1] in ("has", "have", "had") else 1
    elif "did" in lower and lower.index("did") + 2 < len(lower):
        at = lower.index("did") + 2
        if lower[at - 1] in _PRONOUNS | _DETERMINERS:  # "did you see", "did the cat ..."
            return ()
    else:
        return ()
    verb = lower[at] if at < len(lower) else ""
    if not verb.isalpha() or verb in STOP_WORDS or verb in _AUXILIARY or verb in ("last", "first", "ever"):
        return ()
    term = in_all_forms(_term(verb))
    if lower[at + 1 : at + 2] and lower[at + 1] in _PARTICLES and lower[at + 2 : at + 3] != ["?"]:
        return (term, Term(lower[at + 1], f'NEAR("{verb}" "{lower[at + 1]}", 4)'))
    return (term,)


def _without_kind(words: list[str]) -> list[str]:
    """Without what the answer is asked to be: "room" of "In which room was Anna?"."""
    lower = [word.lower() for word in words]
    for at, word in enumerate(lower):
        if word in ("which", "what") or (word == "how" and lower[at + 1 : at + 2] in (["many"], ["much"])):
            end = at + 1
            while end < len(lower) and lower[end] not in _AUXILIARY and words[end][0].isalnum():
                end += 1
            if end < len(lower) and lower[end] in _AUXILIARY:
                return words[: at + 1] + words[end:]
    return words


def _without_s(word: str) -> list[str]:
    owner = re.fullmatch(r"(.+)['’]s", word)
    return [owner[1], "'s"] if owner else [word]


def _term(word: str) -> Term:
    return Term(word.lower(), f'"{word.lower()}"')
