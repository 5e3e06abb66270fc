"""HomeSim: a seeded, persistent little world. People live in it, a robot patrols it with a camera.

Time is cut into steps of 10 s. In each step every person does one thing, which takes effect at one moment of
the step; the state at any time is the step's start plus what has taken effect since. The same seed gives the
same world on every machine and in every process.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace

from taskmem_ros.home.things import (
    COLOURS,
    DOOR,
    DOOR_SPOT,
    GARMENTS,
    KINDS,
    PEOPLE,
    ROOMS,
    SEATS,
    SLOTS_PER_PIECE,
    devices_of,
)

STEP_S = 10.0
STEP_NS = 10_000_000_000
DRIVE_S = 1.0  # the last second before the robot is in the next room
MONDAY_NS = 1_767_571_200_000_000_000  # 2026-01-05 00:00:00 UTC
ROOM_NAMES = tuple(ROOMS)


@dataclass(frozen=True)
class Person:
    room: str
    spot: int
    sitting: bool = False
    holding: str = ""


@dataclass(frozen=True)
class Action:
    """What a person does in a step, and when (seconds into it) it takes effect.

    verb: stay, wave, walk, go, take, put, sit, toggle. thing: an object or device. piece: a piece of
    furniture. spot: where the person stands for it. slot: of the furniture. room: where a person goes to.
    """

    verb: str
    at_s: float = 0.0
    thing: str = ""
    piece: str = ""
    spot: int = 0
    slot: int = 0
    room: str = ""


@dataclass
class State:
    """objects: name -> (furniture, slot), absent while somebody holds it. devices: (room, device) ->
    active.
    """

    people: dict[str, Person]
    objects: dict[str, tuple[str, int]]
    devices: dict[tuple[str, str], bool]

    def copy(self) -> State:
        return State(dict(self.people), dict(self.objects), dict(self.devices))

    def apply(self, name: str, action: Action) -> None:
        person = self.people[name]
        if action.verb == "go":
            self.people[name] = replace(person, room=action.room, spot=DOOR_SPOT, sitting=False)
            return
        person = replace(person, spot=action.spot, sitting=action.verb == "sit")
        if action.verb == "take":
            person = replace(person, holding=action.thing)
            del self.objects[action.thing]
        elif action.verb == "put":
            person = replace(person, holding="")
            self.objects[action.thing] = (action.piece, action.slot)
        elif action.verb == "toggle":
            key = (person.room, action.thing)
            self.devices[key] = not self.devices[key]
        self.people[name] = person


@dataclass(frozen=True)
class Step:
    start: State
    actions: dict[str, Action] = field(default_factory=dict)

    def at(self, seconds: float) -> State:
        """The state `seconds` into the step."""
        state = self.start.copy()
        for name, action in self.actions.items():
            if action.at_s <= seconds:
                state.apply(name, action)
        return state


class HomeSim:
    """One home. t_ns counts from the world's start; `epoch_ns` is the time of day at which it starts.

    seed: the whole world follows from it. start_hour: local hour at which it starts; None: by the seed.
    """

    def __init__(self, seed: int, start_hour: float | None = None):
        self.seed = seed
        rng = random.Random(f"home {seed}")
        hour = rng.uniform(6.0, 23.0) if start_hour is None else start_hour
        self.epoch_ns = MONDAY_NS + int(hour * 360) * STEP_NS
        # Left to right: where each room has its furniture; which end has the door; what hangs above.
        self.order = {name: rng.sample(room.furniture, 3) for name, room in ROOMS.items()}
        self.door_left = {name: rng.random() < 0.5 for name in ROOMS}
        self.device_column = {name: rng.randrange(3) for name in ROOMS}
        self.style_seed = rng.randrange(2**31)
        self._rng = rng
        self._steps = [self._first()]
        self._patrol: list[str] = []

    def clothes(self, name: str, t_ns: int) -> tuple[str, str]:
        """(colour, garment) that a person wears that day."""
        day = (self.epoch_ns + t_ns - MONDAY_NS) // 86_400_000_000_000
        rng = random.Random(f"clothes {self.seed} {day} {name}")
        return rng.choice(COLOURS), rng.choice(GARMENTS)

    def is_night(self, t_ns: int) -> bool:
        hour = (self.epoch_ns + t_ns - MONDAY_NS) / 3.6e12 % 24
        return hour < 7 or hour >= 20

    def step(self, index: int) -> Step:
        while len(self._steps) <= index:
            self._steps.append(self._next(self._steps[-1]))
        return self._steps[index]

    def state(self, t_ns: int) -> State:
        return self.step(t_ns // STEP_NS).at(t_ns % STEP_NS / 1e9)

    def room(self, t_ns: int) -> str:
        """Where the robot is; from the last second of a stay it counts as on its way, see `drive`."""
        index = t_ns // STEP_NS
        while len(self._patrol) <= index:
            self._extend_patrol()
        return self._patrol[index]

    def drive(self, t_ns: int) -> float:
        """How far the robot is on its way to the next room, 0 (in this room) to 1."""
        if self.room(t_ns) == self.room(t_ns + STEP_NS):
            return 0.0
        return max(0.0, (t_ns % STEP_NS / 1e9 - (STEP_S - DRIVE_S)) / DRIVE_S)

    def pose(self, t_ns: int) -> tuple[float, float, float]:
        """x, y in metres and yaw in radians of the robot in the map."""
        here, there, part = self.room(t_ns), self.room(t_ns + STEP_NS), self.drive(t_ns)
        (x0, y0), (x1, y1) = ROOMS[here].centre, ROOMS[there].centre
        yaw0, yaw1 = _facing(y0), _facing(y1)
        return x0 + (x1 - x0) * part, y0 + (y1 - y0) * part, yaw0 + (yaw1 - yaw0) * part

    def _extend_patrol(self) -> None:
        """One round: every room once, 20 or 30 s each, in an order of its own."""
        rng = random.Random(f"patrol {self.seed} {len(self._patrol)}")
        rooms = rng.sample(ROOM_NAMES, len(ROOM_NAMES))
        if self._patrol and rooms[0] == self._patrol[-1]:
            rooms.append(rooms.pop(0))
        for room in rooms:
            self._patrol += [room] * rng.choice((2, 2, 3))

    def _first(self) -> Step:
        rng = self._rng
        pairs = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS]
        slots = [(p, s) for room in ROOMS.values() for p in room.furniture for s in range(SLOTS_PER_PIECE)]
        names = rng.sample(pairs, rng.randint(14, 18))
        state = State(
            people={},
            objects=dict(zip(names, rng.sample(slots, len(names)))),
            devices={(room, device): rng.random() < 0.5 for room in ROOMS for device in devices_of(room)},
        )
        for name in PEOPLE:
            room = rng.choice([r for r in ROOM_NAMES if len(_present(state, r)) < 2])
            spot = rng.choice([s for s in range(4) if s not in _spots(state, room)])
            piece = self.order[room][spot] if spot < 3 else ""
            state.people[name] = Person(room, spot, sitting=piece in SEATS and rng.random() < 0.5)
        return Step(state, self._plan(state))

    def _next(self, step: Step) -> Step:
        state = step.at(STEP_S)
        return Step(state, self._plan(state))

    def _plan(self, state: State) -> dict[str, Action]:
        """One action for each person; what one of them uses, no other touches in the same step."""
        rng = self._rng
        plan: dict[str, Action] = {}
        taken: set = {("spot", p.room, p.spot) for p in state.people.values()}
        for name in rng.sample(PEOPLE, len(PEOPLE)):
            options = self._options(state, name, taken)
            verbs = sorted({action.verb for action in options})
            verb = rng.choices(verbs, [_WEIGHT[verb] for verb in verbs])[0]
            action = rng.choice([action for action in options if action.verb == verb])
            person = state.people[name]
            room = action.room or person.room
            taken |= {
                ("spot", room, action.spot),
                ("thing", room, action.thing),
                ("slot", action.piece, action.slot),
            }
            if action.verb == "go":
                taken.add(("enter", room))
            unchanged = verb in ("stay", "wave") or (
                verb == "sit" and person.sitting and action.spot == person.spot
            )
            at_s = 0.0 if unchanged else rng.uniform(3.2, 6.8)
            plan[name] = replace(action, at_s=at_s)
        return plan

    def _options(self, state: State, name: str, taken: set) -> list[Action]:
        person = state.people[name]
        room = person.room
        free = [s for s in range(4) if s == person.spot or ("spot", room, s) not in taken]
        if person.sitting:
            options = [Action("sit", spot=person.spot)]
        else:
            options = [Action("stay", spot=person.spot), Action("wave", spot=person.spot)]
        options += [Action("walk", spot=s) for s in free if s != person.spot]
        for other in ROOM_NAMES:
            crowded = len(_present(state, other)) >= 2 or ("enter", other) in taken
            if other != room and not crowded and ("spot", other, DOOR_SPOT) not in taken:
                options.append(Action("go", room=other, spot=DOOR_SPOT))
        for spot in (s for s in free if s < 3):
            piece = self.order[room][spot]
            used = {slot for p, slot in state.objects.values() if p == piece}
            if piece in SEATS and not person.sitting:
                options.append(Action("sit", piece=piece, spot=spot))
            if person.holding:
                options += [
                    Action("put", thing=person.holding, piece=piece, spot=spot, slot=slot)
                    for slot in range(SLOTS_PER_PIECE)
                    if slot not in used and ("slot", piece, slot) not in taken
                ]
            else:
                options += [
                    Action("take", thing=thing, piece=piece, spot=spot, slot=slot)
                    for thing, (p, slot) in state.objects.items()
                    if p == piece and ("thing", room, thing) not in taken
                ]
            if self.device_column[room] == spot and ("thing", room, ROOMS[room].device) not in taken:
                options.append(Action("toggle", thing=ROOMS[room].device, spot=spot))
        if DOOR_SPOT in free:
            options += [
                Action("toggle", thing=device, spot=DOOR_SPOT)
                for device in (DOOR, "light")
                if ("thing", room, device) not in taken
            ]
        return options


_WEIGHT = {
    "stay": 1.5,
    "wave": 1.0,
    "walk": 0.7,
    "go": 2.0,
    "take": 2.0,
    "put": 2.5,
    "sit": 1.2,
    "toggle": 2.0,
}


def _present(state: State, room: str) -> list[str]:
    return [name for name, person in state.people.items() if person.room == room]


def _spots(state: State, room: str) -> set[int]:
    return {person.spot for person in state.people.values() if person.room == room}


def _facing(y: float) -> float:
    return -math.pi / 2 if y < 2.5 else math.pi / 2
