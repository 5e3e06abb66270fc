"""A prompt and all its replies in one row: what they share is computed once.

A context's prompt is some hundred tokens of video, its reply a few dozen; in rows of their own, 8 replies
would repeat the prompt 8 times. Here a row is the prompt, then each reply as a branch of its own: it sees the
prompt and itself, at the positions that it would have alone. The prompt's last token begins every branch, so
that a reply's first token is predicted there like any other. A test compares it with the library's own
forward, one reply at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from taskmem_ros.policy.load import Checkpoint
from taskmem_ros.policy.prompt import PromptPart
from taskmem_train.prompts import PromptBatch

IGNORE = -100


@dataclass(frozen=True, eq=False)
class SharedRows:
    """inputs: what the model takes, a row for each prompt. labels (rows, tokens): IGNORE but at replies.

    where: for each reply, its row and the column of its first token.
    """

    inputs: dict
    labels: torch.Tensor
    where: list[tuple[int, int]]


def share(
    checkpoint: Checkpoint,
    prompts: PromptBatch,
    parts: Sequence[Sequence[PromptPart]],
    replies: Sequence[Sequence[int]],
    of: Sequence[int],
    half: bool = False,
) -> SharedRows:
    """Rows for a forward pass. parts: the prompts. replies: token ids, each to the prompt number `of`.

    half: the pass is in bfloat16, whatever the weights are kept in.
    """
    model = checkpoint.model
    inputs = prompts.prompts(parts)
    positions, _ = model.model.get_rope_index(
        inputs["input_ids"],
        inputs["mm_token_type_ids"],
        video_grid_thw=inputs.get("video_grid_thw"),
        attention_mask=inputs["attention_mask"],
    )
    rows, where = [], [(0, 0)] * len(replies)
    for row, kept in enumerate(inputs["attention_mask"].bool()):
        branch = _Row(inputs["input_ids"][row, kept].tolist(), positions[:, row, kept])
        for number in [i for i, prompt in enumerate(of) if prompt == row]:
            where[number] = (row, branch.add(replies[number]))
        rows.append(branch)
    length = max(len(row.ids) for row in rows)
    device, pad = checkpoint.device, checkpoint.tokenizer.pad_token_id
    ids = torch.tensor([_fill(row.ids, length, pad) for row in rows], device=device)
    branches = torch.tensor([_fill(row.branches, length, _PAD) for row in rows], device=device)
    labels = torch.tensor([_fill(row.labels, length, IGNORE) for row in rows], device=device)
    shared = {
        "input_ids": ids,
        "attention_mask": _mask(branches, torch.bfloat16 if half else checkpoint.dtype),
        "position_ids": torch.stack([row.places(length) for row in rows], 1).to(device),
    }
    if "mm_encoder_outputs" in inputs:
        shared["mm_encoder_outputs"] = inputs["mm_encoder_outputs"]
    return SharedRows(shared, labels, where)


def likelihoods(
    model: torch.nn.Module, shared: SharedRows, temperature: float, fused: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-likelihoods, entropies) of the labels, each (rows, tokens - 1): column i is of the token in i + 1.

    model: as TRL's trainer prepared it. fused: by TRL's fused head, which never holds all logits; on a CPU it
    works through every position, and the logits of replies alone are much quicker.
    """
    if fused:
        out = model(**shared.inputs, labels=shared.labels, fused_lm_head=True)
        return out.log_probs, out.entropy
    labels = shared.labels[:, 1:]
    columns = (labels != IGNORE).any(0).nonzero()[:, 0]
    logits = model(**shared.inputs, logits_to_keep=columns).logits.float() / temperature
    logs = logits.log_softmax(-1)
    wanted = labels[:, columns]
    chosen = logs.gather(-1, wanted.clamp(min=0)[..., None])[..., 0].masked_fill(wanted == IGNORE, 0.0)
    with torch.no_grad():
        entropy = -(logs.exp() * logs).sum(-1)
    zeros = chosen.new_zeros(labels.shape)
    return zeros.index_copy(1, columns, chosen), zeros.index_copy(1, columns, entropy)


_PROMPT, _PAD = 0, -1


class _Row:
    """ids, branches (0: the prompt) and labels of a row's tokens."""

    def __init__(self, prompt: list[int], positions: torch.Tensor):
        self._last, self._positions = prompt[-1], [positions[:, :-1]]
        self._from = int(positions.max())  # the last token's place, as it is text
        self.ids = prompt[:-1]
        self.branches = [_PROMPT] * len(self.ids)
        self.labels = [IGNORE] * len(self.ids)

    def add(self, reply: Sequence[int]) -> int:
        """Append a reply; returns the column of its first token."""
        first, count = len(self.ids) + 1, len(reply) + 1
        self.ids += [self._last, *reply]
        self.branches += [self.branches[-1] + 1] * count
        self.labels += [IGNORE, *reply]
        steps = torch.arange(count, device=self._positions[0].device) + self._from
        self._positions.append(steps.expand(3, -1))
        return first

    def places(self, length: int) -> torch.Tensor:
        """M-RoPE positions (3, length)."""
        places = torch.cat(self._positions, 1)
        return torch.nn.functional.pad(places, (0, length - places.shape[1]))


def _fill(values: list[int], length: int, with_: int) -> list[int]:
    return values + [with_] * (length - len(values))


def _mask(branches: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What each token sees, to be added to attention's scores (rows, 1, tokens, tokens)."""
    mine, other = branches[:, :, None], branches[:, None, :]
    seen = (mine == other) | (other == _PROMPT)
    seen &= torch.ones_like(seen[0]).tril()
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill(~seen, torch.finfo(dtype).min)[:, None]
