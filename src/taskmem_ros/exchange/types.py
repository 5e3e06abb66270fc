"""The values of a bundle. Tasks, memories and gaps are the memory and clip rooms' own values.

Times are int nanoseconds, spans half-open, as in the clip room.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskmem_ros.clips import Clip, Frame, Pose
from taskmem_ros.exchange.jpeg import jpeg_to_rgb

FORMAT = 1


class BundleError(ValueError):
    """A bundle cannot be written or read: one sentence that names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class BundledFrame:
    """One picture as it lies in a bundle. jpeg: RGB of any size; pose: of the observer, None if unknown."""

    stamp_ns: int
    jpeg: bytes
    pose: Pose | None = None


@dataclass(frozen=True)
class BundledClip:
    """A clip as it lies in a bundle: the frames that the policy saw of [start_ns, end_ns), oldest first.

    opens: the policy's window was empty before this clip, as at the start of a recording.
    """

    camera: str
    episode: int
    start_ns: int
    end_ns: int
    opens: bool
    frames: tuple[BundledFrame, ...]

    def decoded(self) -> Clip:
        """The clip with its pictures. Raises BundleError where one cannot be decoded."""
        frames = []
        for frame in self.frames:
            try:
                image = jpeg_to_rgb(frame.jpeg)
            except ValueError as error:
                raise BundleError(
                    f"the frame of camera {self.camera!r} at {frame.stamp_ns} ns is no picture ({error}); "
                    "get the bundle again"
                ) from error
            frames.append(Frame(frame.stamp_ns, self.camera, image, frame.pose))
        return Clip(self.camera, self.episode, self.start_ns, self.end_ns, tuple(frames))


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    sha256: over all rows, the robot's name and what wrote the newest memory; id: its first 16 digits. The
    same content has the same id, whenever it is written. created_ns: wall time of writing, not in the hash.
    model, revision, adapter, prompt_hash: what wrote the newest memory, "" where there is none.
    """

    format: int
    id: str
    robot: str
    created_ns: int
    model: str
    revision: str
    adapter: str
    prompt_hash: str
    tasks: int
    clips: int
    frames: int
    memories: int
    gaps: int
    sha256: str
