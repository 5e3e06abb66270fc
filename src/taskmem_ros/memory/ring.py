"""The ring of kept clips, beside the store: what the policy saw lately, to learn from, to try adapters on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from taskmem_ros.clips import FORGOTTEN, Clip, Gap, Pose
from taskmem_ros.memory.ring_file import PAGE, RingFile, fold_log, pages_of
from taskmem_ros.memory.rows import span_filter
from taskmem_ros.memory.steps import Steps, give_back_pages
from taskmem_ros.memory.traces import PATIENCE_S, remove_traces

if TYPE_CHECKING:
    from taskmem_ros.clips.jpeg import JpegClip
    from taskmem_ros.memory.forget import Selection
    from taskmem_ros.memory.store import Store

WINDOW = 5  # clips
_POSE = ("frame_id", "x", "y", "z", "qx", "qy", "qz", "qw", "map_id")  # in the order of Pose
_UNFINISHED = "forgetting"  # key in `meta` from the first deletion until no trace is left


@dataclass(frozen=True)
class KeptClip:
    """A clip of the ring without its pictures. after: the one before it in its window, None where nothing
    that is kept was. bytes: what it takes in the file.
    """

    id: int
    after: int | None
    camera: str
    episode: int
    start_ns: int
    end_ns: int
    bytes: int


class ClipRing:
    """The clips that a robot watched lately, as JPEG with poses, oldest out first; one file beside the store.

    max_bytes: of that file on the disk with all that belongs to it; 0 keeps nothing. It takes effect with
    `resize` and `add`; who only reads, or forgets, needs none. Every method may be called from any thread and
    beside another process, and may raise StoreError: nothing is lost by that but clips.
    """

    def __init__(self, store: Store, max_bytes: int = 0):
        self.max_bytes = max_bytes
        self._store = store
        self._file = RingFile(ring_path(store.path), store.store_id)
        self._newest: dict[str, tuple[int, int]] = {}  # of each camera: id and start

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def bytes(self) -> int:
        """On the disk; 0 where there is no file."""
        return self._file.bytes

    def resize(self, max_bytes: int) -> None:
        """Keep no more than this from now on; 0 removes the file."""
        self.max_bytes = max_bytes
        if not max_bytes:
            self._file.remove()
        elif self._file.path.exists():
            with self._file.write() as db:
                self._file.make_room(db, 0, max_bytes)

    def add(self, clip: Clip, opens: bool = False) -> int | None:
        """Keep a clip, the newest of its camera; returns its id, None where it was forgotten meanwhile.

        opens: the policy's window was empty before it, or what was in it last is not kept. Encoding takes
        some milliseconds for each frame. A clip of the same camera, episode and start gives way to it.
        """
        from taskmem_ros.clips.jpeg import JpegClip  # cv2, which not every reader of a store has

        kept = JpegClip.of(clip, opens)
        pages = pages_of([len(frame.jpeg) for frame in kept.frames])
        newest = self._newest.pop(clip.camera, None)
        self._file.check_room(pages)
        with self._file.given_up_when_full(), self._file.write() as db:
            self._file.make_room(db, pages, self.max_bytes)
            with self._file.transaction(db):
                # Inside the transaction: `forget` comes either before it, and is seen here, or after it.
                if _is_forgotten(clip, self._forgotten(clip.start_ns, clip.end_ns, clip.camera)):
                    return None
                number = _insert(db, kept, None if opens else newest, pages * PAGE)
        self._newest[clip.camera] = (number, clip.start_ns)
        return number

    def kept(self) -> list[KeptClip]:
        """What there is, in the order of watching."""
        with self._file.read() as db:
            rows = [] if db is None else list(db["clips"].rows_where(order_by="id"))
        ids = {row["id"] for row in rows}
        return [KeptClip(**row | {"after": row["after"] if row["after"] in ids else None}) for row in rows]

    def clip(self, kept: KeptClip) -> JpegClip | None:
        """The clip with its pictures; None where it is not there any more."""
        from taskmem_ros.clips.jpeg import JpegClip, JpegFrame

        with self._file.read() as db:
            rows = (
                [] if db is None else list(db["frames"].rows_where("clip_id = ?", [kept.id], order_by="id"))
            )
        frames = tuple(JpegFrame(row["stamp_ns"], row["jpeg"], _pose(row)) for row in rows)
        span = (kept.camera, kept.episode, kept.start_ns, kept.end_ns)
        return JpegClip(*span, kept.after is None, frames) if frames else None

    def clips(self) -> Iterator[JpegClip]:
        """All clips in the order of watching, read one by one."""
        for kept in self.kept():
            if (clip := self.clip(kept)) is not None:
                yield clip

    def contexts(
        self, count: int, *, window: int = WINDOW, camera: str | None = None
    ) -> list[tuple[tuple[Clip, ...], tuple[str, ...]]]:
        """What the policy saw for the newest clips, as `Window.push` gives it: clips and the memories of all
        but the last. At most `count`, the newest last.
        """
        kept = {item.id: item for item in self.kept()}
        newest = deque((item for item in kept.values() if camera in (None, item.camera)), maxlen=count)
        texts: dict[int, str | None] = {}
        pictures: dict[int, Clip | None] = {}
        found = []
        for item in newest:
            past: list[KeptClip] = []
            before = item
            while before.after is not None and len(past) < window - 1:
                before = kept[before.after]
                if before.id not in texts:
                    texts[before.id] = self._text(before)
                if texts[before.id]:  # a clip without a memory leaves the window
                    past.insert(0, before)
            for one in (*past, item):
                if one.id not in pictures:
                    jpegs = self.clip(one)
                    pictures[one.id] = jpegs and jpegs.decoded()
            clips = tuple(pictures[one.id] for one in (*past, item))
            if None not in clips:
                found.append((clips, tuple(texts[one.id] for one in past)))
        return found

    def to_forget(self, what: Selection) -> int:
        """How many clips `forget` would take."""
        with self._file.read() as db:
            return 0 if db is None else len(self._selected(db, what))

    def forget(self, what: Selection | None = None, *, patience_s: float = PATIENCE_S) -> int:
        """Delete the clips that are selected (one with a frame at the place, whatever the others show), and
        all whose time the store has as forgotten; nothing of them is left in the bytes of the file.

        what: None takes only the latter. Returns how many. Cut off, it is finished by any later one.
        """
        if not self._file.path.exists():
            return 0
        with self._file.write() as db:
            numbers = self._selected(db, what)
            taken = len(numbers)
            steps = Steps(db)
            steps.run(lambda db, size: _delete_some(db, numbers, size), 1, lambda: fold_log(db))
            if not _is_unfinished(db):
                return taken
            steps.run(give_back_pages, 64, lambda: fold_log(db))
        remove_traces(self._file.path, patience_s)
        with self._file.write() as db, self._file.transaction(db):
            db.execute("DELETE FROM meta WHERE key = ?", [_UNFINISHED])
        return taken

    def drop_forgotten(self, before_ns: int | None = None) -> int:
        """Delete the clips whose time the store has as forgotten, and those that ended before before_ns.

        Returns how many. Traces may stay in the file; `forget` is for what must not be known any more.
        """
        with self._file.read() as db:
            if db is None:
                return 0
        with self._file.write() as db:
            numbers = set(self._selected(db, None))
            if before_ns is not None:
                numbers |= {row["id"] for row in db["clips"].rows_where("end_ns < ?", [before_ns])}
            for number in numbers:
                with self._file.transaction(db):
                    db.execute("DELETE FROM clips WHERE id = ?", [number])
            return len(numbers)

    def unfinished_forgetting(self) -> bool:
        """Whether a `forget` was cut off, so that traces of what it deleted may be left in the file."""
        with self._file.read() as db:
            return db is not None and _is_unfinished(db)

    def _selected(self, db: Database, what: Selection | None) -> list[int]:
        """The ids of what is to go."""
        found = set()
        if what is not None:
            where, values = span_filter("c", what.since_ns, what.until_ns, what.camera)
            if what.place is not None:
                at = what.place
                where += """ AND EXISTS (SELECT 1 FROM frames AS f WHERE f.clip_id = c.id AND
                    (f.x - :x) * (f.x - :x) + (f.y - :y) * (f.y - :y) <= :radius * :radius
                    AND (:map = '' OR :map IN (f.map_id, f.frame_id)))"""
                values |= {"x": at.x, "y": at.y, "radius": at.radius, "map": at.map_id}
            found = {row["id"] for row in db.query(f"SELECT c.id FROM clips AS c WHERE {where}", values)}
        clips = [KeptClip(**row) for row in db["clips"].rows]
        if clips:
            span = min(clip.start_ns for clip in clips), max(clip.end_ns for clip in clips)
            gaps = self._forgotten(*span)
            found |= {clip.id for clip in clips if _is_forgotten(clip, gaps)}
        return sorted(found)

    def _forgotten(self, start_ns: int, end_ns: int, camera: str | None = None) -> list[Gap]:
        return [gap for gap in self._store.coverage(start_ns, end_ns, camera) if gap.reason == FORGOTTEN]

    def _text(self, kept: KeptClip) -> str | None:
        """The memory of the clip, the newest where there are several; None where it failed or is gone."""
        span = (kept.camera, kept.episode, kept.start_ns, kept.end_ns)
        found = self._store.memories(kept.start_ns, kept.end_ns, kept.camera, thumbnails=False)
        of_it = [m for m in found if (m.camera, m.episode, m.start_ns, m.end_ns) == span]
        return max(of_it, key=lambda memory: memory.id).text if of_it else None


def ring_path(database: Path) -> Path:
    """Where the ring of a store lies: memory.frames.db beside memory.db."""
    return database.with_name(f"{database.stem}.frames{database.suffix}")


def _is_forgotten(clip: Clip | KeptClip, gaps: list[Gap]) -> bool:
    """Whether one of these gaps lies over the clip."""
    return any(
        (gap.camera, gap.episode) == (clip.camera, clip.episode)
        and gap.start_ns < clip.end_ns
        and clip.start_ns < gap.end_ns
        for gap in gaps
    )


def _insert(db: Database, clip: JpegClip, newest: tuple[int, int] | None, size: int) -> int:
    """newest: id and start of the one before. In a file that was begun anew its id means another clip."""
    span = {"camera": clip.camera, "episode": clip.episode, "start_ns": clip.start_ns}
    where = "id = ? AND start_ns = ? AND camera = ?"
    is_there = newest is not None and db["clips"].count_where(where, [*newest, clip.camera])
    after = newest[0] if is_there else None
    db["clips"].delete_where("camera = :camera AND episode = :episode AND start_ns = :start_ns", span)
    number = db["clips"].insert(span | {"end_ns": clip.end_ns, "after": after, "bytes": size}).last_pk
    frames = (
        {"clip_id": number, "stamp_ns": f.stamp_ns, "jpeg": f.jpeg, **_pose_row(f.pose)} for f in clip.frames
    )
    db["frames"].insert_all(frames)
    return number


def _delete_some(db: Database, left: list[int], size: int) -> int:
    """The next of `left`, from its end."""
    numbers = left[-size:] if left else []
    if numbers:
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, '1')", [_UNFINISHED])
        db.execute(f"DELETE FROM clips WHERE id IN ({','.join(map(str, numbers))})")
        del left[-size:]
    return len(numbers)


def _is_unfinished(db: Database) -> bool:
    return bool(db["meta"].count_where("key = ?", [_UNFINISHED]))


def _pose_row(pose: Pose | None) -> dict[str, Any]:
    return {name: None if pose is None else getattr(pose, name) for name in _POSE}


def _pose(row: dict[str, Any]) -> Pose | None:
    return None if row["frame_id"] is None else Pose(*(row[name] for name in _POSE))
