"""Contexts with the memories of an earlier run, and of the policy's own, which goes on where it was."""

from __future__ import annotations

import pytest
from taskmem_train.phase_one.history import Course, History, OwnRun, Stream, earlier_run
from taskmem_train.phase_one.home import HomeStreams

from taskmem_ros.policy import Draft


class Counting:
    """A memorizer that writes numbers, and fails at each fifth clip."""

    def __init__(self):
        self.calls = 0

    def write(self, contexts):
        self.calls += 1
        number = self.calls
        return [Draft(None if number % 5 == 0 else f"memory {number}", "", 1, 3, 0.0) for _ in contexts]


@pytest.fixture(scope="module")
def streams():
    return HomeStreams(1_000_000, 7, (64, 48))


def test_a_window_has_the_memories_of_all_its_clips_but_the_last(streams):
    course = Course(streams(0), 3)
    for number in range(4):
        context = course.context()
        assert context is course.context() and context.id == f"home-1000000#{number}"
        assert context.clips[-1] is streams(0).clips[number]
        assert context.memories == tuple(f"m{i}" for i in range(max(0, number - 2), number))
        course.remember(f"m{number}")
    assert Course(Stream("s", streams(0).clips[:1]), texts=["m"]).over


def test_an_earlier_run_is_written_once(streams, tmp_path):
    memorizer, path = Counting(), tmp_path / "earlier.json"
    contexts = earlier_run([streams(0), streams(1)], memorizer, path)
    assert len(contexts) == 14 and memorizer.calls == 7
    # A clip without a memory leaves the window.
    assert contexts[5].memories == ("memory 1", "memory 2", "memory 3", "memory 4")
    assert len(contexts[5].clips) == 5 and streams(0).clips[4] not in contexts[5].clips
    again = earlier_run([streams(0), streams(1)], memorizer, path)
    assert memorizer.calls == 7
    assert [c.memories for c in again] == [c.memories for c in contexts]
    earlier_run([streams(1)], memorizer, path)
    assert memorizer.calls == 14


def walk(history: History, numbers) -> list[tuple]:
    seen = []
    for number in numbers:
        context = history.context(number)
        seen.append((context.id, context.memories))
        history.remember(number, None if number % 7 == 3 else f"text {number}")
    return seen


def test_a_resumed_history_goes_on_as_if_nothing_had_been(streams, tmp_path):
    def history() -> History:
        return History([], 0, OwnRun(streams, 2, first=3), 2)

    whole = walk(history(), range(40))
    part = history()
    assert walk(part, range(17)) == whole[:17]
    part.save(tmp_path)
    resumed = history()
    resumed.load(tmp_path)
    assert walk(resumed, range(17, 40)) == whole[17:]
    assert len({id for id, _ in whole}) == 40  # no context twice


def test_the_earlier_runs_contexts_come_first(streams, tmp_path):
    earlier = earlier_run([streams(0)], Counting(), tmp_path / "earlier.json")
    history = History(earlier, 4, OwnRun(streams, 2, first=1), 2)
    seen = walk(history, range(6))
    assert all(id.startswith("home-1000000#") for id, _ in seen[:4])
    assert [id for id, _ in seen[4:]] == ["home-1000001#0", "home-1000002#3"]
    with pytest.raises(ValueError, match="it has none"):
        History([], 4, OwnRun(streams, 2), 2)
