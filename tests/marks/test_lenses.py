"""Barrel and fisheye lenses through every route: marks on the right things, rays as they are."""

import dataclasses

import cv2
import numpy as np
import pytest

from oryx_scene.config import MarksConfig
from oryx_scene.geometry.camera import check_intrinsics, normalised_rays
from oryx_scene.lab.evaluation.mark_scores import score_marks
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import WorldConfig, make_world
from oryx_scene.marks.depth.view_grid import make_grid
from oryx_scene.marks.detections.records import Detection
from oryx_scene.marks.detections.route import find_detected
from oryx_scene.marks.detections.segments import NO_DEPTH
from oryx_scene.marks.finder import find_marks
from oryx_scene.marks.label_placement import Cutout
from oryx_scene.marks.rgb.regions import Region, RegionMap
from oryx_scene.marks.rgb.tracks import NO_RAYS, find_by_tracks
from oryx_scene.marks.viewing_rays import mismatch, sighting_of
from oryx_scene.records import Frame, Intrinsics, ViewSet
from oryx_scene.view.cloud import fuse_cloud

SIZE = (180, 240)
LENSES = {
    # The polynomial folds 0.651 off axis, 91 px of 120: the corners have no ray.
    "barrel": ("plumb_bob", 140.0, (-0.35, 0.0, 0.0, 0.0, 0.0)),
    "fisheye": ("equidistant", 110.0, (0.02, -0.01, 0.003, -0.001)),
}


def lens(name):
    model, focal, D = LENSES[name]
    K = np.array([[focal, 0, 119.5], [0, focal, 89.5], [0, 0, 1]])
    return check_intrinsics(Intrinsics(K, *SIZE, model, np.array(D)), name)


def seen_through(frame, camera):
    """What the lens shows of a pinhole picture; black, unknown and no thing outside of that."""
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    rays = normalised_rays(camera, np.column_stack([u.ravel(), v.ravel()]).astype(float))
    K = frame.intrinsics.K
    at = (rays * np.diag(K)[:2] + K[:2, 2]).astype(np.float32).reshape(*SIZE, 2)
    at = np.nan_to_num(at, nan=-10.0)

    def pick(values, how, outside):
        return cv2.remap(values, at, None, how, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)

    depth = pick(frame.depth, cv2.INTER_NEAREST, float("nan"))
    labels = pick(frame.labels.astype(np.float32), cv2.INTER_NEAREST, 0).astype(np.int32)
    rgb = pick(frame.rgb, cv2.INTER_LINEAR, (0, 0, 0))
    return dataclasses.replace(frame, rgb=rgb, depth=depth, labels=labels, intrinsics=camera)


@pytest.fixture(scope="module", params=list(LENSES))
def scene(request):
    world = make_world(7, WorldConfig(split="test", touching=0.0, stacked=0.0))
    wide = RigConfig("handheld", 4, *SIZE, focal=(0.45, 0.45))
    frames = render_views(world, make_poses(world, wide))
    camera = lens(request.param)
    return world, ViewSet(tuple(seen_through(frame, camera) for frame in frames))


def without_depth(views):
    return ViewSet(tuple(dataclasses.replace(frame, depth=None) for frame in views.frames))


def boxes(views, world):
    found = []
    for frame in views.frames:
        for thing in world.objects:
            mask = frame.labels == thing.object_id
            if mask.sum() > 0.004 * mask.size:
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                box = tuple(map(float, (columns[0], rows[0], columns[-1], rows[-1])))
                found.append(Detection(frame.camera, frame.stamp_ns, box, thing.shape, 0.9, ()))
    return found


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize("depth", [True, False])
def test_marks_through_a_wide_lens_are_on_the_things_they_name(scene, depth, detected):
    world, views = scene
    places = {thing.object_id: thing.position for thing in world.objects}
    given = views if depth else without_depth(views)
    found = find_detected(given, boxes(views, world)) if detected else find_marks(given)
    counts = score_marks(given, found, true_views=views, places=places)
    assert counts.right >= 12
    assert counts.wrong == 0
    # A box holds some of what is around a thing, which counts as its width.
    assert max(counts.place_errors_m) < (0.14 if detected else 0.12)


def test_depth_without_a_ray_has_no_place():
    camera = lens("barrel")
    grey = np.full((*SIZE, 3), 99, np.uint8)
    depth = np.full(SIZE, 2.0, np.float32)
    frame = Frame("c", 1, "c", grey, "", depth=depth, intrinsics=camera, T_fixed_camera=np.eye(4))
    grid = make_grid(frame, 8.0)
    assert grid.z[45 // grid.step, 60 // grid.step] == 2.0
    assert grid.z[0, 0] == 0.0
    points = fuse_cloud([frame], voxel_m=0.05).points
    assert np.isfinite(points).all()
    # Every place lies within the lens model: tan of the angle off axis at most 0.976.
    assert 1.8 < np.hypot(points[:, 0], points[:, 1]).max() < 2 * 0.976
    corner = Detection("c", 1, (0.0, 0.0, 24.0, 18.0), "sign", 0.9)
    assert find_detected(ViewSet((frame,)), [corner]).left_out == {NO_DEPTH: 1}


def region(u0, v0):
    """A piece of 20 x 20 px whose upper left corner lies at (u0, v0)."""
    return Region(Cutout(np.ones((20, 20), bool), u0, v0, 1), np.zeros(3), cut=False)


def test_a_piece_without_rays_is_left_out_and_one_without_a_whole_rim_is_cut():
    grey = np.full((*SIZE, 3), 99, np.uint8)
    frame = Frame("c", 1, "c", grey, "", intrinsics=lens("barrel"), T_fixed_camera=np.eye(4))
    middle, rim, corner = region(110, 80), region(195, 80), region(0, 0)
    assert not sighting_of(middle, frame).cut
    # Centre 85 px off axis, right edge 94.5: the model ends at 91.
    seen = sighting_of(rim, frame)
    assert seen.cut
    # r - 0.35 r^3 = 85 / 140 at r = 0.762.
    assert seen.middle[0] / seen.middle[2] == pytest.approx(0.762, abs=0.001)
    assert sighting_of(corner, frame) is None
    assert mismatch(sighting_of(middle, frame), None) == np.inf
    labels = np.full(SIZE, -1)
    maps = [RegionMap(labels, (middle, corner), 1)] * 2
    moved = np.eye(4)
    moved[0, 3] = 0.3
    other = dataclasses.replace(frame, T_fixed_camera=moved, stamp_ns=2)
    assert find_by_tracks([frame, other], MarksConfig(), maps).left_out[NO_RAYS] == 2
