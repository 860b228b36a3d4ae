"""A small convolutional network that learns shapes first and then shows the tower what to look for.

A vision transformer must learn what an edge looks like at every place of a patch; a convolution
learns it once. This network needs minutes for what costs the tower hours. What it sees, locally
half-way and at its end, is then a target for the tower's own layers (after arXiv 1412.6550 and
arXiv 2012.12877). It is thrown away after training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oryx_scene.lab.training.batch import moved
from oryx_scene.lab.training.collage import LAYOUTS, make_collages
from oryx_scene.lab.training.dataset import pool_files
from oryx_scene.lab.training.dense import (
    COLOUR_INDEX,
    SHAPE_INDEX,
    DenseTargets,
    dense_targets,
    joined_targets,
)
from oryx_scene.lab.training.examples import Lesson, make_sight
from oryx_scene.lab.training.samples import load_sample
from oryx_scene.lab.training.worker_pool import in_order
from oryx_scene.model.oryx.pixels import normalise_batch

CPU = torch.device("cpu")
LOCAL, FINAL = 96, 128
# (channels in, channels out, stride); the first six see what is near, the rest what is around.
NEAR = ((3, 24, 2), (24, 32, 1), (32, 48, 2), (48, 64, 1), (64, 96, 2), (96, LOCAL, 1))
AROUND = ((LOCAL, 128, 2), (128, 128, 1), (128, 128, 1), (128, FINAL, 1))
PICTURES, RATE, DECAY, WARMUP, SAVED = 24, 2e-3, 0.02, 20, 100


@dataclass(frozen=True, eq=False)
class Taught:
    """What the network sees in pictures of one size.

    Attributes:
        local: (n, H/16, W/16, 4 * LOCAL) what is near, the four places of every patch.
        final: (n, H/16, W/16, FINAL).
        shape, colour: logits, (n, H/16, W/16, classes).
    """

    local: Tensor
    final: Tensor
    shape: Tensor
    colour: Tensor


def _layers(sizes: tuple[tuple[int, int, int], ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (before, after, stride) in enumerate(sizes):
        if index:
            layers.append(nn.ReLU())
        layers += [
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
        ]
    return nn.Sequential(*layers)


class Teacher(nn.Module):
    """Ten convolutions down to one place per patch."""

    def __init__(self) -> None:
        super().__init__()
        self.near = _layers(NEAR)
        self.around = _layers(AROUND)
        self.shape = nn.Linear(FINAL, len(SHAPE_INDEX) + 1)
        self.colour = nn.Linear(FINAL, len(COLOUR_INDEX) + 1)

    def forward(self, pictures: Tensor) -> Taught:
        """(n, 3, H, W) normalised pictures, sides of whole patches."""
        near = self.near(pictures.contiguous(memory_format=torch.channels_last))
        final = self.around(F.relu(near)).permute(0, 2, 3, 1)
        local = F.pixel_unshuffle(near, 2).permute(0, 2, 3, 1)
        seen = F.relu(final)
        return Taught(local, final, self.shape(seen), self.colour(seen))


def teacher_loss(taught: Taught, targets: DenseTargets) -> tuple[Tensor, float]:
    """Loss over patches (numbers, things, rest), and how many shapes under numbers are right."""
    total = torch.zeros((), device=taught.final.device)
    things = (targets.shape > 0) & ~targets.marked
    # Colours are learnt at once; at full weight they are all that is learnt for long.
    pairs = ((1.0, taught.shape, targets.shape), (0.2, taught.colour, targets.colour))
    for share, logits, true in pairs:
        each = F.cross_entropy(logits.float().flatten(0, 2), true, reduction="none")
        for group, weight in ((targets.marked, 1.0), (things, 1.0), (targets.shape == 0, 0.5)):
            total = total + share * weight * (each[group].mean() if bool(group.any()) else 0.0)
    hits = taught.shape.flatten(0, 2).argmax(-1) == targets.shape
    return total, float(hits[targets.marked].float().mean())


def train_teacher(
    pool: Path,
    out: Path,
    steps: int,
    seed: int,
    said: Callable[[str], None],
    device: torch.device = CPU,
    workers: int = 0,
) -> Teacher:
    """Train, or go on where it was left; kept in ``out``/state.pt.

    Args:
        pool: folder of training scenes.
        out: folder of the state; a half-written one never has the final name.
        steps: of 24 pictures.
        seed: of weights and pictures.
        said: receives one line now and then.
        device: to compute on.
        workers: processes that make pictures ahead; 0 makes them here.
    """
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    teacher = _new().to(device)
    optimiser = torch.optim.AdamW(teacher.parameters(), lr=RATE, weight_decay=DECAY)
    kept = out / "state.pt"
    first = 0
    if kept.exists():
        state = torch.load(kept, map_location="cpu", weights_only=True)
        teacher.load_state_dict(state["teacher"])
        optimiser.load_state_dict(state["optimiser"])
        first = int(state["step"])
    right: list[float] = []
    tasks = ((seed, step) for step in range(first, steps))
    made = in_order(workers, _collages, tasks, pool_files(pool))
    for step, collages in zip(range(first, steps), made, strict=True):
        rising = min(1.0, (step + 1) / WARMUP)
        optimiser.param_groups[0]["lr"] = (
            RATE * rising * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        )
        loss, hits = _loss(teacher, *moved(collages, device))
        right.append(hits)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % 20 == 0:
            said(f"teacher {step + 1}/{steps} shapes {np.nanmean(right):.3f}")
            right.clear()
        if (step + 1) % SAVED == 0 or step + 1 == steps:
            state = {
                "teacher": teacher.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step + 1,
            }
            half = kept.with_suffix(".part")
            torch.save(state, half)
            half.rename(kept)
    teacher.eval().requires_grad_(False)
    return teacher


def load_teacher(out: Path) -> Teacher:
    """The network that `train_teacher` kept in ``out``, ready to be looked up."""
    teacher = _new()
    state = torch.load(out / "state.pt", map_location="cpu", weights_only=True)
    teacher.load_state_dict(state["teacher"])
    teacher.eval().requires_grad_(False)
    return teacher


def _new() -> Teacher:
    teacher: Teacher = Teacher().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return teacher


def _loss(teacher: Teacher, pictures: Tensor, targets: DenseTargets) -> tuple[Tensor, float]:
    with torch.autocast(pictures.device.type, torch.bfloat16):
        taught = teacher(normalise_batch(pictures))
    return teacher_loss(taught, targets)


def _collages(files: list[Path], wanted: tuple[int, int]) -> tuple[Tensor, DenseTargets]:
    """The pictures of one (seed, step), (n, H, W, 3) uint8, and what is true of their patches.

    All of one size: statistics over few of them would be noise.
    """
    rng = np.random.default_rng([41, *wanted])
    layout = LAYOUTS[int(rng.random() < 0.3)]
    found: list[Lesson] = []
    while len(found) < PICTURES:
        samples = [load_sample(files[int(rng.integers(len(files)))]) for _ in range(2)]
        found += map(make_sight, make_collages(samples, rng, 2, layout))
    parts = [dense_targets(lesson.sample) for lesson in found[:PICTURES]]
    pictures = np.stack([one for lesson in found[:PICTURES] for one in lesson.pictures])
    return torch.from_numpy(pictures), joined_targets(parts)
