"""What benchmarks/recall.py remembers and asks: a made year of a robot on patrol.

A robot goes its round through a building, eight hours a day, and writes a memory every 10 s: a million are
347 days. Words are drawn as language has them (Zipf, 20,000 besides the small ones), more often those of what
stands where it is. A memory's vector is the weighted sum of its words' vectors with some noise, so that
alike texts are alike, in clusters, any two have something in common, and most of what tells them apart is in
few of the 384 directions: as all-MiniLM-L6-v2 has it of people's dialogues (mean cosine of two texts 0.33,
of the ten nearest of a thousand 0.65, of a question and the ten nearest texts 0.51; here 0.31, 0.58, 0.58).
Numpy only: the other systems' processes read the world from its folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

NS = 1_000_000_000
CLIP_S, DAY_S, HOURS_A_DAY = 10, 86_400, 8
FIRST_S = 1_767_225_600 + 8 * 3600  # 2026-01-01, eight o'clock
DIMENSIONS = 384
VOCABULARY, STATIONS, TOPIC_WORDS = 20_000, 40, 400
FEWEST, MOST = 10, 22  # content words of a memory
SPEED_M_S, WIDTH_M, DEPTH_M = 0.5, 60.0, 30.0
SPANS_S = (3600, DAY_S, 7 * DAY_S)  # of questions about a time
NEAR_M, AROUND_M = 2.0, 5.0  # radius of questions about a place, and of those about all together

_GLUE = "the|is on the|near the|and a|with a|beside the|of the|while the|has a|next to|in the|then".split("|")
_SYLLABLES = [c + v for c in "b d f g h k l m n p r s t v w st tr pl".split() for v in "a e i o u".split()]


@dataclass(frozen=True)
class Question:
    """text and vector (DIMENSIONS,) say the same. x, y: metres. since_ns, until_ns: the span asked about."""

    text: str
    vector: np.ndarray
    x: float
    y: float
    since_ns: int
    until_ns: int

    @property
    def week(self) -> tuple[int, int]:
        """The seven days around the span, for questions about all together."""
        middle, half = (self.since_ns + self.until_ns) // 2, 7 * DAY_S * NS // 2
        return middle - half, middle + half


class World:
    """The first `count` memories, and the questions, as files of a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def texts(self) -> list[str]:
        return (self.folder / "texts.txt").read_text().splitlines()

    @cached_property
    def vectors(self) -> np.ndarray:
        """(count, DIMENSIONS) float32, of length 1."""
        return np.load(self.folder / "vectors.npy", mmap_mode="r")

    @cached_property
    def places(self) -> np.ndarray:
        """(count, 2) float64, metres."""
        return np.load(self.folder / "places.npy", mmap_mode="r")

    @cached_property
    def questions(self) -> list[Question]:
        with np.load(self.folder / "questions.npz") as kept:
            columns = [kept[name].tolist() for name in ("text", "x", "y", "since", "until")]
            vectors = kept["vector"]
        return [Question(text, v, x, y, s, u) for v, text, x, y, s, u in zip(vectors, *columns)]

    def __len__(self) -> int:
        return len(self.places)


def start_ns(index: int) -> int:
    """When memory `index` (from 0) starts; it lasts CLIP_S."""
    day, clip = divmod(index, HOURS_A_DAY * 3600 // CLIP_S)
    return (FIRST_S + day * DAY_S + clip * CLIP_S) * NS


def make_world(folder: Path, count: int, extra: int, questions: int, seed: int = 0) -> World:
    """Write a world of `count` memories, of `extra` that come later, and of questions about the first."""
    folder.mkdir(parents=True, exist_ok=True)
    maker = _Maker(seed)
    whole = count + extra
    places, stations = maker.walk(whole)
    np.save(folder / "places.npy", places)
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(whole, DIMENSIONS)
    )
    asked_about = np.random.default_rng(seed + 1).integers(0, count, questions)
    words_of = {}
    with (folder / "texts.txt").open("w") as file:
        for first in range(0, whole, 2000):
            words = maker.words(stations[first : first + 2000])
            vectors[first : first + len(words)] = maker.vectors(words, noise=0.15)
            file.writelines(f"{maker.text(row)}\n" for row in words)
            for index in asked_about[(asked_about >= first) & (asked_about < first + len(words))]:
                words_of[int(index)] = words[index - first]
    vectors.flush()
    _write_questions(folder, maker, places, [(int(i), words_of[int(i)]) for i in asked_about])
    return World(folder)


