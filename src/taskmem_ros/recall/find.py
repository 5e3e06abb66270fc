"""Which memories are read for a question."""

from __future__ import annotations

import math

from taskmem_ros.memory import Hit, Store, content_words

POOL = 100  # the best by BM25, and as many of the newest with any and with all words, are weighed
MAX_WEIGHED = 24  # words of a question; a longer one is cut


def find(
    store: Store,
    question: str,
    limit: int = 8,
    since_ns: int | None = None,
    until_ns: int | None = None,
    camera: str | None = None,
) -> list[Hit]:
    """The memories to read, best first: those with the question's words, filled up with the newest.

    score: 0..1, the share of the question's words that a memory has, rare words counting more. Memories with
    the same words are equally good, and the newest of them is first: most questions ask what was seen last.
    """
    span = {"since_ns": since_ns, "until_ns": until_ns, "camera": camera}
    # BM25 prefers short texts, so that of many sightings the newest may be far down its list.
    weighed = [hit.memory for hit in store.search(question, POOL, **span, thumbnails=False)]
    weighed += store.newest_with(question, POOL, **span)
    weighed += store.newest_with(question, POOL, **span, every=True)
    pool = {memory.id: memory for memory in weighed}
    scores = _shares(store, question, list(pool))
    best = sorted(pool.values(), key=lambda m: (-scores[m.id], -m.start_ns, -m.id))[:limit]
    if len(best) < limit:
        newest = store.memories(newest_first=True, limit=limit, **span, thumbnails=False)
        best += [memory for memory in newest if memory.id not in pool][: limit - len(best)]
    whole = [store.memory(memory.id) for memory in best]
    return [Hit(memory, scores.get(memory.id, 0.0)) for memory in whole if memory is not None]


def _shares(store: Store, question: str, numbers: list[int]) -> dict[int, float]:
    having = {word: store.having_word(word, numbers) for word in content_words(question)[:MAX_WEIGHED]}
    weights = {w: math.log(1 + (len(numbers) - len(h) + 0.5) / (len(h) + 0.5)) for w, h in having.items()}
    whole = sum(weights.values()) or 1.0
    return {n: round(sum(weights[w] for w, h in having.items() if n in h) / whole, 6) for n in numbers}
