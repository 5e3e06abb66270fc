"""Training the eyes: which things, people and states stand in which cell of the picture.

A caption says little about a picture, so a vision tower that learns from captions alone is slow to begin. The
demo home knows what it has drawn where; a linear head, thrown away afterwards, reads it off the features that
the language model is given. Every feature covers a cell of a pair of frames; each frame has labels of its
own. What a thing stands on is told in the thing's own cell: that is where the language model will look.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from taskmem_ros.home import HEIGHT, WIDTH
from taskmem_ros.home.things import COLOURS, DEVICES, DOOR, GARMENTS, KINDS, PEOPLE, ROOM_OF, state_word
from taskmem_train.demo.samples import SeenClip

_THINGS = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS]
_DEEDS = (
    "put",
    "took",
    "carrying",
    "sat",
    "came",
    "left",
    "waved",
    "opened",
    "closed",
    "switched on",
    "switched off",
)
LABELS = (
    *(f"thing {thing}" for thing in _THINGS),
    *(f"holding {held}" for held in (*_THINGS, *COLOURS, *KINDS, *(f"by {name}" for name in PEOPLE))),
    *(f"person {name}" for name in PEOPLE),
    *(f"colour {colour}" for colour in COLOURS),
    *(f"garment {garment}" for garment in GARMENTS),
    "sitting",
    "waving",
    *(f"piece {piece}" for piece in ROOM_OF),
    *(f"{device} {state_word(device, active)}" for device in DEVICES for active in (False, True)),
    *(f"{word} on {piece}" for word in (*COLOURS, *KINDS) for piece in ROOM_OF),
    *(f"{name} by {spot}" for name in PEOPLE for spot in (*ROOM_OF, DOOR)),
    *(f"{name} {deed}" for name in PEOPLE for deed in _DEEDS),
)
_INDEX = {label: index for index, label in enumerate(LABELS)}
# A label is present in few cells: without this the head would long say "never".
_POSITIVE_WEIGHT = 8.0


def cell_labels(seen: Sequence[SeenClip], rows: int, columns: int) -> torch.Tensor:
    """Labels (pairs, rows * columns, 2 * len(LABELS)) uint8 of clips, pairs as `pixel_pairs` counts them."""
    pairs = []
    for item in seen:
        marks = list(item.marks) + [item.marks[-1]] * (len(item.marks) % 2)
        for number, pair in enumerate(zip(marks[::2], marks[1::2])):
            labels = torch.zeros(rows * columns, 2 * len(LABELS), dtype=torch.uint8)
            for half, frame in enumerate(pair):
                for label, x, y in frame:
                    labels[_cell(x, y, rows, columns), half * len(LABELS) + _INDEX[label]] = 1
            # What somebody does between the two frames is told where that somebody is.
            for fact in item.events[number * 2] if number * 2 < len(item.events) else ():
                where = [
                    (x, y) for frame in pair for label, x, y in frame if label == f"person {fact.subject}"
                ]
                for x, y in where:
                    labels[_cell(x, y, rows, columns), _INDEX[f"{fact.subject} {fact.verb}"]] = 1
            pairs.append(labels)
    return torch.stack(pairs)


def _cell(x: float, y: float, rows: int, columns: int) -> int:
    row = min(rows - 1, max(0, int(y * rows / HEIGHT)))
    return row * columns + min(columns - 1, max(0, int(x * columns / WIDTH)))


class EyeTest(nn.Module):
    """The head: features (pairs, cells, hidden) -> logits of the labels."""

    def __init__(self, hidden: int):
        super().__init__()
        self.read = nn.Linear(hidden, 2 * len(LABELS))
        nn.init.zeros_(self.read.weight)
        nn.init.constant_(self.read.bias, -4.0)

    def loss(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean over cells of the summed binary cross-entropies."""
        logits = self.read(features).float()
        weight = torch.tensor(_POSITIVE_WEIGHT, device=logits.device)
        each = functional.binary_cross_entropy_with_logits(
            logits, labels.float(), pos_weight=weight, reduction="none"
        )
        return each.sum(-1).mean()

    @torch.no_grad()
    def found(self, features: torch.Tensor, labels: torch.Tensor) -> float:
        """The share of labels present that the head finds (at even odds against the weight)."""
        logits = self.read(features.float())
        present = labels.bool()
        return float((logits[present] > 1.0).float().mean())
