"""Which of two memories helps more, asked of a language model: the prompt, and how the reply is read.

The words are ours. What the two are called must not matter; that they are judged in both orders is the
caller's part (`taskmem_train.pairs`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from taskmem_train.contexts import Context
from taskmem_train.judges.asking import Complete, after_thoughts, ask_all, read_object, shown
from taskmem_train.judges.types import Preference, Verdict, some

PROMPT = """\
A robot keeps a diary, to answer questions later from the diary alone. It was asked these questions lately:
{questions}
Questions of the same sort will be asked again, about other things and people too. For what its camera saw \
now, there are two entries to choose from.{written}
Entry A: {first}
Entry B: {second}
Which entry tells more of what such questions ask for? Only what it tells counts, not its length or style, \
and nothing that is in the diary already. If both tell as much of it, or neither tells any, it is a tie.
Reply as JSON: {{"reason": "...", "better": "..."}}; "reason" says in a few words what each tells of it, \
"better" is "A", "B" or "tie"."""
WRITTEN = "\nAlready in the diary: {memories}"
_VERDICTS: dict[str, Preference] = {"a": "first", "b": "second", "tie": "tie"}
_BARE = re.compile(
    r"\W*(?:(?:the )?(?:better|best|answer|entry|memory|option|choice|is)\W+)*(?:(a|b)|(?:a )?(tie))\W*"
)


class PairwiseJudge:
    """A HelpfulnessJudge by a language model, which sees texts only.

    complete: the way to the model. workers: comparisons that are asked at the same time.
    """

    def __init__(self, complete: Complete, workers: int = 1):
        self._complete = complete
        self._workers = workers

    def compare(
        self, context: Context, pairs: Sequence[tuple[str, str]], questions: Sequence[str]
    ) -> list[Verdict]:
        """One verdict for each pair, as the model gives it; see HelpfulnessJudge."""
        prompts = [[pairwise_prompt(context.memories, first, second, questions)] for first, second in pairs]
        return ask_all(self._complete, prompts, read_preference, self._workers)


def pairwise_prompt(memories: Sequence[str], first: str, second: str, questions: Sequence[str]) -> str:
    """The user turn. memories: those there are already, oldest first. questions: as in HelpfulnessJudge."""
    return PROMPT.format(
        questions="\n".join(f"- {question}" for question in some(questions)),
        written=WRITTEN.format(memories=" ".join(memories)) if memories else "",
        first=first,
        second=second,
    )


def read_preference(reply: str) -> Preference:
    """The verdict in a reply: JSON with "better", or nothing but A, B or tie, after any thoughts.

    Raises ValueError, with the reason, for anything else.
    """
    text = after_thoughts(reply)
    parsed = read_object(text)
    said = parsed.get("better") if parsed is not None else text
    found = _BARE.fullmatch(said.strip().lower()) if isinstance(said, str) else None
    if found is None:
        raise ValueError(f'neither "A", "B" nor "tie" is the better one in {shown(text)}')
    return _VERDICTS[found[1] or found[2]]
