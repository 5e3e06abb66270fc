"""How a model is asked for judgements: whatever completes a prompt, a bounded number at a time, and once more
where its reply cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import json_repair

from taskmem_ros.policy.prompt import PromptPart
from taskmem_train.judges.types import JudgeError

Opinion = TypeVar("Opinion")
THINK_START, THINK_END = "<think>", "</think>"
SHOWN = 120  # characters of a reply in an error
AGAIN = "\nReply with the JSON alone."


class Complete(Protocol):
    """Completes a prompt of text and video: one transport to a model."""

    def __call__(self, parts: Sequence[PromptPart]) -> str:
        """The whole reply, thoughts included. Raises JudgeError where there is none."""
        ...


def ask_all(
    complete: Complete,
    prompts: Sequence[Sequence[PromptPart]],
    read: Callable[[str], Opinion],
    workers: int = 1,
) -> list[Opinion | JudgeError]:
    """What `read` makes of the reply to each prompt, in order; a failure is a JudgeError in its place.

    read: raises ValueError where a reply is no opinion. workers: prompts that are asked at the same time.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; a judge needs at least 1")
    with ThreadPoolExecutor(min(workers, max(1, len(prompts)))) as pool:
        return list(pool.map(lambda parts: _ask(complete, parts, read), prompts))


def _ask(
    complete: Complete, parts: Sequence[PromptPart], read: Callable[[str], Opinion]
) -> Opinion | JudgeError:
    failure = JudgeError("was not asked")
    # A greedy model would say the same to the same words, so the second try adds some.
    for asked in (parts, [*parts, AGAIN]):
        try:
            return read(complete(asked))
        except JudgeError as error:
            failure = error
        except ValueError as error:
            failure = JudgeError(f"the judge's reply is no opinion: {error}")
    return failure


def after_thoughts(reply: str) -> str:
    """What follows a reply's thoughts. Raises ValueError when they were cut off, or nothing follows."""
    before, end, text = reply.rpartition(THINK_END)
    if not end and THINK_START in text:
        raise ValueError(f"the thoughts never end: {shown(text)}")
    if not text.strip():
        raise ValueError("it is empty")
    return text.strip()


def read_object(text: str) -> dict[str, Any] | None:
    """The last JSON object in a text, with small damage repaired; None where there is none."""
    start = text.find("{")
    if start < 0:
        return None
    parsed = json_repair.loads(re.sub(r"```\w*", "", text[start:]))
    if isinstance(parsed, list):
        parsed = next((item for item in reversed(parsed) if isinstance(item, dict)), None)
    return parsed if isinstance(parsed, dict) else None


def shown(text: str) -> str:
    """The beginning of a reply, as an error quotes it."""
    plain = " ".join(text.split())
    return repr(plain if len(plain) <= SHOWN else plain[:SHOWN] + "...")
