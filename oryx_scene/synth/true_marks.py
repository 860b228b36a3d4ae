"""Marks from true ids: what a perfect mark finder would say about synthetic views.

Same limits, same places for the numbers as the real finder; only the objects are known instead of
found.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from oryx_scene.frames import Frame, Mark, MarkObservation, MarkSet, ViewSet
from oryx_scene.marks.config import MarksConfig
from oryx_scene.marks.relations import measure_relations
from oryx_scene.marks.spots import allowed_centres, bounding_box, find_spot, lattice_points
from oryx_scene.marks.voxels import PIXEL_STEP
from oryx_scene.synth.truth import ObjectTruth

POSITION_STD_M = 0.02


def true_marks(
    views: ViewSet, truth: Mapping[int, ObjectTruth], config: MarksConfig | None = None
) -> MarkSet:
    """Marks of the objects that are visible enough, ranked as the finder ranks them.

    Args:
        views: synthetic frames with ``labels``.
        truth: by object id.
        config: limits, discs and lattices as for `find_marks`.
    """
    config = config or MarksConfig()
    shares = {
        object_id: _shares(views, object_id, config.min_area_share) for object_id in sorted(truth)
    }
    ranked = sorted(
        (object_id for object_id in shares if shares[object_id]),
        key=lambda i: (-len(shares[i]), -round(sum(shares[i].values()), 9), i),
    )
    taken: list[list[tuple[float, float, float]]] = [[] for _ in views.frames]
    marks: list[Mark] = []
    for object_id in ranked[: config.max_marks]:
        seen = tuple(_observe(views, object_id, shares[object_id], config, taken))
        if seen:
            marks.append(_mark(len(marks) + 1, truth[object_id], seen, views.frames[0]))
    found = tuple(marks)
    return MarkSet(
        found, measure_relations(found, views.frames), route="truth" if found else "none"
    )


def _shares(views: ViewSet, object_id: int, least: float) -> dict[int, float]:
    """View -> visible share of the picture, where it is large enough."""
    found = {}
    for index, frame in enumerate(views.frames):
        assert frame.labels is not None
        share = float((frame.labels == object_id).mean())
        if share >= least:
            found[index] = share
    return found


def _observe(
    views: ViewSet,
    object_id: int,
    shares: Mapping[int, float],
    config: MarksConfig,
    taken: list[list[tuple[float, float, float]]],
) -> list[MarkObservation]:
    seen = []
    for view in shares:
        frame = views.frames[view]
        assert frame.labels is not None
        small = frame.labels[::PIXEL_STEP, ::PIXEL_STEP].astype(np.int64)
        mask = small == object_id
        received = config.disc_radii[view] if config.disc_radii else 0.025 * frame.width
        radius = received / PIXEL_STEP
        points = None
        if config.lattices:
            u0, v0, du, dv = (value / PIXEL_STEP for value in config.lattices[view])
            points = lattice_points(mask.shape, (u0, v0, du, dv))
        spot = find_spot(mask, radius, allowed_centres(mask.shape, radius, taken[view]), points)
        if spot is None:
            continue
        taken[view].append((spot.u, spot.v, radius))
        u0_, v0_, u1_, v1_ = (PIXEL_STEP * float(x) for x in bounding_box(small, object_id))
        u, v = spot.u * PIXEL_STEP, spot.v * PIXEL_STEP
        depth = float("nan") if frame.depth is None else float(frame.depth[int(v), int(u)])
        area = int((frame.labels == object_id).sum())
        box = (u0_, v0_, u1_ + PIXEL_STEP - 1, v1_ + PIXEL_STEP - 1)
        seen.append(MarkObservation(view, u, v, received, depth, 1.0, area, box))
    return seen


def _mark(number: int, thing: ObjectTruth, seen: tuple[MarkObservation, ...], frame: Frame) -> Mark:
    return Mark(
        number,
        seen,
        position=thing.position,
        size=thing.extent,
        position_std=POSITION_STD_M,
        frame_id=frame.fixed_frame,
    )


def objects_under(views: ViewSet, marks: MarkSet) -> dict[int, int]:
    """Mark number -> true id of the object that most of its drawn numbers stand on, 0 for none."""
    found = {}
    for mark in marks.marks:
        ids = [
            int(labels[round(seen.v), round(seen.u)])
            for seen in mark.observations
            if (labels := views.frames[seen.view].labels) is not None
        ]
        counts = np.bincount(ids) if ids else np.zeros(1, int)
        found[mark.number] = int(counts.argmax())
    return found
