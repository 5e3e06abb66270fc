"""How a stream is cut into clips: the numbers, and the grid of clips and sample instants they define."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .types import NS

RANGES = {"sample_rate": (0.01, 30.0), "clip_seconds": (1.0, 600.0), "max_stall": (0.1, 600.0)}
# Frames wait at their full size until the policy has seen the clip.
MOST_FRAMES = 256


@dataclass(frozen=True)
class ClipSettings:
    """Numbers that decide which frames are sampled and where clips end.

    sample_rate   frames kept per second of stamp time, in hertz
    clip_seconds  length of a clip; clip i covers [i, i + 1) * clip_seconds of stamp time
    max_stall     seconds of silence from a camera that are still normal; longer ones close the clip and are a
                  gap. Raise it above the frame period for a camera that is slower than one frame in max_stall
                  seconds.
    """

    sample_rate: float = 0.4
    clip_seconds: float = 10.0
    max_stall: float = 5.0

    def validate(self) -> ClipSettings:
        """Return self, or raise ValueError with a sentence: the setting, its value and what is allowed."""
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(
                    f"{name} is {value!r}, but it must be a finite number from {low:g} to {high:g}"
                )
            if not low <= value <= high:
                raise ValueError(f"{name} is {value:g}, but it must be from {low:g} to {high:g}")
        if self.sample_rate * self.clip_seconds < 1 - 1e-9:
            raise ValueError(
                f"sample_rate {self.sample_rate:g} Hz leaves less than one frame in a clip of "
                f"{self.clip_seconds:g} s: use at least {1 / self.clip_seconds:g} Hz, or longer clips"
            )
        if self.frames_per_clip > MOST_FRAMES:
            raise ValueError(
                f"sample_rate {self.sample_rate:g} Hz keeps {self.frames_per_clip} frames in a clip of "
                f"{self.clip_seconds:g} s, but it must be at most {MOST_FRAMES}: sample less often, or use "
                "shorter clips"
            )
        return self

    @property
    def clip_ns(self) -> int:
        """Length of a clip."""
        return round(self.clip_seconds * NS)

    @property
    def period_ns(self) -> int:
        """Time between sample instants; rounded up, so that no extra one falls just before a clip's end."""
        return math.ceil(NS / self.sample_rate - 1e-3)

    @property
    def stall_ns(self) -> int:
        """Silence that is still normal."""
        return round(self.max_stall * NS)

    @property
    def frames_per_clip(self) -> int:
        """The most frames a clip can have."""
        return -(-self.clip_ns // self.period_ns)

    def clip_start(self, stamp_ns: int) -> int:
        """Start of the clip on the clock's grid that contains `stamp_ns`."""
        return stamp_ns // self.clip_ns * self.clip_ns

    def slot(self, stamp_ns: int) -> int:
        """Which sample instant of its clip `stamp_ns` follows, from 0; one frame is kept for each."""
        return stamp_ns % self.clip_ns // self.period_ns
