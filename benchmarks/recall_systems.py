"""The systems that benchmarks/recall.py compares, each with the same few methods.

Every way of asking gives the indices (from 0) of up to ten memories, best first, whose texts were read too.
None: the system has no such way.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from recall_world import AROUND_M, CLIP_S, DIMENSIONS, NEAR_M, NS, Question, World, start_ns

LIMIT = 10
KINDS = {
    "words": "words",
    "meaning": "meaning",
    "filtered": "meaning, of a week and a place",
    "place": "place",
    "time": "time",
    "together": "words, meaning, place, week",
}


class _System:
    def ready(self) -> None:
        """What is to be done before it is asked."""

    def add_one(self, index: int) -> float:
        """Seconds until it was added."""
        began = time.perf_counter()
        self.add([index])
        return time.perf_counter() - began


class TaskMem(_System):
    """This project's store and search. Adding is durable: on the disk when it returns."""

    kinds = tuple(KINDS)

    def __init__(self, folder: Path, world: World):
        from taskmem_ros.memory import Store
        from taskmem_ros.recall import Search

        self._world, self._vectors = world, {}
        self.store = Store.open(folder / "memory.db")
        self.name, self.dimensions = "made", DIMENSIONS
        self.store.use_encoder(self.name, DIMENSIONS)
        self._plain, self._search = Search(self.store), Search(self.store, self)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """An encoder that takes no time: what encoding takes is the same for all systems, and not theirs."""
        return np.stack([self._vectors[text] for text in texts])

    def add(self, indices: range) -> None:
        from taskmem_ros.memory import Memory

        memories = [Memory(0, *self._row(index)) for index in indices]
        numbers = [memory.id for memory in self.store.add_memories(memories)]
        self.store.add_vectors(numbers, self._world.vectors[indices.start : indices.stop])

    def add_one(self, index: int) -> float:
        """As the agent does: the memory, and its vector when there is time. Seconds until it was durable."""
        began = time.perf_counter()
        memory = self.store.add_memory(*self._row(index)[:5], pose=self._row(index)[5])
        durable = time.perf_counter() - began
        self.store.add_vectors([memory.id], self._world.vectors[index][None])
        return durable

    def _row(self, index: int) -> tuple:
        from taskmem_ros.clips import Pose

        start, (x, y) = start_ns(index), self._world.places[index]
        pose = Pose("map", float(x), float(y), 0.0, 0.0, 0.0, 0.0, 1.0)
        return "front", 0, start, start + CLIP_S * NS, self._world.texts[index], pose

    def words(self, asked: Question) -> list[int]:
        return _indices(self._plain(asked.text, limit=LIMIT, thumbnails=False))

    def meaning(self, asked: Question) -> list[int]:
        return self._nearest(asked)

    def filtered(self, asked: Question) -> list[int]:
        from taskmem_ros.memory import Scope

        return self._nearest(asked, Scope(*asked.week, box=_near(asked, AROUND_M).box(AROUND_M)))

    def _nearest(self, asked: Question, *scope) -> list[int]:
        numbers = [number for number, _ in self.store.nearest(asked.vector, LIMIT, *scope)]
        kept = self.store.memories_of(numbers, thumbnails=False)
        return [kept[number].id - 1 for number in numbers]

    def place(self, asked: Question) -> list[int]:
        return _indices(self._plain(near=_near(asked, NEAR_M), limit=LIMIT, thumbnails=False))

    def time(self, asked: Question) -> list[int]:
        from taskmem_ros.memory import Scope

        scope = Scope(asked.since_ns, asked.until_ns)
        return _indices(self._plain(scope=scope, limit=LIMIT, thumbnails=False))

    def together(self, asked: Question) -> list[int]:
        from taskmem_ros.memory import Scope

        self._vectors[asked.text] = asked.vector
        near, scope = _near(asked, AROUND_M), Scope(*asked.week)
        return _indices(self._search(asked.text, near=near, scope=scope, limit=LIMIT, thumbnails=False))

    def close(self) -> None:
        self.store.close()


def _near(asked: Question, radius: float):
    from taskmem_ros.recall import Near

    return Near(asked.x, asked.y, radius_m=radius)


def _indices(hits: Sequence) -> list[int]:
    return [hit.memory.id - 1 for hit in hits]


