"""Search over memories: words, meaning and place, each a ranked list of its own, fused into one.

Time, camera, episode and a box say which memories may be found at all. The lists are fused by reciprocal
ranks (Cormack et al., SIGIR 2009): a memory that two ways find is better than one that a single way finds,
and no way's scores need comparing with another's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from taskmem_ros.memory import Memory, Store
from taskmem_ros.memory.scope import EVERYTHING, Scope
from taskmem_ros.memory.words import terms
from taskmem_ros.recall.beside import beside
from taskmem_ros.recall.encoder import Encoder
from taskmem_ros.recall.place import Near, rank_by_place
from taskmem_ros.recall.types import Reason
from taskmem_ros.recall.words import WordHit, rank_by_words

RANKED = 200  # of every list
DAMPING = 10  # RRF's k: how much the first ranks are worth against the later ones
# Where meaning is searched, too, the best lend a part of their worth to what stands beside them in time.
LENDING, FROM_PREVIOUS, FROM_NEXT = 100, 0.3, 0.15
# How much a rank in each list counts.
WEIGHTS = {"words": 1.0, "meaning": 0.7, "place": 1.0, "time": 1.0}


@dataclass(frozen=True)
class Found:
    """A memory that a search found.

    score: 0..1, 1 where every way of searching has it first; compares within one search. reasons: best first.
    share: of the words looked for, rare ones counting more, that it has: 0..1.
    """

    memory: Memory
    score: float
    reasons: tuple[Reason, ...]
    share: float = 0.0


class Search:
    """Searches one store. Safe in any thread.

    encoder: None searches without meaning. Vectors are made by a `VectorIndexer`; a memory that has none
    yet is found by its words, place and time.
    """

    def __init__(self, store: Store, encoder: Encoder | None = None):
        self._store, self._encoder = store, encoder

    def __call__(
        self,
        text: str = "",
        *,
        near: Near | None = None,
        scope: Scope = EVERYTHING,
        limit: int = 10,
        thumbnails: bool = True,
    ) -> list[Found]:
        """The best memories of a scope for a text (words, `begin*`, "side by side") and a place, best first.

        With neither text nor place: the newest; a text without any word finds nothing. Raises StoreError.
        """
        if limit <= 0 or (text.strip() and not terms(text) and near is None):
            return []
        lists: dict[str, list[tuple[int, str]]] = {}
        allowed: set[int] | None = None
        shares: dict[int, float] = {}
        looked_for = terms(text)
        if looked_for:
            scope = self._store.narrowed(scope)  # once for all ways of searching
        depth = max(RANKED, limit)
        if looked_for:
            hits = rank_by_words(self._store, looked_for, depth, scope)
            lists["words"] = [(hit.id, _said(hit)) for hit in hits]
            shares = {hit.id: hit.share for hit in hits}
            if any(term.required for term in looked_for):
                allowed = {hit.id for hit in hits}
        if looked_for and self._encoder is not None and self._has_vectors():
            vector = self._encoder.encode([text])[0]
            nearest = self._store.nearest(vector, depth, scope)
            lists["meaning"] = [(number, f"{cosine:.2f} alike") for number, cosine in nearest]
        if near is not None:
            places = rank_by_place(self._store, near, depth, scope)
            lists["place"] = [(number, f"{metres:.1f} m away") for number, metres in places]
            if near.radius_m is not None:  # asked for, as a quoted phrase is
                inside = {number for number, _ in places}
                allowed = inside if allowed is None else allowed & inside
        if not lists:
            lists["time"] = [(number, "newest") for number in self._store.ids_in(scope, limit)]
        scores, reasons = _fused(lists, allowed)
        if "meaning" in lists and allowed is None:
            self._lend(scores, reasons, scope)
        most = sum(WEIGHTS[by] for by in lists) / (DAMPING + 1)
        best = sorted(scores, key=lambda number: (-scores[number], -number))[:limit]
        memories = self._store.memories_of(best, thumbnails=thumbnails)
        return [
            Found(
                memories[number],
                round(min(1.0, scores[number] / most), 6),
                tuple(sorted(reasons[number], key=lambda reason: reason.rank)),
                shares.get(number, 0.0),
            )
            for number in best
            if number in memories  # it may have been forgotten meanwhile
        ]

    def _lend(self, scores: dict[int, float], reasons: dict[int, list[Reason]], scope: Scope) -> None:
        """Give the neighbours in time of the best a part of their scores."""
        own = {n: scores[n] for n in sorted(scores, key=lambda number: -scores[number])[:LENDING]}
        around = self._store.neighbours(list(own), scope=scope)
        rank = {number: place for place, number in enumerate(own, 1)}
        for number, other, after in beside(own, around):
            scores[other] = scores.get(other, 0.0) + (FROM_PREVIOUS if after else FROM_NEXT) * own[number]
            if other not in reasons:
                reasons[other] = [Reason("time", rank[number], f"beside memory {number}")]

    def _has_vectors(self) -> bool:
        """Whether the store's vectors, if any, are this encoder's: those of another cannot be compared."""
        return self._store.encoder() == (self._encoder.name, self._encoder.dimensions)


def _fused(
    lists: Mapping[str, Sequence[tuple[int, str]]], allowed: set[int] | None
) -> tuple[dict[int, float], dict[int, list[Reason]]]:
    """Scores and reasons by memory id, of all that the lists have and is allowed."""
    scores: dict[int, float] = {}
    reasons: dict[int, list[Reason]] = {}
    for by, ranked in lists.items():
        for rank, (number, detail) in enumerate(ranked, 1):
            if allowed is None or number in allowed:
                scores[number] = scores.get(number, 0.0) + WEIGHTS[by] / (DAMPING + rank)
                reasons.setdefault(number, []).append(Reason(by, rank, detail))
    return scores, reasons


class VectorIndexer:
    """Makes the vectors that memories lack: of new ones as they come, of older ones newest first.

    Vectors of another encoder are dropped. Not for several threads at once.
    """

    def __init__(self, store: Store, encoder: Encoder):
        self._store, self._encoder = store, encoder
        store.use_encoder(encoder.name, encoder.dimensions)
        self._newest = store.watermark()
        self._left: int | None = self._newest  # of the older ones, up to this id; None when all are done

    def step(self, batch: int = 64) -> int:
        """Make up to `batch` vectors. Returns how many; 0 when there is nothing to do."""
        rows = self._store.without_vector(batch, above=self._newest)
        newest, left = max((number for number, _ in rows), default=self._newest), self._left
        if not rows and left is not None:
            rows = self._store.without_vector(batch, upto=left)
            left = min(number for number, _ in rows) - 1 if rows else None
        if rows:
            vectors = self._encoder.encode([text for _, text in rows])
            self._store.add_vectors([number for number, _ in rows], vectors)
        self._newest, self._left = newest, left  # what failed is tried again
        return len(rows)


def _said(hit: WordHit) -> str:
    return ", ".join(hit.said) if hit.said else "beside a memory that says it"
