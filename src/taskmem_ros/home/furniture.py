"""The furniture of the demo home: eighteen pieces, about 76 pixels wide, that end at one height."""

from __future__ import annotations

import cv2
import numpy as np

from taskmem_ros.home.sketch import INK, box

FOOT = 188


def draw_piece(image: np.ndarray, x: int, top: int, piece: str, tint: float) -> None:
    """A piece of furniture with its middle at x and its upper edge at `top`; tint scales its colours."""

    def colour(*rgb: int) -> tuple[int, ...]:
        return tuple(min(255, int(channel * tint)) for channel in rgb)

    _PIECES[piece](image, x, top, colour)


def _table(image, x, top, colour):
    for leg in (-32, 26):
        box(image, x + leg, top + 8, x + leg + 6, FOOT, colour(150, 96, 48))
    box(image, x - 38, top, x + 38, top + 9, colour(184, 122, 64))


def _counter(image, x, top, colour):
    box(image, x - 38, top, x + 38, FOOT, colour(214, 214, 208))
    box(image, x - 40, top, x + 40, top + 7, colour(72, 72, 80))
    for left in (-34, 3):
        box(image, x + left, top + 14, x + left + 31, FOOT - 6, colour(232, 232, 228))
        cv2.line(image, (x + left + 11, top + 20), (x + left + 20, top + 20), INK, 2)


def _stove(image, x, top, colour):
    box(image, x - 36, top, x + 36, FOOT, colour(70, 72, 78))
    box(image, x - 26, top + 24, x + 26, FOOT - 8, colour(24, 24, 28))
    for knob in (-24, -8, 8, 24):
        cv2.circle(image, (x + knob, top + 12), 4, (216, 216, 220), -1)


def _sofa(image, x, top, colour):
    box(image, x - 38, top, x + 38, FOOT - 4, colour(150, 78, 92))
    box(image, x - 40, top + 18, x - 26, FOOT, colour(176, 96, 112))
    box(image, x + 26, top + 18, x + 40, FOOT, colour(176, 96, 112))
    box(image, x - 26, top + 34, x, FOOT - 8, colour(190, 114, 128))
    box(image, x, top + 34, x + 26, FOOT - 8, colour(190, 114, 128))


def _shelf(image, x, top, colour):
    box(image, x - 36, top, x + 36, FOOT, colour(88, 62, 40))
    for y in (top + 6, top + 28, top + 48):
        box(image, x - 32, y, x - 2, y + 16, colour(44, 32, 22))
        box(image, x + 2, y, x + 32, y + 16, colour(44, 32, 22))


def _piano(image, x, top, colour):
    box(image, x - 38, top, x + 38, FOOT, colour(26, 24, 26))
    box(image, x - 36, top + 26, x + 36, top + 40, (240, 240, 236))
    for key in range(-32, 34, 8):
        cv2.line(image, (x + key, top + 26), (x + key, top + 34), INK, 3)


def _bed(image, x, top, colour):
    box(image, x - 40, top, x + 40, FOOT, colour(120, 84, 56))
    box(image, x - 36, top + 8, x + 36, FOOT - 6, colour(224, 226, 236))
    box(image, x - 36, top + 30, x + 36, FOOT - 6, colour(96, 130, 176))
    box(image, x - 30, top + 11, x - 4, top + 26, (250, 250, 250))
    box(image, x + 4, top + 11, x + 30, top + 26, (250, 250, 250))


def _nightstand(image, x, top, colour):
    box(image, x - 34, top, x + 34, top + 6, colour(196, 160, 110))
    box(image, x - 26, top + 6, x + 26, FOOT, colour(176, 138, 90))
    cv2.circle(image, (x, top + 32), 5, INK, -1)


def _dresser(image, x, top, colour):
    box(image, x - 38, top, x + 38, FOOT, colour(112, 72, 44))
    for y in (top + 6, top + 27, top + 47):
        for left in (-34, 2):
            box(image, x + left, y, x + left + 32, y + 16, colour(140, 94, 60))
            cv2.circle(image, (x + left + 16, y + 8), 2, (230, 210, 120), -1)


