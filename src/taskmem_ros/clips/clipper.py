"""Frames of one camera in, clips and gaps out. Pure: no threads, no clock, no I/O.

The timeline of an episode runs from its first frame to one nanosecond after the last frame that was seen, and
is cut into touching spans: every nanosecond is in exactly one Clip or Gap. A clip ends at the clock's grid
(clip i covers [i, i + 1) * clip_seconds), or earlier where the camera fell silent for longer than max_stall,
where stamps jumped back, where the picture's size changed, or at flush().
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from .settings import ClipSettings
from .types import INACTIVE, NO_FRAMES, NS, Clip, Frame, Gap

# A stamp this much older than the newest one is a frame that was overtaken on its way, not a jump in time.
REORDER_NS = NS // 2
# A running silence is reported in pieces no shorter than this.
PIECE_NS = NS // 2


class Clipper:
    """Cuts the frames of one camera into clips and gaps.

    Not thread-safe: call it from one thread, or under one lock.
    `episode` is the number of the episode now running; it grows by one at every backward jump of the stamps.
    `ignored` counts frames that arrived too late to be used (their time was already accounted for).
    """

    def __init__(self, camera: str, settings: ClipSettings, episode: int = 0) -> None:
        self.camera = camera
        self.settings = settings.validate()
        self.episode = episode
        self.ignored = 0
        self._next_settings: ClipSettings | None = None
        self._frames: list[Frame] = []  # sampled frames of the open clip; empty: no clip is open
        self._start = self._end = 0  # span of the open clip, if it runs to the grid
        self._slot = -1  # sample instant of the newest sampled frame
        self._seen: int | None = None  # newest stamp seen in this episode
        self._done = 0  # the timeline up to here has been given out, or belongs to the open clip's start
        self._paused = False  # flushed: the time until the next frame is a gap "inactive"
        self._silence = _Silence()

    def wants(self, stamp_ns: int) -> bool:
        """True if add() would use the frame with this stamp; cheap, so ask before deserializing or decoding.

        Asking also notes that the camera is alive at this stamp, so ask for every frame that arrives. A frame
        that is wanted but turns out to be unreadable is simply not added: the next one is wanted instead.
        """
        if self._is_new_episode(stamp_ns):
            return True
        if self._is_late(stamp_ns):
            if self._seen is not None and stamp_ns > self._seen:
                # A burst after a stall: the camera is alive again, though this time was given out as a gap.
                self._seen = stamp_ns
            self.ignored += 1
            return False
        if not self._frames or stamp_ns >= self._end or self._has_stalled(stamp_ns):
            return True
        if self.settings.slot(stamp_ns) > self._slot:
            return True
        self._seen = stamp_ns
        return False

    def add(self, frame: Frame) -> list[Clip | Gap]:
        """Take a frame and return what it completed, oldest first; one not wanted completes nothing."""
        if frame.camera != self.camera:
            raise ValueError(
                f"a frame of camera {frame.camera!r} was given to the clipper of camera {self.camera!r}"
            )
        stamp = frame.stamp_ns
        if not self.wants(stamp):
            return []
        out: list[Clip | Gap] = []
        if self._is_new_episode(stamp):
            if self._seen is not None:
                out += self._close()
                self.episode += 1
            self._open(frame, start=stamp)
        elif self._paused:
            out += self._gap(stamp, INACTIVE)
            self._open(frame, start=stamp)
        elif self._has_stalled(stamp):
            out += self._close()
            out += self._gap(stamp, NO_FRAMES)
            self._open(frame, start=stamp)
        elif not self._frames or stamp >= self._end:
            out += self._close(at=self._end)
            whole_clips_end = self._settings_now().clip_start(stamp)
            out += self._gap(whole_clips_end, NO_FRAMES)
            self._open(frame, start=self._done)
        elif frame.image.shape != self._frames[0].image.shape:
            out += self._close(at=stamp)
            self._open(frame, start=stamp)
        else:
            self._frames.append(frame)
            self._slot = self.settings.slot(stamp)
        self._seen = stamp
        return out

    def tick(self, now_ns: int) -> list[Clip | Gap]:
        """Time has passed: close a clip whose camera has stalled, and report the silence so far.

        `now_ns` is the clock of the node that receives the frames (sim time when it runs on sim time); call
        it about once a second. Only how far that clock moves since the camera was last seen counts, so
        neither a camera's latency nor a paused or reset sim clock looks like a stall. Where stamps are not of
        this clock at all (a bag played without /clock, a camera with its own clock) the clip is closed, and
        the gap is reported when the next frame shows how long it was.
        """
        if self._seen is None or self._paused:
            return []
        silent_ns = self._silence.measure(now_ns, self._seen, self.settings.clip_ns)
        if silent_ns <= self.settings.stall_ns:
            return []
        out: list[Clip | Gap] = list(self._close())
        # Reported late by max_stall: frames that are still on their way then find their time free.
        until = self._seen + silent_ns - self.settings.stall_ns
        if self._silence.same_clock and until - self._done >= PIECE_NS:
            out += self._gap(until, NO_FRAMES)
        return out

    def flush(self) -> list[Clip | Gap]:
        """End of the stream, or a pause: close the open clip. The time until a later frame is "inactive"."""
        if self._seen is None:
            return []
        self._paused = True
        return list(self._close())

    def apply(self, settings: ClipSettings) -> None:
        """Use new settings from the next clip on; ValueError, and nothing changed, if they are not valid."""
        self._next_settings = settings.validate()

    def _is_new_episode(self, stamp: int) -> bool:
        return self._seen is None or stamp < self._seen - REORDER_NS

    def _is_late(self, stamp: int) -> bool:
        return self._seen is not None and (stamp <= self._seen or stamp < self._done)

    def _has_stalled(self, stamp: int) -> bool:
        return stamp - self._seen > self.settings.stall_ns

    def _settings_now(self) -> ClipSettings:
        """The settings of the clip that is about to open."""
        if self._next_settings is not None:
            self.settings, self._next_settings = self._next_settings, None
        return self.settings

    def _open(self, frame: Frame, start: int) -> None:
        settings = self._settings_now()
        self._frames = [frame]
        self._start = self._done = start
        self._end = settings.clip_start(frame.stamp_ns) + settings.clip_ns
        self._slot = settings.slot(frame.stamp_ns)
        self._seen = frame.stamp_ns
        self._paused = False

    def _close(self, at: int | None = None) -> Iterator[Clip]:
        """Give out the open clip, if there is one, ending at `at` or just after the newest stamp seen."""
        if self._frames:
            end = self._seen + 1 if at is None else at
            clip = Clip(self.camera, self.episode, self._start, end, tuple(self._frames))
            self._frames, self._done = [], end
            yield clip

    def _gap(self, end: int, reason: str) -> Iterator[Gap]:
        """Give out the time from where the timeline stands to `end`, if any."""
        if end > self._done:
            gap = Gap(self.camera, self.episode, self._done, end, reason)
            self._done = end
            yield gap


class _Silence:
    """Measures, by the receiver's clock, how long no new stamp has been seen."""

    def __init__(self) -> None:
        self.same_clock = False  # stamps and the receiver's clock tell the same time, up to latency
        self._stamp: int | None = None
        self._now = 0
        self._silent = 0

    def measure(self, now: int, seen: int, clip_ns: int) -> int:
        """Nanoseconds of silence at `now`, if `seen` is the newest stamp; never more than really passed."""
        if seen != self._stamp or now < self._now:
            self.same_clock = -NS <= now - seen <= clip_ns
            self._stamp, self._silent = seen, 0
        else:
            # One step of the clock larger than a clip is a clock being set, or a process that slept: the next
            # frame's stamp will tell how long it was, so it counts as one clip at most.
            self._silent += min(now - self._now, clip_ns)
        self._now = now
        return self._silent


@runtime_checkable
class FrameSource(Protocol):
    """A recording that can skip the work for frames nobody wants: a bag's topic, a film."""

    camera: str

    def frames(self, wants=None) -> Iterator[Frame]:
        """All frames, or only those whose stamp `wants` accepts; it is asked for every frame, in order."""


def clips_from(
    frames: Iterable[Frame] | FrameSource, settings: ClipSettings, *, episode: int = 0
) -> Iterator[Clip | Gap]:
    """Cut a whole recording into clips and gaps, by the same code as a live camera; cameras may be mixed.

    Depends on the frames alone, never on when it runs, so the same recording gives the same clips each time.
    """
    clippers: dict[str, Clipper] = {}
    if isinstance(frames, FrameSource):
        clipper = clippers[frames.camera] = Clipper(frames.camera, settings, episode)
        frames = frames.frames(clipper.wants)
    for frame in frames:
        if frame.camera not in clippers:
            clippers[frame.camera] = Clipper(frame.camera, settings, episode)
        yield from clippers[frame.camera].add(frame)
    for clipper in clippers.values():
        yield from clipper.flush()
