"""What a text says about time: phrases joined to moments, moments made spans."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from taskmem_ros.recall.when.phrases import ALTERNATIVE, read_phrases
from taskmem_ros.recall.when.spans import Reckoner
from taskmem_ros.recall.when.types import Moment, Phrase


@dataclass(frozen=True)
class Asked:
    """The time that a question asks about: [since_ns, until_ns) in nanoseconds since the epoch.

    since_ns, until_ns: None is open; not both are. words: what said so, as it stands in the question, with a
    space between what stands apart. rest: the question without it.
    """

    since_ns: int | None
    until_ns: int | None
    words: str
    rest: str


def time_asked(question: str, now: dt.datetime) -> Asked | None:
    """The time span that a question asks about; None where it names no time that has begun.

    now: the robot's clock, in sim time too, in the robot's time zone: a ZoneInfo knows its summer times,
    MachineZone() are the machine's. Raises ValueError where it has no zone.
    """
    reckoner = Reckoner(_checked(now))
    spans, said = [], []
    for moment, phrases in _joined(read_phrases(question)):
        if span := reckoner.span(moment):
            spans.append(span)
            said += phrases
    starts, ends = [span[0] for span in spans], [span[1] for span in spans]
    since = None if None in starts else min(starts, default=None)
    until = None if None in ends else max(ends, default=None)
    if since is None and until is None:  # "before Monday or since Tuesday", too
        return None
    said.sort(key=lambda phrase: phrase.start)
    return Asked(
        since,
        until,
        " ".join(question[phrase.start : phrase.end] for phrase in said),
        _without(question, said),
    )


def time_said(text: str, now: dt.datetime) -> tuple[int | None, int | None]:
    """(since_ns, until_ns) of a text that says a time and nothing else. now: as for time_asked.

    Raises ValueError for any other text.
    """
    said = time_asked(text, now)
    if said is None or any(letter.isalnum() for letter in said.rest):
        raise ValueError(
            f"{text!r} is no time; write it as in 'this morning', 'an hour ago' or 'between 2 and 3 pm'."
        )
    return said.since_ns, said.until_ns


def time_begins(text: str, now: dt.datetime) -> int | None:
    """Where the time that a text names begins, in nanoseconds since the epoch: "this morning" at 5 o'clock.

    None where the text says anything else, or names no beginning. now: as for time_asked.
    """
    for said in (text, f"since {text}"):
        moments = _joined(read_phrases(said))
        if len(moments) == 1 and not _without(said, moments[0][1]):
            return Reckoner(_checked(now)).begin(moments[0][0])
    return None


def _checked(now: dt.datetime) -> dt.datetime:
    if now.tzinfo is None:
        raise ValueError(f"The time {now} has no time zone; give the robot's, for example ZoneInfo('UTC').")
    return now


def _joined(phrases: Sequence[Phrase]) -> list[tuple[Moment, list[Phrase]]]:
    """Phrases that complete each other are one moment: "Yesterday, who came before lunch?" """
    groups: list[tuple[Moment, list[Phrase]]] = []
    for phrase in phrases:
        moment = phrase.moment
        for i, (other, said) in enumerate(groups):
            if both := other.joined(moment):
                groups[i] = (both, [*said, phrase])
                break
        else:
            if groups and not moment.spot and not groups[-1][0].spot:  # "on Monday at 3 pm or at 5 pm"
                other, others = groups[-1]
                groups[-1] = (replace(other, day=other.day or moment.day), others)
                moment = replace(moment, day=moment.day or other.day)
            groups.append((moment, [phrase]))
    return groups


def _without(question: str, said: Sequence[Phrase]) -> str:
    ends = [0, *(phrase.end for phrase in said)]
    starts = [*(phrase.start for phrase in said), len(question)]
    left = [question[end:start] for end, start in zip(ends, starts)]
    rest = " ".join(" ".join(part for part in left if not ALTERNATIVE.fullmatch(part)).split())
    return re.sub(r"[\s,;]+([?!.,;:]|$)", r"\1", rest.lstrip(" ,;:"))
