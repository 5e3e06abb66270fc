"""The four people of the demo home, told apart by hair, beard, glasses and build; clothes change by day."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from taskmem_ros.home.sketch import INK, box
from taskmem_ros.home.sprites import RGB, draw_thing


@dataclass(frozen=True)
class Looks:
    hair: tuple[int, int, int]
    skin: tuple[int, int, int]
    legs: tuple[int, int, int]
    height: int
    long_hair: bool = False
    beard: bool = False
    bun: bool = False
    bald: bool = False


LOOKS = {
    "Anna": Looks((22, 18, 22), (240, 200, 168), (40, 48, 92), 94, long_hair=True),
    "Ben": Looks((104, 58, 26), (214, 160, 118), (92, 66, 44), 102, beard=True),
    "Clara": Looks((240, 202, 92), (248, 216, 190), (120, 40, 60), 88, bun=True),
    "David": Looks((206, 206, 210), (120, 78, 52), (92, 96, 104), 98, bald=True),
}


def draw_person(
    image: np.ndarray,
    x: int,
    feet: int,
    name: str,
    clothes: tuple[str, str],
    *,
    sitting: bool = False,
    holding: str = "",
    waving: bool = False,
    reaching: bool = False,
) -> None:
    """A person with the feet at (x, feet). clothes: (colour, garment). holding: a thing's name or ""."""
    looks = LOOKS[name]
    colour, garment = RGB[clothes[0]], clothes[1]
    chin = _chin(feet, name, sitting)
    head_top = chin - 22
    hip = chin + 34
    _legs(image, x, hip, feet, looks.legs, sitting)
    hem = hip if garment == "shirt" else min(hip + 18, feet - 6)
    flare = 0 if garment == "shirt" else 4
    body = np.array([(x - 14, chin), (x + 14, chin), (x + 14 + flare, hem), (x - 14 - flare, hem)])
    cv2.fillPoly(image, [body], colour)
    cv2.polylines(image, [body], True, INK, 1)
    if garment == "coat":
        cv2.line(image, (x, chin), (x, hem), INK, 2)
    _arms(image, x, chin, colour, looks.skin, waving, reaching)
    _head(image, x, head_top, chin, looks)
    if holding:
        draw_thing(image, *hand(x, feet, name, sitting, image.shape[1]), holding)


def hand(x: int, feet: int, name: str, sitting: bool, width: int) -> tuple[int, int]:
    """Where the foot of a thing is that a person with the feet at (x, feet) holds, in a picture so wide."""
    inward = 20 if x < width // 2 else -20  # never out of the picture
    return x + inward, _chin(feet, name, sitting) + 42


def _chin(feet: int, name: str, sitting: bool) -> int:
    return feet - LOOKS[name].height + (16 if sitting else 0) + 22


def _legs(image, x, hip, feet, colour, sitting) -> None:
    if sitting:
        box(image, x - 22, hip - 4, x + 22, hip + 8, colour)
        box(image, x - 22, hip + 8, x - 12, feet, colour)
        box(image, x + 12, hip + 8, x + 22, feet, colour)
    else:
        box(image, x - 11, hip - 2, x - 1, feet, colour)
        box(image, x + 1, hip - 2, x + 11, feet, colour)


def _arms(image, x, chin, colour, skin, waving, reaching) -> None:
    hands = [(x - 19, chin + 28), (x + 19, chin + 28)]
    if waving:
        hands = [(x - 26, chin - 22), (x + 26, chin - 22)]
    elif reaching:
        hands = [(x - 19, chin + 28), (x + 22, chin - 12)]
    for side, hand in zip((-1, 1), hands):
        shoulder = (x + side * 13, chin + 5)
        cv2.line(image, shoulder, hand, INK, 8)
        cv2.line(image, shoulder, hand, colour, 6)
        cv2.circle(image, hand, 4, skin, -1)


def _head(image, x, top, chin, looks) -> None:
    middle = (top + chin) // 2
    if looks.long_hair:
        box(image, x - 13, top, x + 13, chin + 12, looks.hair, None)
    if looks.bun:
        cv2.circle(image, (x, top - 4), 7, looks.hair, -1)
    cv2.ellipse(image, (x, middle), (10, 12), 0, 0, 360, looks.skin, -1)
    if looks.bald:
        cv2.ellipse(image, (x, middle), (11, 11), 0, 20, 160, looks.hair, 5)
        cv2.line(image, (x - 9, middle - 1), (x + 9, middle - 1), INK, 3)
    else:
        cv2.ellipse(image, (x, middle), (11, 12), 0, 190, 350, looks.hair, 6)
    if looks.beard:
        cv2.ellipse(image, (x, middle + 4), (9, 8), 0, 0, 180, looks.hair, -1)
    cv2.circle(image, (x - 4, middle), 1, INK, -1)
    cv2.circle(image, (x + 4, middle), 1, INK, -1)
