"""`taskmem bundle`: what a workstation learns from, in one file; `taskmem bundle inspect` shows one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from taskmem_ros.cli import show
from taskmem_ros.cli.ingest import fingerprint, open_source
from taskmem_ros.cli.look import add_span_options
from taskmem_ros.cli.paper import Paper
from taskmem_ros.cli.times import TIME_HELP, add_zone_option, iso, local, span_of, zone_of
from taskmem_ros.clips import Clip, ClipSettings, FrameSource, clips_from
from taskmem_ros.memory import Store, StoreError, known_answer

if TYPE_CHECKING:
    from taskmem_ros.clips.jpeg import JpegClip
    from taskmem_ros.exchange import Bundle

CONTENTS = ("tasks", "memories", "frames")  # as in the exchange room, which needs cv2
INSPECT = "inspect"

USAGE = """taskmem bundle FILE.db -o OUT.bundle
       taskmem bundle FILE.db --video BAG_OR_FILM [...] -o OUT.bundle
       taskmem bundle inspect OUT.bundle [--json]"""

DESCRIPTION = """\
Write a task bundle: the tasks of a store with what was said of their answers,
the clips that the agent kept (parameter frames.gigabytes), and the memories
around them. With --video the clips are those of recordings that `taskmem
ingest` remembered; they are cut again, with the same options the same way. Of
what was forgotten since, nothing goes along. --contents leaves out pictures,
or memories, too."""

EXAMPLES = """examples:
  taskmem bundle ~/.taskmem/memory.db -o robot.bundle
  taskmem bundle walk.db --video walk/ --topic /front/image_raw -o walk.bundle
  taskmem bundle film.db --video film.mp4 --start 2026-07-14T09:00 --since today -o film.bundle
  taskmem bundle inspect film.bundle --json"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    bundle = commands.add_parser(
        "bundle",
        help="tasks with their clips and memories in one file, to learn from",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bundle.add_argument("database", metavar="FILE.db", help='the store, or "inspect" to show a bundle')
    bundle.add_argument("bundle", metavar="OUT.bundle", nargs="?", help="the bundle to show")
    bundle.add_argument(
        "--video", metavar="BAG_OR_FILM", nargs="+", action="extend", default=[],
        help="recordings that were ingested, each once; the options below are those of `taskmem ingest`",
    )  # fmt: skip
    bundle.add_argument("-o", "--output", metavar="OUT.bundle", help="the file to make")
    bundle.add_argument(
        "--contents", choices=CONTENTS, default=CONTENTS[-1],
        help="what goes along: tasks alone, memories, too, or frames as well (default: %(default)s)",
    )  # fmt: skip
    bundle.add_argument("--force", action="store_true", help="overwrite what is there")
    bundle.add_argument("--robot", metavar="NAME", help="whose tasks they are (default: the store's name)")
    bundle.add_argument("--json", action="store_true", help="JSON for programs, one object on each line")
    add_zone_option(bundle)
    asked = bundle.add_argument_group("tasks (default: all)")
    add_span_options(asked, camera=False)
    recording = bundle.add_argument_group("recordings")
    recording.add_argument("--topic", metavar="TOPIC", help="the bags' Image or CompressedImage topic")
    recording.add_argument(
        "--camera", metavar="NAME", help="what the camera was called (default: by topic or file)"
    )
    recording.add_argument(
        "--start", metavar="TIME",
        help=f"when a film began: {TIME_HELP} (default: when its file was last changed)",
    )  # fmt: skip
    recording.add_argument(
        "--map-frame", default="map", metavar="FRAME", help="of poses (default: %(default)s)"
    )
    recording.add_argument("--map-id", default="", metavar="ID", help="which map that is")
    recording.add_argument(
        "--stamps", choices=("header", "received"), default="header", help="which time of a bag's images"
    )
    settings = ClipSettings()
    for name, unit in (("sample_rate", "HZ"), ("clip_seconds", "S"), ("max_stall", "S")):
        recording.add_argument(
            f"--{name.replace('_', '-')}", type=float, default=getattr(settings, name), metavar=unit,
            help="default: %(default)g",
        )  # fmt: skip
    bundle.set_defaults(run=run_bundle)


