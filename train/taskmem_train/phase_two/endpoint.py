"""Candidates from a server: vLLM, or whatever speaks the OpenAI protocol and sees images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from taskmem_ros.policy import Draft
from taskmem_ros.policy.prompt import memorize_parts, parse_memory
from taskmem_ros.recall.endpoint import Endpoint
from taskmem_train.contexts import Context
from taskmem_train.judges.endpoint import content_parts

KEY_VARIABLE = "TASKMEM_SAMPLER_KEY"
WORKERS = 16  # requests at once; the server batches them
TIMEOUT_S = 600.0


class EndpointSampler:
    """Samples memories as `Sampler` does, one request for each. The frames go as images, each after its time.

    The server must serve the very model that is trained: what it writes is preferred or not as the model's
    own. The key is the environment's TASKMEM_SAMPLER_KEY. Raises ValueError.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        temperature: float = 1.0,
        max_new_tokens: int = 256,
        seed: int = 0,
        workers: int = WORKERS,
        timeout_s: float = TIMEOUT_S,
    ):
        self._endpoint = Endpoint(base_url, model, role="sampler", key_variable=KEY_VARIABLE)
        self._temperature, self._max_new_tokens, self._seed = temperature, max_new_tokens, seed
        self._workers, self._timeout_s = workers, timeout_s

    @property
    def identity(self) -> dict:
        """What its candidates follow from, besides the contexts."""
        return {
            "loaded": [self._endpoint.base_url, self._endpoint.model], "temperature": self._temperature,
            "max_new_tokens": self._max_new_tokens, "seed": self._seed,
        }  # fmt: skip

    def sample(self, contexts: Sequence[Context], count: int) -> list[list[Draft]]:
        """`count` candidates for each context. One that is no memory has text None.

        Raises EndpointError where the server does not answer: then nothing is kept of this call.
        """
        prompts = [content_parts(memorize_parts(c.clips, c.memories)) for c in contexts]
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                asked = [
                    [pool.submit(self._draft, prompt, self._seed + number) for number in range(count)]
                    for prompt in prompts
                ]
                return [[future.result() for future in row] for row in asked]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _draft(self, prompt: list[dict], seed: int) -> Draft:
        started = time.monotonic()
        reply = self._endpoint(
            prompt,
            max_new_tokens=self._max_new_tokens,
            deadline=started + self._timeout_s,
            sampling={"temperature": self._temperature, "top_p": 1.0, "seed": seed},
        )
        seconds = time.monotonic() - started
        if reply.ended != "stop":
            return Draft(None, reply.text, 1, 0, seconds, f"the reply was cut off ({reply.ended})")
        try:
            return Draft(parse_memory(reply.text), reply.text, 1, 0, seconds)
        except ValueError as error:
            return Draft(None, reply.text, 1, 0, seconds, str(error))
