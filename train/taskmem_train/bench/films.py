"""Film files as the observations of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskmem_ros.clips import Clip, ClipSettings, Frame, Gap, Video, VideoError, clips_from
from taskmem_train.bench.types import digest

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")
CAMERA = "camera"


@dataclass(frozen=True)
class Film:
    """A film file and when it began, in nanoseconds."""

    path: Path
    start_ns: int


class Films:
    """Films of one camera, one after the other: a FrameSource. A time that was shown is not shown again."""

    def __init__(self, films: Sequence[Film]):
        self.camera, self._films = CAMERA, sorted(films, key=lambda film: film.start_ns)

    def frames(self, wants: Callable[[int], bool] | None = None) -> Iterator[Frame]:
        """Raises ValueError where a film cannot be read."""
        newest = -1

        def wanted(stamp_ns: int) -> bool:
            return stamp_ns > newest and (wants is None or wants(stamp_ns))

        for film in self._films:
            try:
                with Video(film.path, camera=self.camera, start_ns=film.start_ns) as video:
                    for frame in video.frames(wanted):
                        newest = frame.stamp_ns
                        yield frame
            except VideoError as error:
                raise ValueError(f"{error}; put a film there that can be read, or take it away") from error


def observe(films: Sequence[Film], settings: ClipSettings) -> Callable[[], Iterator[Clip | Gap]]:
    """What a StreamItem's `observe` is."""
    return lambda: clips_from(Films(films), settings)


def films_in(folder: str | Path) -> dict[str, Path]:
    """Name without suffix -> file, of all films in a folder and below. Raises ValueError without it."""
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"there is no folder of videos at {folder}; give the one with the dataset's films")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return {path.stem: path for path in found}


def unreadable(path: Path) -> str:
    """Why a film cannot be read, "" where it can."""
    try:
        Video(path).close()
    except VideoError as error:
        return str(error)
    return ""


def fingerprint(films: Sequence[Film], settings: ClipSettings) -> str:
    """Tells films by name, time and size; to read all of a week of video would take long."""
    return digest([[(f.path.name, f.start_ns, f.path.stat().st_size) for f in films], repr(settings)])


def cut_in_words(settings: ClipSettings) -> str:
    """How films are cut into clips."""
    return f"{settings.sample_rate:g} Hz, {settings.clip_seconds:g} s clips"
