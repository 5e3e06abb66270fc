"""From a question in plain language to an FTS5 query that cannot be a syntax error."""

from __future__ import annotations

import re

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


def fts_query(words: tuple[str, ...], every: bool = False) -> str:
    """The FTS5 query for texts with at least one of the words, or with every one.

    Each is quoted, so none is read as an operator.
    """
    return (" AND " if every else " OR ").join('"' + word.replace('"', '""') + '"' for word in words)
