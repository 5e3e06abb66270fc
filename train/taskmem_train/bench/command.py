"""A run from its settings: the dataset, the model, the systems, the reader and the judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from taskmem_ros.clips import ClipSettings
from taskmem_ros.home import ROLES
from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.recall.endpoint import Endpoint
from taskmem_train.bench.bundle import bundle_dataset
from taskmem_train.bench.egolife_qa import egolife
from taskmem_train.bench.home import Oracle, home_dataset
from taskmem_train.bench.judges import EndpointJudge, ExactJudge, Judge
from taskmem_train.bench.public import egotempo, videomme
from taskmem_train.bench.reading import RecallReader
from taskmem_train.bench.report import Result
from taskmem_train.bench.run import System, run_stream_benchmark
from taskmem_train.bench.settings import BenchConfig
from taskmem_train.bench.systems import DescribeEverything, PolicyMemorizer, RecentQuestions, TaskPrompt
from taskmem_train.bench.types import Dataset
from taskmem_train.prompts import PromptBatch
from taskmem_train.seeds import seed_range
from taskmem_train.shown import ShownHomes

HOME_CLIPS_SEEN = 512


def run_bench(config: BenchConfig, out: str | Path, *, progress: bool = True) -> Result:
    """Raises ValueError, OSError, LoadError."""
    dataset = make_dataset(config)
    policy = MemoryPolicy.load(
        config.model, revision=config.revision, quantization=config.quantization, device=config.device,
        dtype=config.dtype,
    )  # fmt: skip
    return run_stream_benchmark(
        dataset,
        make_systems(config, dataset, policy),
        make_reader(config, policy),
        out,
        count_tokens=token_counter(policy),
        judge=make_judge(config),
        window=config.window,
        at_once=config.at_once,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
        progress=progress,
    )


def make_dataset(config: BenchConfig) -> Dataset:
    if config.dataset == "home":
        roles = config.roles or tuple(ROLES)
        seeds = seed_range(config.seeds)
        return home_dataset(seeds, questions=config.questions, clips=config.clips, roles=roles)
    if config.dataset == "bundle":
        return bundle_dataset(config.bundle, homes=ShownHomes.of(config.home_seed))
    clips = ClipSettings(config.sample_rate, config.clip_seconds)
    given = {"clips": clips, "limit": config.limit}
    if config.dataset == "videomme":
        return videomme(config.annotations, config.videos, durations=config.durations, **given)
    read = egolife if config.dataset == "egolife" else egotempo
    return read(config.annotations, config.videos, **given)


def make_systems(config: BenchConfig, dataset: Dataset, policy: MemoryPolicy) -> dict[str, System]:
    """name -> what writes its memories, in the order of the settings; `adapter` comes after `policy`."""
    # Frames of the demo home are small, and its streams are short: all are looked at once.
    kept = max(config.at_once * (config.window + 1), HOME_CLIPS_SEEN if config.dataset == "home" else 0)
    eyes = PromptBatch(policy.checkpoint, kept)
    how = {
        "temperature": config.temperature, "max_new_tokens": config.max_new_tokens, "seed": config.seed,
        "eyes": eyes,
    }  # fmt: skip

    def listing() -> PolicyMemorizer:
        return PolicyMemorizer(policy, instruction=dataset.list_instruction, newest_only=True, **how)

    makers: dict[str, Callable[[], System]] = {
        "policy": lambda: PolicyMemorizer(policy, **how),
        "task-prompt": lambda: {
            kind: TaskPrompt(policy, RecentQuestions(dataset, kind), **how) for kind in dataset.kinds
        },
        "describe-everything": lambda: DescribeEverything(listing(), token_counter(policy)),
        "oracle": lambda: {kind: Oracle(dataset, kind) for kind in dataset.kinds},
    }
    systems: dict[str, System] = {name: makers[name]() for name in sorted(config.systems, key=_needed_first)}
    if config.adapter:
        systems["adapter"] = _adapted(config.adapter, dataset, policy, how)
    return systems


def _needed_first(name: str) -> bool:
    return name == "describe-everything"  # its budget is policy's


def _adapted(
    adapters: Sequence[str], dataset: Dataset, policy: MemoryPolicy, how: Mapping[str, Any]
) -> System:
    """One adapter for all questions, or one for each kind that is named, and the bare policy for the rest."""
    split = [text.partition("=") for text in adapters]
    folders = {kind if equals else "": folder if equals else kind for kind, equals, folder in split}
    unknown = [kind for kind in folders if kind and kind not in dataset.kinds]
    if unknown:
        kinds = ", ".join(dataset.kinds)
        raise ValueError(f"--adapter {unknown[0]}=...: there is no such kind of questions; there are {kinds}")
    if len(folders) < len(adapters):
        raise ValueError(f"--adapter {' '.join(adapters)} names one kind twice; give each kind one folder")
    writers = {kind: PolicyMemorizer(policy, adapter=folder, **how) for kind, folder in folders.items()}
    if set(writers) == {""}:
        return writers[""]
    rest = writers.get("") or PolicyMemorizer(policy, **how)
    return {kind: writers.get(kind, rest) for kind in dataset.kinds}


def make_reader(config: BenchConfig, policy: MemoryPolicy) -> RecallReader:
    if config.reader_url and config.reader_model:
        reader = RecallReader.of_endpoint(Endpoint(config.reader_url, config.reader_model))
    else:
        reader = RecallReader.of_policy(policy, config.at_once)
    return replace(reader, max_new_tokens=config.reader_tokens)


def make_judge(config: BenchConfig) -> Judge | None:
    """None leaves it to the run: the demo home's own, or exact."""
    if config.judge == "endpoint" and config.judge_url and config.judge_model:
        return EndpointJudge.of(Endpoint(config.judge_url, config.judge_model))
    return ExactJudge() if config.judge == "exact" else None


def token_counter(policy: MemoryPolicy) -> Callable[[str], int]:
    """How many tokens of its model a text has."""
    tokenizer = policy.checkpoint.tokenizer
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])
