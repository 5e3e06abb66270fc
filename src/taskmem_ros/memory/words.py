"""From what people write to FTS5 expressions that cannot be a syntax error."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TOKENIZER = "tokenize = 'porter unicode61'"  # as memories_fts has it
MAX_WORDS = 64  # of a question; more words only slow the search down

# Words that hold a question together and say nothing about what it is about.
STOP_WORDS = frozenset(
    """a about after again all am an and any anybody anyone anything are aren as at be because been before
    being both but by can could couldn d did didn do does doesn doing don during each ever few for from
    further had has hasn have haven having he her here hers him his how i if in into is isn it its itself just
    ll m many me more most much my no nor not now of off on once only or other our out over own please re
    remember s same saw see seen shall she should so some somebody someone something such t tell than that the
    their them then there these they this those through time to too under until up us ve very was wasn we were
    weren what when where which while who whom whose why will with would you your""".split()
)


def content_words(text: str) -> tuple[str, ...]:
    """The words of a text that say what it is about: lower case, in order, each once, at most MAX_WORDS.

    A text of stop words only ("who was it?") gives all its words; a text without any word gives ().
    """
    words = tuple(dict.fromkeys(re.findall(r"[^\W_]+", text.lower())))
    return (tuple(word for word in words if word not in STOP_WORDS) or words)[:MAX_WORDS]


@dataclass(frozen=True)
class Term:
    """Something to look for in texts.

    text: as it was written. match: the FTS5 expression for it. required: whether nothing without it is found.
    """

    text: str
    match: str
    required: bool = False


_QUOTED = re.compile(r'"([^"]*)"')
_PREFIX = re.compile(r"(?<![^\W_])([^\W_]+)\*")  # from a word's start only, or a long word takes for ever


def plain(question: str) -> str:
    """A question without the signs of a query: nothing in it is required, a phrase or a beginning."""
    return question.replace('"', " ").replace("*", " ")


def terms(text: str) -> tuple[Term, ...]:
    """What a search looks for: content words in any form of their stem, `mug*` for words that begin so, and
    "red mug" in quotes for words side by side, which must be there.
    """
    found = []
    for quoted in _QUOTED.findall(text):
        words = re.findall(r"[^\W_]+", quoted.lower())
        if words:
            found.append(Term(f'"{quoted.strip()}"', _quote(" ".join(words)), required=True))
    rest = _QUOTED.sub(" ", text)
    for start in _PREFIX.findall(rest):
        found.append(Term(f"{start}*", f"{_quote(start.lower())} *"))
    rest = _PREFIX.sub(" ", rest)
    if re.search(r"[^\W_]", rest):
        found += [Term(word, _quote(word)) for word in content_words(rest)]
    return tuple(dict.fromkeys(found))[:MAX_WORDS]


def any_of(looked_for: tuple[Term, ...]) -> str:
    """The FTS5 expression for texts with at least one of the terms."""
    return " OR ".join(term.match for term in looked_for)


def all_of(looked_for: tuple[Term, ...]) -> str:
    """The FTS5 expression for texts with every one of the terms."""
    return " AND ".join(term.match for term in looked_for)


class TextMatcher:
    """Which of some texts have which terms, exactly as the store's own word index would say.

    For some hundred texts at hand this is much quicker than asking that index about each of them.
    """

    def __init__(self, texts: Mapping[int, str]):
        self._index = sqlite3.connect(":memory:")
        self._index.execute(
            f"CREATE VIRTUAL TABLE texts USING fts5 (text, content = '', columnsize = 0, {TOKENIZER})"
        )
        self._index.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", sorted(texts.items()))

    def matching(self, looked_for: Iterable[Term]) -> dict[Term, frozenset[int]]:
        """The numbers of the texts that have each term."""
        sql = "SELECT rowid FROM texts WHERE texts MATCH ?"
        return {
            term: frozenset(row[0] for row in self._index.execute(sql, [term.match])) for term in looked_for
        }


def _quote(words: str) -> str:
    return f'"{words}"'
