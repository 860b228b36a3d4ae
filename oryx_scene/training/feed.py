"""What every step is taught, in its order, made by the process that learns or ahead by others."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oryx_scene.training.course import Course
from oryx_scene.training.drills import Drill
from oryx_scene.training.ready import Ready, with_leaves
from oryx_scene.training.workers import open_workers

# Lessons per worker that are made ahead at most.
AHEAD = 4

Taught = tuple[list[Ready], Drill | None]


def taught(
    course: Course, indices: range, first: int, workers: int = 0
) -> Generator[Taught, None, None]:
    """Lessons and drill of each step from ``first`` on; the same for any number of workers.

    Args:
        course: of the stage.
        indices: scenes of every step that are wanted here.
        first: step to begin with.
        workers: processes that make lessons ahead; 0 makes them here, when they are wanted.

    Raises:
        TrainingError: a worker died.
    """
    steps = range(first, course.stage.steps)
    if not workers:
        for step in steps:
            yield (
                [one for index in indices for one in course.ready(step, index)],
                _drill(course, step),
            )
        return
    with open_workers(workers, _keep, course) as pool:
        coming: deque[list[Any]] = deque()
        depth = max(2, -(-AHEAD * workers // max(1, len(indices))))

        def order(step: int) -> None:
            coming.append([pool.submit(_make, step, index) for index in (*indices, None)])

        for step in steps[:depth]:
            order(step)
        for step in steps:
            *lessons, drill = [_tensors(one.result()) for one in coming.popleft()]
            if step + depth in steps:
                order(step + depth)
            yield [one for some in lessons for one in some], drill


def _drill(course: Course, step: int) -> Drill | None:
    return course.drill(step) if course.stage.drills else None


# -- in the workers --------------------------------------------------------------------------------

_kept: list[Course] = []


def _keep(course: Course) -> None:
    _kept[:] = [course]


def _make(step: int, index: int | None) -> Any:
    """A lesson, or the drill where there is no index, with arrays in place of tensors.

    Tensors would go through shared memory, a file each.
    """
    course = _kept[0]
    made = _drill(course, step) if index is None else course.ready(step, index)
    return with_leaves(made, Tensor, Tensor.numpy)


def _tensors(made: Any) -> Any:
    return with_leaves(made, np.ndarray, torch.from_numpy)
