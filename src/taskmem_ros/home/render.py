"""The demo home drawn with OpenCV: what the robot's camera sees, 320 x 240 RGB.

A room is a stage seen from the front: door at one end, three pieces of furniture along the wall, things on
them, lamp and device above, people before them.
"""

from __future__ import annotations

import random

import cv2
import numpy as np

from taskmem_ros.home.furniture import draw_piece
from taskmem_ros.home.people import draw_person, hand
from taskmem_ros.home.sketch import draw_device, draw_door, draw_lamp, draw_window
from taskmem_ros.home.sprites import draw_thing
from taskmem_ros.home.things import DOOR, DOOR_SPOT, LIGHT, ROOMS, state_word
from taskmem_ros.home.world import STEP_NS, HomeSim, State

WIDTH, HEIGHT = 320, 240
MARGIN = 8  # how far the camera's aim may be off, pixels
TOP = 122  # where furniture ends and things stand
FLOOR = 176
FEET = HEIGHT + MARGIN - 6  # where people stand
SLOT_X = (-20, 20)  # where on a piece of furniture a thing stands

_FLOORS = {
    "kitchen": (196, 190, 178),
    "living room": (150, 112, 74),
    "bedroom": (172, 142, 118),
    "bathroom": (150, 186, 196),
    "office": (110, 116, 132),
    "hallway": (142, 134, 112),
}


