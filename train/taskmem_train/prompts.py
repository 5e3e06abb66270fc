"""Prompts with video, and replies to them, as batches of tensors that a Qwen3-VL takes.

A clip stands in up to five windows, and no adapter changes what the vision tower sees in it: its features are
computed once and kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from taskmem_ros.policy.load import Checkpoint
from taskmem_ros.policy.prompt import PromptPart, VideoPart

CLIPS_KEPT = 4096
_TOGETHER = 32  # videos that the vision tower sees at once


@dataclass(frozen=True, eq=False)
class _Seen:
    """A video through the vision tower. frames: kept so that their ids stay theirs."""

    frames: tuple[np.ndarray, ...]
    grid: tuple[int, int, int]
    merged: torch.Tensor
    deep: tuple[torch.Tensor, ...]


class PromptBatch:
    """Makes batches for one checkpoint. clips_kept: how many clips' vision features are kept."""

    def __init__(self, checkpoint: Checkpoint, clips_kept: int = CLIPS_KEPT):
        self._packer, self._tokenizer = checkpoint.packer, checkpoint.tokenizer
        self._model, self._device, self._dtype = checkpoint.model, checkpoint.device, checkpoint.dtype
        self._kept: OrderedDict[tuple[int, ...], _Seen] = OrderedDict()
        self._clips_kept = clips_kept

    def prompts(self, prompts: Sequence[Sequence[PromptPart]]) -> dict:
        """User turns, padded on the left, so that every reply begins in the same column.

        Returns input_ids, attention_mask, mm_token_type_ids (rows, tokens) and, where there is video,
        video_grid_thw (videos, 3) and mm_encoder_outputs, the features of all rows' videos in order.
        """
        videos = self._look(prompts)
        ids = [self._ids(parts, seen) for parts, seen in zip(prompts, videos)]
        length = max(map(len, ids))
        batch = {
            "input_ids": [[self._tokenizer.pad_token_id] * (length - len(row)) + row for row in ids],
            "attention_mask": [[0] * (length - len(row)) + [1] * len(row) for row in ids],
        }
        return self._tensors(batch, videos)

    def replies(self, prompts: Sequence[Sequence[PromptPart]], replies: Sequence[str]) -> dict:
        """Each prompt followed by a reply and the end of its turn, padded on the right.

        Returns what `prompts` does, and completion_mask (rows, tokens): 1 where the reply stands.
        """
        videos = self._look(prompts)
        before = [self._ids(parts, seen) for parts, seen in zip(prompts, videos)]
        after = [self._encode(f"{reply}<|im_end|>") for reply in replies]
        length = max(len(a) + len(b) for a, b in zip(before, after))
        fill = [length - len(a) - len(b) for a, b in zip(before, after)]
        pad = self._tokenizer.pad_token_id
        batch = {
            "input_ids": [a + b + [pad] * n for a, b, n in zip(before, after, fill)],
            "attention_mask": [[1] * (length - n) + [0] * n for n in fill],
            "completion_mask": [
                [0] * len(a) + [1] * len(b) + [0] * n for a, b, n in zip(before, after, fill)
            ],
        }
        return self._tensors(batch, videos)

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _ids(self, parts: Sequence[PromptPart], seen: Sequence[_Seen]) -> list[int]:
        return self._encode(self._packer.text(parts, [video.grid for video in seen]))

    def _tensors(self, batch: dict[str, list], videos: Sequence[Sequence[_Seen]]) -> dict:
        tensors: dict = {name: torch.tensor(rows, device=self._device) for name, rows in batch.items()}
        video = tensors["input_ids"] == self._packer.video_token_id
        tensors["mm_token_type_ids"] = torch.where(video, 2, 0)
        if seen := [video for row in videos for video in row]:
            tensors["video_grid_thw"] = torch.tensor([video.grid for video in seen], device=self._device)
            features = BaseModelOutputWithDeepstackFeatures(
                pooler_output=tuple(video.merged for video in seen),
                deepstack_features=list(zip(*(video.deep for video in seen))),
            )
            tensors["mm_encoder_outputs"] = {"video": features}
        return tensors

    def _look(self, prompts: Sequence[Sequence[PromptPart]]) -> list[list[_Seen]]:
        """The videos of each prompt, through the vision tower where they have not been yet."""
        videos = [[part for part in parts if isinstance(part, VideoPart)] for parts in prompts]
        wanted = {_key(video): video for row in videos for video in row}
        new = [video for key, video in wanted.items() if key not in self._kept]
        for first in range(0, len(new), _TOGETHER):
            self._see(new[first : first + _TOGETHER])
        rows = [[self._kept[_key(video)] for video in row] for row in videos]
        for key in wanted:
            self._kept.move_to_end(key)
        while len(self._kept) > self._clips_kept:
            self._kept.popitem(last=False)
        return rows

    @torch.no_grad()
    def _see(self, videos: Sequence[VideoPart]) -> None:
        packed = [self._packer.patches(video.frames) for video in videos]
        pixels = torch.from_numpy(np.concatenate([patches for patches, _ in packed]))
        grids = torch.tensor([grid for _, grid in packed], device=self._device)
        out = self._model.model.get_video_features(
            pixels.to(self._device, self._dtype), grids, return_dict=True
        )
        for index, (video, (_, grid), merged) in enumerate(zip(videos, packed, out.pooler_output)):
            deep = tuple(level[index].clone() for level in out.deepstack_features)
            self._kept[_key(video)] = _Seen(video.frames, grid, merged.clone(), deep)


def _key(video: VideoPart) -> tuple[int, ...]:
    return tuple(map(id, video.frames))
