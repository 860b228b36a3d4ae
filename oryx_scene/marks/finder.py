"""Finding marks in a frozen view set: the depth route.

Views are fused into one grid, the grid falls into objects, and because every pixel knows its voxel,
the same object has the same number in every view without matching pictures. The result does not
depend on the order of the views. Where depth or poses are missing it says so and invents nothing.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

import numpy as np

from oryx_scene.frames import Frame, Mark, MarkObservation, MarkSet, ViewSet
from oryx_scene.marks.config import MarksConfig
from oryx_scene.marks.objects import Candidate, find_candidates, label_image
from oryx_scene.marks.relations import measure_relations
from oryx_scene.marks.segments import segment
from oryx_scene.marks.spots import allowed_centres, bounding_box, find_spot
from oryx_scene.marks.voxels import PIXEL_STEP, VoxelGrid, fuse, usable

NO_DEPTH_WARNING = (
    "no view has depth, calibration and pose: there is no correspondence between views, no marks"
)


def find_marks(views: ViewSet, config: MarksConfig | None = None, *, question: str = "") -> MarkSet:
    """Number the objects of a view set.

    Args:
        views: frames; those without depth, calibration or pose carry no marks.
        config: limits; ``disc_radii`` are per view of ``views``.
        question: objects whose label it names come first.

    Returns:
        at most ``config.max_marks`` marks, numbered from 1 by number of views, then visible area.
    """
    config = config or MarksConfig()
    frames = views.frames
    if not any(usable(frame) for frame in frames):
        return MarkSet(warnings=(NO_DEPTH_WARNING,))
    order = sorted(range(len(frames)), key=lambda i: _identity(frames[i]))
    found = _find_ordered([frames[i] for i in order], config, order, question)
    missing = [frame.camera for frame in frames if not usable(frame)]
    warnings = found.warnings
    if missing:
        listed = ", ".join(sorted(set(missing)))
        warnings += (f"no depth or pose in views of {listed}: no marks there",)
    return dataclasses.replace(found, warnings=warnings)


def _identity(frame: Frame) -> tuple[int, str, str]:
    return frame.stamp_ns, frame.camera, frame.sha256


def _find_ordered(
    frames: list[Frame], config: MarksConfig, order: list[int], question: str
) -> MarkSet:
    grid = fuse(frames, config.voxel_m, config.max_range_m)
    labels = segment(grid, config)
    sizes = {index: (frame.height, frame.width) for index, frame in enumerate(frames)}
    candidates = find_candidates(grid, labels, sizes, config)
    left_out = Counter(candidates.left_out)
    ranked = sorted(candidates.kept, key=lambda item: _rank(item, frames))
    radii = _radii(frames, config, order)
    taken: list[list[tuple[float, float, float]]] = [[] for _ in frames]
    images = {item.view: label_image(grid, labels, item.view) for item in grid.views}
    marks: list[Mark] = []
    for candidate in ranked:
        if len(marks) == config.max_marks:
            left_out["beyond the number of marks"] += 1
            continue
        seen = _observe(candidate, grid, images, radii, taken)
        if not seen:
            left_out["no free place for its number"] += 1
            continue
        for item in seen:
            taken[item.view].append(
                (item.u / PIXEL_STEP, item.v / PIXEL_STEP, item.radius_px / PIXEL_STEP)
            )
        renamed = sorted(
            (dataclasses.replace(item, view=order[item.view]) for item in seen),
            key=lambda item: item.view,
        )
        marks.append(_mark(len(marks) + 1, candidate, tuple(renamed), frames))
    route = "depth" if marks else "none"
    warnings = () if marks else ("no object could be told apart in depth: no marks",)
    found = MarkSet(tuple(marks), (), dict(sorted(left_out.items())), route, warnings)
    return dataclasses.replace(found, relations=measure_relations(found.marks, frames))


def _rank(candidate: Candidate, frames: list[Frame]) -> tuple[int, float, tuple[float, ...]]:
    share = sum(
        visible / (frames[view].height * frames[view].width)
        for view, visible in candidate.views.items()
    )
    return -len(candidate.views), -round(share, 9), tuple(candidate.position.round(6))


def _radii(frames: list[Frame], config: MarksConfig, order: list[int]) -> list[float]:
    if config.disc_radii:
        return [config.disc_radii[index] for index in order]
    return [0.025 * frame.width for frame in frames]


def _observe(
    candidate: Candidate,
    grid: VoxelGrid,
    images: dict[int, np.ndarray],
    radii: list[float],
    taken: list[list[tuple[float, float, float]]],
) -> list[MarkObservation]:
    """Where the mark goes in each view; views without a free place are left out."""
    seen = []
    for view, visible in sorted(candidate.views.items()):
        image = images[view]
        mask = image == candidate.label
        radius = radii[view] / PIXEL_STEP
        allowed = allowed_centres(mask.shape, radius, taken[view])
        spot = find_spot(mask, radius, allowed)
        if spot is None:
            continue
        z = next(item.z for item in grid.views if item.view == view)
        u0, v0, u1, v1 = bounding_box(image, candidate.label)
        seen.append(
            MarkObservation(
                view=view,
                u=spot.u * PIXEL_STEP,
                v=spot.v * PIXEL_STEP,
                radius_px=radii[view],
                depth_m=float(z[int(spot.v), int(spot.u)]),
                visible_fraction=_visible_fraction(candidate, grid, view),
                area_px=visible,
                bbox=(
                    float(u0 * PIXEL_STEP),
                    float(v0 * PIXEL_STEP),
                    float(u1 * PIXEL_STEP + PIXEL_STEP - 1),
                    float(v1 * PIXEL_STEP + PIXEL_STEP - 1),
                ),
            )
        )
    return seen


def _visible_fraction(candidate: Candidate, grid: VoxelGrid, view: int) -> float:
    """Share of the object's known surface that this view saw."""
    bits = grid.seen_by[candidate.voxels] >> np.int64(min(view, 62))
    return float((bits & 1).mean())


def _mark(
    number: int, candidate: Candidate, seen: tuple[MarkObservation, ...], frames: list[Frame]
) -> Mark:
    x, y, z = (float(value) for value in candidate.position)
    sx, sy, sz = (float(value) for value in candidate.size)
    # Depth noise of one percent at the mean distance, and half a voxel of quantisation.
    mean_z = float(np.mean([item.depth_m for item in seen]))
    std = float(np.hypot(0.01 * mean_z, 0.015))
    frame_id = next(frame.fixed_frame for frame in frames if frame.fixed_frame)
    return Mark(
        number,
        seen,
        position=(x, y, z),
        size=(sx, sy, sz),
        position_std=std,
        frame_id=frame_id,
    )


def names_in(question: str, labels: list[str]) -> list[str]:
    """Labels that a question names, as whole words, in the order given."""
    lowered = question.lower()
    return [
        name for name in labels if name and re.search(rf"\b{re.escape(name.lower())}\b", lowered)
    ]
