"""Which memories are read for a question."""

from __future__ import annotations

from dataclasses import replace

from taskmem_ros.memory import EVERYTHING, Scope, Store, all_of, plain, terms
from taskmem_ros.recall.search import Found, Search

WEIGHED = 50  # memories that a search finds


def find(
    search: Search, store: Store, question: str, limit: int = 8, scope: Scope = EVERYTHING
) -> list[Found]:
    """The memories of a scope to read, best first.

    Half of them are the newest that have every word of the question, for most questions ask what was seen
    last; then come those that the search finds, and the newest of all.
    """
    asked = plain(question)
    words = terms(asked)
    newest = store.ids_matching(all_of(words), (limit + 1) // 2, scope) if words else []
    found = {
        hit.memory.id: hit for hit in search(asked, scope=scope, limit=max(limit, WEIGHED), thumbnails=False)
    }
    best = list(dict.fromkeys([*newest, *found]))[:limit]
    if len(best) < limit:
        latest = store.ids_in(scope, limit)
        best = list(dict.fromkeys([*best, *latest]))[:limit]
    memories = store.memories_of(best)
    hits = []
    for number in best:
        if number in memories:  # it may have been forgotten meanwhile
            hit = found.get(number) or Found(memories[number], 0.0, (), float(number in newest))
            hits.append(replace(hit, memory=memories[number]))
    return hits
