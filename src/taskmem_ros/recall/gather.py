"""The memories to read for a question: the newest, or the oldest, or all, or what stands beside something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from taskmem_ros.memory import EVERYTHING, Memory, Scope, Store, all_of, plain, terms
from taskmem_ros.memory.words import Term
from taskmem_ros.recall.aim import AFTER, BEFORE, COUNT, HOW_LONG, LATEST, Aim, asks_when, statement_of
from taskmem_ros.recall.demands import demands
from taskmem_ros.recall.find import find
from taskmem_ros.recall.search import Found, Search
from taskmem_ros.recall.statements import saying
from taskmem_ros.recall.verbs import in_all_forms

MATCHES = 50_000  # ids of memories with all the words that are looked at
WEIGHED = 2_000  # of them, memories whose texts are read


@dataclass(frozen=True)
class Matches:
    """Memories with a statement that has all words looked for, by start. cut: there are more."""

    memories: tuple[Memory, ...] = ()
    said: dict[int, list[str]] | None = None
    cut: bool = False


@dataclass(frozen=True)
class Gathered:
    """hits: to be read, by start. matches: where the question is about all that say something. event: the
    memory of what it was before, after or during.
    """

    hits: tuple[Found, ...]
    matches: Matches = Matches()
    event: Found | None = None


def gather(
    search: Search, store: Store, question: str, aim: Aim, limit: int = 8, scope: Scope = EVERYTHING
) -> Gathered:
    """What to read for a question, whose aim was read. Raises StoreError."""
    event = None
    if aim.beside:
        event = _event(search, store, aim, scope)
        if event is None:  # nothing is known of it: whatever has the question's words
            return Gathered(by_start(find(search, store, question, limit, scope)))
        scope = _beside(event.memory, aim, scope)
    if aim.kind in (COUNT, HOW_LONG) or asks_when(aim):
        matches = matching(store, _all_words(statement_of(aim)), scope, oldest=aim.oldest)
        if matches.memories:
            return Gathered((), matches, event)
    if aim.kind == LATEST and not aim.beside:
        return Gathered(by_start(find(search, store, question, limit, scope)))
    if aim.open:
        hits = [Found(memory, 0.0, ()) for memory in _first_or_last(store, aim, limit, scope)]
    elif aim.oldest:
        hits = _oldest(search, store, aim.main, limit, scope)
    else:
        hits = find(search, store, aim.main, limit, scope)
    return Gathered(by_start(hits), event=event)


def matching(store: Store, words: Sequence[Term], scope: Scope, oldest: bool = False) -> Matches:
    """All memories of a scope that have all the words in one statement.

    Of more than WEIGHED that have the words anywhere, those written last, or first (oldest).
    """
    if not words:
        return Matches()
    ids = store.ids_matching(all_of(tuple(words)), MATCHES, scope)
    some = ids[-WEIGHED:] if oldest else ids[:WEIGHED]
    memories = store.memories_of(some, thumbnails=False)
    said = saying({number: memory.text for number, memory in memories.items()}, words)
    found = sorted((memories[number] for number in said), key=lambda memory: (memory.start_ns, memory.id))
    return Matches(tuple(found), said, len(some) < len(ids))


def by_start(hits: Sequence[Found]) -> tuple[Found, ...]:
    return tuple(sorted(hits, key=lambda hit: (hit.memory.start_ns, hit.memory.id)))


def whole(store: Store, memories: Sequence[Memory]) -> list[Found]:
    """Memories as what was found of them, with their pictures; without those that are gone meanwhile."""
    full = store.memories_of([memory.id for memory in memories])
    return [Found(full[memory.id], 1.0, (), 1.0) for memory in memories if memory.id in full]


def _all_words(text: str) -> list[Term]:
    return [in_all_forms(term) for term in terms(plain(text))]


def _event(search: Search, store: Store, aim: Aim, scope: Scope) -> Found | None:
    """The newest memory that says what happened; with "the first time", the oldest."""
    first = "first" in aim.event.lower().split()
    text = " ".join(word for word in aim.event.split() if word.lower() not in ("first", "last", "time"))
    every = Scope(camera=scope.camera, episode=scope.episode, box=scope.box)
    for where in dict.fromkeys((scope, every)):  # what it was before may lie outside the time asked about
        matches = matching(store, _all_words(text), where, oldest=first)
        if matches.memories:
            return whole(store, [matches.memories[0 if first else -1]])[0]
    named = demands(f"What about {text}").terms
    found = matching(store, named, every, oldest=first) if named else Matches()
    if found.memories:
        return whole(store, [found.memories[0 if first else -1]])[0]
    best = search(plain(text), scope=every, limit=1)
    return best[0] if best and any(reason.by == "meaning" for reason in best[0].reasons) else None


def _beside(event: Memory, aim: Aim, scope: Scope) -> Scope:
    if aim.beside == AFTER:
        since = event.end_ns if scope.since_ns is None else max(scope.since_ns, event.end_ns)
        return replace(scope, since_ns=since)
    end = event.start_ns if aim.beside == BEFORE else event.end_ns
    return replace(scope, until_ns=end if scope.until_ns is None else min(scope.until_ns, end))


def _first_or_last(store: Store, aim: Aim, limit: int, scope: Scope) -> list[Memory]:
    return store.memories(scope.since_ns, scope.until_ns, scope.camera, limit, newest_first=not aim.oldest)


def _oldest(search: Search, store: Store, question: str, limit: int, scope: Scope) -> list[Found]:
    """The oldest that speak of all that the question is about; then what else a search finds."""
    words = [in_all_forms(term) for term in demands(question).terms] or _all_words(question)
    first = whole(store, matching(store, words, scope, oldest=True).memories[:limit])
    known = {hit.memory.id for hit in first}
    more = [hit for hit in find(search, store, question, limit, scope) if hit.memory.id not in known]
    return [*first, *more][:limit]
