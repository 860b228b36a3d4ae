"""A lesson as tensors: everything that its losses need, made before the model sees it.

Knows nothing of a model, so that other processes can make it ahead, and follows to any device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from oryx_scene.lab.training.dense import PATCH, DenseTargets, dense_targets, pooled_targets
from oryx_scene.lab.training.examples import Lesson, Turn
from oryx_scene.lab.training.instance_heads import InstancePatches, things_in
from oryx_scene.model.api import Stride
from oryx_scene.model.oryx.resample import resize

# A matrix product of a new shape is prepared anew, which costs more than it computes here: shapes
# are filled up to a few.
ROW_MULTIPLE, WORD_MULTIPLE = 8, 64
IGNORED = -100

T = TypeVar("T")


def up(count: int, multiple: int) -> int:
    """The next multiple."""
    return -(-count // multiple) * multiple


@dataclass(frozen=True, eq=False)
class PaddedQuestions:
    """Questions of about one length, filled up to one shape.

    Attributes:
        ids: (rows, length) token ids.
        where: (words,) flat positions whose next token is learnt.
        wanted: (words,) those tokens; `IGNORED` fills up.
        count: of words that count.
    """

    ids: Tensor
    where: Tensor
    wanted: Tensor
    count: int


@dataclass(frozen=True, eq=False)
class Sights:
    """What is true of the pictures of one scene.

    Attributes:
        patches: of every patch.
        things: of the things that they show.
        token_index: (n,) of visual tokens that hold exactly one number, after the compressor.
        tokens: of these; None at 1x, where patches are tokens.
    """

    patches: DenseTargets
    things: InstancePatches
    token_index: Tensor
    tokens: DenseTargets | None


@dataclass(frozen=True, eq=False)
class LessonTensors:
    """One lesson.

    Attributes:
        stride: of the compressor.
        pictures: (views, H, W, 3) uint8, marks drawn; no view where nothing is shown.
        low: (views, h, w, 3) uint8, the coarse views at 1x, else None.
        scene_ids: `PLACEHOLDER` per image slot.
        rows: the questions.
        sights: None where nothing of the pictures is asked for directly.
        lessons: that it holds and counts for (`collate.py`).
    """

    stride: Stride
    pictures: Tensor
    low: Tensor | None
    scene_ids: list[int]
    rows: tuple[PaddedQuestions, ...]
    sights: Sights | None
    lessons: int = 1


def ready(lesson: Lesson, parts: int = 3, sights: bool = True) -> LessonTensors:
    """The tensors of a lesson, on the CPU.

    Args:
        lesson: to be learnt from.
        parts: in which questions go through the model: with more, less is padding.
        sights: whether patches and visual tokens are asked directly too.
    """
    sample, shown = lesson.sample, lesson.pictures
    pictures = np.stack(shown) if shown else np.zeros((0, 0, 0, 3), np.uint8)
    low = None
    if shown and sample.stride is Stride.IMAGE:
        assert sample.low_size is not None
        low = torch.from_numpy(np.stack([resize(one, sample.low_size) for one in shown]))
    return LessonTensors(
        sample.stride,
        torch.from_numpy(pictures),
        low,
        lesson.scene_ids,
        tuple(_rows(group) for group in _groups(lesson.turns, parts)),
        _sights(lesson) if shown and sights else None,
    )


def _sights(lesson: Lesson) -> Sights:
    sample = lesson.sample
    patches = dense_targets(sample)
    views, height, width = sample.labels.shape
    index, tokens = torch.zeros(0, dtype=torch.long), None
    if sample.stride is not Stride.IMAGE:
        grid = (views, height // PATCH, width // PATCH)
        index, tokens = pooled_targets(patches, grid, int(sample.stride))
    return Sights(patches, things_in(sample), index, tokens)


def _groups(turns: Sequence[Turn], parts: int) -> list[list[Turn]]:
    # Long questions beside short ones would mostly be padding.
    ordered = sorted(turns, key=lambda turn: len(turn.prompt) + len(turn.target))
    size = up(max(8, -(-len(ordered) // parts)), 4)
    return [ordered[first : first + size] for first in range(0, len(ordered), size)]


def _rows(turns: Sequence[Turn]) -> PaddedQuestions:
    rows = [[*turn.prompt, *turn.target[:-1]] for turn in turns]
    longest = up(max(map(len, rows)), ROW_MULTIPLE)
    ids = torch.zeros(up(len(rows), 4), longest, dtype=torch.long)
    where, wanted = [], []
    for index, (row, turn) in enumerate(zip(rows, turns, strict=True)):
        ids[index, : len(row)] = torch.tensor(row)
        first = len(turn.prompt) - 1
        learnt = [i for i in range(len(turn.target)) if i not in turn.given]
        where += [index * longest + first + i for i in learnt]
        wanted += [turn.target[i] for i in learnt]
    count = len(wanted)
    fill = up(count, WORD_MULTIPLE) - count
    at, target = torch.tensor(where + [0] * fill), torch.tensor(wanted + [IGNORED] * fill)
    return PaddedQuestions(ids, at.long(), target.long(), count)


def moved(value: T, device: torch.device) -> T:
    """The same record with its tensors on ``device``."""
    there: T = with_leaves(value, Tensor, lambda tensor: tensor.to(device))
    return there


def with_leaves(value: Any, kind: type, turn: Callable[[Any], Any]) -> Any:
    """A record, list or tuple in which ``turn`` was applied to everything of ``kind``."""
    if isinstance(value, kind):
        return turn(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        parts = {name: with_leaves(getattr(value, name), kind, turn) for name in names}
        return dataclasses.replace(value, **parts)
    if isinstance(value, list | tuple):
        return type(value)(with_leaves(one, kind, turn) for one in value)
    return value
