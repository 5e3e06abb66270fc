"""GSPO for a policy that sees video: TRL's GRPOTrainer, with the memorizing prompt and its rewards.

TRL knows prompts of text and images. Three things are put in its way, each at one place:

- replies come from our generator (`rollout_func`), which also rewards them;
- log-likelihoods are computed with the videos, a prompt and its replies in one row (`shared`);
- the negative-sample gate: what is worse than its group, but good in itself (reward >= 0), is not unlearned.

`test_phase_one_trainer.py` holds all three against plain transformers and a loss written out.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOConfig, GRPOTrainer
from trl.models import unwrap_model_for_generation

from taskmem_ros.policy.load import Checkpoint
from taskmem_ros.policy.prompt import PromptPart, memorize_parts
from taskmem_train.phase_one.generate import Generator
from taskmem_train.phase_one.history import History
from taskmem_train.phase_one.rewards import Candidate, Reward, RewardModel
from taskmem_train.phase_one.shared import likelihoods, share
from taskmem_train.prompts import PromptBatch

PARTS = ("format", "thinking", "quality", "richness")
Rehearsal = Callable[[torch.nn.Module, int], torch.Tensor]


@dataclass(frozen=True, eq=False)
class _Rollout:
    """The groups of one generation: prompts, replies (token ids), and for each reply the prompt it is to."""

    parts: list[Sequence[PromptPart]]
    replies: list[list[int]]
    of: list[int]
    rewards: list[Reward | None]


class PhaseOneTrainer(GRPOTrainer):
    """Trains `checkpoint.model` in place; which of its parameters learn is the caller's choice.

    args: as `gspo_config` makes them. count: contexts of the whole run. rehearse: a loss that is added at
    every step (model, step), for what must not be forgotten. gate: False without the negative-sample gate.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        history: History,
        rewards: RewardModel,
        args: GRPOConfig,
        count: int,
        *,
        peft_config=None,
        rehearse: Rehearsal | None = None,
        gate: bool = True,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        self._checkpoint, self._history, self._reward_model = checkpoint, history, rewards
        self._rehearse, self._gate = rehearse, gate
        self._prompts = PromptBatch(checkpoint)
        self._generator = Generator(
            checkpoint,
            self._prompts,
            temperature=args.temperature,
            max_new_tokens=args.max_completion_length,
            rows=args.per_device_train_batch_size,
            half=args.bf16,
        )
        self._rollout: _Rollout | None = None
        self._rows: list[int] = []
        with warnings.catch_warnings():
            # Tests watch over what is experimental there.
            warnings.filterwarnings("ignore", "You are using 'rollout_func'")
            super().__init__(
                model=checkpoint.model,
                reward_funcs=[_part(name) for name in PARTS],
                args=args,
                train_dataset=Dataset.from_dict({"prompt": [str(number) for number in range(count)]}),
                processing_class=checkpoint.tokenizer,
                callbacks=[_KeepHistory(history), *callbacks],
                peft_config=peft_config,
                rollout_func=_roll_out,
            )

    def roll_out(self, prompts: Sequence[str]) -> dict[str, list]:
        """Replies to the contexts of these numbers, each number as often as it has replies."""
        numbers = list(dict.fromkeys(int(prompt) for prompt in prompts))
        contexts = [self._history.context(number) for number in numbers]
        parts = [memorize_parts(context.clips, context.memories) for context in contexts]
        with unwrap_model_for_generation(
            self.model_wrapped,
            self.accelerator,
            gather_deepspeed3_params=self.args.ds3_gather_for_generation,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        ):
            seed = zlib.crc32(f"{self.args.seed} {numbers[0]}".encode())
            replies = self._generator.replies(parts, self.num_generations, seed)
        prompt_ids = [self._prompt_ids(prompt) for prompt in parts]
        of = [number for number in range(len(numbers)) for _ in range(self.num_generations)]
        candidates = [self._generator.candidate(prompt_ids[i], reply) for i, reply in zip(of, replies)]
        groups = [
            candidates[i : i + self.num_generations] for i in range(0, len(candidates), self.num_generations)
        ]
        rewards: list[Reward | None] = []
        for number, context, group in zip(numbers, contexts, groups):
            rewards += self._reward_model.rewards(context, group)
            # The robot writes one memory of a clip; which of the candidates is a matter of chance.
            self._history.remember(number, next((c.text for c in group if c.text is not None), None))
        self._rollout = _Rollout(parts, replies, of, rewards)
        self._rows = list(range(len(replies)))
        columns = {name: [None if r is None else getattr(r, name) for r in rewards] for name in PARTS}
        return {
            "prompt_ids": [prompt_ids[i] for i in of],
            "completion_ids": replies,
            "logprobs": None,
            **columns,
            "candidates": candidates,
            "valid": [bool(reward and reward.valid) for reward in rewards],
        }

    def _prompt_ids(self, parts: Sequence[PromptPart]) -> list[int]:
        return self._prompts.prompts([parts])["input_ids"][0].tolist()

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        advantages = output["advantages"]
        if self._gate:
            totals = [reward.total if reward else 0.0 for reward in self._rollout.rewards]
            good = torch.tensor(totals, device=advantages.device) >= 0
            gated = (advantages < 0) & good
            output["advantages"] = advantages.masked_fill(gated, 0.0)
            self._metrics["train"]["gated"].append(gated.float().mean().item())
        # TRL shuffles and splits what it is given here; so every row keeps its number.
        output["rows"] = torch.arange(len(advantages), device=advantages.device)
        return output

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self._rows = inputs["rows"].tolist()
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self._rehearse is not None:
            with self.accelerator.autocast():
                again = self._rehearse(self._checkpoint.model, self.state.global_step)
            self._metrics["train"]["rehearsal"].append(again.item())
            loss = loss + again / self.current_gradient_accumulation_steps
        return loss

    def _get_per_token_logps_and_entropies(
        self,
        model,
        input_ids,
        attention_mask,
        logits_to_keep,
        batch_size=None,
        compute_entropy=False,
        compute_aux_loss=False,
        **images,
    ):
        """(log-likelihoods, entropies, None) of the replies in `self._rows` (rows, logits_to_keep)."""
        if compute_aux_loss or any(value is not None for value in images.values()):
            raise ValueError("Phase One has no images and no router loss; set router_aux_loss_coef to 0")
        rollout, rows = self._rollout, self._rows
        numbers = list(dict.fromkeys(rollout.of[row] for row in rows))
        shared = share(
            self._checkpoint,
            self._prompts,
            [rollout.parts[number] for number in numbers],
            [rollout.replies[row] for row in rows],
            [numbers.index(rollout.of[row]) for row in rows],
            half=self.args.bf16,
        )
        with self.accelerator.autocast():
            fused = self.accelerator.device.type != "cpu"
            logps, entropies = likelihoods(model, shared, self.temperature, fused)
        lengths = [len(rollout.replies[row]) for row in rows]

        def replies(values: torch.Tensor) -> torch.Tensor:
            cut = [values[row, at - 1 : at - 1 + n] for (row, at), n in zip(shared.where, lengths)]
            return torch.stack(
                [torch.nn.functional.pad(part, (0, logits_to_keep - len(part))) for part in cut]
            )

        return replies(logps), replies(entropies) if compute_entropy else None, None


