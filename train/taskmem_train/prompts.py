"""Prompts with video, and replies to them, as batches of tensors that a Qwen3-VL takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from taskmem_ros.policy.load import Checkpoint
from taskmem_ros.policy.prompt import PromptPart


class PromptBatch:
    """Pads prompts on the left, so that every reply begins in the same column."""

    def __init__(self, checkpoint: Checkpoint):
        self._packer = checkpoint.packer
        self._pad = checkpoint.tokenizer.pad_token_id
        self._device, self._dtype = checkpoint.device, checkpoint.dtype

    def prompts(self, prompts: Sequence[Sequence[PromptPart]]) -> dict[str, torch.Tensor]:
        """User turns -> input_ids, attention_mask, mm_token_type_ids (rows, tokens), and the videos of all
        rows in order: pixel_values_videos (patches, values), video_grid_thw (videos, 3).
        """
        packed = [self._packer.pack(parts) for parts in prompts]
        length = max(item["input_ids"].shape[1] for item in packed)
        batch = {
            name: torch.cat([_left(item[name], length, fill) for item in packed])
            for name, fill in (("input_ids", self._pad), ("attention_mask", 0), ("mm_token_type_ids", 0))
        }
        for name in ("pixel_values_videos", "video_grid_thw"):
            if videos := [item[name] for item in packed if name in item]:
                batch[name] = torch.cat(videos)
        return {name: self._placed(tensor) for name, tensor in batch.items()}

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device, self._dtype if tensor.is_floating_point() else None)


def _left(row: torch.Tensor, length: int, fill: int) -> torch.Tensor:
    return torch.nn.functional.pad(row, (length - row.shape[1], 0), value=fill)
