"""What every step is taught, in its order, made by the process that learns or ahead by others."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from oryx_scene.lab.training.batch import LessonTensors
from oryx_scene.lab.training.collate import join
from oryx_scene.lab.training.curriculum import Course
from oryx_scene.lab.training.drills import Drill
from oryx_scene.lab.training.worker_pool import in_order

Fed = tuple[list[LessonTensors], Drill | None]


def feed(
    course: Course, indices: range, first: int, workers: int = 0
) -> Generator[Fed, None, None]:
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
    tasks = ((step, index) for step in steps for index in (*indices, None))
    made = in_order(workers, _make, tasks, course)
    for _ in steps:
        *lessons, drill = [next(made) for _ in range(len(indices) + 1)]
        found = [one for some in lessons for one in some]
        yield join(found) if course.wide else found, drill


def _make(course: Course, task: tuple[int, int | None]) -> Any:
    """The lessons of one scene, or the drill where there is no index."""
    step, index = task
    if index is not None:
        return course.ready(step, index)
    return course.drill(step) if course.stage.drills else None
