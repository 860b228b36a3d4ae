"""Marks of detected objects: any detector's boxes or masks joined over views like everything else.

With depth, calibration and pose a detection is the measured points inside it, and two views' points
must lie on each other; without, the pieces are joined as the RGB-only route does (`tracks`), within
one label. Labels travel along. Doubtful detections are left out, and counted.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.config import MarksConfig
from oryx_scene.geometry.camera import project
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.marks.change.revisit import TOLERANCE_M, TOLERANCE_SHARE
from oryx_scene.marks.colour_invariance import paint_image
from oryx_scene.marks.depth.view_grid import usable
from oryx_scene.marks.detections.records import Detection
from oryx_scene.marks.detections.segments import STEP, DetectionSegment, find_pieces
from oryx_scene.marks.instance_map.known_places import NumberMemory
from oryx_scene.marks.label_placement import Cutout
from oryx_scene.marks.mark_selection import (
    FoundObject,
    SeenIn,
    choose_marks,
    disc_radii,
    reasons_by_view,
)
from oryx_scene.marks.places import (
    PoseNoise,
    as_covariance,
    assumed_noise,
    measured_place,
    pose_noise,
)
from oryx_scene.marks.relations import measure_relations
from oryx_scene.marks.rgb.regions import Region, RegionMap
from oryx_scene.marks.rgb.route import Numbers, renamed, sorted_views
from oryx_scene.marks.rgb.tracks import find_by_tracks
from oryx_scene.records import FloatArray, Frame, MarkSet, ViewSet
from oryx_scene.warning import Warning

# Two views' points lie on each other: at least this share of those that can be judged.
LEAST_SUPPORT = 0.5
LEAST_JUDGED = 10

Finder = Callable[[ViewSet, MarksConfig, str], MarkSet]


def detection_finder(detections: Sequence[Detection]) -> Finder:
    """A finder for `ScenePipeline` that marks what was detected, and keeps numbers over scenes."""
    memory = NumberMemory()

    def find(views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        found = [in_picture(item, views.frames) for item in detections]
        return memory.remembering(
            lambda numbers: find_detected(views, found, config, question=question, memory=numbers),
            config.max_marks,
        )

    return find


def in_picture(item: Detection, frames: Sequence[Frame]) -> Detection:
    """A detection in the pixels of its camera's picture, which may be turned (``rotate_deg``)."""
    own = [frame for frame in frames if frame.camera == item.camera]
    if not own:
        return item
    return item.turned(min(own, key=lambda frame: abs(frame.stamp_ns - item.stamp_ns)))


def find_detected(
    views: ViewSet,
    detections: Sequence[Detection],
    config: MarksConfig | None = None,
    *,
    question: str = "",
    memory: Numbers | None = None,
) -> MarkSet:
    """Number the detected objects of a view set.

    Args:
        views: frames; where one has depth, calibration and pose only such views carry marks.
        detections: of any frames; those of other frames are counted and left out.
        config: limits.
        question: objects whose label it names come first.
        memory: numbers of earlier scenes; without one nothing is known of them.

    Raises:
        SourceError: a detection's mask is of another size than its picture.
    """
    config = config or MarksConfig()
    order = sorted_views(views.frames)
    frames = [views.frames[index] for index in order]
    with_depth = any(usable(frame) for frame in frames)
    left_out: Counter[str] = Counter()
    pieces = find_pieces(frames, detections, with_depth, config, left_out)
    if with_depth:
        objects = _joined_by_depth(pieces, frames, config)
    else:
        found = find_by_tracks(frames, config, maps=_maps(pieces, frames))
        labels = _labels_of(pieces)
        objects = [_labelled(item, labels) for item in found.objects]
        left_out += found.left_out
    radii = disc_radii(frames, [config.discs.radii[i] for i in order] if config.discs.radii else ())
    lattices = [config.discs.lattices[i] for i in order] if config.discs.lattices else ()
    choice = choose_marks(
        memory.recall(objects, frames) if memory else objects,
        frames,
        radii,
        config.max_marks,
        question=question,
        used=memory.used() if memory else (),
        lattices=lattices,
        most_hidden=config.discs.most_hidden,
    )
    if memory:
        memory.keep(choice.marks, frames)
    marks = tuple(renamed(mark, order) for mark in choice.marks)
    return MarkSet(
        marks,
        measure_relations(marks, frames),
        dict(sorted((left_out + choice.left_out).items())),
        "detections" if marks else "none",
        _warnings(frames, with_depth, bool(marks)),
        left_out_by_view=reasons_by_view(choice.by_view, order),
    )


def _warnings(frames: Sequence[Frame], with_depth: bool, any_marks: bool) -> tuple[Warning, ...]:
    said = []
    if not any_marks:
        said.append(Warning("detections_unused", "none of the detections could be made a mark"))
    if not with_depth:
        text = (
            "no view has depth, calibration and pose: detections were joined by colour and matched "
            "points, what only one view shows has no number"
        )
        said.append(Warning("marks_by_colour", text))
    elif not all(usable(frame) for frame in frames):
        cameras = ", ".join(sorted({frame.camera for frame in frames if not usable(frame)}))
        said.append(
            Warning("marks_not_in_views", f"no depth or pose in views of {cameras}: no marks there")
        )
    return tuple(said)


