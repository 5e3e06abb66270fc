"""`taskmem ingest`: a recorded bag or film through the same clips, policy and store as a live camera."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from taskmem_ros.cli import show
from taskmem_ros.cli.look import add_store_options
from taskmem_ros.cli.model import add_model_options, load_and_tell
from taskmem_ros.cli.times import TIME_HELP, parse_time, zone_of
from taskmem_ros.clips import FAILED, Clip, ClipSettings, FrameSource, Gap, Window, clips_from
from taskmem_ros.memory import Memory, Store, StoreError

if TYPE_CHECKING:
    from taskmem_ros.policy import MemoryPolicy

BAG_SUFFIXES = (".mcap", ".db3")
ENDS = 1 << 20  # bytes at each end of a file that its fingerprint covers
THUMBNAIL_WIDTH = 160

DESCRIPTION = """\
Read a rosbag2 (sqlite3 or mcap; no ROS needed) or a film through the same
clips, policy and store as a live camera. Nothing is skipped, however slow the
model is, and the same recording gives the same memories each time."""

EXAMPLES = """examples:
  taskmem ingest walk/ --topic /front/image_raw
  taskmem ingest walk.mcap --topic /front/image_raw/compressed --database walk.db
  taskmem ingest film.mp4 --camera door --start 2026-07-14T09:00"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    ingest = commands.add_parser(
        "ingest",
        help="remember a recorded bag or film",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ingest.add_argument(
        "source", metavar="BAG_OR_FILM", help="a rosbag2 (folder, .mcap or .db3) or a film file"
    )
    ingest.add_argument("--topic", metavar="TOPIC", help="the bag's Image or CompressedImage topic")
    ingest.add_argument(
        "--camera", metavar="NAME", help="what to call the camera (default: by topic or file)"
    )
    ingest.add_argument(
        "--start", metavar="TIME",
        help=f"when a film began: {TIME_HELP} (default: when its file was last changed)",
    )  # fmt: skip
    ingest.add_argument("--map-frame", default="map", metavar="FRAME", help="of poses (default: %(default)s)")
    ingest.add_argument("--map-id", default="", metavar="ID", help="which map that is")
    ingest.add_argument(
        "--stamps", choices=("header", "received"), default="header", help="which time of a bag's images"
    )
    ingest.add_argument(
        "--again", action="store_true", help="replace what an earlier ingest of it remembered"
    )
    add_store_options(ingest)
    clips = ingest.add_argument_group("clips")
    settings = ClipSettings()
    clips.add_argument(
        "--sample-rate", type=float, default=settings.sample_rate, metavar="HZ", help="default: %(default)g"
    )
    clips.add_argument(
        "--clip-seconds", type=float, default=settings.clip_seconds, metavar="S", help="default: %(default)g"
    )
    clips.add_argument(
        "--max-stall", type=float, default=settings.max_stall, metavar="S",
        help="a longer silence of the camera ends a clip and is a gap (default: %(default)g)",
    )  # fmt: skip
    clips.add_argument(
        "--window", type=int, default=5, metavar="CLIPS", help="what the policy sees (default: %(default)d)"
    )
    clips.add_argument(
        "--max-new-tokens", type=int, default=256, metavar="N", help="of a memory (default: %(default)d)"
    )
    add_model_options(ingest)
    ingest.set_defaults(run=run_ingest)


def run_ingest(options: argparse.Namespace) -> int:
    settings = ClipSettings(options.sample_rate, options.clip_seconds, options.max_stall).validate()
    Window(options.window)  # refuses a wrong size before the model is loaded
    if options.max_new_tokens < 1:
        raise ValueError(f"--max-new-tokens is {options.max_new_tokens}; it must be at least 1.")
    source = open_source(options, settings)
    path = Path(options.source).expanduser()
    mark = fingerprint(path, options.topic or "")
    with Store.open(options.database) as store:
        known = store.source(mark, source.camera)
        if known and not options.again:
            how = "was" if known.finished_ns else "was in part"
            raise StoreError(
                f"{path} {how} ingested into {store.path} as camera {source.camera!r} already; "
                "--again replaces those memories."
            )
        policy = load_and_tell(options)
        if known:
            print(f"Replacing {store.forget_source(known.id)} memories of {path}.", file=sys.stderr)
        row = store.add_source(str(path), mark, source.camera)
        counts = _remember_all(source, settings, policy, store, row.id, options)
        store.finish_source(row.id)
    if options.json:
        show.print_record({"type": "ingested", "source": str(path), "camera": source.camera} | counts)
    else:
        said = f"{counts['memories']} memories, {counts['failures']} failed clips, {counts['gaps']} gaps"
        print(f"{path} as camera {source.camera!r}: {said}, in {store.path}", file=sys.stderr)
    return 0 if counts["memories"] else 1