class EMem(_System):
    """eMEM's store under its tools, as they call it; larger than its default of 100,000 where it must be.

    Adding is not durable: SQLite without an fsync, and the index of vectors is written by `close`. It has no
    search by words. "filtered" is its search by meaning with its filters of time and place, which are applied
    to what is nearest of all; it finds less than there is.
    """

    kinds = ("meaning", "place", "time", "filtered")

    def __init__(self, folder: Path, world: World):
        from emem.config import SpatioTemporalMemoryConfig
        from emem.store import MemoryStore

        self._world = world
        most = max(100_000, len(world) + 1)
        self.store = MemoryStore(
            SpatioTemporalMemoryConfig(
                str(folder / "memory.db"), str(folder / "hnsw.bin"), DIMENSIONS, hnsw_max_elements=most
            )
        )

    def add(self, indices: Sequence[int]) -> None:
        from emem.types import ObservationNode

        self.store.add_observations_batch(
            [
                ObservationNode(
                    text=self._world.texts[index],
                    coordinates=np.array([*self._world.places[index], 0.0]),
                    timestamp=start_ns(index) / NS,
                    id=f"{index:032x}",
                    embedding=self._world.vectors[index],
                )
                for index in indices
            ]
        )

    def meaning(self, asked: Question) -> list[int]:
        return self._numbers(self.store.semantic_search_by_vector(asked.vector, LIMIT))

    def place(self, asked: Question) -> list[int]:
        return self._numbers(self.store.spatial_query(_centre(asked), NEAR_M, n_results=LIMIT))

    def time(self, asked: Question) -> list[int]:
        span = (asked.since_ns / NS, asked.until_ns / NS)
        return self._numbers(self.store.temporal_query(span, n_results=LIMIT))

    def filtered(self, asked: Question) -> list[int]:
        since, until = asked.week
        where = {"spatial_center": _centre(asked), "spatial_radius": AROUND_M}
        span = (since / NS, until / NS)
        return self._numbers(
            self.store.semantic_search_by_vector(asked.vector, LIMIT, time_range=span, **where)
        )

    def _numbers(self, found: Sequence) -> list[int]:
        return [int(observation.id, 16) for observation in found]

    def close(self) -> None:
        self.store.close()


def _centre(asked: Question) -> np.ndarray:
    return np.array([asked.x, asked.y, 0.0])


class Milvus(_System):
    """Milvus Lite, as ReMEmbR uses Milvus, with BM25 beside the vectors and indices on time and place.

    "place" and "time" are queries with a filter (a square; in no order). "together" is its hybrid search:
    words and meaning, each with the filter, fused by RRF.
    """

    kinds = tuple(KINDS)
    _NAME = "memories"

    def __init__(self, folder: Path, world: World):
        from pymilvus import MilvusClient

        self._world = world
        self.client = MilvusClient(str(folder / "milvus.db"))
        if not self.client.has_collection(self._NAME):
            self._make()

    def ready(self) -> None:
        self.client.load_collection(self._NAME)

    def _make(self) -> None:
        from pymilvus import DataType, Function, FunctionType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("text", DataType.VARCHAR, max_length=65535, enable_analyzer=True)
        schema.add_field("said", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSIONS)
        for name in ("x", "y", "start"):
            schema.add_field(name, DataType.DOUBLE)
        schema.add_function(Function("bm25", FunctionType.BM25, ["text"], ["said"]))
        indices = self.client.prepare_index_params()
        indices.add_index("said", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        graph = {"M": 16, "efConstruction": 200}  # as eMEM's
        indices.add_index("vector", index_type="HNSW", metric_type="COSINE", params=graph)
        for name in ("x", "y", "start"):
            indices.add_index(name, index_type="INVERTED")
        self.client.create_collection(self._NAME, schema=schema, index_params=indices)

    def add(self, indices: Sequence[int]) -> None:
        rows = [
            {
                "id": index,
                "text": self._world.texts[index],
                "vector": self._world.vectors[index],
                "x": float(self._world.places[index][0]),
                "y": float(self._world.places[index][1]),
                "start": start_ns(index) / NS,
            }
            for index in indices
        ]
        self.client.insert(self._NAME, rows)

    def words(self, asked: Question) -> list[int]:
        return self._found("said", asked.text, {})

    def meaning(self, asked: Question) -> list[int]:
        return self._found("vector", asked.vector, {"ef": 50})  # as eMEM's

    def place(self, asked: Question) -> list[int]:
        return self._queried(_square(asked, NEAR_M))

    def time(self, asked: Question) -> list[int]:
        return self._queried(_span(asked.since_ns, asked.until_ns))

    def together(self, asked: Question) -> list[int]:
        from pymilvus import AnnSearchRequest, RRFRanker

        where = _around(asked)
        requests = [
            AnnSearchRequest([asked.vector], "vector", {"params": {"ef": 50}}, 200, expr=where),
            AnnSearchRequest([asked.text], "said", {}, 200, expr=where),
        ]
        (hits,) = self.client.hybrid_search(
            self._NAME, requests, RRFRanker(), limit=LIMIT, output_fields=["text"]
        )
        return [hit["id"] for hit in hits]

    def filtered(self, asked: Question) -> list[int]:
        return self._found("vector", asked.vector, {"ef": 50}, filter=_around(asked))

    def _found(self, field: str, what: object, parameters: dict, **more: str) -> list[int]:
        (hits,) = self.client.search(
            self._NAME,
            [what],
            anns_field=field,
            limit=LIMIT,
            output_fields=["text"],
            search_params={"params": parameters},
            **more,
        )
        return [hit["id"] for hit in hits]

    def _queried(self, where: str) -> list[int]:
        return [row["id"] for row in self.client.query(self._NAME, where, ["text"], limit=LIMIT)]

    def close(self) -> None:
        self.client.flush(self._NAME)
        self.client.close()


def _span(since_ns: int, until_ns: int) -> str:
    return f"start >= {since_ns / NS!r} and start < {until_ns / NS!r}"


def _around(asked: Question) -> str:
    return f"{_span(*asked.week)} and {_square(asked, AROUND_M)}"


def _square(asked: Question, radius: float) -> str:
    x, y = asked.x, asked.y
    return f"x >= {x - radius} and x <= {x + radius} and y >= {y - radius} and y <= {y + radius}"


SYSTEMS = {"taskmem": TaskMem, "eMEM": EMem, "Milvus Lite": Milvus}