def gspo_config(out: Path, **settings) -> GRPOConfig:
    """TRL's settings for GSPO as in TaskMem: sequence-level importance sampling, clip-higher, no KL."""
    fixed = dict(
        output_dir=str(out),
        importance_sampling_level="sequence",
        loss_type="grpo",  # the mean over sequences, as in GSPO
        beta=0.0,
        router_aux_loss_coef=0.0,
        shuffle_dataset=False,  # the history has its own order
        remove_unused_columns=False,
        logging_steps=1,
        logging_first_step=True,
        report_to=[],
        dataloader_pin_memory=False,
    )
    return GRPOConfig(**{**fixed, **settings})


def _roll_out(prompts: list[str], trainer: PhaseOneTrainer) -> dict[str, list]:
    return trainer.roll_out(prompts)


def _part(name: str) -> Callable[..., list[float | None]]:
    """A reward function of TRL's that reads a part of our rewards, for its name to stand in the log."""

    def part(completions, log_metric, **columns) -> list[float | None]:
        if name == PARTS[0]:
            candidates: list[Candidate] = columns["candidates"]
            written = [c.tokens for c in candidates if c.text is not None]
            log_metric("tokens_per_memory", sum(written) / len(written) if written else 0.0)
            log_metric("thinking_tokens", sum(c.thinking for c in candidates) / len(candidates))
            log_metric("valid", sum(columns["valid"]) / len(candidates))
        return columns[name]

    part.__name__ = name
    return part


class _KeepHistory(TrainerCallback):
    """Saves and loads the history with every checkpoint."""

    def __init__(self, history: History):
        self._history = history

    def on_train_begin(self, args, state, control, **_):
        if state.global_step:
            self._history.load(self._folder(args, state))

    def on_save(self, args, state, control, **_):
        self._history.save(self._folder(args, state))

    @staticmethod
    def _folder(args, state) -> Path:
        return Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
