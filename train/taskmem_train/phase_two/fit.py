"""Phase Two: contexts -> candidates -> preferences -> an adapter. Each step is kept in the run's folder."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path

import torch
import yaml
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback
from trl import DPOConfig

from taskmem_ros.policy import Draft, MemoryPolicy
from taskmem_ros.policy.choices import choose_device
from taskmem_train.contexts import Context
from taskmem_train.judges.labels import label_faults
from taskmem_train.judges.types import Grade
from taskmem_train.pairs import Candidate, Pair, PairRules, Yield, make_pairs, truth_pair
from taskmem_train.phase_two.choose import choose_judge, choose_quality, choose_sampler
from taskmem_train.phase_two.ledger import KeptJudge, KeptMemorizer, RolloutLedger
from taskmem_train.phase_two.settings import PhaseTwoConfig
from taskmem_train.phase_two.sources import Source, read_source
from taskmem_train.preference import Preference, adapter_config, fit_preferences, keep_differentiable
from taskmem_train.rollout import Sampler

ADAPTER = "adapter"  # folder of the result, in the run's folder


def phase_two(config: PhaseTwoConfig, out: Path, policy: MemoryPolicy | None = None) -> dict:
    """Fit one adapter to recent tasks; run again with the same folder, it goes on.

    policy: a loaded one without an adapter, as `config` says (None: it is loaded). Afterwards it has none.
    Leaves in `out`: config.yaml, rollouts.db, pairs.jsonl, yield.json, log.jsonl, adapter/ (PEFT's files).
    Returns what yield.json holds. Raises ValueError where there is too little to learn from.
    """
    started = time.monotonic()
    processes = _processes(config)
    with processes.main_process_first():  # what the first has sampled, the others read
        if processes.is_main_process:
            for path in config.bundle:  # before this folder is one of a run with these settings
                if not Path(path).is_file():
                    raise ValueError(f"there is no bundle at {path}; give the file of `taskmem bundle`")
            out.mkdir(parents=True, exist_ok=True)
            _settle(out / "config.yaml", config)
        policy = policy or load_policy(config)
        ledger = RolloutLedger(Path(config.rollouts) if config.rollouts else out / "rollouts.db")
        try:
            sampler = Sampler(policy, rows=config.rows, seed=config.seed)
            source = read_source(config, KeptMemorizer(sampler, ledger))
            made = _prepare(config, out, policy, source, ledger) if processes.is_main_process else ([], {})
        finally:
            ledger.close()
    rows, report = broadcast_object_list(list(made))
    report["seconds_before_training"] = round(time.monotonic() - started, 1)
    contexts = {context.id: context for context in source.contexts}
    fit_adapter(config, out, policy, rows, contexts)
    report["seconds"] = round(time.monotonic() - started, 1)
    if processes.is_main_process:
        _write_json(out / "yield.json", report)
    return report


def _prepare(
    config: PhaseTwoConfig, out: Path, policy: MemoryPolicy, source: Source, ledger: RolloutLedger
) -> tuple[list[Preference], dict]:
    """What is trained on, and what yield.json holds."""
    drafts = sample_candidates(config, policy, source.contexts, ledger)
    helpful, truth, counts = choose_pairs(config, policy, source, drafts, ledger)
    pairs = helpful + truth
    _write_lines(out / "pairs.jsonl", [vars(pair) for pair in pairs])
    report = {
        "questions": [task.question for task in source.tasks],
        "candidates": sum(map(len, drafts)),
        "unreadable": sum(draft.text is None for some in drafts for draft in some),
        **counts.report(),
        "truth_pairs": len(truth),
    }
    _write_json(out / "yield.json", report)
    if not helpful:
        raise ValueError(f"no context gave a pair; {out}/yield.json says why of each")
    replies = {draft.text: draft.raw for some in drafts for draft in some}
    rows = [Preference(pair.context_id, replies[pair.chosen], replies[pair.rejected]) for pair in pairs]
    return rows, report


def load_policy(config: PhaseTwoConfig) -> MemoryPolicy:
    """The frozen policy, where this process computes, ready to sample and to train on. Raises LoadError."""
    processes = _processes(config)
    many = processes.num_processes > 1 and processes.device.type == "cuda"
    device = str(processes.device) if many else config.device
    policy = MemoryPolicy.load(
        config.model, quantization=config.quantization, dtype=config.dtype, device=device
    )
    keep_differentiable(policy.checkpoint.model)
    return policy


def sample_candidates(
    config: PhaseTwoConfig, policy: MemoryPolicy, contexts: Sequence[Context], ledger: RolloutLedger
) -> list[list[Draft]]:
    """Each context's candidates; those of an earlier run with the same settings are not sampled again."""
    sampler = choose_sampler(config, policy)
    identity = sampler.identity | {"candidates": config.candidates}
    return ledger.candidates(contexts, lambda some: sampler.sample(some, config.candidates), identity)


def choose_pairs(
    config: PhaseTwoConfig,
    policy: MemoryPolicy,
    source: Source,
    drafts: Sequence[Sequence[Draft]],
    ledger: RolloutLedger,
) -> tuple[list[Pair], list[Pair], Yield]:
    """(the judge's pairs, at most one of each context; pairs of truth; the counts)."""
    quality = choose_quality(config, policy, source)
    judge, identity = choose_judge(config, policy, source)
    tokenizer = policy.checkpoint.tokenizer

    def length(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    groups = []
    for context, some in zip(source.contexts, drafts):
        texts = list(dict.fromkeys(draft.text for draft in some if draft.text is not None))
        grades = quality.grade(context, texts) if quality else [Grade(1.0, True)] * len(texts)
        faults = [label_faults(text, context.memories, length) for text in texts]
        groups.append((context, [Candidate(*item) for item in zip(texts, grades, faults)]))
    questions = [task.question for task in source.tasks]
    if identity:  # else it costs nothing to ask again
        judge = KeptJudge(judge, ledger, identity)
    longer = config.longer if config.longer >= 0 else None
    rules = PairRules(config.length_difference, true_only=config.true_only, longer=longer)
    pairs, counts = make_pairs(groups, questions, judge, length, rules)
    # First those of contexts in which nothing helps: there an adapter would learn to see what it hopes for.
    of_pairs = {pair.context_id for pair in pairs}
    groups.sort(key=lambda group: group[0].id in of_pairs)
    truth = [truth_pair(context, some, length, rules) for context, some in groups]
    return pairs, [pair for pair in truth if pair][: round(config.truth_pairs * len(pairs))], counts


def fit_adapter(
    config: PhaseTwoConfig,
    out: Path,
    policy: MemoryPolicy,
    rows: Sequence[Preference],
    contexts: dict[str, Context],
) -> Path:
    """Train the adapter, write it to OUT/adapter, and leave the policy as it was."""
    model = policy.checkpoint.model
    layers = model.config.get_text_config().num_hidden_layers
    peft_config = adapter_config(model, config.adapter, config.layer_of(layers), config.rank)
    trainer = fit_preferences(
        policy.checkpoint,
        peft_config,
        rows,
        contexts,
        _dpo_settings(config, out / "trainer", policy),
        [_Curve(out / "log.jsonl"), _Stop(config.stop_below)],
        resume=_newest(out / "trainer"),
    )
    if config.adapter == "steer" and config.scale != 1.0:
        with torch.no_grad():
            for parameter in trainer.model.parameters():
                if parameter.requires_grad:
                    parameter.mul_(config.scale)
    if trainer.accelerator.is_main_process:
        trainer.model.peft_config["default"].base_model_name_or_path = policy.provenance.model
        trainer.model.save_pretrained(str(out / ADAPTER))
    trainer.accelerator.wait_for_everyone()
    policy.unload_adapter()
    model.eval().requires_grad_(False)
    return out / ADAPTER


def _processes(config: PhaseTwoConfig) -> PartialState:
    """Those of `accelerate launch`, or this one alone. While the first samples, the others wait for days."""
    return PartialState(cpu=choose_device(config.device).type == "cpu", timeout=timedelta(days=7))


def _newest(folder: Path) -> Path | None:
    """The newest checkpoint that is whole: the trainer's state is written last."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda path: int(path.name.partition("-")[2]), default=None)


def _dpo_settings(config: PhaseTwoConfig, out: Path, policy: MemoryPolicy) -> DPOConfig:
    small = policy.checkpoint.dtype == torch.float32
    losses = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, config.sft]} if config.sft else {}
    return DPOConfig(
        output_dir=str(out),
        beta=config.beta,
        learning_rate=config.lr,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup,
        num_train_epochs=config.epochs,
        max_steps=config.steps or -1,
        per_device_train_batch_size=config.batch,
        gradient_accumulation_steps=config.accumulation,
        activation_checkpointing=not small,
        bf16=config.bf16 and small,
        use_cpu=policy.checkpoint.device.type == "cpu",
        precompute_ref_log_probs=True,
        max_length=None,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        save_steps=config.save_steps,
        save_total_limit=1,
        logging_steps=1,
        report_to="none",
        seed=config.seed,
        **losses,
    )


class _Stop(TrainerCallback):
    """Ends training when the chosen memories become less likely than they were.

    DPO only asks that they lose less than the rejected ones; from there on it unlearns what to write at all.
    """

    def __init__(self, below: float):
        self._below, self._rewards = below, []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "rewards/chosen" in logs:
            self._rewards = [*self._rewards[-2:], float(logs["rewards/chosen"])]
            if len(self._rewards) == 3 and sum(self._rewards) / 3 < self._below:
                control.should_training_stop = True


class _Curve(TrainerCallback):
    """Each step's loss and margins, a line of JSON."""

    def __init__(self, path: Path):
        self._path = path

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and logs and "loss" in logs:
            line = {"step": state.global_step, **{name: float(value) for name, value in logs.items()}}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def _settle(path: Path, config: PhaseTwoConfig) -> None:
    """Keep the settings of a run; another run may not go on in its folder."""
    values = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()
    }
    if path.exists():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        # A setting that is younger than the run had its default.
        defaults = {item.name: item.default for item in fields(config)}
        changed = [name for name, value in values.items() if before.get(name, value) != value]
        changed += [name for name in values.keys() - before.keys() if getattr(config, name) != defaults[name]]
        if changed:
            name = changed[0]
            raise ValueError(
                f"{path} is of a run with {name} {before.get(name, defaults[name])!r}, not {values[name]!r}; "
                "take another folder"
            )
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _write_json(path: Path, value: dict) -> None:
    draft = path.with_name(f"{path.name}.partial")
    draft.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def _write_lines(path: Path, rows: Sequence[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
