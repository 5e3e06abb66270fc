"""The clips that wait for the policy, and the one it has in hand."""

from __future__ import annotations

from taskmem_ros.clips import Clip, ClipQueue


class WorkQueue(ClipQueue):
    """Knows which clip the engine has in hand: it is remembered or given up, by who asks for it first."""

    def __init__(self, size: int, policy: str) -> None:
        super().__init__(size, policy)
        self._in_hand: list[Clip] = []

    def get(self, timeout: float | None = None) -> Clip | None:
        clip = super().get(timeout)
        self._in_hand = [] if clip is None else [clip]
        return clip

    def hand_over(self) -> Clip | None:
        """The clip that was taken last, once; None when it was handed over before."""
        try:
            return self._in_hand.pop()  # atomic
        except IndexError:
            return None
