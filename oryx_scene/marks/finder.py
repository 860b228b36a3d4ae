"""Finding marks in a frozen view set: the depth route.

Views are fused into one grid, the grid falls into objects, and because every pixel knows its voxel,
the same object has the same number in every view without matching pictures. The result does not
depend on the order of the views. Where depth or poses are missing it says so and invents nothing.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.ndimage import find_objects

from oryx_scene.frames import Frame, Mark, MarkSet, ViewSet
from oryx_scene.marks.choice import FoundObject, SeenIn, choose_marks, disc_radii
from oryx_scene.marks.config import MarksConfig
from oryx_scene.marks.objects import Candidate, find_candidates, label_image
from oryx_scene.marks.relations import measure_relations
from oryx_scene.marks.segments import segment
from oryx_scene.marks.spots import Cutout
from oryx_scene.marks.tracks_route import find_marks_by_tracks
from oryx_scene.marks.voxels import PIXEL_STEP, IntArray, VoxelGrid, fuse, usable


def find_marks(views: ViewSet, config: MarksConfig | None = None, *, question: str = "") -> MarkSet:
    """Number the objects of a view set.

    Args:
        views: frames; those without depth, calibration or pose carry no marks, unless no view has
            all three: then objects are joined by colour and tracks (`tracks_route`).
        config: limits; ``disc_radii`` are per view of ``views``.
        question: objects whose label it names come first.

    Returns:
        at most ``config.max_marks`` marks, numbered from 1 by number of views, then visible area.
    """
    config = config or MarksConfig()
    frames = views.frames
    if not any(usable(frame) for frame in frames):
        return find_marks_by_tracks(views, config, question)
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
    cutouts = {item.view: _cutouts(label_image(grid, labels, item.view)) for item in grid.views}
    found = [_found(item, grid, cutouts, frames) for item in candidates.kept]
    radii = disc_radii(frames, [config.disc_radii[i] for i in order] if config.disc_radii else ())
    lattices = [config.lattices[index] for index in order] if config.lattices else ()
    choice = choose_marks(
        found, frames, radii, config.max_marks, question=question, lattices=lattices
    )
    marks = tuple(_renamed(mark, order) for mark in choice.marks)
    left_out = candidates.left_out + choice.left_out
    route = "depth" if marks else "none"
    warnings = () if marks else ("no object could be told apart in depth: no marks",)
    relations = measure_relations(marks, frames)
    return MarkSet(marks, relations, dict(sorted(left_out.items())), route, warnings)


def _renamed(mark: Mark, order: list[int]) -> Mark:
    """The same mark with views counted as the caller does."""
    seen = [dataclasses.replace(item, view=order[item.view]) for item in mark.observations]
    return dataclasses.replace(mark, observations=tuple(sorted(seen, key=lambda item: item.view)))


def _cutouts(image: IntArray) -> dict[int, Cutout]:
    """Label -> its pixels in one view's label picture."""
    boxes = find_objects(image + 1)
    return {
        label: Cutout(
            image[box] == label, box[1].start * PIXEL_STEP, box[0].start * PIXEL_STEP, PIXEL_STEP
        )
        for label, box in enumerate(boxes)
        if box is not None
    }


def _found(
    candidate: Candidate,
    grid: VoxelGrid,
    cutouts: dict[int, dict[int, Cutout]],
    frames: list[Frame],
) -> FoundObject:
    depth = {item.view: item.z for item in grid.views}
    seen, middles = [], []
    for view in sorted(candidate.views):
        cutout = cutouts[view][candidate.label]
        row, column = cutout.v0 // PIXEL_STEP, cutout.u0 // PIXEL_STEP
        height, width = cutout.mask.shape
        z = depth[view][row : row + height, column : column + width]
        seen.append(SeenIn(view, cutout, _visible_fraction(candidate, grid, view), z))
        middles.append(np.median(z[cutout.mask]))
    x, y, z_ = (float(value) for value in candidate.position)
    sx, sy, sz = (float(value) for value in candidate.size)
    # Depth noise of one percent at the mean distance, and half a voxel of quantisation.
    mean_z = float(np.mean(middles))
    return FoundObject(
        tuple(seen),
        position=(x, y, z_),
        size=(sx, sy, sz),
        position_std=float(np.hypot(0.01 * mean_z, 0.015)),
        frame_id=next(frame.fixed_frame for frame in frames if frame.fixed_frame),
    )


def _visible_fraction(candidate: Candidate, grid: VoxelGrid, view: int) -> float:
    """Share of the object's known surface that this view saw."""
    bits = grid.seen_by[candidate.voxels] >> np.int64(min(view, 62))
    return float((bits & 1).mean())
