"""Where Phase Two's contexts and tasks come from: a robot's bundles, or the demo home."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from taskmem_ros.exchange import Bundle
from taskmem_ros.home import Fact, look_up
from taskmem_train.bundles import each_context, known_answers, seen_facts, task_uid, training_tasks
from taskmem_train.contexts import Context, Memorizer, TrainingTask, live
from taskmem_train.home import HomeStream, home_stream, recent_questions, role_questions
from taskmem_train.phase_two.settings import PhaseTwoConfig
from taskmem_train.seeds import seed_range
from taskmem_train.shown import ShownHomes


@dataclass(frozen=True)
class Source:
    """contexts: to write memories in. tasks: the recent ones, oldest first.

    answered: tasks with known answers, about the very clips of the contexts; of the demo home several of each
    home, of bundles all they have. facts: what each context's newest clip shows, by context id; of the demo
    home alone.
    """

    contexts: tuple[Context, ...]
    tasks: tuple[TrainingTask, ...]
    answered: tuple[TrainingTask, ...] = ()
    facts: Mapping[str, Sequence[Fact]] = field(default_factory=dict)


def read_source(config: PhaseTwoConfig, memorizer: Memorizer) -> Source:
    """What the settings name. memorizer: writes the demo home's memories; a bundle has its own.

    Raises ValueError where there is nothing to learn from, BundleError for a file that is no bundle.
    """
    source = _home(config, memorizer) if config.home else _bundles(config)
    if not source.contexts or not source.tasks:
        lacking = "clips" if not source.contexts else "tasks"
        raise ValueError(f"there are no {lacking} to learn from in {config.home or ', '.join(config.bundle)}")
    return replace(source, tasks=source.tasks[-config.questions :])


def _home(config: PhaseTwoConfig, memorizer: Memorizer) -> Source:
    streams = [home_stream(seed, config.home_clips) for seed in seed_range(config.home_seeds)]
    seen = {stream.id: [item.clip for item in stream.seen] for stream in streams}
    facts = {f"{stream.id}@{item.clip.start_ns}": item.facts for stream in streams for item in stream.seen}
    seeds, each = seed_range(config.asked_seeds), -(-config.questions // len(config.roles))
    asked = zip(*(recent_questions(role, seeds, each) for role in config.roles))
    tasks = tuple(TrainingTask(question.text, question.answer) for some in asked for question in some)
    contexts = tuple(context for context, _ in live(memorizer, seen))
    chosen = tuple(contexts[number] for number in _spread(len(contexts), config))
    return Source(chosen, tasks, tuple(_answered(streams, config)), facts)


def _answered(streams: Sequence[HomeStream], config: PhaseTwoConfig) -> Iterator[TrainingTask]:
    for stream in streams:
        for role in config.roles:
            for question in role_questions(stream, role, config.home_answers):
                clip = stream.seen[look_up(question.query, stream.observations).source].clip
                yield TrainingTask(
                    question.text,
                    question.answer,
                    since_ns=clip.start_ns,
                    until_ns=clip.end_ns,
                    camera=stream.id,
                )


def _bundles(config: PhaseTwoConfig) -> Source:
    contexts: list[Context] = []
    tasks: list[TrainingTask] = []
    with ExitStack() as stack:
        bundles = [stack.enter_context(Bundle.open(path)) for path in config.bundle]
        known, wanted = known_answers(bundles), _spread(sum(b.manifest.clips for b in bundles), config)
        first = 0
        for bundle in bundles:
            count = bundle.manifest.clips
            contexts += each_context(bundle, wanted={n - first for n in wanted if first <= n < first + count})
            first += count
            asked = zip(bundle.tasks(), training_tasks(bundle, known))
            tasks += [
                one for task, one in asked if not config.tasks or task_uid(bundle, task) in config.tasks
            ]
    homes = ShownHomes.of(config.home_seed)
    facts = seen_facts(contexts, homes) if homes else {}
    return Source(tuple(contexts), tuple(tasks), tuple(task for task in tasks if task.answer), facts)


def _spread(count: int, config: PhaseTwoConfig) -> range:
    """Numbers of the contexts that are learned from, spread over all: neighbours show nearly the same."""
    most = config.contexts or max(1, count)
    return range(0, count, max(1, count // most))[:most]
