"""What is measured of a scene, whatever is asked: computed once and kept for every question."""

from __future__ import annotations

import functools

import numpy as np

from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.geometry.upright import z_is_up
from oryx_scene.marks.relations import ReferenceView, measure_relations
from oryx_scene.records import Frame, MarkSet, Relation, Vector3, ViewSet
from oryx_scene.scene.prompt_text import view_names


def newest_view(views: ViewSet) -> int:
    """Index of the newest frame, the first of equals."""
    stamps = [frame.stamp_ns for frame in views.frames]
    return stamps.index(max(stamps))


class ViewMeasurements:
    """The marks as one view has them, computed where they are first asked for.

    Args:
        views: of the scene.
        marks: of the scene.
        index: of the view.
        name: of the view, as the prompt calls it.
    """

    def __init__(self, views: ViewSet, marks: MarkSet, index: int, name: str) -> None:
        self.name = name
        self._views = views
        self._marks = marks
        self._frame: Frame = views.frames[index]

    @functools.cached_property
    def points(self) -> tuple[tuple[int, Vector3], ...]:
        """(number, point) of the marks with a place, in the view's optical frame, metres.

        Empty where the view has no pose.
        """
        placed = [mark for mark in self._marks.marks if mark.position is not None]
        pose = self._frame.T_fixed_camera
        if pose is None or not placed:
            return ()
        points = np.array([mark.position for mark in placed], dtype=np.float64)
        seen = transform_points(invert(pose), points)
        return tuple(
            (mark.number, (float(p[0]), float(p[1]), float(p[2])))
            for mark, p in zip(placed, seen, strict=True)
        )

    @functools.cached_property
    def relations(self) -> tuple[Relation, ...]:
        """All measured relations, directions and ranges from this view.

        Where the view has no pose, they are those of the scene: from its newest view.
        """
        pose = self._frame.T_fixed_camera
        if pose is None:
            return self._marks.relations
        viewpoint = ReferenceView(self.name, pose)
        return measure_relations(self._marks.marks, self._views.frames, viewpoint)


class Measurements:
    """All that the views and marks of a scene measure.

    Args:
        views: of the scene.
        marks: of the scene.

    Attributes:
        names: of the views, as the prompt calls them.
        newest: index of the newest view.
        by_view: the marks as each view has them.
    """

    def __init__(self, views: ViewSet, marks: MarkSet) -> None:
        self.views = views
        self.marks = marks
        self.names = view_names([frame.camera for frame in views.frames])
        self.newest = newest_view(views)
        self.by_view = tuple(
            ViewMeasurements(views, marks, index, name) for index, name in enumerate(self.names)
        )

    @functools.cached_property
    def upright(self) -> bool:
        """Whether z of the fixed frame is up."""
        return z_is_up(self.views.frames)
