"""Whether memories say an answer: nothing else may be given as its evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from taskmem_ros.memory import STOP_WORDS, TextMatcher, content_words
from taskmem_ros.memory.words import Term
from taskmem_ros.recall.demands import demands
from taskmem_ros.recall.search import Found
from taskmem_ros.recall.statements import saying, statements
from taskmem_ros.recall.verbs import in_all_forms

# Words of an answer that are the reader's way to put it, not what is said.
_MANNER = frozenset(
    """yes no one ones seen last first latest currently located found still already around about approximately
    probably according memory memories time times ago later earlier minutes seconds hours days""".split()
)
_LIST = re.compile(r",?\s+and\s+|,\s+")


class Support:
    """Judges answers to one question.

    exact: the answer's words must stand in one statement with the people, things and the deed that the
    question names. Else the memories together must have the answer's words and the names, and of the things
    what memory has a word for: a reader that knows language may call a cup a mug.
    """

    def __init__(self, question: str, exact: bool):
        self._demands, self.exact = demands(question), exact

    @property
    def subject(self) -> tuple[Term, ...]:
        """What a memory must speak of to have anything to say about the question."""
        return self._demands.terms

    def evidence(self, answer: str, cited: Sequence[Found], read: Sequence[Found]) -> list[Found]:
        """The memories that say the answer: of those cited, else the newest of those read; else []."""
        for exact in (True, False)[: 1 if self.exact else 2]:
            alone = [hit for hit in cited if self._says(answer, [hit], read, exact)]
            if alone:
                return alone
        if not self.exact and cited and self._says(answer, cited, read, False):
            return list(cited)
        alone = [hit for hit in read if self._says(answer, [hit], read, True)]
        return alone[-1:]

    def speaking(self, hits: Sequence[Found]) -> list[Found]:
        """Those that speak of all that the question is about, in one statement."""
        if not self.subject:
            return []
        speaking = saying(_texts(hits), self.subject)
        return [hit for hit in hits if hit.memory.id in speaking]

    def _says(self, answer: str, hits: Sequence[Found], read: Sequence[Found], exact: bool) -> bool:
        if exact:
            said = [statement for hit in hits for statement in statements(hit.memory.text)]
            demanded = self._demands.terms
        else:
            said = [" ".join(hit.memory.text for hit in hits)]
            known = TextMatcher(_texts(read)).matching([w for thing in self._demands.things for w in thing])
            things = [w for thing in self._demands.things for w in thing if any(known[x] for x in thing)]
            demanded = (*self._demands.names, *things)
        return all(_one_has(said, (*demanded, *words)) for words in self._parts(answer, said, demanded))

    def _parts(self, answer: str, said: Sequence[str], demanded: Sequence[Term]) -> list[tuple[Term, ...]]:
        """The words that must stand together: all of the answer's, or of each of what it lists."""
        whole = _words(answer)
        if not whole:
            # "yes": the memory must speak of what was asked; "it" says nothing at all.
            manner = set(re.findall(r"[a-z]+", answer.lower())) & _MANNER
            return [()] if manner and demanded else [(Term("", '""'),)]
        if _one_has(said, (*demanded, *whole)):
            return [whole]
        return [words for part in _LIST.split(answer) if (words := _words(part))]


def _words(answer: str) -> tuple[Term, ...]:
    """What an answer says, apart from its manner. A state is said by a stop word alone: "on", "off"."""
    words = [word for word in content_words(answer) if word not in _MANNER]
    if all(word in STOP_WORDS for word in words):
        words = [word for word in words if word in ("on", "off", "in", "out", "up", "down", "under", "over")]
    return tuple(in_all_forms(Term(word, f'"{word}"')) for word in words)


def _one_has(texts: Sequence[str], terms: Sequence[Term]) -> bool:
    numbered = dict(enumerate(texts))
    if any(term.text == "" for term in terms):
        return False
    having = TextMatcher(numbered).matching(set(terms))
    return any(all(number in having[term] for term in terms) for number in numbered)


def _texts(hits: Sequence[Found]) -> dict[int, str]:
    return {hit.memory.id: hit.memory.text for hit in hits}
