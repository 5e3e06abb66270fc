"""ask_memory, search_memory, submit_task, give_feedback: requests go to the pool, the executor sends the
replies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from taskmem import srv

from taskmem_ros.memory import Store, StoreError, Task
from taskmem_ros.recall import Answer, Encoder, Evidence, Recall, Search, answer_task

from .conversions import (
    KIND_NAMES,
    TASK_STATUS,
    VERDICT_NAMES,
    evidence_message,
    nanoseconds,
    near_of,
    scope_of,
)
from .mailbox import Mailbox

log = logging.getLogger(__name__)

ASK_SOURCE, SUBMIT_SOURCE, FEEDBACK_SOURCE = "ask_memory", "submit_task", "give_feedback"
CLI_SOURCE = "cli"  # of `taskmem ask`, which answers with a model of its own
SEARCH_LIMIT = 10


class Services:
    """The four services, from `open` to `close`. A reply that is under way at `close` is still sent.

    provenance() gives model, revision, adapter and prompt_hash of the reader; published_task is called after
    each commit of a task's row.
    """

    def __init__(
        self,
        node: Any,
        mailbox: Mailbox,
        store: Store,
        recall: Recall,
        encoder: Encoder | None,
        ask_timeout_s: float,
        provenance: Callable[[], dict[str, str]],
        published_task: Callable[[Task], None],
    ) -> None:
        self.ask_timeout_s = ask_timeout_s
        self.last_error = ""
        self._node, self._mailbox, self._store, self._recall = node, mailbox, store, recall
        self._provenance, self._published = provenance, published_task
        self._search_memories = Search(store, encoder)
        self._servers: list[Any] = []
        self._pending = 0
        self._closing = False
        # Read before anything new can be asked: what is queued now was left by an agent that is gone, or is
        # being answered by a `taskmem ask` at this moment.
        queued = store.tasks(status="queued", kind="question")
        self._left = [task for task in queued if task.source != CLI_SOURCE]

    def open(self) -> None:
        """Serve; submitted questions that were not answered when an agent last ended are taken up again."""
        self._closing = False
        if not self._servers:
            group = ReentrantCallbackGroup()  # several questions may wait at once
            self._servers = [
                self._node.create_service(kind, name, self._serving(work), callback_group=group)
                for kind, name, work in (
                    (srv.AskMemory, "ask_memory", self._ask),
                    (srv.SearchMemory, "search_memory", self._search),
                    (srv.SubmitTask, "submit_task", self._submit),
                    (srv.GiveFeedback, "give_feedback", self._feedback),
                )
            ]
        left, self._left = self._left, []
        self._mailbox.start(self._take_up, left)

    def close(self) -> None:
        """Serve no more. New requests are not seen; replies under way are sent before the servers go."""
        self._closing = True
        self._destroy()

    def _serving(self, work: Callable[[Any, Any], None]) -> Callable[[Any, Any], Any]:
        async def serve(request: Any, response: Any) -> Any:
            self._pending += 1
            try:
                await self._mailbox.background(work, request, response)
            except Exception as error:  # the client must get a reply, and the executor must spin on
                self.last_error = f"{work.__name__.strip('_')} failed: {error}"
                log.exception("a request failed")
                if hasattr(response, "status"):
                    response.status = response.STATUS_FAILED
                response.message = f"{type(error).__name__}: {error}"
            finally:
                self._pending -= 1
                self._mailbox.post(self._destroy)  # runs after the executor has sent this reply
            return response

        return serve

    def _destroy(self) -> None:
        if self._closing and not self._pending:
            for server in self._servers:
                self._node.destroy_service(server)
            self._servers = []

    def _ask(self, request: Any, response: Any) -> None:
        timeout_s = nanoseconds(request.timeout) / 1e9 or self.ask_timeout_s
        try:
            task = self._store.add_task(
                request.question,
                choices=list(request.choices),
                source=ASK_SOURCE,
                asked_ns=self._now(),
                since_ns=nanoseconds(request.since) or None,
                until_ns=nanoseconds(request.until) or None,
            )
        except ValueError as error:
            response.status, response.message = response.STATUS_FAILED, str(error)
            return
        except StoreError as error:  # a full disk is no reason not to answer
            self.last_error = f"a question is not kept among the tasks: {error}"
            log.warning("%s", self.last_error)
            task = None
        else:
            response.question_id = task.id
            self._published(task)
        try:
            answer = self._answer(task, timeout_s) if task else self._answer_unkept(request, timeout_s)
        except Exception as error:
            response.status, response.message = response.STATUS_FAILED, str(error)
            return
        response.status, response.answer = TASK_STATUS[answer.status], answer.text or ""
        response.confidence, response.watermark = float(answer.confidence), answer.watermark
        response.evidence = [evidence_message(evidence) for evidence in answer.evidence]
        response.message = answer.message

    def _answer(self, task: Task, timeout_s: float) -> Answer:
        """Answer a queued task and finish its row, whatever comes."""
        try:
            answer, done = answer_task(
                self._store, self._recall, task, timeout_s=timeout_s, now_ns=self._now, **self._provenance()
            )
        except Exception as error:
            self.last_error = f"question {task.id} was not answered: {error}"
            log.error("question %d (%s) was not answered", task.id, task.question, exc_info=error)
            self._published(self._store.task(task.id))
            raise
        self._published(done)
        return answer

    def _answer_unkept(self, request: Any, timeout_s: float) -> Answer:
        since, until = nanoseconds(request.since) or None, nanoseconds(request.until) or None
        return self._recall.ask(request.question, list(request.choices), since, until, timeout_s)

    def _search(self, request: Any, response: Any) -> None:
        try:
            scope, near = scope_of(request, self._now()), near_of(request)
        except ValueError as error:
            response.message = str(error)
            return
        response.watermark = self._store.watermark()
        hits = self._search_memories(
            request.query, near=near, scope=scope, limit=request.limit or SEARCH_LIMIT
        )
        response.hits = [evidence_message(Evidence(hit.memory, hit.score, hit.reasons)) for hit in hits]
        response.success = True

    def _submit(self, request: Any, response: Any) -> None:
        kind = KIND_NAMES.get(request.kind)
        if kind is None:
            response.message = f"kind is {request.kind}; allowed are KIND_QUESTION (0) and KIND_TASK (1)."
            return
        try:
            task = self._store.add_task(
                request.question,
                kind=kind,
                choices=list(request.choices),
                source=request.source or SUBMIT_SOURCE,
                asked_ns=self._now(),
                known_answer=request.answer or None,
            )
        except ValueError as error:
            response.message = str(error)
            return
        response.task_id, response.success = task.id, True
        self._published(task)
        if kind == "question":
            self._mailbox.start(self._answer_later, task)

    def _feedback(self, request: Any, response: Any) -> None:
        verdict = VERDICT_NAMES.get(request.verdict)
        if verdict is None:
            response.message = (
                f"verdict is {request.verdict}; allowed are VERDICT_RIGHT (1) and VERDICT_WRONG (2)."
            )
            return
        source = request.source or FEEDBACK_SOURCE
        try:
            self._store.add_feedback(
                request.task_id, verdict, request.answer or None, source, given_ns=self._now()
            )
        except (ValueError, StoreError) as error:
            response.message = str(error)
            return
        response.success = True

    def _answer_later(self, task: Task) -> None:
        try:
            self._answer(task, self.ask_timeout_s)
        except Exception:  # logged, and in the task's row
            return

    def _take_up(self, left: list[Task]) -> None:
        for task in left:
            if task.source == ASK_SOURCE:  # whoever asked is gone
                self._published(
                    self._store.finish_task(
                        task.id,
                        "failed",
                        message="the agent ended before it could answer",
                        answered_ns=self._now(),
                    )
                )
            else:
                self._answer_later(task)

    def _now(self) -> int:
        return self._node.get_clock().now().nanoseconds
