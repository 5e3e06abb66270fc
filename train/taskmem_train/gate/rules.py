"""The rules of the gate, and what they say about a candidate, each in one sentence with its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskmem_train.gate.measures import Measures, check_same_questions
from taskmem_train.stats import CONFIDENCE, RESAMPLES, paired_bootstrap

EXACT = 1e-9  # what binary fractions may differ by: 0.98 - 0.96 is not more than 0.02


def _rule(default: float | bool, text: str):
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class GateRules:
    """What a candidate must keep. Shares are 0..1."""

    min_questions: int = _rule(100, "held-out questions that a decision needs at least")
    min_gain: float = _rule(0.0, "accuracy over what is in use: the interval's lower end must be above this")
    min_over_prompt: float = _rule(0.0, "accuracy over the task prompt must be at least this")
    max_fidelity_loss: float = _rule(0.02, "true statements may be fewer by at most this share")
    max_length_change: float = _rule(0.10, "memories may be longer or shorter by at most this share")
    max_failed_gain: float = _rule(0.0, "clips without a memory may be more by at most this share")
    allow_unchecked: bool = _rule(False, "publish although nobody checked whether memories are true")
    confidence: float = _rule(CONFIDENCE, "of the interval of the gain")
    resamples: int = _rule(RESAMPLES, "of the bootstrap over streams, or blocks of questions")
    seed: int = _rule(0, "of the bootstrap")


@dataclass(frozen=True)
class Check:
    """What one rule says. text: one sentence, the numbers and the rule."""

    rule: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Decision:
    """published: every check passed. reasons: the sentences of those that did not."""

    published: bool
    reasons: tuple[str, ...]
    checks: tuple[Check, ...] = ()


def decide(candidate: Measures, in_use: Measures, task_prompt: Measures | None, rules: GateRules) -> Decision:
    """Whether the candidate may replace what is in use (an adapter, or none).

    task_prompt: of the recent questions in the prompt, without training; None where it was not measured, and
    then nothing is asked of it. Raises ValueError where the questions are not the same.
    """
    measured = {"the candidate": candidate, "what is in use": in_use}
    if task_prompt is not None:
        measured["the task prompt"] = task_prompt
    check_same_questions(list(measured), list(measured.values()))
    checks = [_enough(candidate, rules)]
    if candidate.questions:
        checks += [_better(candidate, in_use, rules), _prompt(candidate, task_prompt, rules)]
    checks += [
        _truthful(candidate, in_use, rules),
        _as_long(candidate, in_use, rules),
        _no_more_failures(candidate, in_use, rules),
    ]
    refused = tuple(check.text for check in checks if not check.passed)
    return Decision(not refused, refused, tuple(checks))


def _enough(candidate: Measures, rules: GateRules) -> Check:
    count, groups = candidate.asked, len(set(candidate.groups))
    how = "about" if candidate.drawn_by == "streams" else "in"
    often = f", each of memories drawn {candidate.repeats} times" if candidate.repeats > 1 else ""
    return Check(
        "questions",
        count >= max(1, rules.min_questions),
        f"{count} held-out questions {how} {groups} {candidate.drawn_by} were asked{often}; it takes at "
        f"least {max(1, rules.min_questions)}.",
    )


def _better(candidate: Measures, in_use: Measures, rules: GateRules) -> Check:
    how = {"confidence": rules.confidence, "resamples": rules.resamples, "seed": rules.seed}
    found = paired_bootstrap(candidate.right, in_use.right, candidate.groups, **how)
    low, high = found.interval.low, found.interval.high
    said = f"accuracy is {_percent(candidate.accuracy)} against {_percent(in_use.accuracy)} of what is in use"
    if low is None:
        what = candidate.drawn_by
        return Check("accuracy", False, f"The {said}, of one of the {what} only; an interval needs two.")
    return Check(
        "accuracy",
        low > rules.min_gain + EXACT,
        f"The {said}: {_points(found.difference)}, {rules.confidence:.0%} interval {_points(low)} to "
        f"{_points(high)}; its lower end must be above {_points(rules.min_gain)}.",
    )


def _prompt(candidate: Measures, task_prompt: Measures | None, rules: GateRules) -> Check:
    if task_prompt is None:
        return Check("task prompt", True, "The task prompt was not measured.")
    gain = candidate.accuracy - task_prompt.accuracy
    return Check(
        "task prompt",
        gain >= rules.min_over_prompt - EXACT,
        f"The accuracy is {_percent(candidate.accuracy)} against {_percent(task_prompt.accuracy)} of the "
        f"task prompt: {_points(gain)}; it takes at least {_points(rules.min_over_prompt)}.",
    )


def _truthful(candidate: Measures, in_use: Measures, rules: GateRules) -> Check:
    ours, theirs = candidate.fidelity, in_use.fidelity
    if ours is None and theirs is None:
        allowed = "it is let through unchecked" if rules.allow_unchecked else "name a judge of quality"
        return Check(
            "fidelity", rules.allow_unchecked, f"Nobody checked whether the memories are true; {allowed}."
        )
    if ours is None or theirs is None:
        who = "the candidate" if ours is None else "what is in use"
        return Check("fidelity", False, f"No statement of {who} was held against the truth; measure some.")
    return Check(
        "fidelity",
        theirs - ours <= rules.max_fidelity_loss + EXACT,
        f"Of {candidate.stated} statements {_percent(ours)} are true, against {_percent(theirs)} of "
        f"{in_use.stated} of what is in use: {_points(ours - theirs)}; it must not be below "
        f"{_points(-rules.max_fidelity_loss)}.",
    )


def _as_long(candidate: Measures, in_use: Measures, rules: GateRules) -> Check:
    ours, theirs = candidate.tokens_per_memory, in_use.tokens_per_memory
    if not ours or not theirs:
        who = "The candidate" if not ours else "What is in use"
        return Check("length", False, f"{who} wrote no memory, so there is no length to compare.")
    change = ours / theirs - 1
    return Check(
        "length",
        abs(change) <= rules.max_length_change + EXACT,
        f"A memory has {ours:.2f} tokens against {theirs:.2f} of what is in use: {change:+.2%}; it may be at "
        f"most {rules.max_length_change:.2%} more or fewer.",
    )


def _no_more_failures(candidate: Measures, in_use: Measures, rules: GateRules) -> Check:
    ours, theirs = candidate.failed_share, in_use.failed_share
    if ours is None or theirs is None:
        who = "the candidate" if ours is None else "what is in use"
        return Check("failed clips", False, f"No clip was given to {who}; measure some.")
    return Check(
        "failed clips",
        ours - theirs <= rules.max_failed_gain + EXACT,
        f"Of {candidate.clips} clips {candidate.failed} got no memory ({_percent(ours)}), against "
        f"{in_use.failed} of {in_use.clips} ({_percent(theirs)}) with what is in use; it may be at most "
        f"{_points(rules.max_failed_gain)} more.",
    )


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _points(value: float) -> str:
    return f"{100 * value + 0.0:+.2f} points"
