"""A prompt with video -> the tensors that Qwen3-VL takes, from numpy frames.

transformers' Qwen3-VL video processor needs torchvision, which robots often lack or have in a build that does
not match their torch. What it does is small: resize, normalise, cut into patches, write a timestamp before
every temporal patch. This module does the same with OpenCV and numpy; a test compares it with the library's
processor where torchvision can be imported.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize
from transformers.utils import cached_file

from taskmem_ros.policy.prompt import PromptPart, VideoPart

VIDEO_TOKEN = "<|video_pad|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
CONFIG_FILES = ("video_preprocessor_config.json", "processor_config.json", "preprocessor_config.json")
# A frame that needs more is scaled down: with Qwen3-VL's 32 x 32 pixels a token, 512 x 512 pixels.
MAX_FRAME_TOKENS = 256


@dataclass(frozen=True)
class VideoSpec:
    """How a checkpoint wants its video.

    min_pixels, max_pixels: bounds on frames x height x width of one video: the video processor's `size`.
    max_frame_tokens: vision tokens that one frame may take (the video processor's `max_video_tokens`).
    mean, std: per RGB channel, for pixels scaled to 0..1.
    """

    patch_size: int = 16
    temporal_patch_size: int = 2
    merge_size: int = 2
    min_pixels: int = 4096
    max_pixels: int = 25165824
    max_frame_tokens: int = MAX_FRAME_TOKENS
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @classmethod
    def from_pretrained(cls, model: str | Path, **hub) -> VideoSpec:
        """Read a checkpoint's video processor configuration. hub: `revision`, `local_files_only`, ...

        Raises OSError when the checkpoint has none of the known files.
        """
        for name in CONFIG_FILES:
            path = cached_file(str(model), name, _raise_exceptions_for_missing_entries=False, **hub)
            if path is None:
                continue
            config = json.loads(Path(path).read_text(encoding="utf-8"))
            config = config.get("video_processor", config)
            size = config.get("size", {})
            return cls(
                patch_size=config.get("patch_size", cls.patch_size),
                temporal_patch_size=config.get("temporal_patch_size", cls.temporal_patch_size),
                merge_size=config.get("merge_size", cls.merge_size),
                min_pixels=size.get("shortest_edge", cls.min_pixels),
                max_pixels=size.get("longest_edge", cls.max_pixels),
                max_frame_tokens=min(config.get("max_video_tokens", MAX_FRAME_TOKENS), MAX_FRAME_TOKENS),
                mean=tuple(config.get("image_mean", cls.mean)),
                std=tuple(config.get("image_std", cls.std)),
            )
        names = ", ".join(CONFIG_FILES)
        raise OSError(f"{model} has no video processor configuration; expected one of {names}")


class VideoPacker:
    """Prompts with video -> model inputs, for one checkpoint."""

    def __init__(self, tokenizer, spec: VideoSpec):
        self.tokenizer = tokenizer
        self.spec = spec
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_TOKEN)
        self._reserved = [token.content for token in tokenizer.added_tokens_decoder.values()]

    def pack(self, parts: Sequence[PromptPart]) -> dict[str, torch.Tensor]:
        """One user turn, ready for `model.generate(**inputs)`.

        Returns input_ids, attention_mask and mm_token_type_ids (1, tokens) and, where there is video,
        pixel_values_videos (patches, channels * temporal_patch * patch * patch) and video_grid_thw
        (videos, 3).
        """
        videos = [part for part in parts if isinstance(part, VideoPart)]
        packed = [self.patches(video.frames) for video in videos]
        text = self.text(parts, [grid for _, grid in packed])
        ids = torch.tensor([self.tokenizer(text, add_special_tokens=False)["input_ids"]])
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            # 2 marks a video token: what Qwen3-VL's processor writes, and its positions depend on.
            "mm_token_type_ids": torch.where(ids == self.video_token_id, 2, 0),
        }
        if videos:
            patches = np.concatenate([patches for patches, _ in packed])
            inputs["pixel_values_videos"] = torch.from_numpy(patches)
            inputs["video_grid_thw"] = torch.tensor([grid for _, grid in packed])
        return inputs

    def text(self, parts: Sequence[PromptPart], grids: Sequence[tuple[int, int, int]]) -> str:
        """The chat template's text with every video written out as timestamps and placeholder tokens."""
        content = [
            {"type": "text", "text": self._plain(part)} if isinstance(part, str) else {"type": "video"}
            for part in parts
        ]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        pieces = text.split(VIDEO_TOKEN)
        videos = [part for part in parts if isinstance(part, VideoPart)]
        if len(pieces) != len(videos) + 1:
            raise ValueError(
                f"the chat template wrote {len(pieces) - 1} videos for {len(videos)}; is it Qwen3-VL's?"
            )
        expanded = [self._placeholder(video, grid) for video, grid in zip(videos, grids)]
        return "".join(piece + video for piece, video in zip(pieces, [*expanded, ""]))

    def patches(self, frames: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Frames (height, width, 3), RGB uint8 -> patches and grid (t, h, w).

        The patches are float32 of shape (t*h*w, 3 * temporal_patch * patch * patch).
        """
        spec = self.spec
        video = self._resize(frames)
        if pad := -len(video) % spec.temporal_patch_size:
            video = np.concatenate([video, np.repeat(video[-1:], pad, axis=0)])
        video = (video.astype(np.float32) / 255.0 - np.float32(spec.mean)) / np.float32(spec.std)
        grid = (
            len(video) // spec.temporal_patch_size,
            video.shape[1] // spec.patch_size,
            video.shape[2] // spec.patch_size,
        )
        return cut(video, spec), grid

    def _plain(self, text: str) -> str:
        """Text in which the tokenizer's own tokens, such as <|im_end|>, are words like any other."""
        for token in self._reserved:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _resize(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        spec, (height, width) = self.spec, frames[0].shape[:2]
        count = max(len(frames), spec.temporal_patch_size)
        factor = spec.patch_size * spec.merge_size
        height, width = smart_resize(
            num_frames=count,
            height=height,
            width=width,
            temporal_factor=spec.temporal_patch_size,
            factor=factor,
            min_pixels=spec.min_pixels,
            max_pixels=min(spec.max_pixels, count * spec.max_frame_tokens * factor**2),
        )
        smaller = height * width < frames[0].shape[0] * frames[0].shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        return np.stack([cv2.resize(frame, (width, height), interpolation=how) for frame in frames])

    def _placeholder(self, video: VideoPart, grid: tuple[int, int, int]) -> str:
        step = self.spec.temporal_patch_size
        times = list(video.times_s) + [video.times_s[-1]] * (-len(video.times_s) % step)
        tokens = VIDEO_TOKEN * (grid[1] * grid[2] // self.spec.merge_size**2)
        # The first and the last frame of a temporal patch give its time, as in the library's processor.
        return "".join(
            f"<{(times[i] + times[i + step - 1]) / 2:.1f} seconds>{VISION_START}{tokens}{VISION_END}"
            for i in range(0, len(times), step)
        )


def cut(video: np.ndarray, spec: VideoSpec) -> np.ndarray:
    """(frames, height, width, 3) of any dtype -> patches (t*h*w, 3 * temporal_patch * patch * patch).

    Patches of one merge block lie next to each other, as the vision tower's merger expects.
    """
    p, m, t = spec.patch_size, spec.merge_size, spec.temporal_patch_size
    frames, height, width, channels = video.shape
    blocks = video.reshape(frames // t, t, height // p // m, m, p, width // p // m, m, p, channels)
    order = blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return np.ascontiguousarray(order).reshape(-1, channels * t * p * p)
