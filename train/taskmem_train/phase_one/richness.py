"""Richness by a model: which of several true memories of one clip tells most, as one list."""

from __future__ import annotations

from collections.abc import Sequence

from taskmem_train.contexts import Context
from taskmem_train.judges.asking import Complete, after_thoughts, ask_all, read_object, shown
from taskmem_train.judges.types import JudgeError

PROMPT = """\
These notes were made of the same short video. All of them are true.
{notes}
Sort them by how much they tell: who, what, where, doing what, with which colour and number. Words that tell
nothing do not count. Reply as JSON with every number once, the note that tells most first:
{{"order": [2, 1]}}"""


class ListwiseRichness:
    """A RichnessJudge by any chat model. complete: as in `ask_all`."""

    def __init__(self, complete: Complete):
        self._complete = complete

    def amounts(self, context: Context, texts: Sequence[str]) -> list[float]:
        """Of each text, how many others it stands before; equal texts share theirs. The texts are asked about
        in the order of their words, so that their order in the group tells nothing. Where the judge has no
        opinion all are equal: the reward goes on without richness.
        """
        different = sorted(set(texts))
        if len(different) < 2:
            return [0.0] * len(texts)
        notes = "\n".join(f"{number}. {text}" for number, text in enumerate(different, 1))
        (order,) = ask_all(
            self._complete,
            [[PROMPT.format(notes=notes)]],
            lambda reply: read_order(reply, len(different)),
        )
        if isinstance(order, JudgeError):
            return [0.0] * len(texts)
        place = {different[number - 1]: float(len(order) - at) for at, number in enumerate(order, 1)}
        return [place[text] for text in texts]


def read_order(reply: str, count: int) -> list[int]:
    """The numbers 1 to `count`, richest first. Raises ValueError where the reply has not each once."""
    text = after_thoughts(reply)
    order = (read_object(text) or {}).get("order")
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(map(str, range(1, count + 1))):
        raise ValueError(f'no "order" of the numbers 1 to {count} in {shown(text)}')
    return [int(number) for number in order]
