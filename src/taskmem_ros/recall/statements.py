"""What a memory says, one statement at a time.

"In the kitchen, the mug is on the table and Anna waved. She sat down." is two statements, both of the
kitchen: where the mug is; and what Anna did, the second sentence included, for it goes on about her. Words of
one statement belong together; words of one memory need not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from taskmem_ros.memory import TextMatcher
from taskmem_ros.memory.words import Term
from taskmem_ros.recall.verbs import PAST

_LEAD = re.compile(
    r"(?:in|at|on|near|by|inside|outside|behind|under|beside|next to|from|during)\s[^,.;]{1,60},\s+",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_JOINT = re.compile(r"(,?\s+(?:and|but|while|whereas)\s+|,\s+)", re.IGNORECASE)
_SUBJECT = re.compile(
    r"(?:the|an?|there|this|that|these|those|some|another|one|two|three|several|many|somebody|someone|nobody"
    r"|(?-i:[A-Z])[\w'’-]*)\b",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"(?:the|an?|some|these|those|several|many|two|three)\b", re.IGNORECASE)
_GOES_ON = re.compile(
    r"\b(?:he|she|it|they|him|them|himself|herself|itself|themselves|who|which)\b", re.IGNORECASE
)
_BEING = frozenset(
    "is are was were am be has have had does do did can could will would isn aren wasn weren".split()
)
_DENIED = re.compile(r"\b(?:not|never|nobody|no|without|none)\b|n['’]t\b", re.IGNORECASE)


def statements(text: str) -> list[str]:
    """The statements of a memory in order, each with the phrase that says where or when all of it is."""
    lead = _LEAD.match(text)
    opening = lead[0] if lead else ""
    found: list[str] = []
    for sentence in _SENTENCE.split(text[len(opening) :]):
        pieces = _JOINT.split(sentence)
        said = pieces[0]
        parts = []
        for joint, piece in zip(pieces[1::2], pieces[2::2]):
            if _is_clause(piece) and _has_verb(said):
                parts.append(said)
                said = piece
            else:
                said += joint + piece
        parts.append(said)
        for part in parts:
            if found and _GOES_ON.search(part):
                found[-1] += f" {part}"
            elif part.strip():
                found.append(opening + part)
    return found


def saying(texts: Mapping[int, str], terms: Iterable[Term], denied: bool = False) -> dict[int, list[str]]:
    """Which texts have all the terms in one statement, and those statements.

    denied: also statements that deny something ("Anna did not open the door").
    """
    looked_for = list(terms)
    every = [(number, said) for number, text in texts.items() for said in statements(text)]
    having = TextMatcher({index: said for index, (_, said) in enumerate(every)}).matching(looked_for)
    found: dict[int, list[str]] = {}
    for index, (number, said) in enumerate(every):
        if all(index in having[term] for term in looked_for) and (denied or not _DENIED.search(said)):
            found.setdefault(number, []).append(said)
    return found


def goes_on(statement: str) -> bool:
    """Whether it says what lasts ("is sitting", "is open") and not what was done ("sat down", "waved")."""
    return any(
        word in ("is", "are", "was", "were", "stands", "sits", "lies", "wears", "holds") or _is_doing(word)
        for word in re.findall(r"[a-z]+", statement.lower())
    )


def _is_clause(piece: str) -> bool:
    return bool(_SUBJECT.match(piece)) and _has_verb(piece) and not _GOES_ON.search(piece)


def _has_verb(piece: str) -> bool:
    words = re.findall(r"[^\W\d_]+", piece)
    for index, word in enumerate(words):
        lower = word.lower()
        if lower in _BEING or (index and (lower in PAST or lower.endswith("ed") or _is_doing(lower))):
            return True
        # "Anna picks it up", "the lamp stands there"; but in "the glasses" the last word is a thing.
        if 0 < index < len(words) - 1 and lower.endswith("s") and not lower.endswith("ss"):
            return True
    return len(words) == 2 and words[0].istitle() and not _ARTICLE.match(piece) and words[1].endswith("s")


def _is_doing(word: str) -> bool:
    return word.endswith("ing") and len(word) > 4 and word not in _THINGS


_THINGS = frozenset(
    "thing something anything everything nothing morning evening ceiling building living during".split()
)
