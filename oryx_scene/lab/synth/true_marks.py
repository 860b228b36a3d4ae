"""Marks from true ids: what a perfect mark finder would say about synthetic views.

Same limits, ranks and places for the numbers as the real finder; only the objects are known instead
of found.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import find_objects

from oryx_scene.config import MarksConfig
from oryx_scene.lab.synth.truth import ObjectTruth
from oryx_scene.marks.label_placement import Cutout
from oryx_scene.marks.mark_selection import (
    FoundObject,
    SeenIn,
    choose_marks,
    disc_radii,
    reasons_by_view,
)
from oryx_scene.marks.places import isotropic
from oryx_scene.marks.relations import measure_relations
from oryx_scene.records import Frame, MarkObservation, MarkSet, ViewSet

POSITION_STD_M = 0.02
# Numbers are placed on every second pixel.
PIXEL_STEP = 2


def true_marks(
    views: ViewSet, truth: Mapping[int, ObjectTruth], config: MarksConfig | None = None
) -> MarkSet:
    """Marks of the objects that are visible enough, chosen as the finder chooses them.

    Args:
        views: synthetic frames with ``labels``.
        truth: by object id.
        config: limits, discs and lattices as for `find_marks`.
    """
    config = config or MarksConfig()
    frames = views.frames
    seen = [_seen(index, frame, config) for index, frame in enumerate(frames)]
    found = [
        FoundObject(
            parts,
            position=thing.position,
            size=thing.extent,
            covariance=isotropic(POSITION_STD_M),
            frame_id=frames[0].fixed_frame,
        )
        for thing in truth.values()
        if (parts := tuple(view[thing.object_id] for view in seen if thing.object_id in view))
    ]
    radii = disc_radii(frames, config.discs.radii)
    choice = choose_marks(
        found,
        frames,
        radii,
        config.max_marks,
        lattices=config.discs.lattices,
        most_hidden=config.discs.most_hidden,
    )
    relations = measure_relations(choice.marks, frames)
    route = "truth" if choice.marks else "none"
    by_view = reasons_by_view(choice.by_view, range(len(frames)))
    return MarkSet(choice.marks, relations, dict(choice.left_out), route, left_out_by_view=by_view)


def _seen(index: int, frame: Frame, config: MarksConfig) -> dict[int, SeenIn]:
    """Object id -> its pixels in one view, where they are enough."""
    assert frame.labels is not None
    small = frame.labels[::PIXEL_STEP, ::PIXEL_STEP]
    found = {}
    for object_id, box in enumerate(find_objects(small), 1):
        if box is None:
            continue
        first = box[1].start * PIXEL_STEP, box[0].start * PIXEL_STEP
        cutout = Cutout(small[box] == object_id, *first, PIXEL_STEP)
        if cutout.area_px >= config.min_area_share * frame.height * frame.width:
            found[object_id] = SeenIn(index, cutout, 1.0)
    return found


def label_under(views: ViewSet, seen: MarkObservation) -> int:
    """True id under a drawn number, 0 for none; its view carries true ids."""
    labels = views.frames[seen.view].labels
    assert labels is not None
    return int(labels[round(seen.v), round(seen.u)])


def objects_under(views: ViewSet, marks: MarkSet) -> dict[int, int]:
    """Mark number -> true id of the object that most of its drawn numbers stand on, 0 for none."""
    found = {}
    for mark in marks.marks:
        ids = [
            label_under(views, seen)
            for seen in mark.observations
            if views.frames[seen.view].labels is not None
        ]
        counts = np.bincount(ids) if ids else np.zeros(1, int)
        found[mark.number] = int(counts.argmax())
    return found
