"""The tower looks for what the convolutional teacher sees: near every patch, and around it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oryx_scene.lab.training.dense import DenseTargets
from oryx_scene.lab.training.distillation import FINAL, LOCAL, Taught, Teacher


class HintHeads(nn.Module):
    """Linear heads from the tower's features to the teacher's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.middle = nn.LayerNorm(width)
        self.local = nn.Linear(width, 4 * LOCAL)
        self.end = nn.LayerNorm(width)
        self.final = nn.Linear(width, FINAL)

    def forward(
        self, middle: Tensor, end: Tensor, taught: Taught, targets: DenseTargets
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss and its parts.

        Args:
            middle: (patches, width) half-way up the tower.
            end: (patches, width) at its end.
            taught: of the same pictures.
            targets: tell which patches show things; those count as much as all others together.
        """
        things = targets.outline.mean(-1) > 0
        local = _far_off(self.local(self.middle(middle)), taught.local.flatten(0, 2), things)
        final = _far_off(self.final(self.end(end)), taught.final.flatten(0, 2), things)
        return local + final, {"local": float(local.detach()), "final": float(final.detach())}


def _far_off(found: Tensor, wanted: Tensor, things: Tensor) -> Tensor:
    each = F.mse_loss(found.float(), wanted.float(), reduction="none").mean(-1)
    groups = [each[group].mean() for group in (things, ~things) if bool(group.any())]
    return torch.stack(groups).mean()


def ask_teacher(teacher: Teacher, pictures: Tensor) -> Taught:
    """What the teacher sees in (n, 3, H, W) normalised pictures; it learns nothing from it."""
    with torch.no_grad(), torch.autocast(pictures.device.type, torch.bfloat16):
        taught: Taught = teacher(pictures)
    return taught
