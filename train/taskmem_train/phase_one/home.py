"""The demo home as the ground of Phase One: streams with their truth, richness, and measures."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch

from taskmem_ros.home import Fact, HomeSim, read_memory
from taskmem_ros.policy import MemoryPolicy
from taskmem_ros.policy.load import Checkpoint
from taskmem_train.contexts import Context
from taskmem_train.demo.batch import collate, loss
from taskmem_train.demo.config import GRID
from taskmem_train.demo.samples import TRAIN_SEEDS, reading_sample, watch
from taskmem_train.phase_one.history import Course, Stream
from taskmem_train.rollout import Sampler


class HomeStreams:
    """Streams of homes that the demo model was never trained on, number 0 being of the world `first`.

    clips: of a stream. size: (width, height) to which frames are reduced at once, () as the camera has them.
    facts: context id -> what its newest clip shows, of the streams that were asked for.
    Raises ValueError for a world that may have been trained on.
    """

    def __init__(self, first: int, clips: int, size: Sequence[int] = ()):
        if first < TRAIN_SEEDS:
            raise ValueError(f"home {first} is for training the demo model; take homes from {TRAIN_SEEDS} on")
        self.facts: dict[str, tuple[Fact, ...]] = {}
        self._first, self._clips, self._size = first, clips, tuple(size) or None
        self.stream = lru_cache(maxsize=64)(self._stream)

    def __call__(self, number: int) -> Stream:
        return self.stream(number)

    def _stream(self, number: int) -> Stream:
        seed = self._first + number
        rng = random.Random(f"phase one {seed}")
        seen = watch(HomeSim(seed), rng.randrange(40), self._clips, rng, self._size)
        for at, item in enumerate(seen):
            self.facts[f"home-{seed}#{at}"] = item.facts
        return Stream(f"home-{seed}", tuple(item.clip for item in seen))


class HomeRichness:
    """How many different true facts a memory states. facts: of each context, by its id."""

    def __init__(self, facts: Mapping[str, Sequence[Fact]]):
        self._facts = facts

    def amounts(self, context: Context, texts: Sequence[str]) -> list[float]:
        truth = set(self._facts[context.id])
        return [float(len(truth.intersection(read_memory(text)[0]))) for text in texts]


class Reading:
    """A loss over reading memories, from the demo model's own training: what it knows stays known.

    One model writes memories and reads them; trained on writing alone it would slowly forget to read.
    conversations: at each step. They follow from the seed and the step.
    """

    def __init__(self, checkpoint: Checkpoint, conversations: int, seed: int = 0):
        self._checkpoint, self._count, self._seed = checkpoint, conversations, seed

    def __call__(self, model: torch.nn.Module, step: int) -> torch.Tensor:
        rng = random.Random(f"reading {self._seed} {step}")
        samples = [reading_sample(rng) for _ in range(self._count)]
        batch = collate(samples, self._checkpoint.packer, [], GRID).to(self._checkpoint.device)
        return loss(model, [], batch)[0]


def measure(policy: MemoryPolicy, streams: Sequence[Stream], facts: Mapping[str, Sequence[Fact]]) -> dict:
    """What a policy writes of streams, each memory after its earlier ones, as `taskmem-train check` counts.

    fidelity: true statements of all stated. facts_per_memory: different true ones. tokens_per_memory: of the
    replies. Memories are sampled as on the robot, but of many streams at once.
    """
    sampler = Sampler(policy, rows=len(streams))
    courses = [Course(stream) for stream in streams]
    memories = stated = true = different = tokens = failed = 0
    while going := [course for course in courses if not course.over]:
        contexts = [course.context() for course in going]
        for course, context, draft in zip(going, contexts, sampler.write(contexts)):
            course.remember(draft.text)
            memories, tokens = memories + 1, tokens + draft.tokens
            if draft.text is None:
                failed, stated = failed + 1, stated + 1
                continue
            said, unread = read_memory(draft.text)
            truth = set(facts[context.id])
            stated += len(said) + len(unread)
            true += sum(fact in truth for fact in said)
            different += len(truth.intersection(said))
    return {
        "memories": memories,
        "fidelity": round(true / stated, 4),
        "facts_per_memory": round(different / memories, 4),
        "tokens_per_memory": round(tokens / memories, 3),
        "failed": failed,
    }
