"""The values of a bundle. Tasks, memories and gaps are the memory and clip rooms' own values.

Times are int nanoseconds, spans half-open, as in the clip room.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskmem_ros.clips import Clip
from taskmem_ros.clips.jpeg import JpegClip

FORMAT = 2
TASKS, MEMORIES, FRAMES = CONTENTS = ("tasks", "memories", "frames")  # each with what those before it have


class BundleError(ValueError):
    """A bundle cannot be written or read: one sentence that names the file, what is wrong and what to do."""


class BundledClip(JpegClip):
    """A clip as it lies in a bundle. opens: nothing before it in the bundle belongs to its window."""

    def decoded(self) -> Clip:
        """The clip with its pictures. Raises BundleError where one cannot be decoded."""
        try:
            return super().decoded()
        except ValueError as error:
            raise BundleError(f"{error}; get the bundle again") from error


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    sha256: over all rows and what is named here, but for created_ns, the wall time of writing; id: its first
    16 digits. The same content has the same id, whenever it is written. robot: its name. store_id: the uuid
    of its database, "" where there is none; with a task's id it names the task in whatever bundle it comes.
    sequence: counts the bundles that a robot sends, from 1; 0 for one made by hand. contents: one of
    CONTENTS. model, revision, adapter, prompt_hash: what wrote the robot's newest memory, "" where there is
    none. tasks ... gaps: how many.
    """

    format: int
    id: str
    robot: str
    store_id: str
    sequence: int
    contents: str
    created_ns: int
    model: str
    revision: str
    adapter: str
    prompt_hash: str
    tasks: int
    feedback: int
    clips: int
    frames: int
    memories: int
    gaps: int
    sha256: str
