"""What leads a tower to shapes: the evidence of a whole thing, and its outline around every patch.

Asked for the shape at single patches only, a small tower stays at chance for a thousand steps. Two
easier questions break that plateau: the mean of a thing's patches, half-way up the tower, must tell
the shape, so that every patch learns to bring its own bit of evidence; and every patch of a thing
must know how the thing goes on around it. Both heads are thrown away after training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oryx_scene.lab.training.dense import PATCH, SHAPE_INDEX
from oryx_scene.lab.training.samples import Sample

SHAPE_WEIGHT = 1.5
# The outline is told in cells of half a patch, two patches to every side.
CELL, REACH = 8, 5
WINDOW = 2 * REACH


@dataclass(frozen=True, eq=False)
class InstancePatches:
    """Patches of things in one scene, flattened over (views, rows, columns).

    Attributes:
        patch: (n,) indices of patches whose middle shows a thing.
        thing: (n,) 0..things-1, one number for one thing in one view.
        shape: (things,) class of each.
        around: (n, WINDOW * WINDOW) whether each cell around the patch shows the same thing.
    """

    patch: Tensor
    thing: Tensor
    shape: Tensor
    around: Tensor


def things_in(sample: Sample) -> InstancePatches:
    """The patches of things of a scene."""
    ids = torch.from_numpy(
        sample.labels[:, PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].astype("int64")
    )
    keyed = (ids + 256 * torch.arange(len(ids))[:, None, None]).flatten()
    patch = (ids.flatten() > 0).nonzero()[:, 0]
    keys, thing = torch.unique(keyed[patch], return_inverse=True)
    shapes = torch.zeros(256, dtype=torch.long)
    for object_id, one in sample.truth.items():
        shapes[object_id] = SHAPE_INDEX[one.shape]
    return InstancePatches(
        patch, thing, shapes[keys % 256], _around(sample, ids.flatten()[patch], patch)
    )


def _around(sample: Sample, ids: Tensor, patch: Tensor) -> Tensor:
    half = CELL // 2
    cells = torch.from_numpy(sample.labels[:, half::CELL, half::CELL].astype("float32"))
    # Windows of cells that start REACH - 1 cells before their patch.
    padded = F.pad(cells, (REACH - 1, REACH - 1, REACH - 1, REACH - 1))
    windows = padded.unfold(1, WINDOW, 2).unfold(2, WINDOW, 2).reshape(-1, WINDOW * WINDOW)
    return (windows[patch] == ids[:, None]).float()


class ThingHeads(nn.Module):
    """Linear heads on the features of things."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.middle = nn.LayerNorm(width)
        self.shape = nn.Linear(width, len(SHAPE_INDEX) + 1)
        self.end = nn.LayerNorm(width)
        self.around = nn.Linear(width, WINDOW * WINDOW)

    def forward(
        self, middle: Tensor, features: Tensor, things: InstancePatches
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss and what it found.

        Args:
            middle: (patches, width) half-way up the tower.
            features: (patches, width) at its end.
            things: of the same scene.
        """
        count = len(things.shape)
        if not count:
            return features.new_zeros((), dtype=torch.float32), {}
        each = self.middle(middle[things.patch]).float()
        total = each.new_zeros(count, each.shape[1]).index_add(0, things.thing, each)
        sizes = torch.bincount(things.thing, minlength=count)[:, None]
        logits = self.shape((total / sizes).to(middle.dtype)).float()
        shape = F.cross_entropy(logits, things.shape)
        around = self.around(self.end(features[things.patch])).float()
        outline = F.binary_cross_entropy_with_logits(around, things.around)
        hits = float((logits.argmax(-1) == things.shape).float().mean())
        return SHAPE_WEIGHT * shape + outline, {
            "whole_shape": hits,
            "outline": float(outline.detach()),
        }
