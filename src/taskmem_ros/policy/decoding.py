"""Tokens out of a Qwen3-VL: greedy or sampled, interruptible at every token, bounded by a deadline."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from taskmem_ros.policy.load import Checkpoint
from taskmem_ros.policy.prompt import PromptPart

# A checkpoint's own sampling settings would be warned of if they stayed beside do_sample.
GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
THINK_START, THINK_END = "<think>", "</think>"
YieldPoint = Callable[[], None]


@dataclass(frozen=True)
class Reply:
    """What was decoded.

    raw: all new text, thoughts included. text: what follows the thoughts. tokens: new tokens in all.
    logprobs: natural log probability of each greedy token of `text`, its end token included, where asked for.
    ended: "stop" (by itself), "length" (max_new_tokens) or "deadline".
    """

    raw: str
    text: str
    tokens: int
    logprobs: tuple[float, ...]
    ended: str


class Decoder:
    """`model.generate` for one prompt. Not thread-safe, but it may be entered again at a yield point."""

    def __init__(self, checkpoint: Checkpoint):
        self._model = checkpoint.model
        self._tokenizer = checkpoint.tokenizer
        self._packer = checkpoint.packer
        self._eos = frozenset(checkpoint.eos)

    def reply(
        self,
        parts: Sequence[PromptPart],
        max_new_tokens: int,
        *,
        temperature: float | None = 0.0,
        seed: int = 0,
        deadline: float | None = None,
        with_logprobs: bool = False,
        yield_point: YieldPoint | None = None,
    ) -> Reply:
        """The reply to one user turn.

        temperature: 0 is greedy, None samples as the checkpoint's generation_config says.
        deadline: time.monotonic() seconds. yield_point: called after each token; what it raises ends all.
        Sampling is by its own seed and leaves the global random state alone.
        """
        packed = self._packer.pack(parts)
        inputs = {name: self._placed(tensor) for name, tensor in packed.items()}
        prompt = inputs["input_ids"].shape[1]
        watch = _Watch(yield_point, deadline)
        record = _Record()
        sampling = {} if temperature is None else GREEDY
        if temperature:
            sampling = {"do_sample": True, "temperature": temperature}
        with contextlib.nullcontext() if temperature == 0 else self._seeded(seed):
            output = self._model.generate(
                **inputs,
                **sampling,
                max_new_tokens=max_new_tokens,
                stopping_criteria=StoppingCriteriaList([watch]),
                logits_processor=LogitsProcessorList([record] if with_logprobs else []),
            )
        ids = output[0, prompt:].tolist()
        first = self._after_thoughts(inputs["input_ids"][0], ids)
        return Reply(
            raw=self._text(ids),
            text=self._text(ids[first:]).strip(),
            tokens=len(ids),
            logprobs=tuple(record.logprobs()[first:]) if with_logprobs else (),
            ended="stop" if ids[-1] in self._eos else "deadline" if watch.late else "length",
        )

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Lets a reply be generated in the middle of another: keeps what Qwen3-VL stores on the module."""
        inner = self._model.model
        before = inner.rope_deltas
        try:
            yield
        finally:
            inner.rope_deltas = before

    @contextlib.contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        device = self._model.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._model.device, self._model.dtype if tensor.is_floating_point() else None)

    def _text(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True)

    def _after_thoughts(self, prompt: torch.Tensor, ids: list[int]) -> int:
        """Where in ids the reply proper begins; at the end when the thoughts were cut off."""
        end = self._tokenizer.convert_tokens_to_ids(THINK_END)
        if end in ids:
            return len(ids) - ids[::-1].index(end)
        # A thinking checkpoint's chat template opens the thoughts itself, at the end of the prompt.
        tail = self._tokenizer.decode(prompt[-4:])
        return len(ids) if tail.rstrip().endswith(THINK_START) else 0


class _Watch(StoppingCriteria):
    """Runs the yield point after every token, and stops past the deadline."""

    def __init__(self, yield_point: YieldPoint | None, deadline: float | None):
        self._yield_point = yield_point
        self._deadline = deadline
        self.late = False

    def __call__(self, input_ids: torch.LongTensor, scores, **kwargs) -> torch.BoolTensor:
        if self._yield_point is not None:
            self._yield_point()
        self.late = self._deadline is not None and time.monotonic() >= self._deadline
        return torch.full((input_ids.shape[0],), self.late, device=input_ids.device, dtype=torch.bool)


class _Record(LogitsProcessor):
    """Keeps the log probability of every greedy token; the logits would take 600 MB for 1000 of Qwen's."""

    def __init__(self):
        self._best: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self._best.append(scores[0].max() - scores[0].logsumexp(-1))
        return scores

    def logprobs(self) -> list[float]:
        return torch.stack(self._best).tolist() if self._best else []
