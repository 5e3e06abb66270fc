"""Replies of the model in training, as token ids: many contexts at once, each prompt read once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

from taskmem_ros.policy.decoding import THINK_END, THINK_START
from taskmem_ros.policy.load import Checkpoint
from taskmem_ros.policy.prompt import PromptPart, parse_memory
from taskmem_train.generation import continue_prompts
from taskmem_train.phase_one.rewards import Candidate
from taskmem_train.prompts import PromptBatch


@contextlib.contextmanager
def in_half(model: torch.nn.Module) -> Iterator[None]:
    """The model's weights in bfloat16 inside, as they were afterwards.

    Under autocast every token would cast all of them anew.
    """
    kept = [(parameter, parameter.data) for parameter in model.parameters()]
    try:
        for parameter, data in kept:
            parameter.data = data.to(torch.bfloat16)
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data


class Generator:
    """Samples replies from a checkpoint's model as it is now.

    temperature: of the whole distribution, so that what is sampled is what the trainer's likelihoods are of.
    rows: replies generated at once. half: in bfloat16, as a robot writes, whatever the weights are kept in.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        prompts: PromptBatch,
        *,
        temperature: float,
        max_new_tokens: int,
        rows: int,
        half: bool = False,
    ):
        self._checkpoint, self._prompts = checkpoint, prompts
        self._temperature, self._max_new_tokens = temperature, max_new_tokens
        self._rows, self._half = rows, half

    def replies(self, parts: Sequence[Sequence[PromptPart]], count: int, seed: int) -> list[list[int]]:
        """`count` replies to each prompt, those of one prompt next to each other, each with its end token
        (without, when it was cut off at max_new_tokens). The same seed and weights give the same replies.
        """
        device, config = self._checkpoint.device, self._checkpoint.model.config
        at_once = max(1, self._rows // count)
        replies: list[list[int]] = []
        weights = in_half(self._checkpoint.model) if self._half else contextlib.nullcontext()
        with weights, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            for first in range(0, len(parts), at_once):
                inputs = self._prompts.prompts(parts[first : first + at_once])
                replies += continue_prompts(
                    self._checkpoint, inputs, count, self._max_new_tokens,
                    do_sample=True, temperature=self._temperature, top_p=1.0, top_k=0,
                    suppress_tokens=[config.video_token_id, config.image_token_id],
                )  # fmt: skip
        return replies

    def candidate(self, prompt: Sequence[int], ids: Sequence[int]) -> Candidate:
        """What a reply says. prompt: ids of its prompt, whose end may open the thoughts."""
        tokenizer, eos = self._checkpoint.tokenizer, self._checkpoint.eos
        thinking = self._thinking(prompt, ids)
        if not ids or ids[-1] not in eos:
            return Candidate(None, thinking, 0, f"the reply was cut off at {len(ids)} tokens")
        try:
            text = parse_memory(tokenizer.decode(ids, skip_special_tokens=True))
        except ValueError as error:
            return Candidate(None, thinking, 0, str(error))
        return Candidate(text, thinking, len(tokenizer(text, add_special_tokens=False)["input_ids"]))

    def _thinking(self, prompt: Sequence[int], ids: Sequence[int]) -> int:
        end = self._checkpoint.tokenizer.convert_tokens_to_ids(THINK_END)
        if end in ids:
            return len(ids) - 1 - list(reversed(ids)).index(end)
        opened = self._checkpoint.tokenizer.decode(prompt[-4:]).rstrip().endswith(THINK_START)
        return len(ids) if opened else 0
