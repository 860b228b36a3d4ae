"""Direct supervision of what pictures show: digit, colour and shape where the numbers stand.

Questions alone teach a vision tower slowly. Small linear heads, thrown away after training, read
the features of the patch and of the visual token that a number stands on, and of every patch the
thing that it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oryx_scene.lab.synth.words import COLOURS, FURNITURE, SHAPES
from oryx_scene.lab.training.samples import Sample

COLOUR_INDEX = {name: index + 1 for index, name in enumerate(COLOURS)}
SHAPE_INDEX = {name: index + 1 for index, name in enumerate((*SHAPES, FURNITURE))}
PATCH = 16
DIGITS = 10


@dataclass(frozen=True, eq=False)
class DenseTargets:
    """What is true of one scene's patches, flattened over (views, rows, columns).

    Attributes:
        digit: (patches,) number whose disc is centred here, 0 for none.
        colour, shape: (patches,) of what the patch shows; under a disc, of what it names.
        marked: (patches,) whether a disc is centred here.
        outline: (patches, 16) whether each of 4 x 4 cells of the patch shows a thing (0 or 1).
    """

    digit: Tensor
    colour: Tensor
    shape: Tensor
    marked: Tensor
    outline: Tensor


def dense_targets(sample: Sample) -> DenseTargets:
    """Targets of every patch of a scene."""
    middle = sample.labels[:, PATCH // 2 :: PATCH, PATCH // 2 :: PATCH]
    ids = torch.from_numpy(middle.astype("int64"))
    colours = torch.zeros(256, dtype=torch.long)
    shapes = torch.zeros(256, dtype=torch.long)
    for object_id, thing in sample.truth.items():
        colours[object_id] = COLOUR_INDEX[thing.colour]
        shapes[object_id] = SHAPE_INDEX[thing.shape]
    colour, shape, digit = colours[ids], shapes[ids], torch.zeros_like(ids)
    for view, discs in enumerate(sample.discs):
        for disc in discs:
            at = (view, int(disc.v + 0.5) // PATCH, int(disc.u + 0.5) // PATCH)
            object_id = sample.objects.get(disc.number, 0)
            digit[at], colour[at], shape[at] = disc.number, colours[object_id], shapes[object_id]
    flat = digit.flatten()
    return DenseTargets(flat, colour.flatten(), shape.flatten(), flat > 0, _outline(sample))


def joined_targets(parts: Sequence[DenseTargets]) -> DenseTargets:
    """Those of several scenes, one after the other."""
    names = [field.name for field in fields(DenseTargets)]
    return DenseTargets(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _outline(sample: Sample) -> Tensor:
    """(patches, 16): things in the cells of every patch, read at their middles."""
    step = PATCH // 4
    cells = torch.from_numpy(sample.labels[:, step // 2 :: step, step // 2 :: step] > 0)
    views, rows, columns = cells.shape
    shaped = cells.view(views, rows // 4, 4, columns // 4, 4).permute(0, 1, 3, 2, 4)
    return shaped.reshape(-1, 16).float()


class DenseHeads(nn.Module):
    """Linear heads on features of one kind."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.digit = nn.Linear(width, DIGITS)
        self.colour = nn.Linear(width, len(COLOUR_INDEX) + 1)
        self.shape = nn.Linear(width, len(SHAPE_INDEX) + 1)
        self.outline = nn.Linear(width, 16)

    def edges(self, features: Tensor, outline: Tensor) -> Tensor:
        """Loss of the outlines of things: what a shape is recognised by."""
        mixed = (outline.mean(-1) - 0.5).abs() < 0.49
        each = F.binary_cross_entropy_with_logits(
            self.outline(self.norm(features)).float(), outline, reduction="none"
        ).mean(-1)
        return each.mean() + (each[mixed].mean() if bool(mixed.any()) else 0.0)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, width) -> logits of digit, colour and shape."""
        x = self.norm(features)
        return self.digit(x).float(), self.colour(x).float(), self.shape(x).float()


def dense_loss(
    heads: DenseHeads, features: Tensor, targets: DenseTargets, shapes: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """Loss over patches: those with a number, those that show a thing, and the rest, a third each.

    Args:
        features: (patches, width).
        targets: of the same patches.
        shapes: weight of shapes against colour and digit.

    Returns:
        loss, and the accuracies of digit, colour and shape where numbers stand.
    """
    logits = heads(features)
    truths = (targets.digit, targets.colour, targets.shape)
    total = torch.zeros((), device=features.device)
    accuracy = {}
    things = (targets.shape > 0) & ~targets.marked
    for name, found, true in zip(("digit", "colour", "shape"), logits, truths, strict=True):
        each = F.cross_entropy(found, true, reduction="none")
        for group in (targets.marked, things, ~things):
            weight = shapes if name == "shape" else 1.0
            total = total + weight * (each[group].mean() if bool(group.any()) else 0.0)
        hits = found.argmax(-1) == true
        accuracy[name] = float(hits[targets.marked].float().mean())
        if name != "digit":
            accuracy[f"thing_{name}"] = float(hits[things].float().mean())
    return total, accuracy


def pooled_targets(
    targets: DenseTargets, grid: tuple[int, int, int], stride: int
) -> tuple[Tensor, DenseTargets]:
    """Targets of visual tokens that hold exactly one number: (indices, targets)."""
    views, rows, columns = grid

    def cells(x: Tensor) -> Tensor:
        shaped = x.view(views, rows // stride, stride, columns // stride, stride)
        return shaped.permute(0, 1, 3, 2, 4).reshape(-1, stride * stride)

    digit = cells(targets.digit)
    single = (digit > 0).sum(-1) == 1
    index = single.nonzero()[:, 0]
    where = digit[index].argmax(-1, keepdim=True)
    picked = [cells(x)[index].gather(1, where)[:, 0] for x in (targets.colour, targets.shape)]
    digits = digit[index].gather(1, where)[:, 0]
    every = torch.ones_like(digits, dtype=torch.bool)
    return index, DenseTargets(digits, picked[0], picked[1], every, torch.zeros(len(digits), 16))
