"""What makes a memory unsound whatever the video shows: checks by rule, without a model.

They are the label check of TaskMem's quality reward (arXiv 2605.31075). The rules are for English; they are
narrow, for a sound memory that is rejected teaches the policy to be silent about what it saw.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from taskmem_ros.recall.statements import statements

MAX_TOKENS = 150

EMPTY = "empty"
REPEAT = "repeat"  # states what the context's memories, or itself, state already
COORDINATES = "coordinates"  # boxes and points of a picture
META = "meta"  # speaks of the clip, the camera or the writer instead of what is there
TRANSCRIPT = "transcript"  # labels and times of a transcript
CONCLUSION = "conclusion"  # guesses, reasons and feelings, which no camera sees
TAGS = "tags"  # <tags> that no memory may have, or broken ones
LONG = "long"
FAULTS = (EMPTY, REPEAT, COORDINATES, META, TRANSCRIPT, CONCLUSION, TAGS, LONG)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_NUMBER = r"-?\d+(?:\.\d+)?"
_PATTERNS = {
    COORDINATES: _any(
        rf"[\[(]\s*{_NUMBER}(?:\s*,\s*{_NUMBER})+\s*[\])]",
        r"\b(?:bounding box(?:es)?|bbox(?:es)?|coordinates?|pixels?)\b",
        rf"\b[xy]\d?\s*=\s*{_NUMBER}",
    ),
    META: _any(
        r"\b(?:this|the|each|next|last|previous|newest|current)\s+(?:video|footage|clip|frames?|scene|segment)\b",
        r"\b(?:video|clip|footage|image|picture|scene) (?:shows|depicts|begins|starts|ends|captures)\b",
        r"\bas an (?:ai|assistant|language model)\b",
        r"\b(?:i|we) (?:can|cannot|can't) see\b",
        r"\bthe (?:camera|viewer|robot's camera) (?:shows|sees|pans|captures|records)\b",
        r"\b(?:already|previously) (?:in memory|mentioned|described|recorded)\b",
        r"\bhere is (?:a|the) (?:memory|description|summary)\b",
    ),
    TRANSCRIPT: _any(
        r"\bspeaker\s*[\d#]+",
        r"(?:^|[.!?\n]\s*)\W*(?:speaker|narrator|voice|subtitles?|captions?|transcript|audio|user|assistant)"
        r"\s*\w?\s*:",
        r"\[?\b\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?\b\]?\s*(?:-->|-|–)\s*\[?\d{1,2}:\d{2}",
        r"[\[(]\d{1,2}:\d{2}(?::\d{2})?[\])]",
    ),
    CONCLUSION: _any(
        r"\b(?:probably|possibly|presumably|likely|perhaps|maybe|apparently|seemingly|evidently)\b",
        r"\b(?:seems?|seemed|appears?|appeared) (?:to be|to have|to want|like|as if|that)\b",
        r"\b(?:suggest|indicat|imply|impli|hint)(?:s|ing|es|ed|ying)?\s+(?:that|at|a|an|the|it|he|she|they)\b",
        r"\b(?:might|may|must) (?:be|have|want)\b",
        r"\b(?:in order to|because|wants? to|intends? to|plans? to|is about to|so that)\b",
        r"\b(?:feels?|looks?|is|are) (?:happy|sad|angry|tired|bored|worried|relaxed|excited|nervous)\b",
    ),
}
_TAG = re.compile(r"<[^<>\n]*>")
_BROKEN_TAG = re.compile(r"<[/|]?\w|[\w|]>")
# What may differ between two sentences that say the same.
_FILLERS = frozenset("a an the there is are was were be been being has have and in".split())
_ENDING = re.compile(r"(?<=\w{3})(?:ing|s)$")


def label_faults(
    text: str,
    memories: Sequence[str],
    length: Callable[[str], int],
    *,
    max_tokens: int = MAX_TOKENS,
    tags: Collection[str] = (),
) -> tuple[str, ...]:
    """Which of FAULTS a memory has; none of them is what a label needs.

    memories: of its context, oldest first. length: of a text, in tokens. tags: those a memory may have, such
    as "<person_3>" where identities are drawn into the frames.
    """
    if not text.strip():
        return (EMPTY,)
    known = {said for memory in memories for said in _said(memory)}
    own = _said(text)
    found = [REPEAT] if known & set(own) or len(set(own)) < len(own) else []
    found += [fault for fault, pattern in _PATTERNS.items() if pattern.search(text)]
    if any(tag not in tags for tag in _TAG.findall(text)) or _BROKEN_TAG.search(_TAG.sub("", text)):
        found.append(TAGS)
    if length(text) > max_tokens:
        found.append(LONG)
    return tuple(found)


def _said(text: str) -> list[frozenset[str]]:
    """What each statement of a text says, apart from word order, the words that only hold it together, and
    "wears" or "is wearing".
    """
    words = (re.findall(r"[\w']+", statement.lower()) for statement in statements(text))
    said = (frozenset(_ENDING.sub("", word) for word in one if word not in _FILLERS) for one in words)
    return [one for one in said if one]
