"""How much a memory helps with tasks whose answers are known: no judge, only the reader itself.

A memory helps with a question as far as it makes the right answer likelier to the reader that will answer
from it: the checkpoint with its adapter off, which no training of ours changes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import numpy as np

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.recall.prompt import reading_prompt, reading_reply
from taskmem_train.contexts import Context, TrainingTask
from taskmem_train.judges.types import Preference

MARGIN = 0.1  # of an answer


class Answerability:
    """How likely a reader gives known answers from a memory. Not thread-safe, as the policy is not.

    What is likely or not is the whole reply, the citation included: without it, a reader that is told to
    answer from a memory says whatever stands there, of whatever thing it stands there.
    """

    def __init__(self, policy: MemoryPolicy):
        self._policy = policy

    def score(
        self, candidates: Sequence[str], tasks: Sequence[TrainingTask], start_ns: int = 0
    ) -> np.ndarray:
        """How much likelier each candidate makes the answer to each task: (candidates, tasks with an answer),
        in nats a token of the reply, above no memory at all.

        Tasks without a known answer are left out. start_ns: when the candidates' clip began, for the reader.
        Raises ValueError when no task has an answer.
        """
        known = answered(tasks)
        means = self._logprobs([[], *([(start_ns, text)] for text in candidates)], known, np.mean)
        return means[1:] - means[0]

    def probability(
        self, candidates: Sequence[str], tasks: Sequence[TrainingTask], start_ns: int = 0
    ) -> np.ndarray:
        """The probability, 0..1, of just the right reply to each task from each candidate; as `score`."""
        known = answered(tasks)
        return np.exp(self._logprobs([[(start_ns, text)] for text in candidates], known, np.sum))

    def _logprobs(
        self,
        memories: Sequence[Sequence[tuple[int, str]]],
        tasks: Sequence[TrainingTask],
        over: Callable[[list[float]], float],
    ) -> np.ndarray:
        """Over the tokens of the right reply up to the answer's end: (what is in memory, tasks)."""
        turns = [
            (
                reading_prompt(task.question, given, task.choices, dt.timezone.utc),
                reading_reply([1], task.answer),
            )
            for given in memories
            for task in tasks
        ]
        ends = [reply.rindex('"') for _, reply in turns]
        values = [
            over([token.logprob for token in tokens if token.start < end])
            for tokens, end in zip(self._policy.reply_logprobs(turns), ends)
        ]
        return np.array(values, float).reshape(len(memories), len(tasks))


class AnswerabilityJudge:
    """A HelpfulnessJudge: it prefers the text from which the reader likely answers more tasks.

    tasks: with their answers; for a context those count whose answer could be seen in its newest clip, as far
    as their time and camera are known. Without such a task, all is a tie. margin: a lead in expected answers
    up to which it is a tie; among unlikely answers, log probabilities differ widely without meaning anything.
    Raises ValueError when no task has an answer.
    """

    def __init__(self, scorer: Answerability, tasks: Sequence[TrainingTask], margin: float = MARGIN):
        if margin < 0:
            raise ValueError(f"margin is {margin}; it must be 0 or more answers")
        self._scorer, self._tasks, self._margin = scorer, answered(tasks), margin

    def compare(
        self, context: Context, pairs: Sequence[tuple[str, str]], questions: Sequence[str]
    ) -> list[Preference]:
        """One preference for each pair; see HelpfulnessJudge. questions: not looked at, the tasks are."""
        clip = context.clips[-1]
        tasks = [
            task
            for task in self._tasks
            if task.camera in ("", clip.camera)
            and (task.since_ns is None or task.since_ns < clip.end_ns)
            and (task.until_ns is None or task.until_ns > clip.start_ns)
        ]
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        if not tasks or not texts:
            return ["tie"] * len(pairs)
        sums = dict(zip(texts, self._scorer.probability(texts, tasks, clip.start_ns).sum(axis=1)))
        return [self._preference(sums[first] - sums[second]) for first, second in pairs]

    def _preference(self, lead: float) -> Preference:
        if abs(lead) <= self._margin:
            return "tie"
        return "first" if lead > 0 else "second"


def answered(tasks: Sequence[TrainingTask]) -> list[TrainingTask]:
    """The tasks whose answer is known. Raises ValueError when there is none."""
    known = [task for task in tasks if task.answer]
    if not known:
        raise ValueError(f"none of {len(tasks)} tasks has a known answer; judge them with another judge")
    return known
