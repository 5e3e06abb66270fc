"""A run at the gate, from its folder and the settings to a published folder or a refusal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from taskmem_ros.policy import MemoryPolicy
from taskmem_train.bench.command import make_judge, make_reader
from taskmem_train.bench.judges import ExactJudge, HomeJudge, Judge
from taskmem_train.bench.settings import BenchConfig
from taskmem_train.gate.folder import REFUSED_FILE, check_adapter, publish, refuse
from taskmem_train.gate.held_out import HeldOut, measure
from taskmem_train.gate.report import GateReport
from taskmem_train.gate.settings import GateConfig
from taskmem_train.gate.trained import HeldOutTasks, TrainedRun, held_out_tasks
from taskmem_train.judges.endpoint import endpoint_quality
from taskmem_train.judges.local import local_quality, policy_complete
from taskmem_train.judges.types import QualityJudge
from taskmem_train.phase_two.settings import PhaseTwoConfig

GATE = "gate"  # folder of what was measured, in the run's folder
_OF_THIS_MACHINE = ("publish", "name", "adapter_in_use", "device", "rollouts")


@dataclass(frozen=True)
class Outcome:
    """path: of the published folder, or of refused.json. notes: sentences about what was measured."""

    report: GateReport
    path: Path
    notes: tuple[str, ...]


def run_gate(
    run_folder: str | Path, config: GateConfig, policy: MemoryPolicy | None = None, *, progress: bool = True
) -> Outcome:
    """Measure a Phase Two run's adapter on held-out tasks, and publish or refuse it.

    policy: the loaded base of the run (None: it is loaded); it is left without an adapter. What was measured
    is kept in RUN/gate; run again, it goes on. Raises ValueError (also for homes and tasks that were trained
    on), OSError, LoadError.
    """
    run = TrainedRun.read(run_folder)
    check_adapter(run.adapter)
    tasks = held_out_tasks(config, run)
    policy = policy or _load(run, config)
    parts = BenchConfig(
        judge=config.judge,
        judge_url=config.judge_url or None,
        judge_model=config.judge_model or None,
        reader_url=config.reader_url or None,
        reader_model=config.reader_model or None,
        at_once=config.at_once,
    )
    found = measure(
        tasks.dataset, policy, run.adapter, run.questions, run.folder / GATE,
        in_use=config.adapter_in_use or None, quality=_quality(config), reader=make_reader(parts, policy),
        judge=_judge(config, parts), temperature=config.temperature, max_new_tokens=run.config.max_new_tokens,
        window=config.window, at_once=config.at_once, block=config.block, repeats=config.repeats,
        seed=config.seed, progress=progress,
    )  # fmt: skip
    report = _report(run, config, policy, tasks, found)
    notes = _notes(tasks, found)
    if not report.decision.published:
        return Outcome(report, refuse(run.folder, report), notes)
    path = publish(run.adapter, Path(config.publish).expanduser() / report.name, report)
    (run.folder / REFUSED_FILE).unlink(missing_ok=True)  # of an earlier try: it would say the opposite
    return Outcome(report, path, notes)


def _load(run: TrainedRun, config: GateConfig) -> MemoryPolicy:
    how = {"quantization": run.config.quantization, "dtype": config.dtype or run.config.dtype}
    return MemoryPolicy.load(run.config.model, **how, device=config.device)


def _judge(config: GateConfig, parts: BenchConfig) -> Judge | None:
    if config.judge == "auto" and config.home_seed:
        return HomeJudge(ExactJudge())
    return make_judge(parts)


def _quality(config: GateConfig) -> tuple[QualityJudge, str] | None:
    if config.quality == "endpoint":
        judge = endpoint_quality(config.quality_url, config.quality_model)
        return judge, f"endpoint {config.quality_url} {config.quality_model}"
    if config.quality == "local":
        model = MemoryPolicy.load(config.quality_model, device=config.device, dtype=config.dtype or "auto")
        return local_quality(policy_complete(model)), f"local {config.quality_model} {model.report.revision}"
    return None


def _report(
    run: TrainedRun, config: GateConfig, policy: MemoryPolicy, tasks: HeldOutTasks, found: HeldOut
) -> GateReport:
    learned, gate = _told(run.config), _told(config)
    about = {"skipped": tasks.dataset.skipped, "clips_trained_on": tasks.clips_trained_on}
    about |= {"left_out": tasks.left_out, "drawn_by": found.candidate.drawn_by}
    return GateReport.judge(
        name=config.name or run.folder.resolve().name,
        kind=run.config.adapter,
        base_model=policy.provenance.model,
        base_revision=policy.provenance.revision,
        in_use_name=Path(config.adapter_in_use).name,
        config=learned | {"gate": gate | about},
        questions=run.questions,
        candidate=found.candidate,
        in_use=found.in_use,
        task_prompt=found.task_prompt,
        rules=config.rules,
        examples=found.examples,
    )


def _told(config: PhaseTwoConfig | GateConfig) -> dict:
    """Settings without what says something of this machine alone; bundles by their files' names."""
    values = {name: value for name, value in asdict(config).items() if name not in _OF_THIS_MACHINE}
    return values | {"bundle": tuple(Path(path).name for path in config.bundle)}


def _notes(tasks: HeldOutTasks, found: HeldOut) -> tuple[str, ...]:
    notes = [f"not asked: {line}" for line in tasks.dataset.skipped]
    if tasks.left_out:
        notes.append(f"{tasks.left_out} tasks of the bundles were trained on and are not asked.")
    if tasks.clips_trained_on:
        notes.append(
            f"{tasks.clips_trained_on} of {tasks.clips} held-out clips were trained on; others may gain less."
        )
    if found.candidate.drawn_by != "streams":
        notes.append(
            f"There are few streams, so {found.candidate.drawn_by} are drawn: intervals take those that lie "
            "further apart as independent of each other."
        )
    for name, truth in found.truth.items():
        if truth.ungraded:
            notes.append(f"{truth.ungraded} memories of {name} got no grade and count for nothing.")
    return tuple(notes)
