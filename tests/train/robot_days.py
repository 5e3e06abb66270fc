"""What a robot in the demo home would send in a day, without one: true memories, a role's questions."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from taskmem_train.demo.samples import SeenClip, choose_facts, watch

from taskmem_ros.clips import Clip
from taskmem_ros.exchange import Bundle
from taskmem_ros.exchange.card import BundleCard
from taskmem_ros.exchange.place import Place
from taskmem_ros.home import ROLES, STEP_NS, HomeSim, look_up, memory_text, queries_about
from taskmem_ros.memory import Feedback, Memory, Task

HOME = 7_700_001
STORE = "3b241101-e2bb-4255-8caf-4136c566a962"


def day(
    path: Path,
    *,
    role: str = "finder",
    first: int = 0,
    clips: int = 8,
    questions: int = 8,
    sequence: int = 1,
    first_id: int = 1,
    robot: str = "robot1",
    store_id: str = STORE,
    known: bool = True,
    feedback: Sequence[Feedback] = (),
    revision: str = "",
    adapter: str = "",
    contents: str = "frames",
) -> Path:
    """A bundle of `clips` clips of HOME from step `first` on, and of questions asked when they were over.

    known: whether the asker knew the answers. contents: "frames", or "memories" without any clip.
    """
    sim = HomeSim(HOME)
    seen = [_of_camera(one, sim.epoch_ns) for one in watch(sim, first, clips, random.Random(first))]
    rng = random.Random(f"{role} {first}")
    facts = [one.facts for one in seen]
    queries = [q for some in facts for fact in some for q in queries_about(fact) if q.form in ROLES[role]]
    queries = list(dict.fromkeys(queries))
    end_ns = seen[-1].clip.end_ns
    tasks = [
        Task(
            first_id + n, query.text(rng), "question", (), role, end_ns + n,
            known_answer=look_up(query, facts).answer if known else None,
        )
        for n in range(questions)
        for query in [queries[n % len(queries)]]
    ]  # fmt: skip
    wrote = {"model": "demo", "revision": revision, "adapter": adapter, "prompt_hash": "p"}
    memories = [
        Memory(n, one.clip.camera, 0, one.clip.start_ns, one.clip.end_ns, _text(one, rng), **wrote)
        for n, one in enumerate(seen, first + 1)
    ]
    Bundle.create(
        path, clips=[one.clip for one in seen] if contents == "frames" else (), tasks=tasks,
        feedback=feedback, memories=memories, robot=robot, store_id=store_id, sequence=sequence,
        contents=contents,
    ).close()  # fmt: skip
    return path


def push(place: Place, path: Path) -> BundleCard:
    """Send a bundle as a robot does."""
    with Bundle.open(path) as bundle:
        about = bundle.manifest
    data = path.read_bytes()
    size, digest = len(data), hashlib.sha256(data).hexdigest()
    counts = {name: getattr(about, name) for name in ("tasks", "feedback", "clips", "memories", "created_ns")}
    card = BundleCard(
        about.robot, about.store_id, about.sequence, about.id, size, digest, contents=about.contents, **counts
    )
    place.push_bundle(path, card)
    return card


def _text(one: SeenClip, rng: random.Random) -> str:
    return memory_text(choose_facts(one.facts, set(), rng), rng)


def _of_camera(one: SeenClip, epoch_ns: int) -> SeenClip:
    """The clip as the home's camera stamps it."""
    clip: Clip = one.clip
    frames = tuple(replace(frame, stamp_ns=frame.stamp_ns + epoch_ns) for frame in clip.frames)
    start = clip.start_ns + epoch_ns
    return replace(one, clip=replace(clip, start_ns=start, end_ns=start + STEP_NS, frames=frames))
