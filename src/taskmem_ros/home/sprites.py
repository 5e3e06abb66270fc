"""The things that people carry about: eight kinds in six colours, about 32 pixels high."""

from __future__ import annotations

import cv2
import numpy as np

from taskmem_ros.home.sketch import INK, box

RGB = {
    "red": (224, 36, 36),
    "yellow": (250, 214, 30),
    "green": (36, 160, 60),
    "blue": (36, 84, 226),
    "purple": (146, 52, 190),
    "white": (250, 250, 250),
}


def draw_thing(image: np.ndarray, x: int, y: int, name: str) -> None:
    """A thing such as "red mug", standing with the middle of its foot at (x, y)."""
    colour, kind = name.split()
    _KINDS[kind](image, x, y, RGB[colour])


def _polygon(image, points, fill) -> None:
    outline = np.array(points)
    cv2.fillPoly(image, [outline], fill)
    cv2.polylines(image, [outline], True, INK, 1)


def _disc(image, x, y, radius, fill) -> None:
    cv2.circle(image, (x, y), radius, fill, -1)
    cv2.circle(image, (x, y), radius, INK, 1)


def _mug(image, x, y, fill):
    cv2.circle(image, (x + 10, y - 13), 7, fill, 4)
    cv2.circle(image, (x + 10, y - 13), 9, INK, 1)
    box(image, x - 13, y - 25, x + 8, y, fill)
    cv2.line(image, (x - 11, y - 22), (x + 6, y - 22), INK, 3)


def _book(image, x, y, fill):
    box(image, x - 16, y - 22, x + 16, y, fill)
    box(image, x - 16, y - 6, x + 16, y - 1, (255, 255, 240))
    cv2.line(image, (x - 10, y - 22), (x - 10, y - 7), INK, 2)
    cv2.line(image, (x - 3, y - 16), (x + 11, y - 16), INK, 2)


def _bottle(image, x, y, fill):
    box(image, x - 7, y - 22, x + 7, y, fill)
    _polygon(image, [(x - 7, y - 22), (x + 7, y - 22), (x + 3, y - 28), (x - 3, y - 28)], fill)
    box(image, x - 3, y - 37, x + 3, y - 28, fill)
    box(image, x - 7, y - 14, x + 7, y - 8, (255, 255, 255), None)


def _ball(image, x, y, fill):
    _disc(image, x, y - 14, 14, fill)
    cv2.ellipse(image, (x, y - 14), (14, 5), 0, 0, 360, INK, 1)
    cv2.ellipse(image, (x, y - 14), (5, 14), 0, 0, 360, INK, 1)


def _box(image, x, y, fill):
    box(image, x - 15, y - 27, x + 15, y, fill)
    box(image, x - 16, y - 31, x + 16, y - 23, fill)
    box(image, x - 3, y - 31, x + 3, y, (150, 120, 84))


def _hat(image, x, y, fill):
    cv2.ellipse(image, (x, y - 7), (11, 17), 0, 180, 360, fill, -1)
    cv2.ellipse(image, (x, y - 7), (11, 17), 0, 180, 360, INK, 1)
    box(image, x - 11, y - 12, x + 11, y - 7, INK)
    cv2.ellipse(image, (x, y - 4), (19, 5), 0, 0, 360, fill, -1)
    cv2.ellipse(image, (x, y - 4), (19, 5), 0, 0, 360, INK, 1)


def _umbrella(image, x, y, fill):
    cv2.line(image, (x, y - 30), (x, y - 2), INK, 2)
    cv2.ellipse(image, (x + 4, y - 4), (4, 4), 0, 0, 180, INK, 2)
    cv2.ellipse(image, (x, y - 18), (19, 17), 0, 180, 360, fill, -1)
    cv2.ellipse(image, (x, y - 18), (19, 17), 0, 180, 360, INK, 1)
    for rib in (-9, 0, 9):
        cv2.line(image, (x, y - 35), (x + rib, y - 18), INK, 1)


def _teddy(image, x, y, fill):
    for side in (-1, 1):
        _disc(image, x + side * 9, y - 31, 5, fill)
        _disc(image, x + side * 9, y - 3, 5, fill)
    _disc(image, x, y - 10, 10, fill)
    _disc(image, x, y - 24, 9, fill)
    for side in (-1, 1):
        cv2.circle(image, (x + side * 3, y - 26), 1, INK, -1)
    cv2.circle(image, (x, y - 22), 2, INK, -1)


_KINDS = {
    "mug": _mug,
    "book": _book,
    "bottle": _bottle,
    "ball": _ball,
    "box": _box,
    "hat": _hat,
    "umbrella": _umbrella,
    "teddy": _teddy,
}
