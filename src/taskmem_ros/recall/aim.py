"""What a question wants: the newest memory that says it, the first, how many, how long, before what."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

LATEST, FIRST, COUNT, HOW_LONG, WHEN = "latest", "first", "count", "how long", "when"
BEFORE, AFTER, DURING = "before", "after", "during"


@dataclass(frozen=True)
class Aim:
    """kind: one of the above; beside: BEFORE, AFTER, DURING or "". main: the question without what says so.

    event: what it was before, after or during: "Anna left". ago: asked as "how long ago".
    """

    kind: str
    main: str
    beside: str = ""
    event: str = ""
    ago: bool = False

    @property
    def oldest(self) -> bool:
        """Whether of several memories the oldest is right."""
        return self.kind == FIRST or self.beside == AFTER

    @property
    def open(self) -> bool:
        """Whether it asks for anything at all: "What happened?", "What did Ben do?" """
        return bool(_OPEN.fullmatch(self.main))


_FLAGS = re.IGNORECASE
_ASKED = r"(?:and |so )?"
_SOON = r"(?:(?:right|just|shortly|immediately|directly|soon)\s+)?"
_HOW_OFTEN = re.compile(rf"{_ASKED}how (?:many times|often)\b\s*", _FLAGS)
_HOW_LONG = re.compile(rf"{_ASKED}(?:for )?how (?:long|much time)\b(?P<ago>\s+ago)?\s*", _FLAGS)
_WHEN = re.compile(
    rf"{_ASKED}(?:when|(?:at )?(?:what|which) time|what (?:hour|day)|on (?:what|which) day)\b\s*", _FLAGS
)
_FIRST = re.compile(
    r"(?:\b(?:was|were|is) the (?:very )?first (?:person |one |thing )?(?:to|who|that)\b"
    r"|\b(?:for )?the (?:very )?first time\b|\b(?:the )?(?:very )?first(?: of all)?\b|\b(?:the )?earliest\b"
    # "the first floor" is a place
    r"|\boriginally\b|\binitially\b)(?!\s+(?:floor|name|aid|class|grade|street|storey)\b)\s*",
    _FLAGS,
)
_LAST = re.compile(
    r"\b(?:(?:for )?the (?:very )?last time|(?:the )?(?:very )?last|(?:the )?latest"
    r"|(?:the )?most recent(?:ly)?|lately)\b\s*",
    _FLAGS,
)
_BESIDE = re.compile(rf"\s+{_SOON}(?P<beside>before|after|while|when)\s+(?P<event>.+)", _FLAGS)
_LEADING = re.compile(
    rf"{_SOON}(?P<beside>before|after|while|when)\s+(?P<event>[^,?]+),\s*(?P<main>.+)", _FLAGS
)
_KIND_OF_BESIDE = {"before": BEFORE, "after": AFTER, "while": DURING, "when": DURING}
_OPEN = re.compile(
    rf"{_ASKED}what (?:else )?(?:(?:was|is) (?:going on|happening)|happened"
    r"|did you (?:see|notice|observe)|was (?:seen|there))(?: next| then)?\s*\??",
    _FLAGS,
)
_DOER = re.compile(r"(?:what did|did|what was|was|is|has|had|have|do|does|were|are)\s+", _FLAGS)
_THING = re.compile(
    r"\b(?:the|an?|his|her|my|your|their)\s+[\w' -]+?(?=\s+(?:on|in|at|from|to|with|by|of)\b|[?.,]|$)", _FLAGS
)
_NAME = re.compile(
    r"(?<=\s)[A-Z]\w+"
    r"|^(?!(?:What|Who|Where|When|Which|How|Was|Is|Did|Were|Are|The|An?|He|She|It|They)\b)[A-Z]\w+"
)


def aim_of(question: str) -> Aim:
    """Read a question in plain English, after what names a clock time was taken out of it."""
    text = " ".join(question.split())
    leading = _LEADING.fullmatch(text)
    beside = event = ""
    if leading:
        main, event, beside = leading["main"], leading["event"], _KIND_OF_BESIDE[leading["beside"].lower()]
        text = main[0].upper() + main[1:]
    else:
        found = _BESIDE.search(text)
        if found and len(found["event"].rstrip("?. ").split()) > 1:
            event, beside = found["event"].rstrip("?. "), _KIND_OF_BESIDE[found["beside"].lower()]
            text = f"{text[: found.start()]}?"
    aim = _kind(text)
    if beside:
        main, event = _named(aim.main, event)
        aim = replace(aim, main=main, beside=beside, event=event)
    return aim


def _kind(text: str) -> Aim:
    for kind, pattern in ((COUNT, _HOW_OFTEN), (HOW_LONG, _HOW_LONG), (WHEN, _WHEN)):
        if found := pattern.match(text):
            rest = text[found.end() :]
            if kind == HOW_LONG and found["ago"]:
                return Aim(WHEN, _LAST.sub("", rest), ago=True)
            if kind == WHEN and _FIRST.search(rest):
                return Aim(FIRST, f"When {_tidy(_FIRST.sub(' ', rest))}")
            return Aim(kind, _tidy(_LAST.sub(" ", rest)))
    if _FIRST.search(text):
        return Aim(FIRST, _tidy(_FIRST.sub(" ", text)))
    return Aim(LATEST, _tidy(_LAST.sub(" ", text)))


def asks_when(aim: Aim) -> bool:
    """Whether the answer is a time."""
    return aim.kind == WHEN or (aim.kind == FIRST and bool(_WHEN.match(aim.main)))


def statement_of(aim: Aim) -> str:
    """What is asked about, without the words that ask: "Anna open the door" of "did Anna open the door?"."""
    text = _WHEN.sub("", aim.main, count=1) if _WHEN.match(aim.main) else aim.main
    return _DOER.sub("", text, count=1).rstrip("?. ") if _DOER.match(text) else text.rstrip("?. ")


def _named(main: str, event: str) -> tuple[str, str]:
    """Both parts with their pronouns made names: "before she took it" of "Where was the mug?"."""
    return _resolved(main, event), _resolved(event, main)


def _resolved(text: str, other: str) -> str:
    thing, name = _THING.search(other), _NAME.search(other)
    if thing:
        text = re.sub(r"\b(?:it|them)\b", thing[0].strip(), text, flags=_FLAGS)
    if name:
        text = re.sub(r"\b(?:he|she|they|him)\b", name[0], text, flags=_FLAGS)
    return text


def _tidy(text: str) -> str:
    tidy = re.sub(r"\s+([?.,])", r"\1", " ".join(text.split()))
    return tidy[:1].upper() + tidy[1:]
