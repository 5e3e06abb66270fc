"""What the demo model learns from: conversations about clips of the demo home and about memories of it.

Four kinds. "write": the memorizing prompt over a window, answered with a memory of some facts of the newest
clip, chosen evenly over their kinds and not among those already in memory. "list": everything the clip shows,
a dense exercise for the eyes. "read": the reading prompt over numbered memories, several questions in a row,
half of them without an answer and most of those a near miss. "drill": the same prompt over words without
sense, which nothing but finding and copying can answer. All of it follows from one seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timezone

import cv2
import numpy as np

from taskmem_ros.clips import Clip, Frame
from taskmem_ros.home import (
    FACT_KINDS,
    SAMPLE_TIMES_S,
    STEP_NS,
    Fact,
    HomeCamera,
    HomeSim,
    look_up,
    memory_text,
    near_misses,
    queries_about,
    random_query,
    visible_facts,
)
from taskmem_ros.home.things import COLOURS, DOOR, GARMENTS, KINDS, LIGHT, PEOPLE, ROOM_OF, ROOMS, SEATS
from taskmem_ros.policy.prompt import INSTRUCTION, PromptPart, memorize_parts, memory_reply
from taskmem_ros.recall.prompt import question_line, reading_prompt, reading_reply

LIST_INSTRUCTION = 'List everything seen in the newest clip. Reply as JSON: {"description": "..."}'
MAX_FACTS = 3
RECITING = 0.15  # share of reading turns that ask for a whole memory: copying is what reading is made of
TRAIN_SEEDS = 1_000_000  # worlds below are for training; the rest are never trained on


@dataclass(frozen=True)
class SeenClip:
    """A clip of the demo home, the facts that its frames show, what stands where in each (HomeCamera.marks),
    and what happens from one frame to the next (as many as frames; nothing from the last).
    """

    clip: Clip
    facts: tuple[Fact, ...]
    marks: tuple[list[tuple[str, float, float]], ...]
    events: tuple[tuple[Fact, ...], ...] = ()


@dataclass(frozen=True)
class Sample:
    """parts: the prompt. turns: replies, each but the last followed by the next question, as a chat.

    clips: the indices, in the stream, of the clips whose videos stand in the prompt.
    """

    kind: str
    parts: list[PromptPart]
    turns: list[tuple[str, str]]
    clips: tuple[int, ...] = ()


def watch(
    sim: HomeSim, first: int, count: int, rng: random.Random, size: tuple[int, int] | None = None
) -> list[SeenClip]:
    """`count` clips from step `first` on, as a camera at 2 Hz and the clip room's sampling give them.

    One in ten is short, as when the camera stalls. size: (width, height) to which frames are reduced at once.
    """
    camera = HomeCamera(sim)
    offset = rng.choice((0.0, 0.1, 0.25, 0.4, 0.5))
    seen = []
    for index in range(first, first + count):
        times = list(SAMPLE_TIMES_S)
        if rng.random() < 0.1:
            keep = rng.randint(1, 3)
            times = times[:keep] if rng.random() < 0.5 else times[-keep:]
        stamps = [index * STEP_NS + int((offset + s) * 1e9) for s in times]
        frames = []
        for stamp in stamps:
            image = camera.frame(stamp)
            if size is not None:
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            frames.append(Frame(stamp, "camera", image))
        clip = Clip("camera", 0, index * STEP_NS, (index + 1) * STEP_NS, tuple(frames))
        marks = tuple(camera.marks(stamp) for stamp in stamps)
        events = tuple(_events(sim, stamps[i : i + 2]) for i in range(len(stamps)))
        seen.append(SeenClip(clip, tuple(visible_facts(sim, stamps)), marks, events))
    return seen


def _events(sim: HomeSim, stamps: Sequence[int]) -> tuple[Fact, ...]:
    return tuple(fact for fact in visible_facts(sim, stamps) if fact.kind == "event" and len(stamps) == 2)


def choose_facts(facts: Sequence[Fact], known: set[Fact], rng: random.Random) -> list[Fact]:
    """Up to MAX_FACTS of a clip's facts, evenly over the kinds, those not yet known first."""
    left = [fact for fact in facts if fact not in known] or list(facts)
    wanted = rng.choices((1, 2, 3), (1, 2, 7))[0]
    chosen: list[Fact] = []
    while left and len(chosen) < min(wanted, MAX_FACTS):
        kind = rng.choice([kind for kind in FACT_KINDS if any(fact.kind == kind for fact in left)])
        fact = rng.choice([fact for fact in left if fact.kind == kind])
        chosen.append(fact)
        left.remove(fact)
    return chosen


