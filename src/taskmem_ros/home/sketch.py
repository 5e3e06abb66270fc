"""Door, lamp, window and the devices above the furniture, each drawn in its two states."""

from __future__ import annotations

import cv2
import numpy as np

INK = (28, 26, 30)


def box(image: np.ndarray, x0: int, y0: int, x1: int, y1: int, fill: tuple, line: tuple | None = INK) -> None:
    """A filled rectangle with an outline."""
    cv2.rectangle(image, (x0, y0), (x1, y1), fill, -1)
    if line is not None:
        cv2.rectangle(image, (x0, y0), (x1, y1), line, 1)


def draw_door(image: np.ndarray, x: int, floor: int, is_open: bool) -> None:
    if is_open:
        box(image, x - 24, 70, x + 24, floor, (34, 30, 36))
        panel = np.array([(x - 24, 70), (x - 12, 80), (x - 12, floor + 8), (x - 24, floor)])
        cv2.fillPoly(image, [panel], (140, 92, 52))
        cv2.polylines(image, [panel], True, INK, 1)
    else:
        box(image, x - 24, 70, x + 24, floor, (166, 112, 64))
        box(image, x - 17, 80, x + 17, 116, (150, 98, 54))
        box(image, x - 17, 126, x + 17, floor - 8, (150, 98, 54))
        cv2.circle(image, (x + 17, 122), 3, (240, 210, 90), -1)


def draw_lamp(image: np.ndarray, x: int, on: bool) -> None:
    cv2.line(image, (x, 0), (x, 26), INK, 2)
    if on:
        cv2.circle(image, (x, 46), 24, (255, 246, 180), -1)
    shade = np.array([(x - 8, 26), (x + 8, 26), (x + 20, 44), (x - 20, 44)])
    cv2.fillPoly(image, [shade], (250, 224, 120) if on else (92, 92, 96))
    cv2.polylines(image, [shade], True, INK, 1)
    cv2.circle(image, (x, 49), 7, (255, 255, 225) if on else (60, 60, 64), -1)


def draw_window(image: np.ndarray, x: int, night: bool, is_open: bool) -> None:
    sky = (22, 26, 70) if night else (150, 206, 250)
    box(image, x - 26, 18, x + 26, 72, sky)
    if night:
        cv2.circle(image, (x + 10, 32), 6, (236, 236, 210), -1)
    if is_open:
        for side in (-1, 1):
            pane = np.array(
                [(x + side * 26, 18), (x + side * 40, 10), (x + side * 40, 80), (x + side * 26, 72)]
            )
            cv2.fillPoly(image, [pane], (246, 246, 250))
            cv2.polylines(image, [pane], True, INK, 2)
    else:
        cv2.line(image, (x, 18), (x, 72), (246, 246, 250), 4)
        cv2.line(image, (x - 26, 45), (x + 26, 45), (246, 246, 250), 4)
        cv2.rectangle(image, (x - 26, 18), (x + 26, 72), (246, 246, 250), 3)


def draw_device(image: np.ndarray, x: int, device: str, active: bool, night: bool) -> None:
    """device: the room's own, as in things.ROOMS; active: open or on."""
    if device == "window":
        draw_window(image, x, night, active)
    else:
        _DEVICES[device](image, x, active)


def _cupboard(image: np.ndarray, x: int, is_open: bool) -> None:
    if not is_open:
        box(image, x - 30, 22, x, 72, (206, 170, 118))
        box(image, x, 22, x + 30, 72, (206, 170, 118))
        cv2.circle(image, (x - 5, 48), 2, INK, -1)
        cv2.circle(image, (x + 5, 48), 2, INK, -1)
        return
    box(image, x - 30, 22, x + 30, 72, (50, 38, 28))
    cv2.line(image, (x - 30, 48), (x + 30, 48), (206, 170, 118), 2)
    for side in (-1, 1):
        door = np.array([(x + side * 30, 22), (x + side * 41, 14), (x + side * 41, 80), (x + side * 30, 72)])
        cv2.fillPoly(image, [door], (206, 170, 118))
        cv2.polylines(image, [door], True, INK, 1)


def _tv(image: np.ndarray, x: int, on: bool) -> None:
    box(image, x - 34, 26, x + 34, 72, (20, 20, 22))
    if on:
        box(image, x - 30, 30, x + 30, 68, (96, 214, 236), None)
        box(image, x - 30, 52, x + 30, 68, (90, 196, 90), None)
        cv2.circle(image, (x + 14, 42), 7, (255, 220, 70), -1)


def _heater(image: np.ndarray, x: int, on: bool) -> None:
    box(image, x - 30, 36, x + 30, 68, (232, 232, 232))
    for y in (43, 52, 61):
        cv2.line(image, (x - 24, y), (x + 24, y), (255, 84, 20) if on else (130, 130, 134), 4)


def _monitor(image: np.ndarray, x: int, on: bool) -> None:
    box(image, x - 28, 28, x + 28, 66, (70, 72, 78))
    box(image, x - 24, 32, x + 24, 62, (236, 240, 255) if on else (14, 14, 18))
    if on:
        for y, length in ((38, 34), (44, 22), (50, 38), (56, 16)):
            cv2.line(image, (x - 20, y), (x - 20 + length, y), (50, 90, 210), 2)
    box(image, x - 8, 66, x + 8, 74, (70, 72, 78))


def _radio(image: np.ndarray, x: int, on: bool) -> None:
    box(image, x - 26, 42, x + 26, 72, (122, 62, 44))
    cv2.circle(image, (x - 12, 58), 9, (60, 34, 26), -1)
    box(image, x + 2, 50, x + 20, 60, (90, 255, 120) if on else (36, 44, 38))
    cv2.line(image, (x + 18, 42), (x + 28, 24), INK, 2)
    if on:
        for radius in (8, 14, 20):
            cv2.ellipse(image, (x + 28, 24), (radius, radius), 0, -150, -30, (40, 200, 80), 2)


_DEVICES = {"cupboard": _cupboard, "tv": _tv, "heater": _heater, "monitor": _monitor, "radio": _radio}
