"""One reading: a reader is given memories, may search again, and says what they say."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from taskmem_ros.memory import Scope, Store
from taskmem_ros.recall.prompt import Reading, parse_reading, reading_prompt
from taskmem_ros.recall.rounds import look_again, parse_wish, searching_prompt
from taskmem_ros.recall.search import Found, Search
from taskmem_ros.recall.types import Completion, Reader

_REMINDER = "\nReply with the JSON object only, and nothing before or after it."


class TooLate(Exception):
    """The deadline came first. read: the memories that were found so far."""

    def __init__(self, read: Sequence[Found]):
        super().__init__("the reader did not end in time")
        self.read = tuple(read)


class Unreadable(ValueError):
    """Two replies that cannot be used: one sentence, with the last of them."""


@dataclass
class Session:
    """What one question's readings have in common.

    reader, rounds: who reads, and how often it may be asked about one question (1: it may not search again).
    search, store, scope: where it may look again. now: the robot's clock with its zone, timezone as given.
    """

    reader: Reader
    search: Search
    store: Store
    scope: Scope
    choices: tuple[str, ...]
    deadline: float | None
    rounds: int
    memories_read: int
    max_new_tokens: int
    timezone: dt.tzinfo | None
    now: dt.datetime
    read: list[Found] = field(default_factory=list)

    def ask(
        self, question: str, hits: Sequence[Found], usable: Callable[[Reading, Sequence[Found]], str | None]
    ) -> tuple[Reading, list[Found], Completion]:
        """The reader's reading of `hits`, numbered in this order, and of what it searched for in addition.

        usable: says what could be better in a reading, in words for the reader, or raises ValueError where it
        is of no use; the reader is asked once more then. Raises TooLate, Unreadable, and what the reader
        raises.
        """
        read, searched = list(hits), []
        now_ns = int(self.now.timestamp()) * 10**9
        rounds_left, tokens, wrong, reminder = self.rounds, self.max_new_tokens, "", ""
        while True:
            if self.rounds == 1:
                rows = [(hit.memory.start_ns, hit.memory.text) for hit in read]
                prompt = reading_prompt(question, rows, self.choices, self.timezone)
            else:
                prompt = searching_prompt(
                    question, read, self.choices, self.timezone, now_ns, searched, rounds_left - 1
                )
            completion = self._complete(prompt + reminder, tokens, read)
            wish = parse_wish(completion.text) if rounds_left > 1 else None
            if wish is not None:
                rounds_left -= 1
                news, line = look_again(
                    self.search, self.store, wish, self.scope, read, self.memories_read, self.now
                )
                read += news
                searched.append(line)
                self._note(news)
                continue
            reading, problem = self._parsed(completion, read, usable)
            if reading is not None and (not problem or wrong):
                return reading, read, completion
            if wrong and self.rounds > 1 and parse_wish(completion.text):
                return Reading((), None), read, completion  # it would only search on: it found no answer
            if wrong:
                raise Unreadable(
                    f"The reader's reply could not be used, twice: {problem}; it wrote: {completion.text}"
                )
            wrong = problem
            # The reader is greedy: the same request would give the same reply.
            if completion.ended == "length":
                tokens *= 2
            else:
                plain = reading is None or self.rounds == 1
                reminder = _REMINDER if plain else f"\nYour last reply cannot be used: {problem}."

    def _parsed(
        self,
        completion: Completion,
        read: list[Found],
        usable: Callable[[Reading, Sequence[Found]], str | None],
    ) -> tuple[Reading | None, str]:
        try:
            reading = parse_reading(completion.text, len(read))
            return reading, usable(reading, read) or ""
        except ValueError as error:
            return None, str(error)

    def _complete(self, prompt: str, tokens: int, read: Sequence[Found]) -> Completion:
        self._note(read)
        try:
            completion = self.reader(prompt, max_new_tokens=tokens, deadline=self.deadline)
        except (TimeoutError, concurrent.futures.TimeoutError) as late:
            raise TooLate(self.read) from late
        if not completion.finished:
            raise TooLate(self.read)
        return completion

    def _note(self, hits: Sequence[Found]) -> None:
        known = {hit.memory.id for hit in self.read}
        self.read += [hit for hit in hits if hit.memory.id not in known]
