"""A run of Phase One: from a model and a ground to a better model, with its logs. Resumes where it was."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import PartialState
from peft import LoraConfig
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import cached_file

from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.choices import choose_device
from taskmem_ros.policy.load import Checkpoint, find_checkpoint
from taskmem_ros.policy.packing import CONFIG_FILES
from taskmem_train.phase_one.generate import in_half
from taskmem_train.phase_one.ground import make_ground
from taskmem_train.phase_one.home import HomeStreams, Reading, measure
from taskmem_train.phase_one.settings import PhaseOneConfig
from taskmem_train.phase_one.trainer import PhaseOneTrainer, gspo_config


def train(config: PhaseOneConfig, out: Path) -> Path:
    """Train, or go on training, in `out`; returns the folder of the model.

    OUT/log.jsonl has the losses and rewards of every step, OUT/measured.jsonl the measures on homes never
    trained on, OUT/checkpoint-N what a resumed run goes on from. Raises ValueError for settings that do not
    fit each other.
    """
    out.mkdir(parents=True, exist_ok=True)
    processes = _processes(config)
    # A process of several computes on its own GPU; "cpu:0" is how accelerate calls a CPU.
    shared = processes.num_processes > 1 and processes.device.type == "cuda"
    device = str(processes.device) if shared else config.device
    policy = MemoryPolicy.load(config.model, device=device, dtype=config.dtype)
    trainer = make_trainer(config, policy, out)
    if processes.is_main_process:
        _keep_settings(config, out)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(out)))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        save_model(trainer, config.model, out)
    return out / "model"


def make_trainer(config: PhaseOneConfig, policy: MemoryPolicy, out: Path) -> PhaseOneTrainer:
    """The trainer of a run. Raises ValueError, and what reading its ground raises."""
    checkpoint = policy.checkpoint
    arguments = _arguments(config, checkpoint, out)
    with _processes(config).main_process_first():  # it writes the earlier run, the others read it
        ground = make_ground(config, policy, out)
    callbacks: list[TrainerCallback] = [_Log(out / "log.jsonl")]
    if config.measure_every:
        callbacks.append(_Measure(config, policy, out / "measured.jsonl"))
    _choose_parameters(checkpoint, config)
    return PhaseOneTrainer(
        checkpoint,
        ground.history(config),
        ground.rewards(config),
        arguments,
        config.steps * config.contexts,
        peft_config=_lora(config) if config.train == "lora" else None,
        rehearse=Reading(checkpoint, config.rehearse, config.seed) if config.rehearse else None,
        gate=config.gate,
        callbacks=callbacks,
    )


def save_model(trainer: PhaseOneTrainer, source: str, out: Path) -> None:
    """OUT/model: a checkpoint as the one it came from, LoRA merged into it; OUT/adapter: LoRA by itself."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model.save_pretrained(out / "adapter")
        model = model.merge_and_unload()
    folder = out / "model"
    # Half the size; how likely tokens are hardly changes.
    model.to(torch.bfloat16).save_pretrained(folder)
    trainer.processing_class.save_pretrained(folder)
    place, local = find_checkpoint(source)
    for name in CONFIG_FILES:
        found = cached_file(place, name, _raise_exceptions_for_missing_entries=False, local_files_only=local)
        if found is not None:
            shutil.copy(found, folder / name)


def _arguments(config: PhaseOneConfig, checkpoint: Checkpoint, out: Path):
    processes = _processes(config).num_processes
    parts = processes * config.accumulate
    if config.contexts % parts:
        raise ValueError(
            f"{config.contexts} contexts of a step cannot be shared by {processes} processes "
            f"in {config.accumulate} parts; make contexts a multiple of {parts}"
        )
    return gspo_config(
        out,
        num_generations=config.generations,
        per_device_train_batch_size=config.contexts * config.generations // parts,
        gradient_accumulation_steps=config.accumulate,
        num_iterations=config.iterations,
        max_steps=config.steps * config.iterations,
        temperature=config.temperature,
        max_completion_length=config.max_new_tokens,
        learning_rate=config.lr,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.warmup,
        adam_beta2=config.beta2,
        max_grad_norm=config.max_grad_norm,
        epsilon=config.epsilon,
        epsilon_high=config.epsilon_high,
        activation_checkpointing=config.gradient_checkpointing,
        bf16=config.autocast,
        use_cpu=checkpoint.device.type == "cpu",
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        seed=config.seed,
        disable_tqdm=None,
    )


def _processes(config: PhaseOneConfig) -> PartialState:
    """Those of `accelerate launch`, or this one alone. While the first writes, the others wait for days."""
    return PartialState(cpu=choose_device(config.device).type == "cpu", timeout=timedelta(days=7))


def _choose_parameters(checkpoint: Checkpoint, config: PhaseOneConfig) -> None:
    """The text model learns, by itself or by LoRA; the vision tower stays, and what it saw is kept."""
    model = checkpoint.model
    if config.train == "full":
        model.requires_grad_(True)
    model.model.visual.requires_grad_(False)


def _lora(config: PhaseOneConfig) -> LoraConfig:
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=2 * config.lora_rank,
        lora_dropout=0.0,
        target_modules=r".*language_model.*\.(q|k|v|o|gate|up|down)_proj",
    )


def _keep_settings(config: PhaseOneConfig, out: Path) -> None:
    (out / "settings.json").write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")


class _Log(TrainerCallback):
    """One JSON line for each step."""

    def __init__(self, path: Path):
        self._path = path

    def on_log(self, args, state, control, logs=None, **_):
        if state.is_world_process_zero and logs and "loss" in logs:
            _append(self._path, {"step": state.global_step, **logs})


class _Measure(TrainerCallback):
    """Measures the policy on homes never trained on, before the first step and every so often."""

    def __init__(self, config: PhaseOneConfig, policy: MemoryPolicy, path: Path):
        self._policy, self._path, self._every = policy, path, config.measure_every
        self._half = config.autocast
        homes = HomeStreams(config.measure_homes, config.measure_clips, config.frame_size)
        self._streams = [homes(number) for number in range(config.measure_streams)]
        self._facts = homes.facts

    def on_train_begin(self, args, state, control, **_):
        if not state.global_step:
            self._measure(state)

    def on_step_end(self, args, state, control, **_):
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._measure(state)

    def _measure(self, state) -> None:
        if state.is_world_process_zero:
            with in_half(self._policy.checkpoint.model) if self._half else contextlib.nullcontext():
                measured = measure(self._policy, self._streams, self._facts)
            _append(self._path, {"step": state.global_step, **measured})


def _append(path: Path, line: dict) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