def run_bundle(options: argparse.Namespace) -> int:
    from taskmem_ros.exchange import Bundle, build_bundle  # cv2

    if options.database == INSPECT:
        if not options.bundle:
            raise ValueError("name the bundle to show, as in `taskmem bundle inspect OUT.bundle`.")
        with Bundle.open(options.bundle) as bundle:
            _show(bundle, options)
        return 0
    if options.bundle:
        raise ValueError(
            f"{options.bundle} is one name too many; write `taskmem bundle FILE.db -o OUT.bundle`."
        )
    if not options.output:
        raise ValueError("name the file to make with -o, as in -o tasks.bundle.")
    if options.video and options.contents != CONTENTS[-1]:
        raise ValueError(f"--video gives frames, and --contents {options.contents} has none; leave out one.")
    settings = ClipSettings(options.sample_rate, options.clip_seconds, options.max_stall).validate()
    since, until = span_of(options)
    with Store.open(options.database, read_only=True) as store:
        sources = [_ingested(name, settings, store, options) for name in options.video]
        recordings = [_clips(source, settings) for source in sources]
        if options.contents == CONTENTS[-1] and not sources:
            recordings = [_kept(store)]
        with build_bundle(
            store,
            recordings,
            options.output,
            contents=options.contents,
            robot=Path(options.database).stem if options.robot is None else options.robot,
            since_ns=since,
            until_ns=until,
            overwrite=options.force,
        ) as bundle:
            if options.json:
                show.print_record(_record(bundle, options))
            else:
                print(f"{bundle.path}: {_counts(bundle)}, id {bundle.manifest.id}", file=sys.stderr)
    return 0


def _ingested(name: str, settings: ClipSettings, store: Store, options: argparse.Namespace) -> FrameSource:
    """The recording. Raises ValueError and, where it was not ingested into the store, StoreError."""
    source = open_source(argparse.Namespace(**vars(options) | {"source": name}), settings)
    if store.source(fingerprint(Path(name).expanduser(), options.topic or ""), source.camera) is None:
        raise StoreError(
            f"{name} was not ingested into {store.path} as camera {source.camera!r}; do that first, or name "
            "the camera it was with --camera."
        )
    return source


def _clips(source: FrameSource, settings: ClipSettings) -> Iterator[Clip]:
    from tqdm import tqdm

    from taskmem_ros.clips.bag import BagError
    from taskmem_ros.clips.video import VideoError

    pieces = clips_from(source, settings)
    try:
        for piece in tqdm(pieces, desc=source.camera, unit=" clips", file=sys.stderr, disable=None):
            if isinstance(piece, Clip):
                yield piece
    except (BagError, VideoError) as error:
        raise ValueError(f"{error}; no bundle was made.") from error


def _kept(store: Store) -> Iterator[JpegClip]:
    """The clips beside the store. Raises ValueError where there is none."""
    from taskmem_ros.memory.ring import ClipRing

    ring = ClipRing(store)
    if not ring.kept():
        raise ValueError(
            f"there are no clips in {ring.path}; name the recordings that were ingested with --video, or "
            "leave pictures out with --contents memories."
        )
    return ring.clips()


