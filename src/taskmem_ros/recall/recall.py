"""Answers from memory alone: find memories, let a reader read them, and take no answer that no memory
says.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from taskmem_ros.memory import Scope, Store
from taskmem_ros.recall.aim import LATEST, Aim, aim_of
from taskmem_ros.recall.choices import match_choice
from taskmem_ros.recall.encoder import Encoder
from taskmem_ros.recall.gather import Gathered, by_start, gather, whole
from taskmem_ros.recall.prompt import Reading
from taskmem_ros.recall.reading import Session, TooLate, Unreadable
from taskmem_ros.recall.reckon import reckon
from taskmem_ros.recall.search import Found, Search
from taskmem_ros.recall.sighting import day_and_clock, sighting
from taskmem_ros.recall.support import Support
from taskmem_ros.recall.types import Answer, Completion, Evidence, Reader
from taskmem_ros.recall.watching import describe_all, forgotten, unwatched
from taskmem_ros.recall.when import Asked, MachineZone, time_asked

MEMORIES_READ = 8
ROUNDS = 3  # of a reader that follows instructions
PAGES = 4  # memories read one by one, oldest first
SMALL = 100_000_000  # parameters; a smaller model reads the one prompt that it was trained on
MAX_NEW_TOKENS = 128
MAX_NEW_TOKENS_SEARCHING = 1024  # such readers may think before they reply


def rounds_for(parameters: int) -> int:
    """How many rounds a policy's own model of so many parameters is given to read in."""
    return 1 if parameters < SMALL else ROUNDS


@dataclass(frozen=True)
class _Said:
    """What a reading came to. evidence: () where no memory says it; then `text` is what the reader claims."""

    text: str | None
    evidence: tuple[Found, ...]
    completion: Completion
    read: tuple[Found, ...]


