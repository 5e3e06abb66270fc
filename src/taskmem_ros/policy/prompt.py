"""What the memorization policy is told, and how its reply is read.

Order as in TaskMem (arXiv 2605.31075): a line that says what is given, the video of the window, then the
memories already written for it and the instruction. The words are ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import json_repair
import numpy as np

from taskmem_ros.clips import Clip

GIVEN = "You keep a robot's memory. Its camera saw this, oldest first."
NEWEST = "Newest clip:"
WRITTEN = "Already in memory:"
NOTHING = "nothing."
INSTRUCTION = (
    "Write one memory of the newest clip: one or two sentences, only what is seen there, "
    'nothing that is already in memory. Reply as JSON: {"description": "..."}'
)

_WORDS = "\n".join((GIVEN, NEWEST, WRITTEN, NOTHING, INSTRUCTION))
PROMPT_HASH = hashlib.sha256(_WORDS.encode()).hexdigest()[:12]


@dataclass(frozen=True, eq=False)
class VideoPart:
    """Frames that stand in a prompt.

    frames: RGB uint8 arrays of shape (height, width, 3), all of one size.
    times_s: seconds of each frame since the start of the window.
    """

    frames: tuple[np.ndarray, ...]
    times_s: tuple[float, ...]


PromptPart = str | VideoPart


def memorize_parts(
    clips: Sequence[Clip], memories: Sequence[str], instruction: str = INSTRUCTION
) -> list[PromptPart]:
    """The user turn that asks for one memory of the last clip.

    clips: the window, oldest first; the last one is to be remembered. memories: those written for the earlier
    clips, oldest first. Raises ValueError when there is no clip or a clip has no frames.
    """
    if not clips or not all(clip.frames for clip in clips):
        raise ValueError("a memory needs a window of at least one clip, and every clip at least one frame")
    start_ns = clips[0].start_ns
    videos = [
        VideoPart(
            tuple(frame.image for frame in clip.frames),
            tuple((frame.stamp_ns - start_ns) / 1e9 for frame in clip.frames),
        )
        for clip in clips
    ]
    written = "\n".join(f"- {text}" for text in memories) if memories else NOTHING
    separator = "\n" if memories else " "
    before = f"{GIVEN}\n" if videos[:-1] else f"{GIVEN}\n{NEWEST}\n"
    between = [f"\n{NEWEST}\n"] if videos[:-1] else []
    return [before, *videos[:-1], *between, videos[-1], f"\n{WRITTEN}{separator}{written}\n{instruction}"]


def memory_reply(text: str) -> str:
    """The reply that `parse_memory` reads back: what a policy is trained to write."""
    return f'{{"description": "{text}"}}'


def parse_memory(reply: str) -> str:
    """The memory in a reply of the policy: JSON with one non-empty "description".

    A reasoning-first reply is read after its </think>. Small damage (a missing brace or quote) is repaired.
    Raises ValueError, with the reason, when there is no memory in it.
    """
    answer = reply.rpartition("</think>")[2].strip()
    if not answer:
        raise ValueError("the reply is empty" if "</think>" in reply else "the reply has no text")
    parsed = json_repair.loads(answer)
    if not isinstance(parsed, dict):
        raise ValueError(f"the reply is not a JSON object: {answer[:80]!r}")
    text = parsed.get("description")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'the reply has no "description" text: {answer[:80]!r}')
    return " ".join(text.split())
