"""Questions about the demo home, and what a list of observations has to say about them.

One function, `look_up`, answers from observations, newest first. Given what the camera saw it is the truth;
given what memories state it is the answer that a perfect reader would find in them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from taskmem_ros.home.facts import FACT_KINDS, Fact, visible_facts
from taskmem_ros.home.language import clause
from taskmem_ros.home.queries import SWITCHING, Query
from taskmem_ros.home.things import (
    COLOURS,
    DEVICES,
    DOOR,
    GARMENTS,
    KINDS,
    LIGHT,
    OPENING,
    PEOPLE,
    ROOM_OF,
    ROOMS,
    state_word,
)
from taskmem_ros.home.world import STEP_NS, HomeSim

SAMPLE_TIMES_S = (0.0, 2.5, 5.0, 7.5)  # the frames of a 10 s clip at the default sampling rate
QUESTION_KINDS = FACT_KINDS  # a question is of the kind of the facts that answer it
Observation = Sequence[Fact]


@dataclass(frozen=True)
class Finding:
    """What observations say: the answer, and the index of the observation it comes from."""

    answer: str
    source: int


@dataclass(frozen=True)
class HomeQuestion:
    """text: what is asked. answer: the truth as far as the camera has seen it; None: it never saw it."""

    text: str
    kind: str
    answer: str | None
    query: Query = field(compare=False)


def look_up(query: Query, observations: Sequence[Observation]) -> Finding | None:
    """The newest answer that observations (oldest first) have, None where they have none."""
    for index in range(len(observations) - 1, -1, -1):
        if answer := _answer(query, observations[index]):
            return Finding(answer, index)
    return None


def _answer(query: Query, facts: Observation) -> str | None:
    form, about = query.form, query.about
    if form == "who_in":
        names = list(dict.fromkeys(f.subject for f in facts if f.room == about[0] and f.subject in PEOPLE))
        return " and ".join(names) or None
    # The last fact of an observation is the latest: what was done stands before what was done next.
    return next((answer for fact in reversed(facts) if (answer := _from_fact(form, about, fact))), None)


def _from_fact(form: str, about: tuple[str, ...], fact: Fact) -> str | None:
    """What one fact says about a query, if anything."""
    if form == "where_thing":
        if (
            fact.kind == "object"
            and fact.subject == about[0]
            or fact.verb == "put"
            and fact.target == about[0]
        ):
            return f"on the {fact.place} in the {fact.room}"
        return (
            f"with {fact.subject}" if fact.verb in ("took", "carrying") and fact.target == about[0] else None
        )
    if form == "where_person":
        return f"in the {fact.room}" if fact.subject == about[0] else None
    if form == "wears":
        return f"a {fact.target}" if fact.kind == "clothes" and fact.subject == about[0] else None
    if form == "who_took":
        return fact.subject if fact.verb == "took" and fact.target == about[0] else None
    if form == "who_put":
        return fact.subject if fact.verb == "put" and (fact.target, fact.place) == about else None
    if form == "who_switched":
        return fact.subject if (fact.verb, fact.target, fact.room) == about else None
    if form == "what_put":
        return f"the {fact.target}" if fact.verb == "put" and (fact.subject, fact.place) == about else None
    if form == "what_carries":
        carried = fact.verb in ("carrying", "took") and fact.subject == about[0]
        return f"the {fact.target}" if carried else None
    if form == "what_did":
        done = fact.kind == "event" and (fact.subject, fact.room) == about
        return clause(fact).removeprefix(f"{fact.subject} ").removeprefix("is ") if done else None
    if (fact.subject, fact.room) == about and fact.kind == "state":
        return fact.verb
    if (fact.target, fact.room) == about and fact.verb in SWITCHING:
        return SWITCHING[fact.verb]
    return None


def queries_about(fact: Fact) -> list[Query]:
    """Everything that can be asked so that this fact answers it."""
    queries = []
    if fact.subject in PEOPLE:
        queries += [Query("where_person", (fact.subject,)), Query("who_in", (fact.room,))]
    if fact.kind == "event":
        queries.append(Query("what_did", (fact.subject, fact.room)))
    if fact.kind == "object":
        queries.append(Query("where_thing", (fact.subject,)))
    elif fact.kind == "clothes":
        queries.append(Query("wears", (fact.subject,)))
    elif fact.kind == "state":
        queries.append(_state_query(fact.subject, fact.room))
    elif fact.verb in ("took", "carrying"):
        queries += [Query("where_thing", (fact.target,)), Query("what_carries", (fact.subject,))]
        if fact.verb == "took":
            queries.append(Query("who_took", (fact.target,)))
    elif fact.verb == "put":
        queries += [Query("where_thing", (fact.target,)), Query("who_put", (fact.target, fact.place))]
        queries.append(Query("what_put", (fact.subject, fact.place)))
    elif fact.verb in SWITCHING:
        queries.append(Query("who_switched", (fact.verb, fact.target, fact.room)))
        queries.append(_state_query(fact.target, fact.room))
    return queries


def near_misses(query: Query, rng: random.Random) -> list[Query]:
    """Queries of the same form about something else: one part exchanged, so that a reader must look at all
    of it.
    """
    misses = []
    for position, part in enumerate(query.about):
        for other in _alternatives(part):
            about = (*query.about[:position], other, *query.about[position + 1 :])
            if query.form in ("state_open", "state_on", "who_switched") and not _exists(query.form, about):
                continue
            misses.append(Query(query.form, about))
    rng.shuffle(misses)
    return misses


def _alternatives(part: str) -> Iterable[str]:
    words = part.split()
    if len(words) == 2 and words[1] in KINDS:
        yield from (f"{colour} {words[1]}" for colour in COLOURS if colour != words[0])
        yield from (f"{words[0]} {kind}" for kind in KINDS if kind != words[1])
    for group in (PEOPLE, tuple(ROOMS), *(room.furniture for room in ROOMS.values()), (DOOR, LIGHT)):
        if part in group:
            yield from (other for other in group if other != part)


def _exists(form: str, about: tuple[str, ...]) -> bool:
    device, room = about[-2:]
    if device not in (DOOR, LIGHT, ROOMS[room].device):
        return False
    opens = device in OPENING
    return opens == (form == "state_open" if form.startswith("state") else about[0] in ("opened", "closed"))


def _state_query(device: str, room: str) -> Query:
    return Query("state_open" if device in OPENING else "state_on", (device, room))


def random_query(rng: random.Random) -> Query:
    """Any question that can be asked about a demo home."""
    room = rng.choice(list(ROOMS))
    device = rng.choice((DOOR, LIGHT, ROOMS[room].device))
    thing, person = f"{rng.choice(COLOURS)} {rng.choice(KINDS)}", rng.choice(PEOPLE)
    piece = rng.choice(ROOMS[room].furniture)
    verbs = [
        verb for verb, state in SWITCHING.items() if state in (state_word(device, b) for b in (True, False))
    ]
    return rng.choice(
        [
            Query("where_thing", (thing,)),
            rng.choice([Query("where_person", (person,)), Query("who_in", (room,))]),
            Query("wears", (person,)),
            rng.choice(
                [
                    Query("who_took", (thing,)),
                    Query("who_put", (thing, piece)),
                    Query("who_switched", (rng.choice(verbs), device, room)),
                    Query("what_put", (person, piece)),
                    Query("what_carries", (person,)),
                    Query("what_did", (person, room)),
                ]
            ),
            _state_query(device, room),
        ]
    )


def observations(sim: HomeSim, until_ns: int, since_ns: int = 0) -> list[list[Fact]]:
    """What the robot's camera has seen, a list of facts for each 10 s clip of [since_ns, until_ns) that ended
    by `until_ns`.
    """
    return [
        visible_facts(sim, [index * STEP_NS + int(s * 1e9) for s in SAMPLE_TIMES_S])
        for index in range(-(-since_ns // STEP_NS), until_ns // STEP_NS)
    ]


def questions(
    sim: HomeSim, until_ns: int, n: int, seed: int, unseen_share: float = 0.25
) -> list[HomeQuestion]:
    """n different questions, evenly over the kinds, with the truth as the camera had seen it by `until_ns`.

    About unseen_share of them ask for what it never saw. Raises ValueError when the camera saw nothing yet.
    """
    seen = observations(sim, until_ns)
    facts = [fact for facts in seen for fact in facts]
    if not facts:
        raise ValueError(f"the camera has not seen anything by {until_ns / 1e9:g} s; ask later than 10 s")
    rng = random.Random(f"questions {sim.seed} {seed}")
    pool = {kind: [] for kind in QUESTION_KINDS}
    for query in dict.fromkeys(query for fact in facts for query in queries_about(fact)):
        pool[query.kind].append(query)
    asked: dict[Query, HomeQuestion] = {}
    unseen = round(n * unseen_share)
    while len(asked) < n:
        kind = QUESTION_KINDS[len(asked) % len(QUESTION_KINDS)]
        if len(asked) >= n - unseen or not pool[kind]:
            query = rng.choice(
                near_misses(rng.choice(list(asked) or pool["state"]), rng) or [random_query(rng)]
            )
            if look_up(query, seen) is not None:
                query = random_query(rng)
        else:
            query = pool[kind].pop(rng.randrange(len(pool[kind])))
        finding = look_up(query, seen)
        if len(asked) >= n - unseen and finding is not None:
            continue
        if query not in asked:
            asked[query] = HomeQuestion(query.text(rng), query.kind, finding and finding.answer, query)
    ordered = list(asked.values())
    rng.shuffle(ordered)
    return ordered


def is_right(question: HomeQuestion, answer: str | None) -> bool:
    """Whether an answer (None: "not in memory") is the truth.

    An answer is right when it has the truth's telling words and no others of their sort, however it is put; a
    question about what the camera never saw is rightly answered by None alone.
    """
    if question.answer is None or answer is None:
        return question.answer is None and answer is None
    if question.query.form == "what_did":
        return _words(answer, (*_THINGS, *_DEEDS)) == _words(question.answer, (*_THINGS, *_DEEDS))
    # A state is told by one word; "on" is one only where it is not "on the table".
    named = _words(question.answer, _THINGS)
    return _words(answer, _THINGS) == named and (
        bool(named) or _words(answer, _STATES) == _words(question.answer, _STATES)
    )


_STATES = ("open", "closed", "on", "off")
_DEEDS = (
    "put",
    "took",
    "carrying",
    "sat",
    "came",
    "went",
    "waved",
    "opened",
    "closed",
    "switched on",
    "switched off",
)
_DEEDS += DEVICES
_THINGS = (*COLOURS, *KINDS, *PEOPLE, *ROOMS, *GARMENTS, *ROOM_OF)


def _words(text: str, vocabulary: Sequence[str]) -> set[str]:
    """The words of a vocabulary that stand in a text."""
    plain = f" {''.join(c if c.isalnum() else ' ' for c in text.lower())} "
    return {word for word in vocabulary if f" {word.lower()} " in plain}
