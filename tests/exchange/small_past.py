"""A store with two minutes of the demo home, and the clips that it remembers."""

from __future__ import annotations

from pathlib import Path

from taskmem_ros.clips import FAILED, Clip, Frame, Gap, Pose
from taskmem_ros.home import HomeCamera, HomeSim, memory_text, visible_facts
from taskmem_ros.memory import Store

S = 1_000_000_000
START = 1_767_254_400 * S  # 2026-01-01T08:00:00Z
COUNT = 12
FAILED_CLIP = 5  # no memory could be written of this one


def clips(camera: str = "hall", count: int = COUNT, seed: int = 2_000_011) -> list[Clip]:
    """Clips of four frames, the second half with a pose."""
    view, made = HomeCamera(HomeSim(seed)), []
    for number in range(count):
        start = START + 10 * number * S
        pose = Pose("map", number, 1.5, 0, 0, 0, 0, 1) if number >= count // 2 else None
        stamps = [start + round(2.5 * k * S) for k in range(4)]
        frames = tuple(Frame(stamp, camera, view.frame(stamp - START), pose) for stamp in stamps)
        made.append(Clip(camera, 0, start, start + 10 * S, frames))
    return made


def fill(path: Path, run: list[Clip], seed: int = 2_000_011) -> None:
    """Remember the clips; a gap after them, and two questions of which one was answered from clip 3."""
    sim = HomeSim(seed)
    with Store.open(path) as store:
        for number, clip in enumerate(run):
            span = (clip.camera, clip.episode, clip.start_ns, clip.end_ns)
            if number == FAILED_CLIP:
                store.add_gap(Gap(*span, FAILED))
                continue
            text = memory_text(visible_facts(sim, [f.stamp_ns - START for f in clip.frames])[:3])
            wrote = {"model": "demo", "revision": "r1", "adapter": "", "prompt_hash": "p1"}
            store.add_memory(*span, text, pose=clip.pose, thumbnail=b"jpeg", **wrote)
        store.add_gap(Gap(run[-1].camera, 0, run[-1].end_ns, run[-1].end_ns + 30 * S, "no_frames"))
        task = store.add_task("Where is the red mug?", asked_ns=START + 200 * S, known_answer="on the Table")
        store.finish_task(task.id, "answered", answer="on the table", confidence=0.5, evidence=[(3, 0.9)])
        store.add_feedback(task.id, "right", source="Anna")
        store.add_task(
            "Who?", choices=("Ben", "Änne"), since_ns=START, asked_ns=START + 300 * S, source="cli"
        )
