"""What there is in the demo home: rooms, furniture, devices, things, people. Names are the words of its
language.
"""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = ("red", "yellow", "green", "blue", "purple", "white")
KINDS = ("mug", "book", "bottle", "ball", "box", "hat", "umbrella", "teddy")
PEOPLE = ("Anna", "Ben", "Clara", "David")
GARMENTS = ("shirt", "coat")


@dataclass(frozen=True)
class Room:
    """A room, and what tells it from the others.

    furniture: three pieces, found here only. device: one more thing with two states beside light and door.
    centre: x, y in the map, metres.
    """

    name: str
    furniture: tuple[str, str, str]
    device: str
    centre: tuple[float, float]


ROOMS = {
    room.name: room
    for room in (
        Room("kitchen", ("table", "counter", "stove"), "cupboard", (0.0, 0.0)),
        Room("living room", ("sofa", "shelf", "piano"), "tv", (5.0, 0.0)),
        Room("bedroom", ("bed", "nightstand", "dresser"), "window", (10.0, 0.0)),
        Room("bathroom", ("sink", "bathtub", "basket"), "heater", (10.0, 5.0)),
        Room("office", ("desk", "bookcase", "armchair"), "monitor", (5.0, 5.0)),
        Room("hallway", ("bench", "chest", "rack"), "radio", (0.0, 5.0)),
    )
}
ROOM_OF = {piece: room.name for room in ROOMS.values() for piece in room.furniture}
SEATS = ("sofa", "bed", "armchair", "bench")
DOOR, LIGHT = "door", "light"
OPENING = (DOOR, "cupboard", "window")  # open or closed; every other device is on or off
DEVICES = (DOOR, LIGHT, *(room.device for room in ROOMS.values()))
SLOTS_PER_PIECE = 2
DOOR_SPOT = 3  # where people can stand: before the three pieces of furniture, and at the door


def devices_of(room: str) -> tuple[str, str, str]:
    return (DOOR, LIGHT, ROOMS[room].device)


def state_word(device: str, active: bool) -> str:
    """What a device is called when it is active (open, on) or not."""
    if device in OPENING:
        return "open" if active else "closed"
    return "on" if active else "off"
