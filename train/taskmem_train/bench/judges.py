"""Whether an answer is right: by the choice it means, by its words, by the demo home, or by another model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import json_repair

from taskmem_ros.home import is_right
from taskmem_ros.recall import Reader, match_choice
from taskmem_ros.recall.endpoint import Endpoint
from taskmem_train.bench.types import Question, digest

__all__ = ["Endpoint", "EndpointJudge", "ExactJudge", "HomeJudge", "Judge", "normalized"]

_ARTICLES = ("a", "an", "the")
PROMPT = (
    "An answer from memory is compared with the right answer. It is right if it says the same, in whatever "
    "words, and nothing that contradicts it.\n"
    "Question: {question}\nRight answer: {reference}\nAnswer: {answer}\n"
    'Reply as JSON: {{"right": true}} or {{"right": false}}'
)


class Judge(Protocol):
    """Says whether an answer is right.

    identity: tells its verdicts from another's. right: raises ValueError or OSError where it cannot say.
    """

    identity: str

    def right(self, question: Question, text: str) -> bool: ...


class ExactJudge:
    """The choice that is meant, or the same words but for case, punctuation and articles."""

    identity = "exact"

    def right(self, question: Question, text: str) -> bool:
        if question.choices:
            return match_choice(text, question.choices) == question.answer
        return normalized(text) == normalized(question.answer)


class HomeJudge:
    """The demo home's own: the truth's telling words and no others of their sort.

    other: for questions that are none of the home; without it they raise.
    """

    def __init__(self, other: Judge | None = None):
        self._other = other
        self.identity = "home" + (f" {other.identity}" if other else "")

    def right(self, question: Question, text: str) -> bool:
        if question.home is None and self._other is not None:
            return self._other.right(question, text)
        if question.home is None:
            raise ValueError(f"question {question.id} is none of the demo home; use another judge")
        return is_right(question.home, text)


@dataclass(frozen=True)
class EndpointJudge:
    """Open answers judged by a language model; choices are matched as ExactJudge does.

    complete: an `Endpoint`, or any other reader. identity: the model's name, at least.
    """

    complete: Reader
    identity: str
    max_new_tokens: int = 1024

    @classmethod
    def of(cls, endpoint: Endpoint) -> EndpointJudge:
        return cls(endpoint, f"{endpoint.model} {digest(PROMPT)}")

    def right(self, question: Question, text: str) -> bool:
        if question.choices:
            return ExactJudge().right(question, text)
        prompt = PROMPT.format(question=question.text, reference=question.answer, answer=text)
        reply = self.complete(prompt, max_new_tokens=self.max_new_tokens, deadline=None).text
        said = json_repair.loads(reply.rpartition("</think>")[2].strip() or "{}")
        if not isinstance(said, dict) or not isinstance(said.get("right"), bool):
            raise ValueError(f'the judge\'s reply is not JSON with "right": {reply[-80:]!r}')
        return said["right"]


def normalized(text: str) -> str:
    """Words in lower case, without punctuation and articles."""
    words = re.findall(r"[^\W_]+", text.lower())
    return " ".join([word for word in words if word not in _ARTICLES] or words)
