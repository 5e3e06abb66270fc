"""Searching by words, meaning, place and time: what is found, why, in which order, and that no input breaks
it.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from taskmem_ros.clips import Pose
from taskmem_ros.memory import Box, Scope, Store, content_words, terms
from taskmem_ros.recall import Near, Search, VectorIndexer

S = 1_000_000_000
DAY = 86_400 * S
TEXTS = (
    "Anna put the red mug on the kitchen counter.",
    "Ben opened the bathroom door and walked in.",
    "The lamp in the living room was switched on; nobody was there.",
    "Clara was wearing a yellow jacket while carrying boxes.",
    "The red mug stood on the desk in the study.",
)


class LetterEncoder:
    """A small real encoder: how often each letter stands in a text. Alike spelling is alike meaning to it."""

    name, dimensions = "letters", 64

    def encode(self, texts):
        vectors = np.zeros((len(texts), 64), np.float32)
        for row, text in zip(vectors, texts):
            for letter in text.lower():
                row[ord(letter) % 64] += 1
        return vectors - 0.5


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store.open(tmp_path_factory.mktemp("search") / "memory.db") as opened:
        for index, text in enumerate(TEXTS):
            # Days apart, so that none is beside another.
            opened.add_memory("ab"[index % 2], index, index * DAY, index * DAY + 10 * S, text)
        yield opened


def found(store, words, limit=8, **scope):
    return [hit.memory.id for hit in Search(store)(words, limit=limit, scope=Scope(**scope))]


def test_words_are_matched_by_their_stem(store):
    assert found(store, "Who opens doors?") == [2]
    assert found(store, "Did anybody carry a box?") == [4]
    assert sorted(found(store, "MUGS")) == [1, 5]


def test_a_search_says_why_and_its_scores_fall(store):
    hits = Search(store)("Where is the red mug in the study?")
    assert [hit.memory.id for hit in hits] == [5, 1]
    assert hits[0].score > hits[1].score > 0 and hits[0].share == pytest.approx(1.0)
    (reason,) = hits[0].reasons
    assert (reason.by, reason.rank, reason.detail) == ("words", 1, "red, mug, study")


def test_of_equal_matches_the_newest_is_first(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        for day in range(5):
            store.add_memory("a", 0, day * DAY, day * DAY, "The mug is here.")
        assert found(store, "mug", limit=2) == [5, 4]


def test_span_camera_episode_and_limit(store):
    assert found(store, "red mug", since_ns=2 * DAY) == [5]
    assert found(store, "red mug", until_ns=2 * DAY) == [1]
    assert found(store, "door", camera="a") == []
    assert found(store, "red mug", episode=4) == [5]
    assert len(found(store, "red mug", limit=1)) == 1
    assert found(store, "red mug", limit=0) == []


def test_phrases_must_be_there_and_beginnings_are_enough(store):
    assert found(store, '"red mug" study') == [5, 1]
    assert found(store, '"mug red"') == []
    assert found(store, "jack*") == [4] and found(store, "jack") == []
    assert found(store, '"kitchen counter" study') == [1]


def test_without_words_the_newest_and_without_any_word_nothing(store):
    assert found(store, "", limit=2) == [5, 4]
    assert found(store, " ", limit=2, camera="b") == [4, 2]
    assert found(store, "?!") == []


def test_what_stands_beside_a_match_is_found_after_it(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        for index, text in enumerate(
            ("Ben sat down.", "Anna came in.", "She put it on the desk.", "It is dark.")
        ):
            store.add_memory("a", 0, index * 10 * S, (index + 1) * 10 * S, text)
        store.add_memory("b", 0, 40 * S, 50 * S, "Anna came in.")
        assert found(store, "anna")[:2] == [5, 2] and found(store, "anna")[2] == 3
        assert 3 not in found(store, '"anna came"')
        assert found(store, "anna", camera="b") == [5]


def test_rare_words_count_more_where_common_ones_are_in_thousands(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        rows = [f"The mug is on the {('desk', 'shelf', 'table')[i % 3]}." for i in range(6000)]
        rows[17] = "The mug is on the piano."
        rows[23] = "The red mug is on the desk by the door."
        for index, text in enumerate(rows):
            store.add_memory("a", index, index * DAY, index * DAY, text)
        assert found(store, "mug piano")[0] == 18
        assert found(store, "is the red mug on the desk by the door")[0] == 24
        assert found(store, "mug desk", limit=3) == [5998, 5995, 5992]
        assert found(store, "mug desk", limit=2, until_ns=3000 * DAY) == [2998, 2995]


def test_meaning_finds_what_words_do_not(store, tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        for index, text in enumerate(TEXTS):
            store.add_memory("a", index, index * DAY, index * DAY, text)
        indexer = VectorIndexer(store, LetterEncoder())
        assert [indexer.step(2), indexer.step(2), indexer.step(2), indexer.step(2)] == [2, 2, 1, 0]
        store.add_memory("a", 5, 5 * DAY, 5 * DAY, "Anna put the red mugs in.")
        assert [indexer.step(), indexer.step()] == [1, 0]
        search = Search(store, LetterEncoder())
        assert Search(store)("benopened") == []
        best = search("Bens opens the bathrooms doors and walkeds in")[0]
        assert best.memory.id == 2 and {reason.by for reason in best.reasons} == {"words", "meaning"}
        only = search("benopenedthebathroomdoor")[0]
        assert only.memory.id == 2 and [reason.by for reason in only.reasons] == ["meaning"]
        assert [
            hit.memory.id for hit in search("benopenedthebathroomdoor", scope=Scope(since_ns=2 * DAY))
        ] != []
        assert all(h.memory.id > 2 for h in search("benopenedthebathroomdoor", scope=Scope(since_ns=2 * DAY)))
        with store._connections.write() as db:
            db["memories"].delete(2)
            assert db["vectors"].count_where("memory_id = 2") == 0
        assert all(hit.memory.id != 2 for hit in search("benopenedthebathroomdoor"))


def test_vectors_of_another_encoder_are_made_anew(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        store.add_memory("a", 0, 0, S, "A mug.")
        assert VectorIndexer(store, LetterEncoder()).step() == 1
        other = LetterEncoder()
        other.name = "other letters"
        indexer = VectorIndexer(store, other)
        assert store.encoder() == ("other letters", 64) and indexer.step() == 1
        # Vectors of two encoders are not compared.
        assert Search(store, LetterEncoder())("amug") == [] != Search(store, other)("amug")


def test_a_vector_that_could_not_be_made_is_made_later(tmp_path):
    class Failing(LetterEncoder):
        def encode(self, texts):
            raise RuntimeError("no room")

    with Store.open(tmp_path / "memory.db") as store:
        store.add_memory("a", 0, 0, S, "An older mug.")
        indexer = VectorIndexer(store, LetterEncoder())
        store.add_memory("a", 0, 2 * S, 3 * S, "A new mug.")
        working, indexer._encoder = indexer._encoder, Failing()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no room"):
                indexer.step()
        indexer._encoder = working
        assert [indexer.step(), indexer.step(), indexer.step()] == [1, 1, 0]


def test_the_nearest_vectors_are_those_of_an_exact_search(tmp_path):
    rng = np.random.default_rng(0)
    # As sentences have it: what matters is in fewer directions than there are numbers.
    directions = rng.normal(size=(24, 128))

    def draw(count):
        drawn = rng.normal(size=(count, 24)) @ directions + rng.normal(size=(count, 128))
        return drawn.astype(np.float32)

    vectors = draw(9000)
    with Store.open(tmp_path / "memory.db") as store:
        store.use_encoder("random", 128)
        with store._connections.write() as db:
            who = (
                db["provenance"]
                .insert({"model": "", "revision": "", "adapter": "", "prompt_hash": ""})
                .last_pk
            )
            db["memories"].insert_all(
                {"camera": "a", "episode": 0, "start_ns": i, "end_ns": i, "text": "x", "provenance_id": who,
                 "created_ns": 0}
                for i in range(9000)
            )  # fmt: skip
        for first in range(0, 9000, 3000):
            store.add_vectors(range(first + 1, first + 3001), vectors[first : first + 3000])
        alike = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

        def recall(forgotten=()):
            right = 0
            for query in draw(20):
                exact = [n + 1 for n in np.argsort(-(alike @ query)) if n + 1 not in forgotten][:10]
                right += len(set(exact) & {number for number, _ in store.nearest(query, 10)})
            return right / 200

        assert recall() >= 0.98
        with store._connections.write() as db:
            db.execute("DELETE FROM memories WHERE id BETWEEN 100 AND 5000")
        gone = range(100, 5001)
        assert recall(gone) >= 0.98
        with Store.open(store.path, read_only=True) as again:  # what another process reads from the file
            query = vectors[6000]
            assert again.nearest(query, 3) == store.nearest(query, 3)


def pose(x, y, z=0.0, **more):
    return Pose("map", x, y, z, 0.0, 0.0, 0.0, 1.0, **more)


def test_places(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        for index, (x, y) in enumerate([(0, 0), (1, 0), (5, 5), (0, 0), (1000, 1000)]):
            store.add_memory("a", 0, index * DAY, index * DAY, f"Place {index}.", pose=pose(x, y))
        store.add_memory("a", 0, 9 * DAY, 9 * DAY, "Nowhere.")
        store.add_memory("a", 0, 9 * DAY, 9 * DAY, "Upstairs.", pose=pose(0, 0, 3.0, map_id="up"))
        search = Search(store)
        nearest = search(near=Near(0.1, 0.0, z=0.0, map_id=""), limit=10)
        assert [hit.memory.id for hit in nearest] == [4, 1, 2, 3, 5]
        assert nearest[0].reasons[0].detail == "0.1 m away"
        assert [h.memory.id for h in search(near=Near(0, 0, radius_m=2.0))] == [7, 4, 1, 2]
        assert [h.memory.id for h in search(near=Near(0, 0, radius_m=2.0), scope=Scope(until_ns=DAY))] == [1]
        assert search(near=Near(50, 50, radius_m=1.0)) == []
        assert [h.memory.id for h in search(scope=Scope(box=Box(-1, -1, 2, 1)))] == [7, 4, 2, 1]
        assert [h.memory.id for h in search(scope=Scope(box=Box(-1, -1, 2, 1, max_z=1)))] == [4, 2, 1]
        assert [h.memory.id for h in search(scope=Scope(box=Box(-1, -1, 2, 1, map_id="up")))] == [7]
        both = search("place 1", near=Near(1.0, 0.0), limit=1)[0]
        assert both.memory.id == 2 and {reason.by for reason in both.reasons} == {"words", "place"}
        assert [h.memory.id for h in search("place", near=Near(0, 0, radius_m=0.5))] == [4, 1, 7]


def test_in_a_crowd_the_newest_is_nearest(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        with store._connections.write() as db:
            who = (
                db["provenance"]
                .insert({"model": "", "revision": "", "adapter": "", "prompt_hash": ""})
                .last_pk
            )
            rest = {"camera": "a", "episode": 0, "text": "x", "provenance_id": who, "created_ns": 0}
            rest |= {"frame_id": "map", "map_id": "", "y": 0.0, "z": 0.0, "qx": 0, "qy": 0, "qz": 0, "qw": 1}
            db["memories"].insert_all(
                rest | {"start_ns": i * 10 * S, "end_ns": i * 10 * S, "x": (i % 7) / 100}
                for i in range(10_000)
            )
        assert [hit.memory.id for hit in Search(store)(near=Near(0, 0), limit=3)] == [10_000, 9_999, 9_998]


@pytest.mark.parametrize("wrong", [{"x": math.nan}, {"radius_m": -1.0}, {"z": math.inf}])
def test_no_place(wrong):
    with pytest.raises(ValueError, match="finite"):
        Near(**({"x": 0.0, "y": 0.0} | wrong))


def test_no_box():
    with pytest.raises(ValueError, match="smaller number first"):
        Box(1, 0, 0, 1)


def test_stop_words_are_dropped_unless_there_is_nothing_else():
    assert content_words("Where did Anna put the red mug?") == ("anna", "put", "red", "mug")
    assert content_words("Who was it?") == ("who", "was", "it")
    assert content_words(" ... ") == ()
    assert [term.text for term in terms('the "red mug" umb* and boxes')] == ['"red mug"', "umb*", "boxes"]


HOSTILE = (
    "",
    " ",
    "\x00",
    '"',
    '""',
    "'",
    "*",
    "^",
    "(",
    ")",
    "a AND",
    "OR",
    "NOT",
    "NEAR(a b)",
    "NEAR",
    "text:mug",
    "-mug",
    "+mug",
    'mug" OR "x',
    "mug*",
    "{text}: mug",
    "'; DROP TABLE memories; --",
    "mug AND (",
    "%s%n",
    "\\",
    "_",
    "__",
    "\ud800 mug",
    "\U0001f600",
    "mug\x00mug",
    "١٢٣",
    "e\u0301",
    "日本語",
    "a" * 100_000,
    "mug " * 20_000,
    " ".join(f"w{i}" for i in range(5000)),
)


@pytest.mark.parametrize("words", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_is_a_syntax_error(store, words):
    for hit in Search(store)(words):
        assert hit.memory.id in range(1, 6)


def test_no_random_text_is_a_syntax_error(store):
    dice = random.Random(0)
    letters = "ab \"'*^():-+{}\\%_.,;?!\n\x00\u00e9\u4e2d NEAR AND OR NOT"
    for _ in range(300):
        Search(store)("".join(dice.choice(letters) for _ in range(dice.randrange(30))))


def test_the_word_index_follows_changes_and_deletions(tmp_path):
    with Store.open(tmp_path / "memory.db") as store:
        store.add_memory("a", 0, 0, S, "The umbrella is in the hall.")
        with store._connections.write() as db:
            db["memories"].update(1, {"text": "The kettle is in the hall."})
        assert (found(store, "umbrella"), found(store, "kettle")) == ([], [1])
        with store._connections.write() as db:
            db["memories"].delete(1)
        assert found(store, "kettle") == []
        assert store.check() == []