def writing_samples(seen: Sequence[SeenClip], rng: random.Random) -> list[Sample]:
    """One "write" sample for each clip, with a window of one to five clips, as they follow each other."""
    samples, texts, stated = [], [], []
    for index, newest in enumerate(seen):
        size = min(index + 1, rng.choices((1, 2, 3, 4, 5), (3, 2, 2, 2, 6))[0])
        window = range(index + 1 - size, index + 1)
        known = {fact for i in window[:-1] for fact in stated[i]}
        facts = choose_facts(newest.facts, known, rng)
        texts.append(memory_text(facts, rng))
        stated.append(facts)
        parts = memorize_parts([seen[i].clip for i in window], [texts[i] for i in window[:-1]])
        samples.append(Sample("write", parts, [(memory_reply(texts[-1]), "")], tuple(window)))
    return samples


def listing_samples(seen: Sequence[SeenClip], rng: random.Random) -> list[Sample]:
    """One "list" sample for each clip, its facts in an order of their own."""
    samples = []
    for index, newest in enumerate(seen):
        facts = rng.sample(newest.facts, len(newest.facts))
        parts = memorize_parts([newest.clip], [], LIST_INSTRUCTION)
        samples.append(Sample("list", parts, [(memory_reply(memory_text(facts, rng)), "")], (index,)))
    return samples


def reading_sample(rng: random.Random, turns: int = 8, most: int = 8) -> Sample:
    """Questions about up to `most` memories: half of a home in which anything may lie anywhere, half of one
    that lives.
    """
    count = rng.randint(1, most)
    if rng.random() < 0.5:
        pool = _Pool(rng)
        stated = [pool.facts(rng) for _ in range(count)]
    else:
        stated = _lived(count, rng)
    memories = _dated([memory_text(facts, rng) for facts in stated], rng)
    asked = []
    for _ in range(turns):
        if rng.random() < RECITING:
            number = rng.randint(1, count)
            asked.append((_RECITE.format(number), (), reading_reply([number], memories[number - 1][1])))
            continue
        query = _query(stated, rng)
        finding = look_up(query, stated)
        answer = finding and finding.answer
        choices = _choices(answer, rng) if rng.random() < 0.12 else ()
        reply = reading_reply([finding.source + 1] if finding else [], answer)
        asked.append((query.text(rng), choices, reply))
    return _conversation("read", memories, asked)


def drill_sample(rng: random.Random, turns: int = 8, most: int = 2) -> Sample:
    """Finding and copying, with nothing to guess from: memories of words drawn at random.

    A turn recites a memory or tells what follows two neighbouring words; a third of those never stand side by
    side. Heads that match and copy form on these in a few hundred steps, which home-like text alone, easy to
    guess from its grammar, delays by thousands.
    """
    words = rng.sample(_WORDS, rng.randint(8, len(_WORDS)))
    texts = [rng.choices(words, k=rng.randint(4, 12)) for _ in range(rng.randint(1, most))]
    memories = _dated([" ".join(text) + "." for text in texts], rng)
    follows = {
        (text[i], text[i + 1]): (number, " ".join(text[i + 2 : i + 4]))
        for number, text in enumerate(texts, 1)
        for i in range(len(text) - 2)
    }
    asked = []
    for _ in range(turns):
        if rng.random() < 0.4:
            number = rng.randint(1, len(texts))
            asked.append((_RECITE.format(number), (), reading_reply([number], memories[number - 1][1])))
            continue
        pair = rng.choice(list(follows))
        if rng.random() < 0.33:
            pair = rng.choice([(pair[0], rng.choice(words)), (rng.choice(words), pair[1])])
        number, rest = follows.get(pair, (0, None))
        asked.append((f"What follows {' '.join(pair)}?", (), reading_reply([number] if number else [], rest)))
    return _conversation("drill", memories, asked)


_RECITE = "What does memory {} say?"
_SMALL_WORDS = ("is", "on", "the", "by", "in", "from", "put", "took", "open", "closed")
_WORDS = (*COLOURS, *KINDS, *PEOPLE, *GARMENTS, *ROOM_OF, *_SMALL_WORDS)


def _dated(texts: Sequence[str], rng: random.Random) -> list[tuple[int, str]]:
    start, step = rng.randrange(1_700_000_000, 1_800_000_000), rng.choice((10, 20, 60, 600, 7200))
    return [((start + i * step) * 1_000_000_000, text) for i, text in enumerate(texts)]


def _conversation(kind: str, memories: Sequence[tuple[int, str]], asked: Sequence[tuple]) -> Sample:
    """asked: (question, choices, reply) of every turn."""
    question, choices, _ = asked[0]
    prompt = reading_prompt(question, memories, choices, timezone.utc)
    following = [question_line(question, choices) for question, choices, _ in asked[1:]] + [""]
    return Sample(kind, [prompt], [(reply, after) for (_, _, reply), after in zip(asked, following)])


