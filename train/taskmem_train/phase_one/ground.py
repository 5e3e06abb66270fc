"""What a run learns from: contexts of an earlier run, streams to write its own way along, and who judges."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskmem_ros.clips import Clip
from taskmem_ros.exchange import Bundle
from taskmem_ros.policy import MemoryPolicy
from taskmem_train.bundles import contexts as bundle_contexts
from taskmem_train.contexts import Context
from taskmem_train.judges.endpoint import EndpointComplete, endpoint_quality
from taskmem_train.judges.local import local_quality, policy_complete
from taskmem_train.judges.truth import HomeTruth
from taskmem_train.judges.types import QualityJudge
from taskmem_train.phase_one.generate import in_half
from taskmem_train.phase_one.history import History, OwnRun, Stream, Streams, earlier_run
from taskmem_train.phase_one.home import HomeRichness, HomeStreams
from taskmem_train.phase_one.rewards import RewardModel, RichnessJudge
from taskmem_train.phase_one.richness import ListwiseRichness
from taskmem_train.phase_one.settings import PhaseOneConfig
from taskmem_train.rollout import Sampler


@dataclass(frozen=True, eq=False)
class Ground:
    """earlier: contexts with the memories of an earlier run. first: of the streams that are the policy's."""

    earlier: Sequence[Context]
    streams: Streams
    first: int
    quality: QualityJudge
    richness: RichnessJudge

    def history(self, config: PhaseOneConfig) -> History:
        own = OwnRun(self.streams, config.contexts, self.first, config.window)
        before = config.off_policy_steps * config.contexts
        return History(self.earlier, before, own, config.contexts, config.seed)

    def rewards(self, config: PhaseOneConfig) -> RewardModel:
        return RewardModel(
            self.quality,
            self.richness if config.richness else None,
            weight=config.richness,
            thinking_limit=config.thinking_limit,
            length_limit=config.length_limit,
        )


def make_ground(config: PhaseOneConfig, policy: MemoryPolicy, out: Path) -> Ground:
    """What the settings name. On the demo home the policy writes the earlier run itself, kept in
    OUT/earlier.json; a bundle has the robot's.

    Raises ValueError for a bundle without contexts, and what opening it or loading a judge raises.
    """
    return _bundles(config, policy) if config.bundle else _homes(config, policy, out)


def _homes(config: PhaseOneConfig, policy: MemoryPolicy, out: Path) -> Ground:
    streams = HomeStreams(config.homes, config.stream_clips, config.frame_size)
    first = -(-config.off_policy_steps * config.contexts // config.stream_clips)
    with in_half(policy.checkpoint.model) if config.autocast else contextlib.nullcontext():
        earlier = earlier_run(
            [streams(number) for number in range(first)],
            Sampler(policy, seed=config.seed),
            out / "earlier.json",
            config.window,
        )
    if config.judge == "truth":
        quality, richness = HomeTruth(streams.facts), HomeRichness(streams.facts)
    else:
        quality, richness = _judges(config, policy)
    return Ground(earlier, streams, first, quality, richness)


def _bundles(config: PhaseOneConfig, policy: MemoryPolicy) -> Ground:
    earlier: list[Context] = []
    for path in config.bundle:
        bundle = Bundle.open(path)
        try:
            earlier += bundle_contexts(bundle, config.window)
        finally:
            bundle.close()
    if not earlier:
        raise ValueError(f"there is no context to learn from in {', '.join(config.bundle)}")
    streams = bundle_streams(earlier)
    quality, richness = _judges(config, policy)
    return Ground(earlier, lambda number: streams[number % len(streams)], 0, quality, richness)


def bundle_streams(contexts: Sequence[Context]) -> list[Stream]:
    """The runs of clips that contexts in order are of; one with a window of one clip begins a stream."""
    runs: list[list[Clip]] = []
    for context in contexts:
        if len(context.clips) == 1 or not runs:
            runs.append([])
        runs[-1].append(context.clips[-1])
    return [Stream(f"{run[0].camera}-{run[0].episode}-{run[0].start_ns}", tuple(run)) for run in runs]


def _judges(config: PhaseOneConfig, policy: MemoryPolicy) -> tuple[QualityJudge, RichnessJudge]:
    if config.judge == "endpoint":
        complete = EndpointComplete(config.judge_url, config.judge_model)
        return endpoint_quality(config.judge_url, config.judge_model), ListwiseRichness(complete)
    judge = MemoryPolicy.load(config.judge_model, device=config.device, dtype=config.dtype)
    return local_quality(policy_complete(judge)), ListwiseRichness(policy_complete(judge))
