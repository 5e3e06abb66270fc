"""Whether to train, and on what: from what is known of bundles and tasks, without opening one.

Tasks that any run was fitted to are never asked at the gate, also not in later nights: what is in use was
fitted to some of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from taskmem_train.nightly.ledger import Plan, SeenTask, TakenBundle
from taskmem_train.nightly.settings import NightlyConfig

DAY_NS = 24 * 3600 * 1_000_000_000


def choose(
    config: NightlyConfig,
    bundles: Sequence[TakenBundle],
    tasks: Sequence[SeenTask],
    published: str = "",
) -> Plan | str:
    """The plan of a run, or why none is worth while, in a sentence.

    bundles, tasks: all of one robot, or of all that are trained for together. published: id of the newest
    adapter that was published for them. A kind with enough new tasks is what is learned; what is asked at the
    gate are the newest other tasks, of any kind, since an adapter must not lose more there than it gains.
    """
    used = lately(bundles, config.days)
    here = {(bundle.robot, bundle.sequence) for bundle in used}
    within = [task for task in tasks if (task.robot, task.sequence) in here]
    new = [task for task in within if task.known and not task.used]
    kinds = Counter(task.kind for task in new)
    enough = {kind for kind, count in kinds.items() if count >= config.min_new_tasks}
    if not enough:
        told = ", ".join(f"{count} of kind {kind}" for kind, count in sorted(kinds.items())) or "none"
        waiting = sum(not task.known and not task.used for task in within)
        more = f"; {waiting} more have no known answer (`taskmem feedback` gives one)" if waiting else ""
        old = sum(task.known and not task.used for task in tasks) - len(new)
        more += f"; {old} more are not of the last {config.days:g} days (days)" if old else ""
        return (
            f"new tasks with a known answer: {told}; it takes {config.min_new_tasks} of a kind to train{more}"
        )
    if not any(bundle.clips for bundle in used):
        return (
            f"{len(new)} new tasks with a known answer, but the bundles have no frames to try memories on; "
            "set contents to frames on the robot"
        )
    recent = [task for task in within if task.known]
    learn = to_learn(config, [task for task in recent if task.kind in enough and not task.fitted])
    ask = [task for task in recent if not task.fitted and task not in learn][-config.held_out :]
    if len(ask) < config.min_questions:
        return (
            f"{len(new)} new tasks with a known answer, but beside {len(learn)} to fit to only {len(ask)} "
            f"are left to ask at the gate, which takes {config.min_questions}"
        )
    if len(revisions := {bundle.revision for bundle in newest(used)} - {""}) > 1:
        return f"the robots have different base models ({', '.join(sorted(revisions))}); train for each alone"
    return Plan(
        robots=tuple(sorted({bundle.robot for bundle in used})),
        bundles=tuple(bundle.file for bundle in used),
        bundle_ids=tuple(bundle.id for bundle in used),
        learn=tuple(task.uid for task in learn),
        ask=tuple(task.uid for task in ask),
        new=len(new),
        kinds=tuple(sorted(enough)),
        in_use=in_use(used, published),
        revision=next(iter(revisions), ""),
    )


def lately(bundles: Sequence[TakenBundle], days: float) -> list[TakenBundle]:
    """The bundles that are less than so many days away from the one that the same robot sent last, by the
    robot's own clock, and those sent after the first of them that hold feedback alone.

    Away, and not before: a clock that was far ahead for an hour is no reason to take what came since for new.
    """
    found: list[TakenBundle] = []
    for robot in dict.fromkeys(bundle.robot for bundle in bundles):
        own = sorted((b for b in bundles if b.robot == robot), key=lambda b: (b.sequence, b.id))
        last_ns = next((b.last_ns for b in reversed(own) if b.last_ns is not None), 0)
        near = [b.last_ns is not None and abs(b.last_ns - last_ns) < days * DAY_NS for b in own]
        first = near.index(True) if True in near else len(own)
        found += [b for n, b in enumerate(own) if near[n] or (n > first and b.last_ns is None)]
    return found


def to_learn(config: NightlyConfig, tasks: Sequence[SeenTask]) -> list[SeenTask]:
    """What is fitted to: the newest questions; where the judge learns from answers, a share of all, from the
    newest on spread over the time, so that those that are held out are of the same days.
    """
    if config.judge != "answerability":
        return list(tasks[-config.questions :])
    share = config.learn_share
    newest_first = list(tasks)[::-1]
    chosen = [
        task for n, task in enumerate(newest_first) if math.ceil((n + 1) * share) > math.ceil(n * share)
    ]
    return chosen[::-1]


def newest(bundles: Sequence[TakenBundle]) -> list[TakenBundle]:
    """The newest bundle of each robot that says what wrote its memories."""
    found = {bundle.robot: bundle for bundle in bundles if bundle.revision}
    return list(found.values())


def in_use(bundles: Sequence[TakenBundle], published: str) -> str:
    """The adapter that most robots used last; where no bundle tells, the one that was published last."""
    said = Counter(bundle.adapter for bundle in newest(bundles))
    return said.most_common(1)[0][0] if said else published