class HomeCamera:
    """Draws one HomeSim. Rooms as they stand empty are drawn once and kept."""

    def __init__(self, sim: HomeSim):
        self.sim = sim
        self._stages: dict[str, np.ndarray] = {}

    def frame(self, t_ns: int) -> np.ndarray:
        """RGB uint8 of shape (240, 320, 3) at t_ns since the world's start."""
        sim = self.sim
        here, part = self._view(sim.room(t_ns), t_ns), sim.drive(t_ns)
        if part == 0.0:
            return here
        there = self._view(sim.room(t_ns + STEP_NS), t_ns)
        cut = int(WIDTH * part)
        return np.ascontiguousarray(np.concatenate([here[:, cut:], there[:, :cut]], axis=1))

    def marks(self, t_ns: int) -> list[tuple[str, float, float]]:
        """(label, x, y) of what the frame at t_ns shows, pixels: for training eyes, never for a policy.

        Labels: "thing red mug", "person Anna", "colour red" and "garment shirt" of a person's clothes,
        "sitting", "waving", "piece sofa", "door open", "light on", "tv off" and so on; and
        where things are and people stand, each where it stands itself: "mug on sofa", "red on sofa", "Anna by
        sofa"; and where a thing in somebody's hand is: "holding red mug", "holding red", "holding mug",
        "holding by Anna". A drive has none.
        """
        sim, state, room = self.sim, self.sim.state(t_ns), self.sim.room(t_ns)
        if sim.drive(t_ns) > 0.0:
            return []
        left, aim_x, aim_y = sim.door_left[room], *self._aim(room, t_ns)
        middles = [column_x(column, left) for column in range(4)]
        device = ROOMS[room].device
        found = [
            (f"piece {piece}", middles[column], TOP + 30) for column, piece in enumerate(sim.order[room])
        ]
        for name, x, y in (
            (DOOR, middles[DOOR_SPOT], 120),
            (LIGHT, _lamp_x(sim, room), 40),
            (device, middles[sim.device_column[room]], 48),
        ):
            found.append((f"{name} {state_word(name, state.devices[(room, name)])}", x, y))
        for thing, (piece, slot) in state.objects.items():
            if piece in sim.order[room]:
                x = middles[sim.order[room].index(piece)] + SLOT_X[slot]
                colour, kind = thing.split()
                labels = (f"thing {thing}", f"{colour} on {piece}", f"{kind} on {piece}")
                found += [(label, x, TOP - 15) for label in labels]
        for name, person in state.people.items():
            if person.room == room:
                colour, garment = sim.clothes(name, t_ns)
                spot = DOOR if person.spot == DOOR_SPOT else sim.order[room][person.spot]
                labels = [f"person {name}", f"{name} by {spot}", f"colour {colour}", f"garment {garment}"]
                labels += ["sitting"] * person.sitting
                labels += ["waving"] * (sim.step(t_ns // STEP_NS).actions[name].verb == "wave")
                found += [(label, middles[person.spot], HEIGHT - 50) for label in labels]
                if person.holding:
                    x, y = hand(middles[person.spot], FEET, name, person.sitting, WIDTH + 2 * MARGIN)
                    words = (person.holding, *person.holding.split(), f"by {name}")
                    found += [(f"holding {word}", x, y - 15) for word in words]
        return [(label, float(x - aim_x), float(y - aim_y)) for label, x, y in found]

    def _view(self, room: str, t_ns: int) -> np.ndarray:
        sim, state = self.sim, self.sim.state(t_ns)
        image = self._stage(room).copy()
        left = sim.door_left[room]
        draw_door(image, column_x(3, left), FLOOR, state.devices[(room, DOOR)])
        draw_lamp(image, _lamp_x(sim, room), state.devices[(room, LIGHT)])
        device = ROOMS[room].device
        device_x = column_x(sim.device_column[room], left)
        if device != "window":
            draw_window(image, _window_x(sim, room), sim.is_night(t_ns), False)
        draw_device(image, device_x, device, state.devices[(room, device)], sim.is_night(t_ns))
        for thing, (piece, slot) in state.objects.items():
            if piece in sim.order[room]:
                draw_thing(image, column_x(sim.order[room].index(piece), left) + SLOT_X[slot], TOP, thing)
        self._draw_people(image, room, state, t_ns)
        image = _lit(image, state.devices[(room, LIGHT)], sim.is_night(t_ns))
        return self._aimed(image, room, t_ns)

    def _draw_people(self, image: np.ndarray, room: str, state: State, t_ns: int) -> None:
        sim, step = self.sim, self.sim.step(t_ns // STEP_NS)
        seconds = t_ns % STEP_NS / 1e9
        for name, person in state.people.items():
            if person.room != room:
                continue
            action = step.actions[name]
            reaching = action.verb in ("take", "put", "toggle") and abs(seconds - action.at_s) < 1.5
            draw_person(
                image,
                column_x(person.spot, sim.door_left[room]),
                FEET,
                name,
                sim.clothes(name, t_ns),
                sitting=person.sitting,
                holding=person.holding,
                waving=action.verb == "wave",
                reaching=reaching,
            )

    def _stage(self, room: str) -> np.ndarray:
        if room not in self._stages:
            self._stages[room] = self._draw_stage(room)
        return self._stages[room]

    def _draw_stage(self, room: str) -> np.ndarray:
        sim = self.sim
        rng = random.Random(f"stage {sim.style_seed} {room}")
        wall = np.array([rng.randint(168, 226) for _ in range(3)])
        floor = np.clip(np.array(_FLOORS[room]) + [rng.randint(-14, 14) for _ in range(3)], 0, 255)
        image = np.empty((HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN, 3), np.uint8)
        image[:FLOOR] = wall
        image[FLOOR:] = floor
        line = tuple(int(c) for c in floor * 0.86)
        for x in range(-40, WIDTH + 60, rng.choice((22, 30, 40))):
            cv2.line(image, (x + 20, FLOOR), (x - 12, HEIGHT + 2 * MARGIN), line, 1)
        for piece in sim.order[room]:
            tint = rng.uniform(0.85, 1.12)
            draw_piece(image, column_x(sim.order[room].index(piece), sim.door_left[room]), TOP, piece, tint)
        return image

    def _aimed(self, image: np.ndarray, room: str, t_ns: int) -> np.ndarray:
        x, y = self._aim(room, t_ns)
        return np.ascontiguousarray(image[y : y + HEIGHT, x : x + WIDTH])

    def _aim(self, room: str, t_ns: int) -> tuple[int, int]:
        rng = random.Random(f"aim {self.sim.seed} {room} {t_ns // STEP_NS}")
        return rng.randint(0, 2 * MARGIN), rng.randint(0, 2 * MARGIN)


def column_x(column: int, door_left: bool) -> int:
    """The middle of a furniture column (0 to 2) or of the door (3), pixels."""
    if column == DOOR_SPOT:
        return MARGIN + (28 if door_left else WIDTH - 28)
    return MARGIN + (62 if door_left else 0) + 44 + 86 * column


def _lamp_x(sim: HomeSim, room: str) -> int:
    return column_x((sim.device_column[room] + 1) % 3, sim.door_left[room])


def _window_x(sim: HomeSim, room: str) -> int:
    return column_x((sim.device_column[room] + 2) % 3, sim.door_left[room])


def _lit(image: np.ndarray, on: bool, night: bool) -> np.ndarray:
    if on:
        return image
    return cv2.convertScaleAbs(image, alpha=0.5 if night else 0.72)
