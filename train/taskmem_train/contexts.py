"""What a memorization policy is trained on: contexts, and the tasks that say which memories would help.

A context is what the policy sees when it writes one memory, as q_t in TaskMem (arXiv 2605.31075): the window
of clips, the newest last, and the memories of the earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from taskmem_ros.clips import Clip
from taskmem_ros.policy import Draft


@dataclass(frozen=True, eq=False)
class Context:
    """clips: the window, oldest first; memories: of all but the last. id: the same in every run."""

    id: str
    clips: tuple[Clip, ...]
    memories: tuple[str, ...]


@dataclass(frozen=True)
class TrainingTask:
    """A question that the robot was asked. answer: the right one where it is known, else None.

    since_ns, until_ns, camera: when and where what answers it was seen, None and "" where that is not known.
    """

    question: str
    answer: str | None = None
    choices: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    camera: str = ""


class Memorizer(Protocol):
    """Writes one memory for each context. Contexts of one call belong to different streams."""

    def write(self, contexts: Sequence[Context]) -> list[Draft]: ...