def _sink(image, x, top, colour):
    box(image, x - 10, top + 20, x + 10, FOOT, colour(226, 232, 236))
    cv2.ellipse(image, (x, top + 4), (38, 24), 0, 0, 180, colour(240, 244, 248), -1)
    cv2.ellipse(image, (x, top + 4), (38, 24), 0, 0, 180, INK, 1)
    cv2.line(image, (x - 38, top + 3), (x + 38, top + 3), (120, 130, 140), 4)


def _bathtub(image, x, top, colour):
    box(image, x - 40, top, x + 40, top + 8, colour(250, 250, 252))
    cv2.ellipse(image, (x, top + 8), (38, 56), 0, 0, 180, colour(236, 240, 246), -1)
    cv2.ellipse(image, (x, top + 8), (38, 56), 0, 0, 180, INK, 1)
    box(image, x - 30, FOOT - 10, x - 22, FOOT, colour(190, 150, 60))
    box(image, x + 22, FOOT - 10, x + 30, FOOT, colour(190, 150, 60))


def _basket(image, x, top, colour):
    box(image, x - 32, top, x + 32, FOOT, colour(206, 170, 104))
    for y in range(top + 6, FOOT, 9):
        cv2.line(image, (x - 31, y), (x + 31, y), colour(140, 104, 52), 2)
    for left in range(-24, 32, 12):
        cv2.line(image, (x + left, top + 2), (x + left, FOOT), colour(140, 104, 52), 2)


def _desk(image, x, top, colour):
    box(image, x - 40, top, x + 40, top + 8, colour(58, 62, 74))
    box(image, x - 38, top + 8, x - 14, FOOT, colour(84, 90, 104))
    box(image, x + 32, top + 8, x + 38, FOOT, colour(84, 90, 104))
    for y in (top + 24, top + 44):
        cv2.line(image, (x - 38, y), (x - 14, y), INK, 1)


def _bookcase(image, x, top, colour):
    box(image, x - 36, top, x + 36, FOOT, colour(120, 78, 46))
    spines = (colour(150, 60, 60), colour(60, 100, 60), colour(60, 70, 130), colour(190, 170, 110))
    for row, y in enumerate((top + 6, top + 36)):
        for i in range(8):
            box(image, x - 32 + i * 8, y + (i * row) % 3, x - 26 + i * 8, y + 24, spines[(i + row) % 4], None)


def _armchair(image, x, top, colour):
    box(image, x - 26, top, x + 26, FOOT - 6, colour(74, 118, 96))
    box(image, x - 36, top + 24, x - 22, FOOT, colour(92, 142, 116))
    box(image, x + 22, top + 24, x + 36, FOOT, colour(92, 142, 116))
    box(image, x - 22, top + 38, x + 22, FOOT - 8, colour(110, 164, 136))


def _bench(image, x, top, colour):
    for leg in (-34, -4, 26):
        box(image, x + leg, top + 14, x + leg + 8, FOOT, colour(176, 136, 84))
    box(image, x - 40, top, x + 40, top + 5, colour(206, 164, 104))
    box(image, x - 40, top + 9, x + 40, top + 14, colour(206, 164, 104))


def _chest(image, x, top, colour):
    box(image, x - 36, top, x + 36, FOOT, colour(134, 70, 34))
    box(image, x - 36, top, x + 36, top + 22, colour(156, 84, 42))
    for left in (-28, 20):
        box(image, x + left, top, x + left + 8, FOOT, colour(84, 80, 76))
    box(image, x - 7, top + 16, x + 7, top + 30, (238, 206, 86))


def _rack(image, x, top, colour):
    for post in (-36, 31):
        box(image, x + post, top, x + post + 5, FOOT, colour(150, 154, 160))
    for y in (top, top + 20, top + 40):
        box(image, x - 36, y, x + 36, y + 5, colour(170, 174, 180))


_PIECES = {
    "table": _table,
    "counter": _counter,
    "stove": _stove,
    "sofa": _sofa,
    "shelf": _shelf,
    "piano": _piano,
    "bed": _bed,
    "nightstand": _nightstand,
    "dresser": _dresser,
    "sink": _sink,
    "bathtub": _bathtub,
    "basket": _basket,
    "desk": _desk,
    "bookcase": _bookcase,
    "armchair": _armchair,
    "bench": _bench,
    "chest": _chest,
    "rack": _rack,
}
