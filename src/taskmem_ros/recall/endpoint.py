"""A model behind an OpenAI-compatible endpoint: vLLM, llama.cpp, Ollama, LM Studio, any cloud.

One request of the protocol is used, `POST BASE_URL/chat/completions`, and none of it leaves this module: the
reply is a `Completion`, as the policy's own model gives it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
from anyio.from_thread import start_blocking_portal

KEY_VARIABLE = "TASKMEM_READER_KEY"
CONNECT_S = 10.0  # for a connection; the reply may take as long as the deadline lets it
SHOWN = 200  # characters of a server's own words in an error
# What some servers refuse by name (OpenAI's reasoning models, for one), and what is sent in its place.
OPTIONAL: Mapping[str, str | None] = {
    "logprobs": None,
    "response_format": None,
    "temperature": None,
    "max_tokens": "max_completion_tokens",
}


class EndpointError(ValueError):
    """The endpoint gives no reply: one sentence that names it, what is wrong and what to do."""


@dataclass(frozen=True)
class Reply:
    """What an endpoint wrote, a `Completion`.

    confidence: exp of the mean log probability of the reply's tokens, 0..1; 0 where the server gives none.
    ended: "stop", "length" or "deadline".
    """

    text: str
    confidence: float
    finished: bool
    ended: str


class Endpoint:
    """A reader: call it as `MemoryPolicy.complete`. Safe in any thread.

    base_url: as the OpenAI client takes it, "http://localhost:8000/v1". model: a name that the server knows.
    key: sent as a bearer token; None takes the environment's `key_variable`. role: what errors call it.
    Raises ValueError.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str | None = None,
        *,
        role: str = "reader",
        key_variable: str = KEY_VARIABLE,
    ):
        if not _is_address(base_url.strip()):
            raise ValueError(
                f"The {role}'s base_url is {base_url!r}; write the whole address of the server's API, "
                "as in http://localhost:8000/v1"
            )
        if not model.strip():
            raise ValueError(
                f"The {role} at {base_url} needs the name of a model; GET {base_url}/models lists them."
            )
        self.base_url, self.model = base_url.strip().rstrip("/"), model.strip()
        self._at, self._key_variable = f"The {role} at {self.base_url}", key_variable
        self._key = (os.environ.get(key_variable, "") if key is None else key).strip()
        if not (self._key.isascii() and self._key.isprintable()):  # said here, where it is not shown
            raise ValueError(f"The key in {key_variable} has characters that no key has; set it anew.")
        self._refused: frozenset[str] = frozenset()

    def __call__(
        self,
        prompt: str | Sequence[Mapping],
        *,
        max_new_tokens: int = 128,
        deadline: float | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The greedy reply to a prompt: a text, or the protocol's content parts (text and image_url).

        deadline: in time.monotonic() seconds; past it `finished` is False. sampling: the protocol's fields
        for a reply that is not greedy, such as temperature, top_p and seed. Raises EndpointError.
        """
        left = math.inf if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return Reply("", 0.0, finished=False, ended="deadline")
        # The client's own timeouts are between two bytes; this one is for the whole reply, and hangs up.
        with start_blocking_portal() as portal:
            try:
                return portal.call(self._within, left, prompt, self._wanted(max_new_tokens, sampling))
            except TimeoutError:
                return Reply("", 0.0, finished=False, ended="deadline")
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                reason = str(error) or type(error).__name__
                raise EndpointError(
                    f"{self._at} cannot be reached ({reason}); start its server, or name another base_url."
                ) from error

    def _wanted(self, max_new_tokens: int, sampling: Mapping[str, Any] | None) -> dict[str, Any]:
        if sampling is not None:
            return {"max_tokens": max_new_tokens, **sampling}
        wanted: dict[str, Any] = {"temperature": 0, "max_tokens": max_new_tokens, "logprobs": True}
        # Small models keep to JSON only where the server holds them to it.
        wanted["response_format"] = {"type": "json_object"}
        return wanted

    async def _within(self, seconds: float, prompt: str | Sequence[Mapping], wanted: dict[str, Any]) -> Reply:
        with anyio.fail_after(seconds):
            return await self._reply(prompt, wanted)

    async def _reply(self, prompt: str | Sequence[Mapping], wanted: dict[str, Any]) -> Reply:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = httpx2.Timeout(None, connect=CONNECT_S)
        refused = self._refused
        async with httpx2.AsyncClient(timeout=timeout, headers=headers) as client:
            while True:
                asked = {OPTIONAL[name] if name in refused else name: value for name, value in wanted.items()}
                asked.pop(None, None)
                body = {"model": self.model, "messages": [{"role": "user", "content": prompt}], **asked}
                response = await client.post(f"{self.base_url}/chat/completions", json=body)
                if response.is_success:
                    self._refused = refused
                    return self._read(response)
                news = _refused_fields(response) - refused
                if not news:
                    raise self._error(response)
                refused |= news

    def _read(self, response: httpx2.Response) -> Reply:
        try:
            choice = response.json()["choices"][0]
            text = choice["message"]["content"]
        except (ValueError, LookupError, TypeError):
            text = None
        if not isinstance(text, str):
            raise EndpointError(
                f"{self._at} sent a reply without content: {_short(response.text)}; is it "
                "the base of an OpenAI-compatible API, as in http://localhost:8000/v1?"
            )
        ended = "length" if choice.get("finish_reason") == "length" else "stop"
        return Reply(text, _confidence(choice.get("logprobs")), finished=True, ended=ended)

    def _error(self, response: httpx2.Response) -> EndpointError:
        status, said, at = response.status_code, _said(response), self._at
        if status in (401, 403):
            have = f"refuses the key in {self._key_variable}" if self._key else "wants a key"
            return EndpointError(
                f"{at} {have} ({status}: {said}); put a valid one into {self._key_variable}."
            )
        if status == 404 or (status == 400 and "model" in said.lower()):
            return EndpointError(
                f"{at} has no model {self.model!r} or no chat completions ({status}: {said}); "
                f"GET {self.base_url}/models lists its models."
            )
        return EndpointError(f"{at} answered {status}: {said}; its log may say why.")


def _is_address(text: str) -> bool:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def _refused_fields(response: httpx2.Response) -> frozenset[str]:
    """The optional fields that a server names as it refuses a request."""
    named = response.text if response.status_code in (400, 422) else ""
    return frozenset(name for name in OPTIONAL if name in named)


def _said(response: httpx2.Response) -> str:
    """The server's own words for an error."""
    try:
        error = response.json()["error"]
        return _short(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError):
        return _short(response.text) or response.reason_phrase


def _short(text: object) -> str:
    plain = " ".join(str(text).split())
    return plain if len(plain) <= SHOWN else f"{plain[:SHOWN]}..."


def _confidence(logprobs: Any) -> float:
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    values = [token["logprob"] for token in tokens or () if isinstance(token.get("logprob"), (int, float))]
    return math.exp(min(0.0, sum(values) / len(values))) if values else 0.0
