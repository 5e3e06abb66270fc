"""kill -9 in the middle of making, pushing and forgetting: every task and every feedback arrives once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from taskmem_ros.exchange import Bundle
from taskmem_ros.exchange import build as build_module
from taskmem_ros.exchange import outbox as outbox_module
from taskmem_ros.exchange import writer as writer_module
from taskmem_ros.exchange.outbox import Outbox
from taskmem_ros.memory import Store
from taskmem_ros.memory import outgoing as outgoing_module
from taskmem_ros.memory.outgoing import outbox_folder
from taskmem_ros.memory.ring import ClipRing

HERE = Path(__file__).parent
ROBOT = """
import random, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from ring_clips import clip, remember
from test_outbox_kill import push_all
from taskmem_ros.exchange.outbox import Outbox
from taskmem_ros.memory import Store
from taskmem_ros.memory.forget import Selection
from taskmem_ros.memory.outgoing import outbox_folder
from taskmem_ros.memory.ring import ClipRing
database, seed = Path(sys.argv[1]), int(sys.argv[2])
dice = random.Random(seed)
with Store.open(database) as store:
    ring = ClipRing(store, 3_000_000)
    box = Outbox(store, ring, outbox_folder(database), "rosie", "frames", 1.0)
    number = store.watermark() + 1
    print("ready", flush=True)
    while True:
        one = clip(number, "cellar" if number % 5 == 0 else "hall")
        remember(store, one)
        ring.add(one)
        task = store.add_task(f"What is number {number}?")
        store.finish_task(task.id, "answered", answer="this", evidence=[(number, 1.0)])
        if dice.random() < 0.5:
            store.add_feedback(dice.randint(1, task.id), "wrong", "that")
        if dice.random() < 0.3:
            store.forget(Selection(camera="cellar"))
        if dice.random() < 0.7:
            box.next()
        if dice.random() < 0.5:
            push_all(box, database.parent / "exchange")
        number += 1
"""


def push_all(box: Outbox, exchange: Path) -> None:
    """What a place does: under another name first, and the same again is no harm."""
    exchange.mkdir(exist_ok=True)
    for path, card in box.waiting():
        target = exchange / card.bundle_name
        partial = exchange / f".{card.bundle_name}.partial"
        shutil.copyfile(path, partial)
        if target.exists():
            assert target.read_bytes() == partial.read_bytes()
        partial.replace(target)
        box.pushed(card)


def arrived(exchange: Path) -> tuple[Counter, Counter]:
    """Of the bundles, repeated and in any order: how often each task and each feedback is in them."""
    tasks, feedback, seen = Counter(), Counter(), set()
    paths = [path for path in exchange.iterdir() if not path.name.startswith(".")] * 2
    random.shuffle(paths)
    for path in paths:
        with Bundle.open(path) as bundle:
            if bundle.manifest.id not in seen:
                seen.add(bundle.manifest.id)
                tasks.update((bundle.manifest.store_id, task.id) for task in bundle.tasks())
                feedback.update(item.id for item in bundle.feedback())
    return tasks, feedback


def send_the_rest(folder: Path) -> None:
    """A process that is not killed, and what has arrived then."""
    with Store.open(folder / "memory.db") as store:
        box = Outbox(store, ClipRing(store), outbox_folder(folder / "memory.db"), "rosie", "frames", 1.0)
        push_all(box, folder / "exchange")
        while box.next() is not None:
            push_all(box, folder / "exchange")
        tasks, feedback = arrived(folder / "exchange")
        # Asked and not answered when the process was killed: it has not left, as it is not done.
        done = [task.id for task in store.tasks() if task.status != "queued"]
        assert tasks == Counter((store.store_id(), number) for number in done)
        assert feedback == Counter(item.id for item in store.feedback())
        assert store.check() == [] and box.waiting() == []
        assert [file.name for file in box.folder.iterdir()] == [".lock"]


def test_killed_at_any_moment_each_arrives_once(tmp_path):
    paths = [str(HERE), str(HERE.parent / "memory"), *sys.path]
    for number in range(12):
        seed = random.randrange(2**31)
        command = [sys.executable, "-c", ROBOT, str(tmp_path / "memory.db"), str(seed), *paths]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n", f"kill {number}, seed {seed}"
        threading.Timer(random.uniform(0, 2.0), child.kill).start()
        assert child.wait() == -signal.SIGKILL, f"kill {number}, seed {seed}"
    send_the_rest(tmp_path)
    with Store.open(tmp_path / "memory.db") as store:
        assert len(store.tasks()) > 12 and store.feedback()


CODE = [
    str(Path(module.__file__)) for module in (outbox_module, writer_module, build_module, outgoing_module)
]


def test_killed_at_each_line_each_arrives_once(tmp_path):
    """One task and one feedback for each life, which ends where the code first comes to a line."""
    Store.open(tmp_path / "memory.db").close()
    assert _live(tmp_path, lambda line: None, tmp_path / "lines")
    lines = (tmp_path / "lines").read_text().splitlines()
    assert len(lines) > 100
    for line in lines[random.randrange(3) :: 3]:
        assert not _live(
            tmp_path, lambda here, last=line: here == last and os.kill(os.getpid(), signal.SIGKILL)
        )
    send_the_rest(tmp_path)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _live(folder: Path, visit, seen: Path | None = None) -> bool:
    """A child that asks, makes a bundle and pushes. visit("FILE:LINE") is called for each line of CODE.

    Returns whether it came to its end; then the lines are in `seen`.
    """
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL)
        return status == 0
    try:
        lines: dict[str, None] = {}

        def trace(frame, event, argument):
            if frame.f_code.co_filename not in CODE:
                return None
            if event == "line":
                line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                lines.setdefault(line)
                visit(line)
            return trace

        with Store.open(folder / "memory.db") as store:
            task = store.add_task("What is it?")
            store.finish_task(task.id, "not_in_memory")
            store.add_feedback(task.id, "wrong", "that")
            box = Outbox(store, ClipRing(store), outbox_folder(folder / "memory.db"), "rosie", "memories")
            sys.settrace(trace)
            box.next()
            push_all(box, folder / "exchange")
            sys.settrace(None)
        if seen is not None:
            seen.write_text("\n".join(lines))
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
