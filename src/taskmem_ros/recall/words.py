"""Memories ranked by words: BM25 over a bounded pool, with a share of what stands beside in time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from taskmem_ros.memory import Store
from taskmem_ros.memory.index import Neighbour
from taskmem_ros.memory.scope import EVERYTHING, Scope
from taskmem_ros.memory.words import Term, TextMatcher, all_of, any_of
from taskmem_ros.recall.beside import beside

POOL = 240  # memories that are weighed
FEW_MATCHES = 5_000  # up to which the index itself weighs every match
PAIRED = 5  # rarest terms of which all pairs are looked for
SATURATION, LENGTH = 1.2, 0.3  # BM25's k1 and b; memories are short, and hardly any says a word twice
FROM_PREVIOUS, FROM_NEXT = 0.4, 0.2


@dataclass(frozen=True)
class WordHit:
    """A memory that words found.

    said: the terms it has, as they were written; () where only a neighbour has some. share: of the weight of
    all terms, 0..1.
    """

    id: int
    score: float
    said: tuple[str, ...]
    share: float


def rank_by_words(
    store: Store, looked_for: Sequence[Term], limit: int, scope: Scope = EVERYTHING
) -> list[WordHit]:
    """The memories of a scope that say most of what is looked for, rare words counting more, best first."""
    terms = tuple(looked_for)
    if not terms or limit <= 0:
        return []
    scope = store.narrowed(scope)  # once for all that follows
    frequency = _Frequencies(store, terms)
    pool = _pool(store, terms, frequency, scope)
    around = store.neighbours(pool, scope=scope)
    texts = {number: around[number].text for number in pool if number in around}
    having = TextMatcher(texts).matching(terms)
    required = [having[term] for term in terms if term.required]
    texts = {n: text for n, text in texts.items() if all(n in numbers for numbers in required)}
    shares = _shares(texts, terms, having, frequency)
    own = _bm25(texts, shares, sum(map(frequency.weight, terms)) or 1.0)
    scores = _with_neighbours(own, around) if not required else own
    hits = []
    for number, score in sorted(scores.items(), key=lambda pair: (-round(pair[1], 6), -pair[0]))[:limit]:
        said = tuple(term.text for term in terms if number in own and number in having[term])
        hits.append(WordHit(number, score, said, shares.get(number, 0.0)))
    return hits


class _Frequencies:
    """In how many memories each term is: counted where few, else estimated from the newest that have it."""

    def __init__(self, store: Store, terms: Sequence[Term]):
        self.total = max(1, store.watermark())
        self.newest = {term: store.ids_matching(term.match, POOL) for term in terms}

    def of(self, term: Term) -> float:
        found = self.newest[term]
        if len(found) < POOL:
            return len(found)
        return len(found) * self.total / (self.total - found[-1] + 1)

    def weight(self, term: Term) -> float:
        return math.log(1 + (self.total - self.of(term) + 0.5) / (self.of(term) + 0.5))


def _pool(store: Store, terms: tuple[Term, ...], frequency: _Frequencies, scope: Scope) -> list[int]:
    """Up to POOL ids that can be among the best: with rare terms all that have them, with common ones those
    that have all or two of them, and the newest.
    """
    rarest = sorted(terms, key=frequency.of)
    few, matches = [], 0.0
    for term in rarest:
        matches += frequency.of(term)
        if matches <= FEW_MATCHES:
            few.append(term)
    lists = [store.ids_by_bm25(any_of(few), POOL, scope)] if few else []
    if len(few) < len(terms):
        lists.insert(0, store.ids_matching(all_of(terms), POOL // 2, scope))
        lists += [
            store.ids_matching(all_of(pair), POOL // 4, scope) for pair in combinations(rarest[:PAIRED], 2)
        ]
        common = [term for term in terms if term not in few]
        lists += [store.ids_matching(term.match, POOL // 8, scope) for term in common]
    pool: dict[int, None] = {}
    for numbers in lists:
        pool.update(dict.fromkeys(numbers))
    return list(pool)[:POOL]


def _shares(
    texts: Mapping[int, str],
    terms: Sequence[Term],
    having: Mapping[Term, frozenset[int]],
    frequency: _Frequencies,
) -> dict[int, float]:
    """Of the weight of all terms, what a text has: 0..1."""
    shares, whole = dict.fromkeys(texts, 0.0), sum(map(frequency.weight, terms)) or 1.0
    for term in terms:
        part = frequency.weight(term) / whole
        for number in having[term]:
            if number in shares:
                shares[number] += part
    return shares


def _bm25(texts: Mapping[int, str], shares: Mapping[int, float], weight: float) -> dict[int, float]:
    """BM25 of texts, times the root of the share of the terms' weight that a text has."""
    words = {number: text.count(" ") + 1 for number, text in texts.items()}
    usual = sum(words.values()) / max(1, len(words))
    scores = {}
    for number, count in words.items():
        damped = (SATURATION + 1) / (1 + SATURATION * (1 - LENGTH + LENGTH * count / usual))
        scores[number] = shares[number] * weight * damped * math.sqrt(shares[number])
    return scores


def _with_neighbours(own: Mapping[int, float], around: Mapping[int, Neighbour]) -> dict[int, float]:
    """Every score with its part of the scores of the memories just before and just after."""
    scores = dict(own)
    for number, other, after in beside(own, around):
        part = FROM_PREVIOUS if after else FROM_NEXT
        scores[other] = scores.get(other, 0.0) + part * own[number]
    return scores
