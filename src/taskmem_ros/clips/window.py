"""The sliding window: what the policy sees beside the newest clip."""

from __future__ import annotations

from collections import deque

from .types import Clip

LONGEST_GAP = 5  # in clips


def follows(clip: Clip, last: Clip) -> bool:
    """Whether a clip goes on where `last` was: of the same camera and episode, and with less between them
    than LONGEST_GAP such clips. What was seen before a longer pause tells nothing of what is seen now.
    """
    pause_ns = clip.start_ns - last.end_ns
    longest_ns = LONGEST_GAP * max(clip.end_ns - clip.start_ns, last.end_ns - last.start_ns)
    return (clip.camera, clip.episode) == (last.camera, last.episode) and pause_ns < longest_ns


class Window:
    """The last `size` clips of one camera and episode, with the memories written for the earlier ones.

    A clip for which no memory was written (it failed) leaves the window when the next one comes, so there is
    always exactly one memory less than there are clips. One that does not follow the last starts an empty
    window.
    """

    def __init__(self, size: int = 5) -> None:
        if size < 1:
            raise ValueError(f"window is {size}, but it must hold at least 1 clip")
        self.size = size
        self._past: deque[tuple[Clip, str]] = deque(maxlen=size - 1)
        self._newest: Clip | None = None

    def push(self, clip: Clip) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
        """Returns (clips, oldest first and `clip` last; the memories of all but the last)."""
        last = self._newest or (self._past[-1][0] if self._past else None)
        if last is not None and not follows(clip, last):
            self._past.clear()
        self._newest = clip
        return (*(c for c, _ in self._past), clip), tuple(text for _, text in self._past)

    def remember(self, text: str) -> None:
        """Keep `text` as the memory of the clip pushed last; once for each clip."""
        if self._newest is None:
            raise RuntimeError("the window has no clip that waits for its memory: push() one first")
        if not text.strip():
            raise ValueError(
                "a memory must have words: do not call remember() for a clip whose memory failed"
            )
        self._past.append((self._newest, text))
        self._newest = None
