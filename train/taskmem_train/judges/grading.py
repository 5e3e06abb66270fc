"""Whether a memory is so in the video, asked of a model that sees: the prompt, and how the reply is read."""

from __future__ import annotations

from collections.abc import Sequence

from taskmem_ros.clips import Clip
from taskmem_ros.policy.prompt import PromptPart, VideoPart
from taskmem_train.contexts import Context
from taskmem_train.judges.asking import Complete, after_thoughts, ask_all, read_object, shown
from taskmem_train.judges.types import Grade, JudgeError

BEFORE = "A robot's camera took these pictures within some seconds, in this order:"
AFTER = """
A note about them says: {text}
Take the note apart into single statements and look for each of them in the pictures. A statement is right \
only if the pictures show it: the right thing, colour, person, place and action. What cannot be seen is wrong.
Reply as JSON: {{"wrong": ["..."], "statements": N, "right": N}}; "wrong" are the wrong \
statements, "statements" is how many the note makes, "right" how many of them the pictures show."""


class SeeingJudge:
    """A QualityJudge by a model that sees. complete, workers: as in `ask_all`."""

    def __init__(self, complete: Complete, workers: int = 1):
        self._complete = complete
        self._workers = workers

    def grade(self, context: Context, texts: Sequence[str]) -> list[Grade | JudgeError]:
        """One grade for each text, by the frames of the newest clip; see QualityJudge."""
        prompts = [grading_parts(context.clips[-1], text) for text in texts]
        return ask_all(self._complete, prompts, read_grade, self._workers)


def grading_parts(clip: Clip, text: str) -> list[PromptPart]:
    """The user turn that asks how much of a text a clip shows."""
    frames = tuple(frame.image for frame in clip.frames)
    return [BEFORE, VideoPart(frames, clip.times_s), AFTER.format(text=text)]


def read_grade(reply: str) -> Grade:
    """The grade in a reply: JSON with the counts "statements" and "right", after any thoughts.

    Raises ValueError, with the reason, for anything else.
    """
    text = after_thoughts(reply)
    parsed = read_object(text) or {}
    statements, right = _count(parsed.get("statements")), _count(parsed.get("right"))
    if statements is None or right is None or not 0 <= right <= statements or statements == 0:
        raise ValueError(f'no counts "statements" and "right" in {shown(text)}')
    wrong = parsed.get("wrong")
    named = [str(item) for item in wrong] if isinstance(wrong, list) else []
    if named and right == statements:
        raise ValueError(f"all statements are right, yet {len(named)} are named wrong in {shown(text)}")
    return Grade(right / statements, right == statements, "; ".join(named))


def _count(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