def _write_questions(
    folder: Path, maker: _Maker, places: np.ndarray, about: Sequence[tuple[int, np.ndarray]]
) -> None:
    """Each question is about one memory: with four of its words, from about there and then."""
    dice = np.random.default_rng(2)
    texts, vectors, where, since, until = [], [], [], [], []
    for number, (index, words) in enumerate(about):
        some = dice.choice(np.unique(words[words < VOCABULARY]), 4, replace=False)
        a, b, c, d = (maker.vocabulary[word] for word in some)
        texts.append(f"Where was the {a} {b} when I saw the {c} with the {d}?")
        vectors.append(maker.vectors(some[None], noise=0.0)[0])
        where.append(places[index] + dice.normal(0, 0.5, 2))
        span = SPANS_S[number % len(SPANS_S)]
        begin = start_ns(index) // NS - int(dice.uniform(0, span))
        since.append(begin * NS)
        until.append((begin + span) * NS)
    x, y = np.array(where).T
    np.savez(
        folder / "questions.npz", text=texts, vector=np.array(vectors), x=x, y=y,
        since=np.array(since), until=np.array(until),
    )  # fmt: skip


class _Maker:
    def __init__(self, seed: int):
        self._dice = dice = np.random.default_rng(seed)
        made: dict[str, None] = {}
        while len(made) < VOCABULARY:
            made["".join(dice.choice(_SYLLABLES, dice.integers(2, 5)))] = None
        self.vocabulary = np.array(list(made), object)
        share = 1 / (np.arange(VOCABULARY) + 10.0)  # Zipf, without the small words, which are glue
        self._all = _cumulated(share)
        few = 1 / (np.arange(TOPIC_WORDS) + 5.0)
        self._few = _cumulated(few)
        self._topics = np.array(
            [dice.choice(VOCABULARY, TOPIC_WORDS, replace=False) for _ in range(STATIONS)]
        )
        # Directions that matter less and less, turned so that every number has a part of each.
        turned = np.linalg.qr(dice.normal(size=(DIMENSIONS, DIMENSIONS)))[0]
        spread = (np.arange(DIMENSIONS) + 4.0) ** -0.7
        table = (dice.normal(size=(VOCABULARY, DIMENSIONS)) * spread) @ turned
        table /= np.linalg.norm(table, axis=1, keepdims=True)
        rare = np.log(1 / share * share.sum())[:, None]
        self._table = np.vstack([table * rare, np.zeros((1, DIMENSIONS))]).astype(np.float32)
        self._common = np.float32(0.7) * turned[0].astype(np.float32)
        self._noise = (spread[:, None] * turned / np.linalg.norm(spread)).astype(np.float32)

    def walk(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Places (count, 2) on a round through all stations, and the nearer station of the two beside it."""
        stops = self._dice.uniform((0, 0), (WIDTH_M, DEPTH_M), (STATIONS, 2))
        legs = np.roll(stops, -1, axis=0) - stops
        ends = np.cumsum(np.linalg.norm(legs, axis=1))
        gone = (np.arange(count) * CLIP_S * SPEED_M_S) % ends[-1]
        leg = np.searchsorted(ends, gone, side="right")
        part = 1 - (ends[leg] - gone) / np.linalg.norm(legs, axis=1)[leg]
        places = stops[leg] + part[:, None] * legs[leg] + self._dice.normal(0, 0.15, (count, 2))
        return places, (leg + (part > 0.5)) % STATIONS

    def words(self, stations: np.ndarray) -> np.ndarray:
        """Content words (memories, MOST); VOCABULARY fills up."""
        dice, shape = self._dice, (len(stations), MOST)
        anywhere = np.searchsorted(self._all, dice.random(shape))
        here = self._topics[stations[:, None], np.searchsorted(self._few, dice.random(shape))]
        words = np.where(dice.random(shape) < 0.5, here, anywhere)
        lengths = dice.integers(FEWEST, MOST + 1, len(stations))
        return np.where(np.arange(MOST) < lengths[:, None], words, VOCABULARY)

    def vectors(self, words: np.ndarray, noise: float) -> np.ndarray:
        """(texts, DIMENSIONS) float32 of length 1."""
        sums = self._table[words].sum(axis=1)
        sums = sums / np.linalg.norm(sums, axis=1, keepdims=True) + self._common
        if noise:
            sums += noise * (self._dice.normal(size=sums.shape).astype(np.float32) @ self._noise)
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)

    def text(self, words: np.ndarray) -> str:
        """Sentences of about six content words, with small words between."""
        parts: list[str] = []
        for place, word in enumerate(self.vocabulary[words[words < VOCABULARY]]):
            glue = _GLUE[(7 * len(word) + 5 * place) % len(_GLUE)] if place % 6 else ". The"
            parts += [glue, word]
        return " ".join(parts)[2:].replace(" .", ".") + "."


def _cumulated(shares: np.ndarray) -> np.ndarray:
    summed = np.cumsum(shares)
    return summed / summed[-1]
