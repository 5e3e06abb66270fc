"""kill -9 at random moments: every memory that add_memory returned is in the file, and the file is whole."""

import random
import signal
import subprocess
import sys
import time

from taskmem_ros.clips import Gap
from taskmem_ros.memory import Store

WRITER = """
import sys
from taskmem_ros.clips import Gap
from taskmem_ros.memory import Store
store = Store.open(sys.argv[1])
last = store.memories(limit=1, newest_first=True)
second = last[0].end_ns // 10**9 if last else 0
while True:
    start, end = second * 10**9, (second + 10) * 10**9
    memory = store.add_memory("hall", 0, start, end, f"The mug is at place {second}.", thumbnail=b"x" * 5000)
    print(memory.id, flush=True)
    store.add_gap(Gap("hall", 0, start, end, "dropped"))
    task = store.add_task(f"Where was the mug at {second}?")
    store.finish_task(task.id, "answered", answer="there", evidence=[(memory.id, 1.0)])
    second += 10
"""


def test_what_was_said_to_be_stored_survives_kill_9(tmp_path):
    path, dice, promised = tmp_path / "memory.db", random.Random(), set()
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        first = child.stdout.readline()  # from here on it is in the middle of writing
        time.sleep(dice.uniform(0, 0.5))
        child.send_signal(signal.SIGKILL)
        *printed, _cut_off = (first + child.stdout.read()).split("\n")
        child.wait(timeout=30)
        child.stdout.close()
        assert child.returncode == -signal.SIGKILL and printed[0]
        promised |= {int(line) for line in printed}
        with Store.open(path) as store:
            kept = {memory.id for memory in store.memories(thumbnails=False)}
            assert promised <= kept
            assert store.check() == []
            assert all(len(store.memory(number).thumbnail) == 5000 for number in sorted(promised)[-3:])
            assert {hit.memory.id for hit in store.search("mug", limit=10**6)} == kept
            assert store.add_gap(Gap("attic", 0, 0, 1, "inactive"))
    assert len(promised) >= 5
