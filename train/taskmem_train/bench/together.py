"""Many conversations with one model, their prompts answered in batches.

Recall asks, reads, and asks again; each question goes its own way. So each runs in a thread of its own, and
whenever all of them wait for the model, what they wait for is one batch. The model is used by one thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch

from taskmem_ros.policy import Completion, MemoryPolicy
from taskmem_ros.policy.decoding import GREEDY, THINK_END, THINK_START
from taskmem_train.generation import whole
from taskmem_train.prompts import PromptBatch

T = TypeVar("T")
Jobs = Sequence[Callable[[], T]]


def one_by_one(jobs: Jobs) -> list[T]:
    """Run jobs in order; returns what they return."""
    return [job() for job in jobs]


def in_threads(count: int) -> Callable[[Jobs], list[T]]:
    """Runs so many jobs at once; for readers that are safe in any thread, such as an Endpoint."""

    def run(jobs: Jobs) -> list[T]:
        with ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    return run


@dataclass(eq=False)
class _Request:
    prompt: str
    max_new_tokens: int
    job: int
    reply: Completion | BaseException | None = None


class BatchedPolicy:
    """A policy's own model as the reader of many jobs, the adapter taken off.

    `run` the jobs, and let them use `complete`; replies are greedy, and tell no confidence. at_once: jobs
    that run at the same time, and so the most prompts of a batch.
    """

    def __init__(self, policy: MemoryPolicy, at_once: int = 16):
        self._policy, self._at_once = policy, at_once
        self._prompts = PromptBatch(policy.checkpoint)
        self._turn = threading.Condition()
        self._working = 0  # jobs that do not wait for the model
        self._waiting: list[_Request] = []
        self._here = threading.local()

    def complete(
        self, prompt: str, *, max_new_tokens: int = 128, deadline: float | None = None
    ) -> Completion:
        """The reply to a prompt, once all other jobs wait too. Only inside a job; deadline is not kept."""
        request = _Request(prompt, max_new_tokens, self._here.job)
        with self._turn:
            self._waiting.append(request)
            self._working -= 1
            self._turn.notify_all()
            self._turn.wait_for(lambda: request.reply is not None)
        if isinstance(request.reply, BaseException):
            raise request.reply
        return request.reply

    def run(self, jobs: Jobs) -> list[T]:
        """Run jobs, `at_once` at a time; returns what they return, in order, or raises what one raised."""
        results: dict[int, T] = {}
        errors: list[BaseException] = []
        queue = list(enumerate(jobs))[::-1]

        def work() -> None:
            while True:
                with self._turn:
                    if errors or not queue:
                        self._working -= 1
                        self._turn.notify_all()
                        return
                    number, job = queue.pop()
                self._here.job = number
                try:
                    results[number] = job()
                except BaseException as error:
                    errors.append(error)

        self._working = min(self._at_once, len(queue))
        threads = [threading.Thread(target=work, daemon=True) for _ in range(self._working)]
        for thread in threads:
            thread.start()
        while self._serve(errors):
            pass
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return [results[number] for number in range(len(jobs))]

    def _serve(self, errors: list[BaseException]) -> bool:
        """Answer what all jobs wait for; False when all jobs have ended."""
        with self._turn:
            self._turn.wait_for(lambda: self._working == 0)
            batch = sorted(self._waiting, key=lambda request: request.job)
            self._waiting = []
        if not batch:
            return False
        replies: Sequence[Completion | BaseException]
        try:
            replies = self._replies(batch)
        except BaseException as error:  # the jobs must not wait for ever; run() raises it again
            errors.append(error)
            replies = [error] * len(batch)
        with self._turn:
            for request, reply in zip(batch, replies):
                request.reply = reply
            self._working += len(batch)
            self._turn.notify_all()
        return True

    @torch.no_grad()
    def _replies(self, batch: Sequence[_Request]) -> list[Completion]:
        started = time.monotonic()
        if self._policy.provenance.adapter:
            self._policy.unload_adapter()  # who memorizes with one puts it back
        checkpoint, longest = self._policy.checkpoint, max(request.max_new_tokens for request in batch)
        inputs = self._prompts.prompts([[request.prompt] for request in batch])
        output = checkpoint.model.generate(**inputs, **GREEDY, max_new_tokens=longest)
        before = inputs["input_ids"].shape[1]
        seconds = (time.monotonic() - started) / len(batch)
        tail = checkpoint.tokenizer.decode(inputs["input_ids"][0, -4:])
        thinking = tail.rstrip().endswith(THINK_START)
        return [
            self._completion(ids[: request.max_new_tokens], thinking, seconds)
            for request, ids in zip(batch, output[:, before:].tolist())
        ]

    def _completion(self, ids: list[int], thinking: bool, seconds: float) -> Completion:
        checkpoint = self._policy.checkpoint
        ids = whole(ids, checkpoint.eos)
        raw = checkpoint.tokenizer.decode(ids, skip_special_tokens=True)
        thoughts, closed, said = raw.rpartition(THINK_END)
        text = "" if thinking and not closed else said
        return Completion(
            text.strip(), len(ids), 0.0, seconds, True, "stop" if ids[-1] in checkpoint.eos else "length"
        )
