"""The memorization policy: a window of clips -> one memory, a prompt -> a reply, from one loaded model."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from taskmem_ros.clips import Clip
from taskmem_ros.policy.adapter import Adapter
from taskmem_ros.policy.decoding import Decoder, YieldPoint
from taskmem_ros.policy.load import DEMO, Checkpoint, load_checkpoint
from taskmem_ros.policy.prompt import PROMPT_HASH, PromptPart, memorize_parts, parse_memory
from taskmem_ros.policy.report import LoadReport, memory_bytes, quantization_warnings, quantized_share
from taskmem_ros.policy.scoring import ScoredToken, Scorer
from taskmem_ros.policy.slot import AdapterSlot, FittedAdapter

# The second try is sampled: repeating a greedy reply would fail in the same way.
RETRY_TEMPERATURE = 0.7


@dataclass(frozen=True)
class Draft:
    """What the policy wrote for a clip.

    text: the memory, None when it failed; then error says why. raw: the last reply as decoded. attempts: 1 or
    2 (0 when the model itself failed). tokens: generated in all attempts. seconds: wall time, questions
    served in between included.
    """

    text: str | None
    raw: str
    attempts: int
    tokens: int
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Completion:
    """A reply to a prompt.

    text: the reply, after any </think>. tokens: generated in all. confidence: exp of the mean log probability
    of the reply's tokens, 0..1 (0 without any). seconds: wall time. finished: False when the deadline cut it
    off. ended: "stop" (by itself), "length" (max_new_tokens) or "deadline".
    """

    text: str
    tokens: int
    confidence: float
    seconds: float
    finished: bool
    ended: str = "stop"

    @classmethod
    def too_late(cls, seconds: float) -> Completion:
        """The reply when the deadline passed before the first token."""
        return cls(text="", tokens=0, confidence=0.0, seconds=seconds, finished=False, ended="deadline")


@dataclass(frozen=True)
class Provenance:
    """What a memory was written by: names and short hashes; adapter is "" without one."""

    model: str
    revision: str
    adapter: str
    prompt_hash: str


class MemoryPolicy:
    """A loaded Qwen3-VL with an adapter slot. One thread at a time; `Engine` serves many."""

    def __init__(self, checkpoint: Checkpoint):
        self._checkpoint = checkpoint
        self._decoder = Decoder(checkpoint)
        self._scorer = Scorer(checkpoint)
        self._slot = AdapterSlot(checkpoint.model)
        self._in_use: FittedAdapter | None = None  # in the slot, but while another one is tried
        self._name = Path(checkpoint.name).name if checkpoint.local else checkpoint.name
        share = quantized_share(checkpoint.model, checkpoint.parameters)
        self._report = LoadReport(
            model=checkpoint.name,
            revision=checkpoint.revision,
            adapter="",
            parameters=checkpoint.parameters,
            quantization=checkpoint.quantization,
            quantized_share=share,
            memory_bytes=memory_bytes(checkpoint.model),
            device=str(checkpoint.device),
            dtype=str(checkpoint.dtype).removeprefix("torch."),
            seconds=checkpoint.seconds,
            warnings=quantization_warnings(checkpoint.model, checkpoint.quantization, share),
        )

    @classmethod
    def load(
        cls,
        model: str = DEMO,
        *,
        revision: str | None = None,
        quantization: str = "none",
        device: str = "auto",
        dtype: str = "auto",
        adapter: str | Path | None = None,
    ) -> MemoryPolicy:
        """Load a Qwen3-VL, dense or mixture of experts.

        model: "demo", a folder, or a hub id (with an optional revision). quantization: "none", "nf4" or
        "int8" (bitsandbytes). device: "auto", "cpu", "cuda" or "cuda:N". dtype: "auto", "float32", "bfloat16"
        or "float16". adapter: a PEFT adapter's folder. Raises LoadError.
        """
        policy = cls(
            load_checkpoint(model, revision=revision, quantization=quantization, device=device, dtype=dtype)
        )
        if adapter:
            policy.set_adapter(adapter)
        return policy

    @property
    def checkpoint(self) -> Checkpoint:
        """The model with what belongs to it, for training; while an adapter is in use, it is in the model."""
        return self._checkpoint

    @property
    def report(self) -> LoadReport:
        """What was loaded, with the adapter in use."""
        return replace(self._report, adapter=self.adapter_id)

    @property
    def provenance(self) -> Provenance:
        """What a memory written now is written by."""
        # A local model is named by its folder: a path says something about the machine, not about the memory.
        return Provenance(self._name, self._report.revision, self.adapter_id, PROMPT_HASH)

    @property
    def adapter_id(self) -> str:
        """The id of the adapter in use, "" for the bare model; one that is only tried is not in use."""
        return self._in_use.id if self._in_use else ""

    @property
    def adapter(self) -> FittedAdapter | None:
        """The adapter in use, None for the bare model."""
        return self._in_use

    def fit_adapter(self, adapter: Adapter) -> FittedAdapter:
        """Build an adapter for this model, ready to be set: in any thread, while the model works. Raises
        LoadError.
        """
        return self._slot.fit(adapter)

    def set_adapter(self, adapter: str | Path | FittedAdapter | None, id: str = "") -> None:
        """Memorize with this adapter, the one in this folder or none, from the next memory on.

        id: of one in a folder: what provenance records; without one, the short sha256 of its weights. Raises
        LoadError; then the adapter in use stays.
        """
        if isinstance(adapter, (str, Path)):
            adapter = self._slot.fit(Adapter.read(adapter, id))
        self._slot.set(adapter)
        self._in_use = adapter

    def unload_adapter(self) -> None:
        """Memorize with the bare model; what a trainer built into it is gone, too."""
        self._slot.clear()
        self._in_use = None

    def write(
        self,
        clips: Sequence[Clip],
        memories: Sequence[str],
        *,
        max_new_tokens: int = 256,
        temperature: float | None = None,
        yield_point: YieldPoint | None = None,
    ) -> Draft:
        """One memory of the last clip, with the adapter on.

        clips: the window, oldest first. memories: those of the earlier clips. temperature: 0 is greedy; None
        is what the checkpoint's generation_config says. Sampling is seeded by the clip, so the same window
        always gives the same memory.
        yield_point: called after every token; it may call `complete`, and what it raises ends the writing. A
        reply without a memory is tried once more, with another seed; then the draft has text None.
        """
        return self._write(self._in_use, clips, memories, max_new_tokens, temperature, yield_point)

    def try_adapter(
        self,
        adapter: FittedAdapter | None,
        clips: Sequence[Clip],
        memories: Sequence[str],
        *,
        max_new_tokens: int = 256,
        yield_point: YieldPoint | None = None,
    ) -> Draft:
        """What `write` would write with this adapter, or with none; the one in use stays in use.

        yield_point: it may call `write`, too: that memory is by the one in use.
        """
        return self._write(adapter, clips, memories, max_new_tokens, None, yield_point)

    def _write(
        self,
        adapter: FittedAdapter | None,
        clips: Sequence[Clip],
        memories: Sequence[str],
        max_new_tokens: int,
        temperature: float | None,
        yield_point: YieldPoint | None,
    ) -> Draft:
        started = time.monotonic()
        parts = memorize_parts(clips, memories)
        seed = zlib.crc32(f"{clips[-1].camera} {clips[-1].start_ns}".encode())
        tokens, raw, error = 0, "", ""
        for attempt in (1, 2):
            with self._decoder.undisturbed(), self._slot.wearing(adapter):
                reply = self._decoder.reply(
                    parts,
                    max_new_tokens,
                    temperature=temperature if attempt == 1 else temperature or RETRY_TEMPERATURE,
                    seed=seed + attempt,
                    yield_point=yield_point,
                )
            tokens, raw = tokens + reply.tokens, reply.raw
            try:
                if reply.ended == "length":
                    raise ValueError(f"the reply was cut off at max_new_tokens {max_new_tokens}")
                return Draft(parse_memory(raw), raw, attempt, tokens, time.monotonic() - started)
            except ValueError as failure:
                error = str(failure)
        return Draft(None, raw, attempt, tokens, time.monotonic() - started, error)

    def complete(
        self,
        prompt: str | Sequence[PromptPart],
        *,
        max_new_tokens: int = 128,
        deadline: float | None = None,
        yield_point: YieldPoint | None = None,
    ) -> Completion:
        """The greedy reply to a prompt, with the adapter off.

        prompt: a text, or text and video in turn. deadline: in time.monotonic() seconds; past it the reply
        ends at the next token. May be called at `write`'s yield point: that memory then goes on as if nothing
        had been.
        """
        started = time.monotonic()
        if deadline is not None and started >= deadline:
            return Completion.too_late(0.0)
        with self._decoder.undisturbed(), self._slot.wearing(None):
            reply = self._decoder.reply(
                [prompt] if isinstance(prompt, str) else prompt,
                max_new_tokens,
                deadline=deadline,
                with_logprobs=True,
                yield_point=yield_point,
            )
        mean = sum(reply.logprobs) / len(reply.logprobs) if reply.logprobs else -math.inf
        return Completion(
            text=reply.text,
            tokens=reply.tokens,
            confidence=math.exp(mean),
            seconds=time.monotonic() - started,
            finished=reply.ended != "deadline",
            ended=reply.ended,
        )

    def reply_logprobs(self, turns: Sequence[tuple[str, str]]) -> list[list[ScoredToken]]:
        """How likely each reply is to its text prompt, token by token, with the adapter off.

        turns: (prompt, reply). All are scored together, so many short ones cost little more than one.
        """
        with self._decoder.undisturbed(), self._slot.wearing(None):
            return self._scorer.logprobs(turns)
