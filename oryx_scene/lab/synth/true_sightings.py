"""In which views a number truly stands on its thing, and which changes the views could tell.

A change can be known only if the views of the other time would show the thing, were it there: the
world with all its things is rendered to see that. A view shows what fills enough of it to be
marked; near that limit nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from oryx_scene.config import MarksConfig
from oryx_scene.lab.synth.render import CameraPose, render_views
from oryx_scene.lab.synth.true_marks import label_under, objects_under
from oryx_scene.lab.synth.world import World
from oryx_scene.marks.depth.reprojection_votes import SAME_TIME_NS
from oryx_scene.records import Changes, Frame, MarkSet, ViewSet

LEAST_SHARE = MarksConfig().min_area_share
# Between the limit over this and the limit times this, it is a close call.
CLOSE = 2.0


def shown(frame: Frame, object_id: int) -> bool | None:
    """Whether a view with true ids shows a thing; None for a close call."""
    assert frame.labels is not None
    share = float((frame.labels == object_id).mean())
    if LEAST_SHARE / CLOSE <= share < LEAST_SHARE * CLOSE:
        return None
    return share >= LEAST_SHARE


def true_sightings(marks: MarkSet, views: ViewSet) -> dict[int, frozenset[int]]:
    """Mark number -> views in which its number stands on its thing.

    Args:
        marks: as found.
        views: with true ids.
    """
    objects = objects_under(views, marks)
    return {
        mark.number: frozenset(
            seen.view
            for seen in mark.observations
            if label_under(views, seen) == objects[mark.number] > 0
        )
        for mark in marks.marks
    }


def true_changes(objects: Mapping[int, int], views: ViewSet, world: World) -> Changes | None:
    """Which marks' things came or went, where the views can tell.

    Args:
        objects: mark number -> true id.
        views: with true ids and poses.
        world: that they show, with all its things.

    Returns:
        None where the views are of one time, show nothing at two times, or tell it only closely.
    """
    changed = {n: thing for n, thing in objects.items() if thing in world.gone | world.new}
    told: dict[int, bool | None] = {}
    if changed:
        whole = render_views(world, [_pose(frame) for frame in views.frames])
        told = {n: _tellable(thing, whole, world) for n, thing in changed.items()}
    if None in told.values():
        return None
    known = [number for number, sure in told.items() if sure]
    if not known and not any(_at_two_times(thing, views.frames) for thing in objects.values()):
        return None
    return Changes(
        tuple(sorted(n for n in known if objects[n] in world.gone)),
        tuple(sorted(n for n in known if objects[n] in world.new)),
    )


def _pose(frame: Frame) -> CameraPose:
    assert frame.intrinsics is not None and frame.T_fixed_camera is not None
    return CameraPose(frame.camera, frame.stamp_ns, frame.intrinsics, frame.T_fixed_camera)


def _tellable(thing: int, whole: Sequence[Frame], world: World) -> bool | None:
    """Whether the time at which a thing is absent would show it; None if only closely."""
    late = thing in world.gone
    found = [shown(f, thing) for f in whole if (f.stamp_ns >= world.changed_ns) == late]
    return True if any(found) else None if None in found else False


def _at_two_times(thing: int, frames: Sequence[Frame]) -> bool:
    stamps = np.array([frame.stamp_ns for frame in frames if shown(frame, thing)], dtype=np.int64)
    return bool(len(stamps) and stamps.max() - stamps.min() > SAME_TIME_NS)
