"""The bounded queue between the cameras and the policy, and what is given up when the policy is too slow."""

from __future__ import annotations

import threading
from collections import deque

from .types import DROPPED, Clip, Frame, Gap

DROP_POLICIES = ("drop_oldest", "drop_newest", "merge")

# merge stops at clips this many times as long as the shortest one waiting: thinner ones would hide too much.
MERGE_LIMIT = 4


class ClipQueue:
    """Clips waiting for the policy, at most `size`; thread-safe. `policy` says what happens to one too many:

    drop_oldest  the clip that has waited longest is given up: memory stays close to now (the default)
    drop_newest  the arriving clip is given up: what waits is remembered without holes, and memory lags behind
    merge        two waiting neighbours become one clip with every other frame: nothing goes unwatched, but it
                 is watched at half the density; where no two clips may be merged, it drops the oldest.
                 Neighbours are of one camera and episode and touch in time, and no clip grows beyond 4 times
                 the shortest one.

    Every second given up is returned as Gap("dropped") by the call that gave it up.
    """

    DROP_POLICIES = DROP_POLICIES

    def __init__(self, size: int = 4, policy: str = "drop_oldest") -> None:
        if policy not in DROP_POLICIES:
            raise ValueError(f"drop_policy is {policy!r}, but it must be one of {', '.join(DROP_POLICIES)}")
        if size < 1:
            raise ValueError(f"queue_clips is {size}, but the queue must hold at least 1 clip")
        self.size = size
        self.policy = policy
        self.dropped = 0  # clips given up
        self.merged = 0  # pairs made one
        self._clips: deque[Clip] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, clip: Clip) -> list[Gap]:
        """Add a clip without waiting; returns the spans given up for it (when closed, the clip itself)."""
        with self._changed:
            if self._closed:
                return [self._give_up(clip)]
            gaps = []
            self._clips.append(clip)
            if len(self._clips) > self.size and not (self.policy == "merge" and self._merge()):
                victim = self._clips.pop() if self.policy == "drop_newest" else self._clips.popleft()
                gaps.append(self._give_up(victim))
            self._changed.notify()
            return gaps

    def get(self, timeout: float | None = None) -> Clip | None:
        """The clip that has waited longest; None after `timeout` seconds without one, or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._clips or self._closed, timeout)
            return self._clips.popleft() if self._clips else None

    def close(self) -> list[Gap]:
        """Take no more clips, give up those that wait, and wake whoever waits in get()."""
        with self._changed:
            self._closed = True
            gaps = [self._give_up(clip) for clip in self._clips]
            self._clips.clear()
            self._changed.notify_all()
            return gaps

    def __len__(self) -> int:
        return len(self._clips)

    def _give_up(self, clip: Clip) -> Gap:
        self.dropped += 1
        return Gap(clip.camera, clip.episode, clip.start_ns, clip.end_ns, DROPPED)

    def _merge(self) -> bool:
        """Make one clip of the two neighbours that are shortest together; False where there are none."""
        limit = MERGE_LIMIT * max(1, min(clip.end_ns - clip.start_ns for clip in self._clips))
        pairs = [
            (i, j) for i, j in self._neighbours() if self._clips[j].end_ns - self._clips[i].start_ns <= limit
        ]
        if not pairs:
            return False
        i, j = min(pairs, key=lambda pair: self._clips[pair[1]].end_ns - self._clips[pair[0]].start_ns)
        self._clips[i] = merge(self._clips[i], self._clips[j])
        del self._clips[j]
        self.merged += 1
        return True

    def _neighbours(self) -> list[tuple[int, int]]:
        """Index pairs of clips that touch in time; other cameras' clips may wait between them."""
        newest: dict[str, int] = {}
        pairs = []
        for j, clip in enumerate(self._clips):
            i = newest.get(clip.camera)
            if i is not None:
                before = self._clips[i]
                same_size = before.frames[0].image.shape == clip.frames[0].image.shape
                if before.episode == clip.episode and before.end_ns == clip.start_ns and same_size:
                    pairs.append((i, j))
            newest[clip.camera] = j
        return pairs


def merge(a: Clip, b: Clip) -> Clip:
    """One clip for two that touch, with as many frames as the fuller of them, evenly spread over time."""
    frames = a.frames + b.frames
    keep = max(len(a.frames), len(b.frames))
    return Clip(a.camera, a.episode, a.start_ns, b.end_ns, _spread(frames, keep, a.start_ns, b.end_ns))


def _spread(frames: tuple[Frame, ...], keep: int, start_ns: int, end_ns: int) -> tuple[Frame, ...]:
    """`keep` frames nearest to the start of equal parts of [start, end), each used once, in order."""
    chosen: list[int] = []
    for k in range(keep):
        instant = start_ns + (end_ns - start_ns) * k // keep
        first = chosen[-1] + 1 if chosen else 0
        last = len(frames) - (keep - k)  # leave enough for the instants to come
        chosen.append(min(range(first, last + 1), key=lambda n: abs(frames[n].stamp_ns - instant)))
    return tuple(frames[n] for n in chosen)
