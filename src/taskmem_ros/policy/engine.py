"""The engine: one thread that owns the model, writes memories of clips, and serves questions first.

A question that arrives in the middle of a memory is answered at the next token; then the memory goes on as if
nothing had been. Other work with the model (another adapter is set, or tried) is done between two clips, and
a clip that arrives in the middle of it is memorized at its next token. Callers only enqueue.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import torch

from taskmem_ros.clips import Clip, Gap, Window
from taskmem_ros.policy.decoding import YieldPoint
from taskmem_ros.policy.policy import Completion, Draft, MemoryPolicy
from taskmem_ros.policy.stats import EngineStats, Meter

log = logging.getLogger(__name__)

# How soon a clip is seen that was put into the queue behind the engine's back (`submit_clip` wakes it at
# once).
IDLE_S = 0.2
# A deadline that passes where the engine cannot look (vision tower, prefill) is reported this much later.
GRACE_S = 0.5
# How long work between clips waits for a moment in which no clip does.
PATIENCE_S = 10.0

T = TypeVar("T")


class ClipSource(Protocol):
    """A bounded queue of clips: `clips.ClipQueue`. size: how many may wait."""

    size: int

    def put(self, clip: Clip) -> list[Gap]: ...

    def get(self, timeout: float) -> Clip | None: ...

    def __len__(self) -> int: ...


class EngineStopped(RuntimeError):
    """The engine does not run, or stopped before it could answer."""


class TooManyQuestions(RuntimeError):
    """The queue of questions is full."""


@dataclass(eq=False)
class _Question:
    prompt: str
    max_new_tokens: int
    deadline: float | None
    asked: float
    future: Future[Completion] = field(default_factory=Future)


@dataclass(eq=False)
class _Job(Generic[T]):
    work: Callable[[MemoryPolicy, YieldPoint], T]
    impatient: float  # from then on it may go before clips that wait
    whatever_waits: bool
    future: Future[T] = field(default_factory=Future)


class Engine:
    """Runs a policy in a thread of its own. Restartable; windows and statistics live on over a stop.

    on_memory(clip, draft): called in the engine's thread for every clip that was tried; draft.text is None
    when it failed. on_error(error): called there for every exception of the model or of on_memory, after it
    was logged.
    """

    def __init__(
        self,
        policy: MemoryPolicy,
        clips: ClipSource,
        on_memory: Callable[[Clip, Draft], None],
        on_error: Callable[[Exception], None] | None = None,
        *,
        window: int = 5,
        max_new_tokens: int = 256,
        max_questions: int = 32,
    ):
        self._policy = policy
        self._clips = clips
        self._on_memory = on_memory
        self._on_error = on_error
        self._window = window
        self._max_new_tokens = max_new_tokens
        self._max_questions = max_questions
        self._windows: dict[str, Window] = {}
        self._questions: deque[_Question] = deque()
        self._jobs: deque[_Job[Any]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._unfinished: list[Clip] = []
        self._meter = Meter()

    def start(self) -> None:
        """Start the thread; without effect while it runs. Raises EngineStopped until the last stop ended."""
        if self.running:
            return
        if self._thread is not None and self._thread.is_alive():
            raise EngineStopped("the engine's last stop has not ended yet; call stop again, then start")
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="taskmem-engine", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> list[Clip]:
        """Stop at the next token. Returns the clip whose memory was cancelled, if one was.

        Waiting questions and work between clips end with EngineStopped. Clips still in the queue stay there.
        Raises TimeoutError when the model does not come back to a token in time.
        """
        self._stopping.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
            if thread.is_alive():
                raise TimeoutError(f"the model produced no token within {timeout_s:g} s of the engine's stop")
        self._refuse_waiting()
        unfinished, self._unfinished = self._unfinished, []
        return unfinished

    @property
    def running(self) -> bool:
        """True between start and stop."""
        return self._thread is not None and self._thread.is_alive() and not self._stopping.is_set()

    @property
    def stats(self) -> EngineStats:
        """A snapshot of counts and times."""
        return replace(
            self._meter.snapshot(), queued_clips=len(self._clips), queued_questions=len(self._questions)
        )

    def submit_clip(self, clip: Clip) -> list[Gap]:
        """Enqueue a clip; returns what the queue dropped for it."""
        gaps = self._clips.put(clip)
        self._wake.set()
        return gaps

    def ask(
        self, prompt: str, *, max_new_tokens: int = 128, timeout_s: float | None = None
    ) -> Future[Completion]:
        """Enqueue a prompt for `MemoryPolicy.complete`; its future never waits much longer than timeout_s.

        Past the timeout it holds a Completion with finished False. Raises EngineStopped or TooManyQuestions.
        """
        now = time.monotonic()
        deadline = None if timeout_s is None else now + timeout_s
        question = _Question(prompt, max_new_tokens, deadline, now)
        with self._lock:
            if not self.running:
                raise EngineStopped("the engine does not run, so nothing can be asked; start it first")
            if len(self._questions) >= self._max_questions:
                raise TooManyQuestions(
                    f"{self._max_questions} questions wait already; ask again when some are answered"
                )
            self._questions.append(question)
        if timeout_s is not None:
            self._guard(question, timeout_s + GRACE_S)
        self._wake.set()
        return question.future

    def between_clips(
        self, work: Callable[[MemoryPolicy, YieldPoint], T], *, patience_s: float = PATIENCE_S
    ) -> Future[T]:
        """Have `work(policy, yield_point)` done in the engine's thread, between two clips.

        It should call yield_point after every token: questions are answered there, and a clip that waits is
        memorized, with the adapter in use; the engine's stop raises EngineStopped there. It begins when no
        clip waits, or after patience_s seconds while the queue is at most half full; patience_s=0 is for what
        takes no time: after the clip at hand, whatever waits. A future that is cancelled before is not done.
        Raises EngineStopped.
        """
        job = _Job(work, time.monotonic() + patience_s, patience_s <= 0)
        with self._lock:
            if not self.running:
                raise EngineStopped("the engine does not run, so nothing can be done between clips; start it")
            self._jobs.append(job)
        self._wake.set()
        return job.future

    def complete(
        self, prompt: str, *, max_new_tokens: int = 128, deadline: float | None = None
    ) -> Completion:
        """`MemoryPolicy.complete` for callers that may wait. Raises as `ask` does, or the model's error."""
        timeout_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        return self.ask(prompt, max_new_tokens=max_new_tokens, timeout_s=timeout_s).result()

    def _run(self) -> None:
        leave_a_core()
        while not self._stopping.is_set():
            self._wake.clear()
            self._serve_questions()
            if (job := self._next_job()) is not None:
                self._do(job)
            elif (clip := self._clips.get(0)) is not None:
                self._memorize(clip)
            else:
                self._wake.wait(IDLE_S)
        self._refuse_waiting()

    def _next_job(self) -> _Job[Any] | None:
        """The first that waits and may go now."""
        waiting, now = len(self._clips), time.monotonic()
        room = 2 * waiting <= self._clips.size
        with self._lock:
            for job in self._jobs:
                if not waiting or job.whatever_waits or (room and now >= job.impatient):
                    self._jobs.remove(job)
                    return job
        return None

    def _do(self, job: _Job[Any]) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            with self._meter.busy():
                result = job.work(self._policy, self._at_token_of_job)
        except EngineStopped as error:
            job.future.set_exception(error)
        except Exception as error:  # whoever awaits it decides what it means
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

    def _memorize(self, clip: Clip) -> None:
        started = time.monotonic()
        window = self._windows.setdefault(clip.camera, Window(self._window))
        clips, memories = window.push(clip)
        try:
            with self._meter.busy():
                draft = self._policy.write(
                    clips, memories, max_new_tokens=self._max_new_tokens, yield_point=self._at_token
                )
        except EngineStopped:
            self._unfinished.append(clip)
            return
        except Exception as error:
            self._failed("writing a memory", error)
            draft = Draft(None, "", 0, 0, time.monotonic() - started, f"{type(error).__name__}: {error}")
        try:
            self._on_memory(clip, draft)
        except Exception as error:
            self._failed("storing a memory", error)
            draft = replace(draft, text=None, error=None)  # what is not stored is not remembered
        self._meter.wrote(draft, clip.seconds, time.monotonic() - started)
        if draft.text is not None:
            window.remember(draft.text)

    def _at_token(self) -> None:
        self._check_stop()
        self._serve_questions()

    def _at_token_of_job(self) -> None:
        self._at_token()
        clip = self._clips.get(0)
        if clip is not None:
            self._memorize(clip)
            self._check_stop()

    def _check_stop(self) -> None:
        if self._stopping.is_set():
            raise EngineStopped("the engine was stopped in the middle of a reply")

    def _serve_questions(self) -> None:
        while self._questions and not self._stopping.is_set():
            question = self._questions.popleft()
            if not question.future.done():
                self._serve(question)

    def _serve(self, question: _Question) -> None:
        try:
            with self._meter.busy():
                completion = self._policy.complete(
                    question.prompt,
                    max_new_tokens=question.max_new_tokens,
                    deadline=question.deadline,
                    yield_point=self._check_stop,
                )
        except EngineStopped as error:
            _settle(question.future, error)
        except Exception as error:
            self._failed("answering", error)
            _settle(question.future, error)
        else:
            self._meter.answered(time.monotonic() - question.asked)
            _settle(question.future, completion)

    def _failed(self, doing: str, error: Exception) -> None:
        log.error("%s failed: %s", doing, error, exc_info=error)
        self._meter.error(f"{doing} failed: {type(error).__name__}: {error}")
        if isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
        if self._on_error is None:
            return
        try:
            self._on_error(error)
        except Exception as again:
            log.error("on_error failed: %s", again, exc_info=again)

    def _guard(self, question: _Question, seconds: float) -> None:
        late = threading.Timer(seconds, lambda: _settle(question.future, Completion.too_late(seconds)))
        late.daemon = True
        late.start()
        question.future.add_done_callback(lambda _: late.cancel())

    def _refuse_waiting(self) -> None:
        with self._lock:
            waiting = [*self._questions, *self._jobs]
            self._questions.clear()
            self._jobs.clear()
        for one in waiting:
            _settle(one.future, EngineStopped("the engine was stopped before this had its turn"))


def leave_a_core() -> None:
    """Let torch use all processors but one, so that callbacks keep theirs; OMP_NUM_THREADS overrules."""
    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores - 1))


def _settle(future: Future[Any], result: Completion | Exception) -> None:
    try:
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
    except InvalidStateError:
        # The other of engine and deadline was first, or the caller cancelled.
        log.debug("a question had ended before its reply came")
