"""From the settings' names to the parts: who samples, who judges what helps, who checks what is true."""

from __future__ import annotations

import zlib

from taskmem_ros.policy import MemoryPolicy
from taskmem_train.judges.answerability import Answerability, AnswerabilityJudge
from taskmem_train.judges.endpoint import endpoint_helpfulness, endpoint_quality
from taskmem_train.judges.local import causal_complete, local_helpfulness, local_quality, policy_complete
from taskmem_train.judges.truth import HomeTruth, RandomJudge
from taskmem_train.judges.types import HelpfulnessJudge, QualityJudge
from taskmem_train.phase_two.endpoint import EndpointSampler
from taskmem_train.phase_two.settings import PhaseTwoConfig
from taskmem_train.phase_two.sources import Source
from taskmem_train.rollout import Sampler


def choose_sampler(config: PhaseTwoConfig, policy: MemoryPolicy) -> Sampler | EndpointSampler:
    """Samples candidates from the whole distribution of the policy: no top_p, no top_k."""
    if config.sampler:
        return EndpointSampler(
            config.sampler,
            config.sampler_model,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            seed=config.seed,
        )
    return Sampler(
        policy,
        temperature=config.temperature,
        top_p=1.0,
        top_k=0,
        rows=config.rows,
        max_new_tokens=config.max_new_tokens,
        seed=config.seed,
    )


def choose_quality(config: PhaseTwoConfig, policy: MemoryPolicy, source: Source) -> QualityJudge | None:
    """None where nobody checks. Raises what loading a local model raises."""
    if config.quality == "truth":
        return HomeTruth(source.facts)
    if config.quality == "endpoint":
        return endpoint_quality(config.judge_url, config.judge_model)
    if config.quality == "local":
        judge = MemoryPolicy.load(config.judge_model, device=config.device, dtype=config.dtype)
        return local_quality(policy_complete(judge))
    return None


def choose_judge(
    config: PhaseTwoConfig, policy: MemoryPolicy, source: Source
) -> tuple[HelpfulnessJudge, str]:
    """(the judge of helpfulness; what tells its verdicts from another's, "" where none need be kept)."""
    if config.judge == "truth":
        return HomeTruth(source.facts), ""
    if config.judge == "random":
        return RandomJudge(config.seed), ""
    if config.judge == "endpoint":
        judge = endpoint_helpfulness(config.judge_url, config.judge_model)
        return judge, f"endpoint {config.judge_url} {config.judge_model}"
    if config.judge == "local":
        device = str(policy.checkpoint.device)
        return local_helpfulness(
            causal_complete(config.judge_model, device=device)
        ), f"local {config.judge_model}"
    known = repr([vars(task) for task in source.answered])
    judge = AnswerabilityJudge(Answerability(policy), source.answered)
    return judge, f"answerability {policy.report.revision} {zlib.crc32(known.encode())}"
