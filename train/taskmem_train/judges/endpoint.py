"""Judges behind an OpenAI-compatible endpoint: a larger model on the same machine, or any cloud."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from taskmem_ros.policy.prompt import PromptPart
from taskmem_ros.recall.endpoint import Endpoint, EndpointError
from taskmem_train.judges.grading import SeeingJudge
from taskmem_train.judges.pairwise import PairwiseJudge
from taskmem_train.judges.types import JudgeError

KEY_VARIABLE = "TASKMEM_JUDGE_KEY"
MAX_NEW_TOKENS = 1024  # room for a judge that thinks first
TIMEOUT_S = 120.0
WORKERS = 8
JPEG_QUALITY = 90


class EndpointComplete:
    """A `Complete` over HTTP; frames go as JPEG. Safe in any thread.

    base_url, model: as of `Endpoint`; the key is the environment's TASKMEM_JUDGE_KEY. timeout_s: for one
    reply. Raises ValueError.
    """

    def __init__(
        self, base_url: str, model: str, *, max_new_tokens: int = MAX_NEW_TOKENS, timeout_s: float = TIMEOUT_S
    ):
        self._endpoint = Endpoint(base_url, model, role="judge", key_variable=KEY_VARIABLE)
        self._max_new_tokens = max_new_tokens
        self._timeout_s = timeout_s

    def __call__(self, parts: Sequence[PromptPart]) -> str:
        text_only = all(isinstance(part, str) for part in parts)
        prompt = "".join(parts) if text_only else content_parts(parts)
        try:
            reply = self._endpoint(
                prompt, max_new_tokens=self._max_new_tokens, deadline=time.monotonic() + self._timeout_s
            )
        except EndpointError as error:
            raise JudgeError(str(error)) from error
        at = f"The judge at {self._endpoint.base_url}"
        if not reply.finished:
            raise JudgeError(f"{at} took longer than {self._timeout_s:g} s; give it time, or fewer workers.")
        if reply.ended == "length":
            raise JudgeError(f"{at} was cut off at {self._max_new_tokens} tokens; allow it more.")
        return reply.text


def endpoint_helpfulness(
    base_url: str, model: str, *, workers: int = WORKERS, timeout_s: float = TIMEOUT_S
) -> PairwiseJudge:
    """A judge of helpfulness by any chat model. Raises ValueError."""
    return PairwiseJudge(EndpointComplete(base_url, model, timeout_s=timeout_s), workers)


def endpoint_quality(
    base_url: str, model: str, *, workers: int = WORKERS, timeout_s: float = TIMEOUT_S
) -> SeeingJudge:
    """A judge of quality by a chat model that takes images. Raises ValueError."""
    return SeeingJudge(EndpointComplete(base_url, model, timeout_s=timeout_s), workers)


def content_parts(parts: Sequence[PromptPart]) -> list[dict[str, Any]]:
    """The protocol's content parts: the frames of a video as single images, each after its time."""
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
            continue
        for frame, second in zip(part.frames, part.times_s, strict=True):
            content.append({"type": "text", "text": f"At {second:.1f} s:"})
            content.append({"type": "image_url", "image_url": {"url": _data_url(frame)}})
    return content


def _data_url(image: np.ndarray) -> str:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    good, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not good:
        raise JudgeError(f"OpenCV could not encode a frame of {image.shape[1]}x{image.shape[0]} as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()
