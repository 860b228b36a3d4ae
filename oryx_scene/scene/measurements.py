"""What is measured of a scene, whatever is asked: computed once and kept for every question."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.geometry.upright import z_is_up
from oryx_scene.marks.relations import ReferenceView, measure_relations
from oryx_scene.records import Frame, Mark, MarkSet, Relation, Vector3, ViewSet
from oryx_scene.scene.prompt_text import view_names

# A number in the prompt is taken at its word. Where two standard deviations are more than half a
# metre, and more than a quarter of the way to the camera, it is not told.
STATED_STD_M = 0.25
STATED_STD_SHARE = 0.125


def as_stated(mark: Mark, views: ViewSet) -> Mark:
    """A mark as facts may tell it: without a place, and a size, that is not known well enough.

    A deviation that nobody knows (NaN: rendered truth, older dumps) is no reason against a place.
    """
    if mark.position is None:
        return mark
    cameras = [views.frames[seen.view].T_fixed_camera for seen in mark.observations]
    away = [
        float(np.linalg.norm(np.array(mark.position) - camera[:3, 3]))
        for camera in cameras
        if camera is not None
    ]
    most = max(STATED_STD_M, STATED_STD_SHARE * min(away, default=0.0))
    return dataclasses.replace(mark, position=None, size=None) if mark.position_std > most else mark


def newest_view(views: ViewSet) -> int:
    """Index of the newest frame, the first of equals."""
    stamps = [frame.stamp_ns for frame in views.frames]
    return stamps.index(max(stamps))


class ViewMeasurements:
    """The marks as one view has them, computed where they are first asked for.

    Args:
        views: of the scene.
        marks: of the scene.
        stated: the same as facts may tell them (:func:`as_stated`).
        index: of the view.
        name: of the view, as the prompt calls it.
    """

    def __init__(
        self, views: ViewSet, marks: MarkSet, stated: tuple[Mark, ...], index: int, name: str
    ) -> None:
        self.name = name
        self._views = views
        self._marks = marks
        self._stated = stated
        self._frame: Frame = views.frames[index]

    @functools.cached_property
    def points(self) -> tuple[tuple[int, Vector3], ...]:
        """(number, point) of the stated marks with a place, in the view's optical frame, metres.

        Empty where the view has no pose.
        """
        placed = [mark for mark in self._stated if mark.position is not None]
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
        stated: the marks with those places only that facts may tell as numbers.
        by_view: the marks as each view has them.
    """

    def __init__(self, views: ViewSet, marks: MarkSet) -> None:
        self.views = views
        self.marks = marks
        self.names = view_names([frame.camera for frame in views.frames])
        self.newest = newest_view(views)
        self.stated = tuple(as_stated(mark, views) for mark in marks.marks)
        self.by_view = tuple(
            ViewMeasurements(views, marks, self.stated, index, name)
            for index, name in enumerate(self.names)
        )

    @functools.cached_property
    def upright(self) -> bool:
        """Whether z of the fixed frame is up."""
        return z_is_up(self.views.frames)