def open_source(options: argparse.Namespace, settings: ClipSettings) -> FrameSource:
    """The bag's topic or the film that the options name. Raises ValueError with a sentence."""
    from taskmem_ros.clips.bag import BagError, BagTopic, image_topics
    from taskmem_ros.clips.video import Video, VideoError

    path = Path(options.source).expanduser()
    if not path.exists():
        raise ValueError(f"There is no bag or film at {options.source}.")
    try:
        if path.is_dir() or path.suffix in BAG_SUFFIXES:
            if not options.topic:
                names = ", ".join(topic.name for topic in image_topics(path)) or "none"
                raise ValueError(
                    f"Say which images to read with --topic; the image topics of {path} are: {names}."
                )
            more = {"map_frame": options.map_frame, "map_id": options.map_id, "stamps": options.stamps}
            return BagTopic(path, options.topic, camera=options.camera, **more)
        if options.topic:
            raise ValueError(
                f"{path} is no bag (a folder, .mcap or .db3), so it has no topic; leave --topic out."
            )
        start = parse_time(options.start, zone_of(options)) if options.start else path.stat().st_mtime_ns
        # On the grid of the clips, so that a film is cut in the same places whenever it began.
        return Video(path, camera=options.camera or path.stem, start_ns=settings.clip_start(start))
    except (BagError, VideoError) as error:
        raise ValueError(f"{error}.") from error


def fingerprint(path: Path, topic: str) -> str:
    """Tells a recording from others by the sizes and both ends of its files, wherever it lies."""
    digest = hashlib.sha256(topic.strip("/").encode())
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as stream:
            digest.update(size.to_bytes(8, "big") + stream.read(ENDS))
            stream.seek(max(0, size - ENDS))
            digest.update(stream.read(ENDS))
    return digest.hexdigest()


def _remember_all(
    source: FrameSource,
    settings: ClipSettings,
    policy: MemoryPolicy,
    store: Store,
    source_id: int,
    options: argparse.Namespace,
) -> dict[str, int]:
    from tqdm import tqdm

    counts, zone, already = {"memories": 0, "failures": 0, "gaps": 0}, zone_of(options), 0
    window, row = Window(options.window), None
    pieces = tqdm(_pieces(source, settings), desc=source.camera, unit=" clips", file=sys.stderr, disable=None)
    for piece in pieces:
        if row is None:
            already = len(store.memories(piece.start_ns, piece.start_ns + 1, source.camera, thumbnails=False))
        row = piece if isinstance(piece, Gap) else _remember(piece, window, policy, store, source_id, options)
        if isinstance(row, Memory):
            counts["memories"] += 1
        else:
            store.add_gap(row, source_id=source_id)
            counts["failures" if row.reason == FAILED else "gaps"] += 1
        if options.json:
            record = show.memory_record if isinstance(row, Memory) else show.gap_record
            show.print_record(record(row, zone))
        else:
            line = show.memory_line if isinstance(row, Memory) else show.gap_line
            tqdm.write(line(row, zone))
    if already:  # that is no mistake: the robot may have remembered this walk live
        print(
            f"taskmem: camera {source.camera!r} had memories of this time already, live or from another "
            "recording; all are kept.",
            file=sys.stderr,
        )
    return counts


def _pieces(source: FrameSource, settings: ClipSettings) -> Iterator[Clip | Gap]:
    from taskmem_ros.clips.bag import BagError
    from taskmem_ros.clips.video import VideoError

    try:
        yield from clips_from(source, settings)
    except (BagError, VideoError) as error:
        raise ValueError(f"{error}; what was read before is remembered, and --again starts over.") from error


def _remember(
    clip: Clip,
    window: Window,
    policy: MemoryPolicy,
    store: Store,
    source_id: int,
    options: argparse.Namespace,
) -> Memory | Gap:
    """Write the memory of a clip; where that fails, keep what the policy wrote and return the gap."""
    from taskmem_ros.clips import thumbnail  # cv2

    clips, memories = window.push(clip)
    draft = policy.write(clips, memories, max_new_tokens=options.max_new_tokens)
    span, who = (clip.camera, clip.episode, clip.start_ns, clip.end_ns), asdict(policy.provenance)
    if draft.text is None:
        store.add_failure(*span, raw=draft.raw, error=draft.error or "", source_id=source_id, **who)
        return Gap(*span, FAILED)
    window.remember(draft.text)
    picture = thumbnail(clip, THUMBNAIL_WIDTH)
    return store.add_memory(*span, draft.text, pose=clip.pose, thumbnail=picture, source_id=source_id, **who)
