"""The engine on real tiny models: questions first, deadlines, failures, stopping, the threads beside it."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import wait

import numpy as np
import pytest
import torch
from test_policy_adapter import make_adapter
from tiny_models import TAUGHT, make_clip

from taskmem_ros.clips import Clip, ClipQueue, Frame
from taskmem_ros.policy import Engine, EngineStopped, MemoryPolicy, TooManyQuestions
from taskmem_ros.policy.adapter import Adapter

PATIENCE_S = 60


@pytest.fixture(scope="module")
def adapters(taught_folder, tmp_path_factory):
    return {"steer": make_adapter(taught_folder, tmp_path_factory.mktemp("adapters") / "steer", "steer")}


class Log:
    """What an engine reported, and a way to wait for it."""

    def __init__(self):
        self.memories, self.errors, self._changed = [], [], threading.Condition()

    def on_memory(self, clip, draft):
        with self._changed:
            self.memories.append((clip, draft))
            self._changed.notify_all()

    def on_error(self, error):
        self.errors.append(error)

    def wait(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.memories) >= count, PATIENCE_S)
        return self.memories[count - 1]


@pytest.fixture
def make_engine():
    engines = []

    def make(policy, **arguments):
        log = arguments.pop("log", None) or Log()
        on_memory = arguments.pop("on_memory", log.on_memory)
        engine = Engine(policy, ClipQueue(100, "drop_newest"), on_memory, log.on_error, **arguments)
        engines.append(engine)
        engine.start()
        return engine, log

    yield make
    for engine in engines:
        engine.stop()


def unreadable_clip(index: int = 0) -> Clip:
    """A clip on which the real code fails: Qwen3-VL refuses pictures 250 times as long as wide."""
    frame = Frame(index * 10**10, "front", np.zeros((4, 1000, 3), np.uint8))
    return Clip("front", 0, index * 10**10, (index + 1) * 10**10, (frame,))


def until(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_clips_become_memories_and_memories_context(make_engine, taught_policy):
    engine, log = make_engine(taught_policy, window=2)
    clips = [make_clip(i) for i in range(4)] + [make_clip(9, camera="back")]
    for clip in clips:
        assert engine.submit_clip(clip) == []
    log.wait(5)
    assert [clip for clip, _ in log.memories] == clips
    assert [draft.text for _, draft in log.memories] == [TAUGHT] * 5
    expected = taught_policy.write(clips[2:4], [TAUGHT])
    assert log.memories[3][1].raw == expected.raw
    until(lambda: engine.stats.memorized == 5)
    stats = engine.stats
    assert (stats.memorized, stats.failed, stats.queued_clips, stats.last_error) == (5, 0, 0, "")
    assert stats.real_time_factor > 1


def test_a_clip_put_into_the_queue_from_outside_is_found(taught_policy):
    log, queue = Log(), ClipQueue()
    engine = Engine(taught_policy, queue, log.on_memory)
    engine.start()
    queue.put(make_clip())
    assert log.wait(1)[1].text == TAUGHT
    engine.stop()


@pytest.mark.parametrize("kind", [None, "steer"])
def test_a_question_in_the_middle_of_a_memory_is_served_at_once_and_changes_nothing(
    make_engine, random_folder, tmp_path, kind
):
    policy = MemoryPolicy.load(str(random_folder), device="cpu")
    if kind:
        policy.set_adapter(make_adapter(random_folder, tmp_path / kind, kind))
    alone = policy.complete("where is the cup?", max_new_tokens=10)
    started = time.monotonic()
    quiet = policy.write([make_clip()], [], max_new_tokens=400)
    quiet_s = time.monotonic() - started
    engine, log = make_engine(policy, max_new_tokens=400)
    engine.submit_clip(make_clip())
    until(lambda: engine.stats.busy)
    answers = []
    for _ in range(5):
        answers.append(engine.complete("where is the cup?", max_new_tokens=10))
        assert not log.memories
    _, disturbed = log.wait(1)
    assert (disturbed.raw, disturbed.tokens) == (quiet.raw, quiet.tokens)
    assert {(a.text, a.confidence) for a in answers} == {(alone.text, alone.confidence)}
    assert engine.stats.questions == 5
    assert 0 < engine.stats.ask_p50_s < quiet_s


def test_questions_are_served_in_order_before_clips(make_engine, random_policy):
    engine, log = make_engine(random_policy, max_new_tokens=300)
    for index in range(3):
        engine.submit_clip(make_clip(index))
    order = []
    futures = [engine.ask(f"question {i}", max_new_tokens=3) for i in range(6)]
    for index, future in enumerate(futures):
        future.add_done_callback(lambda _, i=index: order.append(i))
    wait(futures, PATIENCE_S)
    assert order == sorted(order) and len(log.memories) < 3


def test_deadlines_hold_in_decoding_and_in_the_queue(make_engine, random_policy):
    engine, _ = make_engine(random_policy)
    slow = engine.ask("first", max_new_tokens=3000, timeout_s=0.5)
    queued = engine.ask("second", max_new_tokens=3000, timeout_s=0.2)
    started = time.monotonic()
    assert not slow.result(PATIENCE_S).finished and slow.result().tokens > 0
    assert not queued.result(PATIENCE_S).finished and queued.result().tokens == 0
    assert time.monotonic() - started < 5
    assert engine.complete("third", max_new_tokens=3).finished


def test_a_deadline_passes_even_while_the_model_is_deaf(make_engine, random_folder):
    policy = MemoryPolicy.load(str(random_folder), device="cpu")
    with _delayed(policy, 3.0):
        engine, _ = make_engine(policy)
        started = time.monotonic()
        completion = engine.complete("hello", max_new_tokens=2, deadline=started + 0.2)
        assert not completion.finished
        assert time.monotonic() - started < 2


def test_too_many_questions_are_refused(make_engine, random_policy):
    engine, _ = make_engine(random_policy, max_questions=2)
    futures = [engine.ask("hello", max_new_tokens=2000, timeout_s=2)]
    until(lambda: engine.stats.queued_questions == 0)
    futures += [engine.ask("hello", max_new_tokens=1) for _ in range(2)]
    with pytest.raises(TooManyQuestions, match="2 questions wait"):
        engine.ask("hello")
    assert engine.stats.queued_questions == 2
    wait(futures, PATIENCE_S)
    assert engine.complete("hello", max_new_tokens=1).finished


def test_a_clip_that_breaks_the_model_is_a_failed_draft_and_life_goes_on(make_engine, taught_policy, caplog):
    engine, log = make_engine(taught_policy)
    with caplog.at_level(logging.ERROR):
        engine.submit_clip(unreadable_clip(0))
        engine.submit_clip(unreadable_clip(1))
        _, draft = log.wait(2)
    assert draft.text is None and draft.attempts == 0 and "aspect ratio" in draft.error
    assert "Traceback" in caplog.text and "aspect ratio" in caplog.text
    assert len(log.errors) == 2
    until(lambda: engine.stats.failed == 2)
    stats = engine.stats
    assert (stats.failed, stats.failed_in_a_row, stats.memorized) == (2, 2, 0)
    assert "aspect ratio" in stats.last_error
    engine.submit_clip(make_clip(2))
    assert log.wait(3)[1].text == TAUGHT
    until(lambda: engine.stats.memorized == 1)
    assert engine.stats.failed_in_a_row == 0


def test_an_unreadable_reply_is_a_failed_draft_with_its_raw_text(make_engine, random_policy):
    engine, log = make_engine(random_policy, max_new_tokens=10)
    engine.submit_clip(make_clip())
    _, draft = log.wait(1)
    assert draft.text is None and draft.raw and draft.error and draft.attempts == 2
    until(lambda: engine.stats.failed == 1)
    assert engine.stats.last_error == draft.error and not log.errors


def test_a_device_out_of_memory_is_reported_to_question_and_stats(make_engine, random_folder):
    policy = MemoryPolicy.load(str(random_folder), device="cpu")

    def exhaust(module, inputs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    engine, log = make_engine(policy)
    handle = policy._slot._model.model.language_model.layers[1].register_forward_pre_hook(exhaust)
    with pytest.raises(torch.OutOfMemoryError):
        engine.complete("hello")
    engine.submit_clip(make_clip())
    assert "out of memory" in log.wait(1)[1].error
    assert "out of memory" in engine.stats.last_error
    handle.remove()
    assert engine.complete("hello", max_new_tokens=2).tokens == 2


def test_a_failing_callback_does_not_end_the_engine_nor_enter_the_context(make_engine, taught_policy):
    log = Log()

    def full_disk(clip, draft):
        if clip.start_ns == 0:
            raise OSError("database or disk is full")
        log.on_memory(clip, draft)

    engine, _ = make_engine(taught_policy, log=log, on_memory=full_disk)
    engine.submit_clip(make_clip(0))
    engine.submit_clip(make_clip(1))
    _, draft = log.wait(1)
    assert draft.raw == taught_policy.write([make_clip(1)], []).raw
    assert [str(error) for error in log.errors] == ["database or disk is full"]
    assert "disk is full" in engine.stats.last_error
    until(lambda: engine.stats.memorized == 1)
    assert engine.stats.failed == 1, "what was written and not stored is not remembered"


def test_stop_cancels_at_the_next_token_and_hands_the_clip_back(make_engine, random_policy):
    engine, log = make_engine(random_policy, max_new_tokens=3000)
    clips = [make_clip(0), make_clip(1)]
    for clip in clips:
        engine.submit_clip(clip)
    until(lambda: engine.stats.busy)
    nested = engine.ask("hello", max_new_tokens=3000)
    queued = engine.ask("hello", max_new_tokens=3000)
    until(lambda: engine.stats.queued_questions == 1)
    started = time.monotonic()
    assert engine.stop() == [clips[0]]
    assert time.monotonic() - started < 2
    assert log.memories == [] and engine.stats.queued_clips == 1 and not engine.running
    for future in (nested, queued):
        assert isinstance(future.exception(PATIENCE_S), EngineStopped)
    with pytest.raises(EngineStopped):
        engine.ask("hello")
    assert engine.stop() == []


def test_an_engine_starts_again_after_a_stop(make_engine, taught_policy):
    engine, log = make_engine(taught_policy)
    engine.submit_clip(make_clip(0))
    log.wait(1)
    engine.stop()
    engine.submit_clip(make_clip(1))
    engine.start()
    log.wait(2)
    until(lambda: engine.stats.memorized == 2)


def test_a_stop_that_takes_too_long_never_leads_to_two_threads(make_engine, random_folder):
    policy = MemoryPolicy.load(str(random_folder), device="cpu")
    engine, _ = make_engine(policy)
    with _delayed(policy, 1.0):
        engine.submit_clip(make_clip())
        until(lambda: engine.stats.busy)
        with pytest.raises(TimeoutError, match="no token"):
            engine.stop(0.1)
        with pytest.raises(EngineStopped, match="has not ended"):
            engine.start()
    assert [clip.start_ns for clip in engine.stop()] == [0]
    engine.start()
    assert engine.complete("hello", max_new_tokens=2).tokens == 2


def test_a_cancelled_question_is_not_computed(make_engine, random_policy):
    engine, _ = make_engine(random_policy)
    first = engine.ask("hello", max_new_tokens=500)
    second = engine.ask("hello", max_new_tokens=500)
    assert second.cancel()
    first.result(PATIENCE_S)
    engine.complete("hello", max_new_tokens=1)
    assert engine.stats.questions == 2


def test_a_timer_beside_the_engine_keeps_its_rate(make_engine, random_policy):
    """20 Hz in another thread for two seconds, while memory after memory is generated."""
    engine, _ = make_engine(random_policy, max_new_tokens=200)
    for index in range(100):
        engine.submit_clip(make_clip(index))
    until(lambda: engine.stats.busy)
    ticks, start = [], time.monotonic()
    while (now := time.monotonic()) < start + 2.0:
        ticks.append(now)
        time.sleep(max(0.0, start + len(ticks) * 0.05 - time.monotonic()))
    assert engine.stats.queued_clips > 0, "the engine was idle"
    assert len(ticks) >= 38
    assert max(np.diff(ticks)) < 0.25


def test_an_adapter_is_set_between_two_clips_and_windows_go_on(make_engine, taught_policy, adapters):
    engine, log = make_engine(taught_policy, window=3)
    clips = [make_clip(i) for i in range(3)]
    engine.submit_clip(clips[0])
    log.wait(1)
    fitted = taught_policy.fit_adapter(Adapter.read(adapters["steer"]))
    engine.between_clips(lambda policy, _: policy.set_adapter(fitted), patience_s=0).result(PATIENCE_S)
    try:
        engine.submit_clip(clips[1])
        _, draft = log.wait(2)
        before = [log.memories[0][1].text]
        assert draft.raw == taught_policy.write(clips[:2], before, max_new_tokens=256).raw
        taught_policy.unload_adapter()
        assert draft.raw != taught_policy.write(clips[:2], before, max_new_tokens=256).raw
    finally:
        taught_policy.unload_adapter()


def test_work_between_clips_lets_clips_go_first_at_every_token(make_engine, random_policy):
    engine, log = make_engine(random_policy, max_new_tokens=20)
    quiet = random_policy.write([make_clip(50)], [], max_new_tokens=200)
    alone = random_policy.write([make_clip(0)], [], max_new_tokens=20)
    answer = random_policy.complete("where is the cup?", max_new_tokens=5)
    begun = threading.Event()

    def work(policy, yield_point):
        def at_token():
            begun.set()
            yield_point()

        return policy.write([make_clip(50)], [], max_new_tokens=200, yield_point=at_token), len(log.memories)

    job = engine.between_clips(work)
    assert begun.wait(PATIENCE_S)
    for index in range(3):
        engine.submit_clip(make_clip(index))
    asked = engine.complete("where is the cup?", max_new_tokens=5)
    draft, memorized_meanwhile = job.result(PATIENCE_S)
    assert memorized_meanwhile == 3 and log.memories[0][1].raw == alone.raw
    assert (draft.raw, draft.tokens) == (quiet.raw, quiet.tokens), "the work was disturbed"
    assert (asked.text, asked.confidence) == (answer.text, answer.confidence)


def test_work_waits_for_clips_but_not_for_ever_and_not_with_a_full_queue(make_engine, random_policy):
    engine, log = make_engine(random_policy, max_new_tokens=300)
    for clip in [make_clip(index) for index in range(52)]:  # 51 wait, of 100
        engine.submit_clip(clip)
    patient = engine.between_clips(lambda *_: len(log.memories))
    hasty = engine.between_clips(lambda *_: len(log.memories), patience_s=0.01)
    swap = engine.between_clips(lambda *_: len(log.memories), patience_s=0)
    assert swap.result(PATIENCE_S) <= 1
    assert 2 <= hasty.result(PATIENCE_S) < 50
    assert not patient.done()
    assert patient.cancel()
    engine.stop()
    assert 0 < engine.stats.queued_clips < 50


def test_what_fails_between_clips_is_told_to_who_asked_and_life_goes_on(make_engine, taught_policy):
    engine, log = make_engine(taught_policy)
    with pytest.raises(ZeroDivisionError):
        engine.between_clips(lambda *_: 1 / 0).result(PATIENCE_S)
    engine.submit_clip(make_clip())
    assert log.wait(1)[1].text == TAUGHT and engine.stats.last_error == ""


def test_stop_ends_work_between_clips_and_refuses_what_waits(make_engine, random_policy):
    engine, log = make_engine(random_policy, max_new_tokens=3000)
    begun, clip = threading.Event(), make_clip()

    def work(policy, yield_point):
        begun.set()
        return policy.write([make_clip(50)], [], max_new_tokens=3000, yield_point=yield_point)

    job, waits = engine.between_clips(work), engine.between_clips(work)
    assert begun.wait(PATIENCE_S)
    engine.submit_clip(clip)
    until(lambda: engine.stats.queued_clips == 0)
    assert engine.stop() == [clip] and log.memories == []
    for future in (job, waits):
        assert isinstance(future.exception(PATIENCE_S), EngineStopped)
    with pytest.raises(EngineStopped):
        engine.between_clips(work)


class _delayed:
    """The real model, with a first layer that takes `seconds`: a slow prefill."""

    def __init__(self, policy, seconds):
        layer = policy._slot._model.model.language_model.layers[0]
        self._handle = layer.register_forward_pre_hook(lambda *_: time.sleep(seconds))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._handle.remove()