def _joined_by_depth(
    pieces: list[DetectionSegment], frames: Sequence[Frame], config: MarksConfig
) -> list[FoundObject]:
    """Objects whose points lie on each other, surest pairs first, one piece of each view."""
    pairs = []
    for i, j in itertools.combinations(range(len(pieces)), 2):
        a, b = pieces[i], pieces[j]
        if a.view == b.view or not _may_be_one(a.detection.label, b.detection.label):
            continue
        support = 0.5 * (_support(a, b, frames[b.view]) + _support(b, a, frames[a.view]))
        if support >= LEAST_SUPPORT:
            pairs.append((-support, i, j))
    group = {i: {i} for i in range(len(pieces))}
    for _, i, j in sorted(pairs):
        one, other = group[i], group[j]
        if one is other or {pieces[k].view for k in one} & {pieces[k].view for k in other}:
            continue
        one |= other
        for k in other:
            group[k] = one
    groups = sorted({tuple(sorted(members)) for members in group.values()})
    noise = [pose_noise(frame.pose_std, assumed_noise(config)) for frame in frames]
    return [_object([pieces[k] for k in members], frames, noise) for members in groups]


def _may_be_one(a: str, b: str) -> bool:
    return not a or not b or a.lower() == b.lower()


def _support(a: DetectionSegment, b: DetectionSegment, frame: Frame) -> float:
    """Share of a's points that b's view sees in b, of those that it can judge.

    A point in front of which b's view sees something else is not judged. Where too few are (the two
    views see two sides), the boxes around the points decide.
    """
    assert frame.depth is not None and frame.intrinsics is not None
    assert frame.T_fixed_camera is not None
    local = transform_points(invert(frame.T_fixed_camera), a.points)
    uv = np.nan_to_num(project(frame.intrinsics, local), nan=-1e6)
    cell = np.floor_divide(np.rint(uv), STEP).astype(np.int64)
    z = frame.depth[::STEP, ::STEP]
    inside = (cell >= 0).all(axis=1) & (cell[:, 0] < z.shape[1]) & (cell[:, 1] < z.shape[0])
    u, v = cell[inside].T
    measured, expected = z[v, u].astype(np.float64), local[inside, 2]
    tolerance = np.maximum(TOLERANCE_M, TOLERANCE_SHARE * expected)
    judged = np.isfinite(measured) & (measured > expected - tolerance)
    same = judged & (measured < expected + tolerance)
    mask = _full(b.seen, z.shape)
    on_it = same & mask[v, u]
    if int(judged.sum()) >= LEAST_JUDGED:
        return float(on_it.sum()) / float(judged.sum())
    return _box_overlap(a.points, b.points)


def _full(seen: Cutout, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    canvas = np.zeros(shape, dtype=bool)
    row, column = seen.v0 // seen.step, seen.u0 // seen.step
    canvas[row : row + seen.mask.shape[0], column : column + seen.mask.shape[1]] = seen.mask
    grown: NDArray[np.bool_] = cv2.dilate(canvas.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return grown


def _box_overlap(a: FloatArray, b: FloatArray) -> float:
    """Shared volume of the two boxes around points, over the smaller one's."""
    grown = 0.03
    low_a, high_a = a.min(axis=0) - grown, a.max(axis=0) + grown
    low_b, high_b = b.min(axis=0) - grown, b.max(axis=0) + grown
    shared = np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0, None).prod()
    return float(shared / min((high_a - low_a).prod(), (high_b - low_b).prod()))


def _object(
    pieces: list[DetectionSegment], frames: Sequence[Frame], noise: Sequence[PoseNoise]
) -> FoundObject:
    showing = [frames[piece.view].T_fixed_camera for piece in pieces]
    place = measured_place(
        np.concatenate([piece.points for piece in pieces]),
        np.stack([pose[:3, 3] for pose in showing if pose is not None]),
        [noise[piece.view] for piece in pieces],
    )
    (x, y, z), (sx, sy, sz) = place.middle.tolist(), place.size.tolist()
    named: dict[str, float] = defaultdict(float)
    for piece in pieces:
        if piece.detection.label:
            named[piece.detection.label] += piece.detection.score
    views = sorted(pieces, key=lambda piece: piece.view)
    return FoundObject(
        tuple(SeenIn(piece.view, piece.seen, depth=piece.depth) for piece in views),
        position=(x, y, z),
        size=(sx, sy, sz),
        covariance=as_covariance(place.covariance),
        frame_id=frames[views[0].view].fixed_frame,
        label=max(named, key=lambda label: (named[label], label), default=""),
        score=float(np.mean([piece.detection.score for piece in pieces])),
    )


def _maps(pieces: list[DetectionSegment], frames: Sequence[Frame]) -> list[RegionMap]:
    """Detections as pieces of pictures; smaller ones lie over larger ones."""
    maps = []
    for view, frame in enumerate(frames):
        own = sorted(
            (piece for piece in pieces if piece.view == view), key=lambda p: -p.seen.area_px
        )
        paint = paint_image(frame.rgb, STEP)
        labels = np.full(paint.shape[:2], -1, dtype=np.int64)
        regions = []
        for index, piece in enumerate(own):
            full = _full(piece.seen, labels.shape)
            labels[full] = index
            u0, v0, u1, v1 = piece.seen.bbox
            cut = min(u0, v0) < STEP or u1 >= frame.width - STEP or v1 >= frame.height - STEP
            middle = np.median(paint[full], axis=0)
            regions.append(Region(piece.seen, middle, bool(cut), piece.detection.label))
        maps.append(RegionMap(labels, tuple(regions), STEP))
    return maps


def _labels_of(pieces: list[DetectionSegment]) -> dict[int, DetectionSegment]:
    """Cut-outs by identity: `tracks` hands them through."""
    return {id(piece.seen): piece for piece in pieces}


def _labelled(found: FoundObject, pieces: dict[int, DetectionSegment]) -> FoundObject:
    own = [pieces[id(part.seen)].detection for part in found.views]
    names = Counter(item.label for item in own if item.label)
    label = max(names, key=lambda name: (names[name], name), default="")
    score = found.score * float(np.mean([item.score for item in own]))
    return dataclasses.replace(found, label=label, score=score)
