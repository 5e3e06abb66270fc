"""How likely a model finds a reply that is already written: one forward pass over many, and no sampling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from taskmem_ros.policy.load import Checkpoint

THINK_START, THINK_END = "<think>", "</think>"
# Tokens of one batch, padding included: some 100 short prompts, or one long one alone.
BATCH_TOKENS = 8192


@dataclass(frozen=True)
class ScoredToken:
    """A token of a reply: it stands for the characters start to end of it, and has a natural log
    probability given all before it.
    """

    start: int
    end: int
    logprob: float


class Scorer:
    """Log probabilities of replies to text prompts. Not thread-safe: use it where the model is used."""

    def __init__(self, checkpoint: Checkpoint):
        self._model = checkpoint.model
        self._tokenizer = checkpoint.tokenizer
        self._packer = checkpoint.packer

    @torch.inference_mode()
    def logprobs(self, turns: Sequence[tuple[str, str]]) -> list[list[ScoredToken]]:
        """The tokens of each reply, in order. turns: (prompt, reply); an empty reply has no tokens.

        The reply's end token is not among them. A thinking checkpoint's thoughts are empty.
        """
        rows = [self._row(prompt, reply) for prompt, reply in turns]
        scored: list[list[ScoredToken]] = [[] for _ in rows]
        for batch in _batches([len(ids) for ids, _ in rows]):
            for index, logprobs in zip(batch, self._forward([rows[index] for index in batch])):
                scored[index] = [
                    ScoredToken(*span, value) for span, value in zip(rows[index][1], logprobs, strict=True)
                ]
        return scored

    def _row(self, prompt: str, reply: str) -> tuple[list[int], list[tuple[int, int]]]:
        """(ids of prompt and reply, the characters of the reply that each of its tokens stands for)."""
        before = self._packer.text([prompt], [])
        if before.rstrip().endswith(THINK_START):
            before += f"\n{THINK_END}\n\n"
        ids = self._tokenizer(before, add_special_tokens=False)["input_ids"]
        written = self._tokenizer(reply, add_special_tokens=False, return_offsets_mapping=True)
        return ids + written["input_ids"], [tuple(span) for span in written["offset_mapping"]]

    def _forward(self, rows: Sequence[tuple[list[int], list[tuple[int, int]]]]) -> Iterator[list[float]]:
        device, longest = self._model.device, max(len(ids) for ids, _ in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (tokens, _) in enumerate(rows):  # padded on the right, where no token looks
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        output = self._model.model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        for row, (tokens, spans) in enumerate(rows):
            first = len(tokens) - len(spans)
            # Over the reply alone: the whole batch's logits would take gigabytes with Qwen's vocabulary.
            hidden = output.last_hidden_state[row, first - 1 : len(tokens) - 1]
            values = self._model.lm_head(hidden).float().log_softmax(-1)
            yield values.gather(-1, ids[row, first : len(tokens), None].to(device))[:, 0].tolist()


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices, those of like length together, so that a batch padded to its longest fits BATCH_TOKENS."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