def corpus(seed: int, count: int) -> list[str]:
    """Texts in the demo home's language, prompts included, for the tokenizer."""
    rng = random.Random(f"corpus {seed}")
    texts = [INSTRUCTION, LIST_INSTRUCTION] * (count // 20)
    for _ in range(count):
        sample = reading_sample(rng, turns=4, most=4)
        texts += [part for part in sample.parts if isinstance(part, str)]
        texts += [text for turn in sample.turns for text in turn]
        texts += [part for part in memorize_parts([_blank()], texts[-1:]) if isinstance(part, str)]
        texts.append(memory_reply(memory_text(_Pool(rng).facts(rng), rng)))
        texts.append(f"<{rng.uniform(0, 50):.1f} seconds>")
    return texts


def _blank() -> Clip:
    return Clip("camera", 0, 0, 1, (Frame(0, "camera", np.zeros((32, 32, 3), np.uint8)),))


def _lived(count: int, rng: random.Random) -> list[list[Fact]]:
    """What memories of `count` clips in a row would state, without a look at them."""
    sim, first = HomeSim(rng.randrange(TRAIN_SEEDS)), rng.randrange(20)
    stated: list[list[Fact]] = []
    for index in range(first, first + count):
        facts = visible_facts(sim, [index * STEP_NS + int(s * 1e9) for s in SAMPLE_TIMES_S])
        stated.append(choose_facts(facts, {fact for facts in stated for fact in facts}, rng))
    return stated


class _Pool:
    """A few rooms, things and people, so that they recur and contradict each other, all else at random."""

    def __init__(self, rng: random.Random):
        self.rooms = rng.sample(list(ROOMS), rng.randint(1, 4))
        colours, kinds = rng.sample(COLOURS, rng.randint(1, 3)), rng.sample(KINDS, rng.randint(1, 3))
        self.things = [f"{colour} {kind}" for colour in colours for kind in kinds]
        self.people = rng.sample(PEOPLE, rng.randint(1, 4))

    def facts(self, rng: random.Random) -> list[Fact]:
        room = rng.choice(self.rooms)
        kinds = rng.choices(FACT_KINDS, k=rng.choices((1, 2, 3), (2, 3, 5))[0])
        return list(dict.fromkeys(self._fact(room, kind, rng) for kind in kinds))

    def _fact(self, room: str, kind: str, rng: random.Random) -> Fact:
        thing, person = rng.choice(self.things), rng.choice(self.people)
        piece = rng.choice(ROOMS[room].furniture)
        device = rng.choice((DOOR, LIGHT, ROOMS[room].device))
        opens = device in (DOOR, "cupboard", "window")
        if kind == "object":
            return Fact(room, kind, thing, "is", place=piece)
        if kind == "state":
            return Fact(room, kind, device, rng.choice(("open", "closed") if opens else ("on", "off")))
        if kind == "clothes":
            return Fact(room, kind, person, "wearing", f"{rng.choice(COLOURS)} {rng.choice(GARMENTS)}")
        if kind == "person":
            if piece in SEATS and rng.random() < 0.5:
                return Fact(room, kind, person, "sitting", place=piece)
            return Fact(room, kind, person, "standing", place=rng.choice((piece, DOOR)))
        verb = rng.choice(("put", "took", "carrying", "switched", "switched", "sat", "came", "left", "waved"))
        if verb in ("put", "took"):
            return Fact(room, kind, person, verb, thing, piece)
        if verb == "carrying":
            return Fact(room, kind, person, verb, thing)
        if verb == "switched":
            word = rng.choice(("opened", "closed") if opens else ("switched on", "switched off"))
            return Fact(room, kind, person, word, device)
        if verb == "sat" and piece in SEATS:
            return Fact(room, kind, person, verb, place=piece)
        return Fact(room, kind, person, verb if verb in ("came", "left") else "waved")


def _query(stated: Sequence[Sequence[Fact]], rng: random.Random):
    kind = rng.choice(FACT_KINDS)
    facts = [fact for facts in stated for fact in facts]
    queries = [query for fact in facts if fact.kind == kind for query in queries_about(fact)]
    queries = queries or [query for fact in facts for query in queries_about(fact)]
    draw = rng.random()
    if not queries or draw < 0.08:
        return random_query(rng)
    query = rng.choice(queries)
    if draw < 0.55:
        misses = [miss for miss in near_misses(query, rng) if look_up(miss, stated) is None]
        return misses[0] if misses else random_query(rng)
    return query


def _choices(answer: str | None, rng: random.Random) -> tuple[str, ...]:
    pool = [
        *(f"on the {piece} in the {room.name}" for room in ROOMS.values() for piece in room.furniture),
        *PEOPLE,
        *(f"the {colour} {kind}" for colour in COLOURS for kind in KINDS),
        *(f"a {colour} {garment}" for colour in COLOURS for garment in GARMENTS),
    ]
    others = [choice for choice in rng.sample(pool, rng.randint(2, 4)) if choice != answer]
    return tuple(rng.sample(others + [answer], len(others) + 1)) if answer else tuple(others)
