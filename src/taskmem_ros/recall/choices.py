"""Which of the given choices a reader's answer means."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LETTER = re.compile(
    r"(?:(?:the\s+)?(?:(?:correct|right|best)\s+)?(?:option|choice|answer)(?:\s+is)?\s*:?\s*)?"
    r"\(?([a-z])\)?(?:[.:)]|$)\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_NEGATIONS = frozenset(
    ("not", "neither", "nor", "never", "none", "no", "n't", "isn", "wasn", "aren", "weren")
)


def match_choice(answer: str, choices: Sequence[str]) -> str | None:
    """The choice that `answer` means, as it was given, or None where it means none or more than one.

    In order: the choice's words, however written; its letter, "B", "(b)", "B. red", "The answer is **B**"
    (text after a letter must not be another choice); the one choice whose words are all in the answer, unless
    the answer denies something; the one choice that has all words of the answer.
    """
    said = _words(answer)
    same = [choice for choice in choices if _words(choice) == said]
    if same:
        return same[0]
    letter, rest = _letter(answer)
    if letter is not None and letter < len(choices):
        other = [choice for index, choice in enumerate(choices) if index != letter and _words(choice) == rest]
        return None if rest and other else choices[letter]
    inside = [choice for choice in choices if _words(choice) and set(_words(choice)) <= set(said)]
    # "dark red" says both "red" and "dark red": it means the longer one.
    inside = [c for c in inside if not any(set(_words(c)) < set(_words(other)) for other in inside)]
    if inside:
        # "not red" does not mean "red"; but "no, it was not" does mean "no".
        denied = _NEGATIONS & set(said) and not _NEGATIONS & set(_words(inside[0]))
        return inside[0] if len(inside) == 1 and not denied else None
    around = [choice for choice in choices if said and set(said) <= set(_words(choice))]
    return around[0] if len(around) == 1 else None


def _letter(answer: str) -> tuple[int | None, tuple[str, ...]]:
    """The place of the letter that an answer begins with, and the words after it."""
    found = _LETTER.fullmatch(answer.replace("*", "").strip())
    return (ord(found[1].lower()) - ord("a"), _words(found[2])) if found else (None, ())


def _words(text: str) -> tuple[str, ...]:
    words = tuple(re.findall(r"[^\W_]+", text.lower()))
    return tuple(word for word in words if word not in ("a", "an", "the")) or words
