"""What a camera that looks at a room can tell: facts, and which of them a clip shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskmem_ros.home.things import DOOR_SPOT, devices_of, state_word
from taskmem_ros.home.world import STEP_NS, HomeSim, Person, State

FACT_KINDS = ("object", "person", "clothes", "event", "state")


@dataclass(frozen=True)
class Fact:
    """One statement about one room.

    kind      subject     verb                          target       place
    object    red mug     is                                         counter
    person    Anna        standing, sitting                          counter, door
    clothes   Anna        wearing                       red shirt
    event     Anna        put, took                     red mug      counter
    event     Anna        carrying                      red mug
    event     Anna        sat                                        sofa
    event     Anna        opened, closed, switched on, switched off   tv
    event     Anna        came, left, waved
    state     tv          open, closed, on, off
    """

    room: str
    kind: str
    subject: str
    verb: str
    target: str = ""
    place: str = ""


def visible_facts(sim: HomeSim, times_ns: Sequence[int]) -> list[Fact]:
    """The facts that frames taken at these times show, all within one step and one room, ascending.

    What changes in between is told as an event, and only when a frame shows the state before and another the
    state after; standing facts are those of the last frame.
    """
    index = times_ns[0] // STEP_NS
    if times_ns[-1] // STEP_NS != index:
        raise ValueError("the facts of a clip need frames of one step of the world")
    room, step = sim.room(times_ns[0]), sim.step(index)
    seconds = [t % STEP_NS / 1e9 for t in times_ns]
    last = step.at(seconds[-1])
    facts = [
        Fact(room, "object", thing, "is", place=piece)
        for thing, (piece, _) in last.objects.items()
        if piece in sim.order[room]
    ]
    facts += [Fact(room, "state", d, state_word(d, last.devices[(room, d)])) for d in devices_of(room)]
    for name, before in step.start.people.items():
        after, action = last.people[name], step.actions[name]
        changed = seconds[0] < action.at_s <= seconds[-1]
        if room not in (before.room, after.room) or (before.room != room and not changed):
            continue
        if before.room == room and after.room != room and not changed:
            continue
        facts += _person_facts(sim, room, name, before, after, times_ns[-1])
        if action.verb == "wave" or changed:
            facts += _events(room, name, before, last, action)
    return facts


def _person_facts(sim: HomeSim, room: str, name: str, before: Person, after: Person, t_ns: int) -> list[Fact]:
    colour, garment = sim.clothes(name, t_ns)
    facts = [Fact(room, "clothes", name, "wearing", f"{colour} {garment}")]
    if after.room == room:
        place = "door" if after.spot == DOOR_SPOT else sim.order[room][after.spot]
        facts.append(Fact(room, "person", name, "sitting" if after.sitting else "standing", place=place))
        if after.holding and before.holding == after.holding:
            facts.append(Fact(room, "event", name, "carrying", after.holding))
    return facts


def _events(room: str, name: str, before: Person, last: State, action) -> list[Fact]:
    if action.verb == "wave":
        return [Fact(room, "event", name, "waved")]
    if action.verb == "go":
        return [Fact(room, "event", name, "left" if before.room == room else "came")]
    if action.verb == "take":
        return [Fact(room, "event", name, "took", action.thing, action.piece)]
    if action.verb == "put":
        return [Fact(room, "event", name, "put", action.thing, action.piece)]
    if action.verb == "sit":
        return [] if before.sitting else [Fact(room, "event", name, "sat", place=action.piece)]
    if action.verb == "toggle":
        word = state_word(action.thing, last.devices[(room, action.thing)])
        verb = {"open": "opened", "on": "switched on", "off": "switched off", "closed": "closed"}[word]
        return [Fact(room, "event", name, verb, action.thing)]
    return []
