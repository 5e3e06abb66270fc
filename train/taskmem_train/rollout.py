"""Memories sampled in batches: many contexts at once, several candidates of each.

The prompt of a context is read once, however many candidates follow it. A candidate is a `Draft`, as
`MemoryPolicy.write` gives it on the robot.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import torch

from taskmem_ros.policy import Draft, MemoryPolicy
from taskmem_ros.policy.decoding import GREEDY
from taskmem_ros.policy.policy import RETRY_TEMPERATURE
from taskmem_ros.policy.prompt import INSTRUCTION, memorize_parts, parse_memory
from taskmem_train.contexts import Context
from taskmem_train.generation import continue_prompts
from taskmem_train.prompts import PromptBatch


class Sampler:
    """Samples memories from a policy, with the adapter that is in use.

    temperature: 0 is greedy; None is what the checkpoint's generation_config says. top_p, top_k: likewise.
    rows: candidates generated at once. eyes: shared with other samplers of the policy, so that a clip is
    looked at once for all of them. It is a `Memorizer`.
    """

    def __init__(
        self,
        policy: MemoryPolicy,
        *,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        rows: int = 64,
        max_new_tokens: int = 256,
        instruction: str = INSTRUCTION,
        seed: int = 0,
        eyes: PromptBatch | None = None,
    ):
        self._checkpoint = policy.checkpoint
        self._batch = eyes or PromptBatch(policy.checkpoint)
        self._how = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
        self._rows, self._max_new_tokens = rows, max_new_tokens
        self._instruction, self._seed = instruction, seed
        self._policy = policy

    @property
    def identity(self) -> dict:
        """What its candidates follow from, besides the contexts: for keys of what is kept."""
        report = self._policy.report
        loaded = [report.model, report.revision, report.adapter, report.quantization, report.dtype]
        return {
            "loaded": loaded, **self._how, "max_new_tokens": self._max_new_tokens,
            "instruction": self._instruction, "seed": self._seed,
        }  # fmt: skip

    def write(self, contexts: Sequence[Context]) -> list[Draft]:
        """One memory for each context; a reply without a memory is tried once more, as on the robot."""
        drafts = [drafts[0] for drafts in self.sample(contexts, 1)]
        failed = [i for i, draft in enumerate(drafts) if draft.text is None]
        if failed:
            how = self._how | {"temperature": self._how["temperature"] or RETRY_TEMPERATURE}
            again = self._sample([contexts[i] for i in failed], 1, self._seed + 1, how)
            for i, (second,) in zip(failed, again):
                first = drafts[i]
                tokens, seconds = first.tokens + second.tokens, first.seconds + second.seconds
                drafts[i] = Draft(second.text, second.raw, 2, tokens, seconds, second.error)
        return drafts

    def sample(self, contexts: Sequence[Context], count: int, seed: int | None = None) -> list[list[Draft]]:
        """`count` candidates for each context. The same call gives the same candidates.

        A candidate without a memory has text None, and error says why. seconds: its share of the batch's.
        """
        return self._sample(contexts, count, self._seed if seed is None else seed, self._how)

    def _sample(self, contexts, count: int, seed: int, how: dict) -> list[list[Draft]]:
        at_once = max(1, self._rows // count)
        drafts: list[list[Draft]] = []
        with self._seeded(seed):
            for first in range(0, len(contexts), at_once):
                drafts += self._generate(contexts[first : first + at_once], count, how)
        return drafts

    def _generate(self, contexts: Sequence[Context], count: int, how: dict) -> list[list[Draft]]:
        started = time.monotonic()
        inputs = self._batch.prompts(
            [memorize_parts(c.clips, c.memories, self._instruction) for c in contexts]
        )
        sampling = self._sampling(how)
        replies = continue_prompts(self._checkpoint, inputs, count, self._max_new_tokens, **sampling)
        seconds = (time.monotonic() - started) / len(replies)
        drafts = [self._draft(reply, seconds) for reply in replies]
        return [drafts[i : i + count] for i in range(0, len(drafts), count)]

    def _sampling(self, how: dict) -> dict:
        if how["temperature"] == 0:
            return GREEDY
        given = {name: value for name, value in how.items() if value is not None}
        return {"do_sample": True, **given} if given else {}

    def _draft(self, ids: list[int], seconds: float) -> Draft:
        raw = self._checkpoint.tokenizer.decode(ids, skip_special_tokens=True)
        if ids[-1] not in self._checkpoint.eos:
            error = f"the reply was cut off at max_new_tokens {self._max_new_tokens}"
            return Draft(None, raw, 1, len(ids), seconds, error)
        try:
            return Draft(parse_memory(raw), raw, 1, len(ids), seconds)
        except ValueError as error:
            return Draft(None, raw, 1, len(ids), seconds, str(error))

    @contextlib.contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        device = self._checkpoint.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