def _show(bundle: Bundle, options: argparse.Namespace) -> None:
    zone = zone_of(options)
    if options.json:
        show.print_record(_record(bundle, options))
        for task in bundle.tasks():
            show.print_record(show.task_record(task, zone))
        for said in bundle.feedback():
            show.print_record({"type": "feedback"} | vars(said))
        return
    paper, about = Paper(), bundle.manifest
    wrote = " ".join(
        filter(None, [about.model, about.revision, about.adapter and f"adapter {about.adapter}"])
    )
    lines = {
        "bundle": f"{bundle.path}, format {about.format}, id {about.id}",
        "robot": about.robot or "-",
        "store": about.store_id + (f", its bundle {about.sequence}" if about.sequence else ""),
        "contents": about.contents,
        "written": f"{local(about.created_ns, zone):%Y-%m-%d %H:%M:%S %Z}",
        "memories by": wrote or "-",
        "prompt": about.prompt_hash or "-",
        "holds": _counts(bundle),
    }
    for name, text in lines.items():
        paper.row(Text(f"{name:<12} ", "bold"), Text(show.plain(text)))
    for title, columns, found in (
        ("clips", ("camera", "clips", "from", "to", "MB of frames"), _cameras(bundle, options)),
        ("tasks", ("id", "asked", "question", "answer", "known answer"), _tasks(bundle, options)),
        ("feedback", ("task", "verdict", "right answer", "by"), _feedback(bundle)),
    ):
        if found:
            paper.line()
            _lines(paper, title, columns, found)


def _lines(paper: Paper, title: str, columns: tuple[str, ...], found: list[tuple]) -> None:
    """A table on a terminal; elsewhere whole lines, so that nothing is cut."""
    cells = [[show.plain(str(cell)) for cell in row] for row in found]
    if not paper.terminal:
        for row in (columns, *cells):
            paper.line("  ".join(row))
        return
    table = Table(*columns, title=title, title_justify="left", box=None, header_style="bold")
    for row in cells:
        table.add_row(*map(Text, row))
    paper.line(table)


def _record(bundle: Bundle, options: argparse.Namespace) -> dict[str, Any]:
    """The manifest, and what each camera has."""
    names = ("camera", "clips", "start", "end", "frame_megabytes")
    cameras = [dict(zip(names, row)) for row in _cameras(bundle, options)]
    created = iso(bundle.manifest.created_ns, zone_of(options))
    return (
        {"type": "bundle", "path": str(bundle.path)}
        | vars(bundle.manifest)
        | {"created": created, "cameras": cameras}
    )


def _cameras(bundle: Bundle, options: argparse.Namespace) -> list[tuple[str, int, str, str, float]]:
    found: dict[str, list[int]] = {}
    for clip in bundle.clips():
        size = sum(len(frame.jpeg) for frame in clip.frames)
        count, start, end, held = found.get(clip.camera, [0, clip.start_ns, clip.end_ns, 0])
        found[clip.camera] = [count + 1, min(start, clip.start_ns), max(end, clip.end_ns), held + size]
    zone = zone_of(options)
    return [
        (camera, count, iso(start, zone), iso(end, zone), round(held / 1e6, 2))
        for camera, (count, start, end, held) in found.items()
    ]


def _feedback(bundle: Bundle) -> list[tuple]:
    return [(said.task_id, said.verdict, said.answer or "", said.source) for said in bundle.feedback()]


def _tasks(bundle: Bundle, options: argparse.Namespace) -> list[tuple]:
    zone, feedback = zone_of(options), bundle.feedback()
    return [
        (
            task.id,
            f"{local(task.asked_ns, zone):%d %b %H:%M:%S}",
            task.question,
            task.answer or f"({task.status})",
            known_answer(task, feedback) or "",
        )
        for task in bundle.tasks()
    ]


def _counts(bundle: Bundle) -> str:
    about = bundle.manifest
    numbers = {"task": about.tasks, "clip": about.clips, "frame": about.frames, "gap": about.gaps}
    said = [show.counted(number, one) for one, number in numbers.items()]
    said.insert(1, show.counted(about.memories, "memory", "memories"))
    if about.feedback:
        said.insert(1, f"{about.feedback} times feedback" if about.feedback > 1 else "1 feedback")
    return ", ".join(said)