class Recall:
    """Answers questions about one store with one reader. Keeps nothing between questions; safe in any thread.

    complete: the reader, MemoryPolicy.complete, Engine.complete or an Endpoint. rounds: how often the reader
    may be asked about one question, searching again in between; 1: once, with the prompt that models/demo was
    trained on, and of its answers only what one statement of a memory says is taken. timezone: of the times
    that the reader is shown and that questions name; None is the machine's. encoder: searches by meaning
    too. now_ns: the robot's clock, in sim time too. It writes nothing: whoever asks keeps the task, as
    `answer_task` does.
    """

    def __init__(
        self,
        store: Store,
        complete: Reader,
        *,
        rounds: int = 1,
        memories_read: int = MEMORIES_READ,
        max_new_tokens: int | None = None,
        timezone: dt.tzinfo | None = None,
        encoder: Encoder | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ):
        if rounds < 1:
            raise ValueError(f"rounds is {rounds}; a reader reads in 1 round or more.")
        self._store, self._complete, self._rounds = store, complete, rounds
        self._search, self._now_ns = Search(store, encoder), now_ns
        self._memories_read, self._timezone = memories_read, timezone
        self._max_new_tokens = max_new_tokens or (MAX_NEW_TOKENS if rounds == 1 else MAX_NEW_TOKENS_SEARCHING)

    def ask(
        self,
        question: str,
        choices: Sequence[str] = (),
        since_ns: int | None = None,
        until_ns: int | None = None,
        timeout_s: float | None = None,
        camera: str | None = None,
    ) -> Answer:
        """Answer from the memories that overlap [since_ns, until_ns), waiting at most timeout_s for the
        reader.

        Without a span, a question that names a time ("this morning") is asked about that time. choices: the
        answer is one of them, or there is none. Raises ValueError on an empty question, StoreError, and
        whatever the reader raises, except its TimeoutError: that is the status "timed_out".
        """
        if not question.strip():
            raise ValueError("The question is empty; say what is to be answered from memory.")
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        text = looked_for = question.strip()
        said = self._time_asked(text) if since_ns is None and until_ns is None else None
        if said is not None:
            since_ns, until_ns, looked_for = said.since_ns, said.until_ns, said.rest
        scope, aim = Scope(since_ns, until_ns, camera), aim_of(looked_for)
        watermark = self._store.watermark()
        gathered = gather(self._search, self._store, looked_for, aim, self._memories_read, scope)
        if gathered.matches.memories and not choices:
            answer = self._reckoned(aim, gathered)
        elif gathered.hits:
            answer = self._read(text, aim, gathered, self._session(scope, tuple(choices), deadline))
        elif gathered.event:
            answer = self._nothing_beside(aim, gathered.event)
        else:
            answer = self._nothing_to_read(scope)
        return replace(answer, watermark=watermark)

    def _time_asked(self, question: str) -> Asked | None:
        return time_asked(question, self._now())

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._now_ns() / 1e9, self._timezone or MachineZone())

    def _session(self, scope: Scope, choices: tuple[str, ...], deadline: float | None) -> Session:
        return Session(
            self._complete, self._search, self._store, scope, choices, deadline,
            self._rounds, self._memories_read, self._max_new_tokens, self._timezone, self._now(),
        )  # fmt: skip

    def _nothing_to_read(self, scope: Scope) -> Answer:
        span = (scope.since_ns, scope.until_ns)
        reason = unwatched(self._store, *span, scope.camera, self._timezone)
        if reason is not None:
            return Answer("not_watching", message=reason)
        if span == (None, None):
            return Answer("not_in_memory", message="There is no memory yet.")
        gone = forgotten(self._store, *span, scope.camera, self._timezone)
        return Answer("not_in_memory", message=gone or "There is no memory of the time asked about yet.")

    def _nothing_beside(self, aim: Aim, event: Found) -> Answer:
        at = day_and_clock(event.memory.start_ns, self._timezone)
        return Answer("not_in_memory", message=f"There is no memory of the time {aim.beside} that ({at}).")

    def _reckoned(self, aim: Aim, gathered: Gathered) -> Answer:
        """When, how long, how many times: from all memories that say it, without a reader."""
        result = reckon(aim, gathered.matches, self._now_ns(), self._timezone)
        found = whole(self._store, result.memories) + ([gathered.event] if gathered.event else [])
        return Answer(
            "answered", text=result.text, message=result.message, confidence=1.0, evidence=_evidence(found)
        )

    def _read(self, text: str, aim: Aim, gathered: Gathered, session: Session) -> Answer:
        """Let the reader read what was gathered, and take of its answer what memories say."""
        exact = session.rounds == 1
        support = Support(aim.main, exact)
        if exact and aim.open and (aim.beside or aim.oldest) and not session.choices:
            return self._quoted(gathered, aim)
        try:
            if exact and aim.oldest:
                said = self._oldest_that_says(aim, gathered.hits, support, session)
            else:
                asked = aim.main if exact and aim.beside and gathered.event else text
                shown = gathered.hits
                if gathered.event and not exact:
                    shown = by_start([*shown, gathered.event])
                said = self._one_reading(asked, shown, support, session)
                if said.evidence and aim.kind == LATEST:
                    said = self._newest_that_says(asked, said, support, session)
        except TooLate as late:
            return self._late(late.read)
        except Unreadable as error:
            return Answer("failed", message=str(error))
        return self._answer(said, gathered, session)

    def _one_reading(self, asked: str, hits: Sequence[Found], support: Support, session: Session) -> _Said:
        """The reader's answer with what of the memories read says it."""

        def usable(reading: Reading, read: Sequence[Found]) -> str | None:
            if reading.answer is None or _chosen(reading, session.choices) is None:
                if reading.answer is None or not reading.cited:
                    return None
                raise ValueError(f"{reading.answer!r} is none of the choices {', '.join(session.choices)}")
            if session.rounds == 1 or _saying(reading, read, support, session.choices):
                return None
            return (
                f"memories {list(reading.cited)} do not say {reading.answer!r}; use their own words, or say "
                "not in memory"
            )

        reading, read, completion = session.ask(asked, hits, usable)
        text = _chosen(reading, session.choices)
        evidence = _saying(reading, read, support, session.choices) if text else []
        return _Said(text or reading.answer, tuple(evidence), completion, tuple(read))

    def _newest_that_says(self, asked: str, said: _Said, support: Support, session: Session) -> _Said:
        """Where a newer memory speaks of the same and says something else, what that one says."""
        last = max(hit.memory.start_ns for hit in said.evidence)
        speaking = [hit for hit in support.speaking(said.read) if hit.memory.start_ns > last]
        newer = [hit for hit in speaking if not support.evidence(said.text or "", [hit], ())]
        if not newer:
            return said
        again = self._one_reading(asked, newer, support, session)
        return again if again.evidence else said

    def _oldest_that_says(self, aim: Aim, hits: Sequence[Found], support: Support, session: Session) -> _Said:
        """What the oldest memories say: of one memory, then of more, as far as need be. A reader of one round
        takes the newest of what it is given.
        """
        speaking = support.speaking(hits)
        pages = [[hit] for hit in speaking[:PAGES]] or [[hit] for hit in hits[:PAGES]]
        for page in pages:
            said = self._one_reading(aim.main, page, support, session)
            if said.evidence:
                return said
        return self._one_reading(aim.main, hits, support, session)

    def _quoted(self, gathered: Gathered, aim: Aim) -> Answer:
        """What happened before or after something, or first: the memory itself says it best."""
        hit = gathered.hits[0 if aim.oldest else -1]
        found = [*whole(self._store, [hit.memory]), *([gathered.event] if gathered.event else [])]
        return Answer(
            "answered",
            text=hit.memory.text,
            message=sighting(hit.memory, self._timezone),
            confidence=1.0,
            evidence=_evidence(found),
        )

    def _answer(self, said: _Said, gathered: Gathered, session: Session) -> Answer:
        if said.text is None:
            return Answer("not_in_memory", message="The memories do not say it." + self._gaps(session.scope))
        if not said.evidence:
            return Answer("not_in_memory", message=f"The reader said {said.text!r}, and no memory says so.")
        newest_first = sorted(said.evidence, key=lambda hit: (-hit.memory.start_ns, -hit.memory.id))
        known = {hit.memory.id for hit in newest_first}
        event = [gathered.event] if gathered.event and gathered.event.memory.id not in known else []
        return Answer(
            "answered",
            text=said.text,
            message=sighting(newest_first[0].memory, self._timezone),
            confidence=said.completion.confidence,
            evidence=_evidence([*newest_first, *event]),
        )

    def _late(self, read: Sequence[Found]) -> Answer:
        saying = [
            hit for hit in read if hit.share > 0 or any(reason.by == "meaning" for reason in hit.reasons)
        ]
        best_first = sorted(saying, key=lambda hit: (-hit.share, -hit.score))
        found = (
            f"{len(saying)} that may say it are the evidence"
            if saying
            else "none that was found has a word of it"
        )
        return Answer(
            "timed_out",
            message=f"The reader did not end in time; of the memories it was to read, {found}.",
            evidence=_evidence(best_first),
        )

    def _gaps(self, scope: Scope) -> str:
        if scope.since_ns is None and scope.until_ns is None:
            return ""
        gaps = self._store.coverage(scope.since_ns, scope.until_ns, scope.camera)
        if not gaps:
            return ""
        return f" Not all of that time was watched: {describe_all(gaps, self._timezone)}."


def _chosen(reading: Reading, choices: Sequence[str]) -> str | None:
    """The answer, as one of the choices where there are any; None where it is none of them."""
    if reading.answer is None or not choices:
        return reading.answer
    return match_choice(reading.answer, choices)


def _saying(reading: Reading, read: Sequence[Found], support: Support, choices: Sequence[str]) -> list[Found]:
    """The memories that say what a reading says."""
    text, cited = _chosen(reading, choices) or "", [read[number - 1] for number in reading.cited]
    found = support.evidence(text, cited, read)
    if found or support.exact or not choices or not cited:
        return found
    # A choice may put in other words what the memories say, as long as they do not say another.
    others = any(support.evidence(other, cited, ()) for other in choices if other != text)
    return [] if others else cited


def _evidence(hits: Sequence[Found]) -> tuple[Evidence, ...]:
    return tuple(Evidence(hit.memory, hit.score, hit.reasons) for hit in hits)
