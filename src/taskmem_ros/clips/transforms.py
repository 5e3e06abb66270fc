"""Where frames of reference were, and when: a tf buffer for bags, and for nodes without tf2_ros."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from .types import NS, Pose

# One transform: translation (x, y, z) in metres and unit quaternion (x, y, z, w).
_Transform = tuple[np.ndarray, np.ndarray]


class TransformBuffer:
    """Transforms between named frames over time; thread-safe.

    Moving transforms are interpolated between the two samples around the asked time (translation linearly,
    rotation by slerp) and kept for `history_s`; static ones hold always. There is no extrapolation, except
    that a sample stands for `tolerance_s` before and after it, as a camera's stamp may be slightly ahead of
    the newest transform.
    """

    def __init__(self, history_s: float = 10.0, tolerance_s: float = 0.1) -> None:
        self.history_ns = round(history_s * NS)
        self.tolerance_ns = round(tolerance_s * NS)
        self._edges: dict[str, _Edge] = {}  # by child: a frame has one parent
        self._lock = threading.Lock()

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: Sequence[float],
        rotation: Sequence[float],
        static: bool = False,
    ) -> None:
        """`child` was at `translation` (x, y, z) and `rotation` (x, y, z, w) in `parent` at `stamp_ns`.

        Raises ValueError, and keeps what it had, if the numbers are no transform or a name is missing.
        A stamp older than the history means that time was set back: the child's older samples are forgotten.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child or parent == child:
            raise ValueError(
                f"transform from {parent!r} to {child!r} needs the names of two different frames"
            )
        place, turn = np.array(translation, float), np.array(rotation, float)
        length = float(np.linalg.norm(turn)) if turn.shape == (4,) else math.nan
        if place.shape != (3,) or not np.isfinite(place).all() or not 0.5 < length < 2:
            raise ValueError(
                f"transform from {parent!r} to {child!r} is not valid: translation {list(translation)}, "
                f"quaternion {list(rotation)} (it must be of length 1)"
            )
        with self._lock:
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent or edge.static != static:
                edge = self._edges[child] = _Edge(parent, static)
            edge.add(stamp_ns, (place, turn / length), self.history_ns)

    def lookup(self, target_frame: str, source_frame: str, stamp_ns: int) -> Pose | None:
        """Pose of `source_frame` in `target_frame` at `stamp_ns`; None where it is not known."""
        target, source = target_frame.lstrip("/"), source_frame.lstrip("/")
        with self._lock:
            up = self._chain(source, stamp_ns)
            down = self._chain(target, stamp_ns)
        common = next((frame for frame in up if frame in down), None)
        if common is None or not target:
            return None
        place, turn = _compose(_invert(down[common]), up[common])
        return Pose(target, *map(float, place), *map(float, turn))

    def frames(self) -> dict[str, str]:
        """Child -> parent of all known frames, to tell a user what there is."""
        with self._lock:
            return {child: edge.parent for child, edge in self._edges.items()}

    def _chain(self, frame: str, stamp_ns: int) -> dict[str, _Transform]:
        """`frame` and its ancestors, nearest first, each with the transform of `frame` in it."""
        transform: _Transform = (np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
        chain = {frame: transform}
        while (edge := self._edges.get(frame)) is not None and edge.parent not in chain:
            step = edge.at(stamp_ns, self.tolerance_ns)
            if step is None:
                break
            transform = _compose(step, transform)
            frame = edge.parent
            chain[frame] = transform
        return chain


class _Edge:
    """The samples of one child in its parent, by time."""

    def __init__(self, parent: str, static: bool) -> None:
        self.parent = parent
        self.static = static
        self._stamps: list[int] = []
        self._samples: list[_Transform] = []

    def add(self, stamp: int, sample: _Transform, history_ns: int) -> None:
        stamps, samples = self._stamps, self._samples
        if self.static or (stamps and stamp < stamps[-1] - history_ns):
            stamps.clear()
            samples.clear()
        i = bisect_left(stamps, stamp)
        if i < len(stamps) and stamps[i] == stamp:
            samples[i] = sample
        else:
            stamps.insert(i, stamp)
            samples.insert(i, sample)
        old = bisect_left(stamps, stamps[-1] - history_ns)
        del stamps[:old], samples[:old]

    def at(self, stamp: int, tolerance_ns: int) -> _Transform | None:
        stamps, samples = self._stamps, self._samples
        if self.static:
            return samples[0]
        i = bisect_right(stamps, stamp)
        if 0 < i < len(stamps):
            part = (stamp - stamps[i - 1]) / (stamps[i] - stamps[i - 1])
            (place_a, turn_a), (place_b, turn_b) = samples[i - 1], samples[i]
            return place_a + part * (place_b - place_a), _slerp(turn_a, turn_b, part)
        nearest = max(0, i - 1)
        return samples[nearest] if abs(stamp - stamps[nearest]) <= tolerance_ns else None


def _compose(a: _Transform, b: _Transform) -> _Transform:
    return a[0] + _rotate(a[1], b[0]), _multiply(a[1], b[1])


def _invert(a: _Transform) -> _Transform:
    back = a[1] * np.array([-1.0, -1.0, -1.0, 1.0])
    return -_rotate(back, a[0]), back


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    vector = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.array([*vector, a[3] * b[3] - a[:3] @ b[:3]])


def _rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    twice = 2.0 * np.cross(q[:3], v)
    return v + q[3] * twice + np.cross(q[:3], twice)


def _slerp(a: np.ndarray, b: np.ndarray, part: float) -> np.ndarray:
    cosine = float(a @ b)
    if cosine < 0.0:  # q and -q are the same rotation: take the short way
        b, cosine = -b, -cosine
    if cosine > 0.9995:  # nearly equal: linear is exact enough, and the sine below would vanish
        mixed = a + part * (b - a)
        return mixed / np.linalg.norm(mixed)
    angle = math.acos(cosine)
    return (math.sin((1.0 - part) * angle) * a + math.sin(part * angle) * b) / math.sin(angle)
