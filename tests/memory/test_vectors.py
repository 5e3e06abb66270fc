"""Vectors: the nearest are those of an exact search, in any scope, whoever wrote and deleted them."""

import numpy as np
import pytest

from taskmem_ros.clips import Pose
from taskmem_ros.memory import Box, Memory, Scope, Store
from taskmem_ros.memory.codes import STRETCH
from taskmem_ros.memory.quantization import _fine, lengths, nearest, quantize

S = 1_000_000_000
COUNT, DIMENSIONS = 600, 64
VECTORS = np.random.default_rng(0).normal(size=(COUNT, DIMENSIONS)).astype(np.float32)
QUERY = VECTORS[300] + VECTORS[17]


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "memory.db") as opened:
        opened.use_encoder("random", DIMENSIONS)
        opened.add_memories(
            [
                Memory(
                    0, "ab"[index % 2], index // 100, index * S, (index + 1) * S, f"Number {index}.",
                    Pose("map", index % 20, index // 20, 0, 0, 0, 0, 1),
                )
                for index in range(COUNT)
            ]
        )  # fmt: skip
        opened.add_vectors(range(1, COUNT + 1), VECTORS)
        yield opened


def exact(allowed):
    """The ids of the memories whose index is allowed, nearest first."""
    cosines = VECTORS @ QUERY / np.linalg.norm(VECTORS, axis=1)
    return [int(index) + 1 for index in np.argsort(-cosines) if allowed(int(index))]


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (Scope(), lambda i: True),
        (Scope(since_ns=100 * S, until_ns=200 * S), lambda i: 100 <= i < 200),
        (Scope(camera="b"), lambda i: i % 2),
        (Scope(camera="b", since_ns=333 * S), lambda i: i % 2 and i >= 333),
        (Scope(episode=3), lambda i: i // 100 == 3),
        (Scope(box=Box(3, 10, 7, 20)), lambda i: 3 <= i % 20 <= 7 and 10 <= i // 20 <= 20),
        (
            Scope(box=Box(3, 10, 7, 20), until_ns=250 * S, camera="a"),
            lambda i: 3 <= i % 20 <= 7 and 10 <= i // 20 <= 20 and i < 250 and not i % 2,
        ),
        (Scope(first_id=11, last_id=20), lambda i: 10 <= i < 20),
        (Scope(since_ns=700 * S), lambda i: False),
    ],
)
def test_the_nearest_of_a_scope(store, scope, allowed):
    found = store.nearest(QUERY, 5, scope)
    best = exact(allowed)[:7]  # int8 changes the order of those that are nearly alike
    assert len(found) == min(5, len(best)) and {number for number, _ in found} <= set(best)
    assert all(-1 <= cosine <= 1 for _, cosine in found)


def test_what_another_process_writes_and_forgets_is_seen(store):
    with Store.open(store.path, read_only=True) as reader:
        assert reader.nearest(QUERY, 3) == store.nearest(QUERY, 3)
        (new,) = store.add_memories([Memory(0, "a", 0, 0, S, "New.")])
        store.add_vectors([new.id], QUERY[None])
        assert reader.nearest(QUERY, 1)[0][0] == store.nearest(QUERY, 1)[0][0] == new.id
        with store._connections.write() as db:
            db.execute("DELETE FROM memories WHERE id >= ?", [new.id - 500])
        for _ in range(2):
            best = set(exact(lambda i: i < COUNT - 500)[:7])
            assert {number for number, _ in reader.nearest(QUERY, 5)} <= best
            assert {number for number, _ in store.nearest(QUERY, 5)} <= best


def test_vectors_of_another_encoder_are_never_taken_for_the_first(store):
    with Store.open(store.path, read_only=True) as reader:
        assert len(reader.nearest(QUERY, 3)) == 3
        store.use_encoder("other", DIMENSIONS)
        assert reader.nearest(QUERY, 3) == store.nearest(QUERY, 3) == []
        store.add_vectors([5], -VECTORS[4][None])
        store.add_vectors([9], VECTORS[8][None])
        store.add_vectors([2], VECTORS[1][None])  # an older one later, as the indexer does
        assert [number for number, _ in store.nearest(VECTORS[1], 1)] == [2]
        assert {number for number, _ in store.nearest(QUERY, 9)} == {2, 5, 9}
        assert {number for number, _ in reader.nearest(QUERY, 9)} == {2, 5, 9}


def test_ids_may_be_far_apart(store):
    far = (STRETCH - 1, STRETCH, 5 * STRETCH + 7)
    with store._connections.write() as db:
        for number in far:
            db.execute(
                """INSERT INTO memories
                    (id, camera, episode, start_ns, end_ns, text, provenance_id, created_ns)
                    SELECT ?, 'a', 0, ?, ?, 'Far.', provenance_id, 0 FROM memories WHERE id = 1""",
                [number, number * S, number * S],
            )
    store.add_vectors(far, np.stack([QUERY, QUERY * 2, QUERY * 3]))
    for opened in (store, Store.open(store.path, read_only=True)):
        assert [number for number, _ in opened.nearest(QUERY, 4)] == [*far[::-1], exact(lambda i: True)[0]]
        assert [n for n, _ in opened.nearest(QUERY, 9, Scope(since_ns=STRETCH * S))] == [far[2], far[1]]
    opened.close()


def test_many_are_sifted_across_the_arrays_of_codes(store, monkeypatch):
    monkeypatch.setattr("taskmem_ros.memory.vectors.RESCORED", 40)
    first = STRETCH - COUNT // 2
    copies = [Memory(0, "a", 0, i * S, i * S, "Copy.") for i in range(COUNT)]
    with store._connections.write() as db:
        db.execute("DELETE FROM memories")
        db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'memories'", [first - 1])
    numbers = [memory.id for memory in store.add_memories(copies)]
    assert numbers[0] == first
    store.add_vectors(numbers, VECTORS)
    for opened in (store, Store.open(store.path, read_only=True)):
        found = [number - first + 1 for number, _ in opened.nearest(QUERY, 5)]
        assert set(found) <= set(exact(lambda i: True)[:7])
        among = opened.nearest(QUERY, 5, Scope(camera="a"))
        assert [number - first + 1 for number, _ in among] == found
    opened.close()


def test_a_scope_of_a_time_is_narrowed_to_its_ids(store):
    narrowed = store.narrowed(Scope(since_ns=100 * S, until_ns=200 * S))
    assert (narrowed.first_id, narrowed.last_id) == (100, 200)  # 100 ends at 100 s: perhaps one too many
    assert store.narrowed(Scope(episode=2)) == Scope(episode=2)
    nothing = store.narrowed(Scope(since_ns=10_000 * S))
    assert store.ids_matching("number", 10, nothing) == store.ids_by_bm25("number", 10, nothing) == []
    for number in (100, 200):
        scope = Scope(since_ns=number * S, until_ns=(number + 1) * S)
        assert (
            store.ids_matching("number", 10, scope) == store.ids_by_bm25("number", 10, scope) == [number + 1]
        )


def test_the_nearest_of_a_time_whose_memories_lie_between_others(store):
    early = [Memory(0, "a", 0, i * S, i * S, "Read later.") for i in range(2 * COUNT)]  # from a bag, say
    numbers = [memory.id for memory in store.add_memories(early)]
    store.add_vectors(numbers, np.tile(QUERY, (len(numbers), 1)))
    store.add_memories([Memory(0, "a", 0, 500 * S, 501 * S, "Newest.")])
    narrowed = store.narrowed(Scope(since_ns=500 * S, until_ns=505 * S))
    best = {number for number, _ in store.nearest(QUERY, 5, narrowed)}
    assert best == {COUNT + 1 + second for second in range(500, 505)}


def test_ten_bits_tell_apart_what_eight_do_not():
    exact = VECTORS @ QUERY / np.linalg.norm(VECTORS, axis=1) / np.linalg.norm(QUERY)

    def error(blobs):
        return np.mean(
            [abs(cosine - exact[number]) for number, cosine in nearest(blobs, range(COUNT), QUERY, 99)]
        )

    blobs = [quantize(vector) for vector in VECTORS]
    bare = [blob[: lengths(DIMENSIONS)[0]] for blob in blobs]  # as the first stores had them
    assert error(blobs) < 0.35 * error(bare) < 0.001
    assert [number for number, _ in nearest(blobs, range(COUNT), QUERY, 5)] == np.argsort(-exact)[:5].tolist()
    for vector in (np.zeros(DIMENSIONS), np.full(DIMENSIONS, np.nan)):
        with pytest.raises(ValueError, match="says nothing"):
            quantize(vector)


def test_a_quantized_number_is_within_an_eighth_of_a_step():
    for vector in VECTORS[:50]:
        blob, step = quantize(vector), np.abs(vector).max() / 127
        assert len(blob) == lengths(DIMENSIONS)[1]
        kept = _fine([blob], DIMENSIONS)[0] * np.frombuffer(blob[:4], np.float32)
        assert np.abs(kept - vector).max() <= step / 8 * 1.001
