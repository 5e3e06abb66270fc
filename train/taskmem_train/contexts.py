"""What a memorization policy is trained on: contexts, and the tasks that say which memories would help.

A context is what the policy sees when it writes one memory, as q_t in TaskMem (arXiv 2605.31075): the window
of clips, the newest last, and the memories of the earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from taskmem_ros.clips import Clip, Window
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


def live(
    memorizer: Memorizer, streams: Mapping[str, Sequence[Clip]], window: int = 5
) -> Iterator[tuple[Context, Draft]]:
    """Write memories of streams of clips, all in lock-step, each clip given its predecessors' memories.

    A clip whose memory failed leaves the window, as on the robot.
    """
    windows = {name: Window(window) for name in streams}
    running = {name: iter(clips) for name, clips in streams.items()}
    while step := {name: clip for name, clips in running.items() for clip in islice(clips, 1)}:
        contexts = [
            Context(f"{name}@{clip.start_ns}", *windows[name].push(clip)) for name, clip in step.items()
        ]
        for name, context, draft in zip(step, contexts, memorizer.write(contexts)):
            if draft.text is not None:
                windows[name].remember(draft.text)
            yield context, draft
