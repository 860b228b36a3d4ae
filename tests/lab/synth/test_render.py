"""Rendered frames: depth, ids and poses agree with the world they show."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.errors import ConfigError
from oryx_scene.geometry.camera import depth_to_points
from oryx_scene.geometry.transforms import check_transform, transform_points
from oryx_scene.lab.synth.render import SensorConfig, render_views
from oryx_scene.lab.synth.rigs import RIGS, RigConfig, clearance, make_poses
from oryx_scene.lab.synth.words import COLOURS
from oryx_scene.lab.synth.world import WorldConfig, make_world

SMALL = RigConfig(height=120, width=160)


def frames_of(seed=1, **values):
    world = make_world(seed)
    config = RigConfig(**{"height": 120, "width": 160, **values})
    return world, render_views(world, make_poses(world, config))


@pytest.mark.parametrize("kind", RIGS)
def test_pixels_lie_on_the_object_that_their_id_names(kind):
    world, frames = frames_of(3, kind=kind)
    seen = 0
    for frame in frames:
        v, u = np.nonzero(frame.labels)
        z = frame.depth[v, u]
        K = frame.intrinsics.K
        camera = np.column_stack([(u - K[0, 2]) * z / K[0, 0], (v - K[1, 2]) * z / K[1, 1], z])
        points = transform_points(frame.T_fixed_camera, camera)
        for thing in world.objects:
            own = points[frame.labels[v, u] == thing.object_id]
            seen += len(own)
            off = np.abs(own - thing.position) - np.array(thing.extent) / 2
            assert (off < 2e-3).all()
    assert seen > 200


def test_background_lies_on_the_room():
    world, frames = frames_of(2)
    for frame in frames:
        points = transform_points(
            frame.T_fixed_camera, depth_to_points(frame.depth, frame.intrinsics)
        )
        background = points[(frame.labels == 0).ravel()]
        room = world.room
        off = np.minimum(np.abs(background - room.low), np.abs(background - room.high)).min(axis=1)
        assert off.max() < 2e-3


def test_nearer_things_hide_farther_ones():
    """Every pixel's depth is the smallest over all solids cast alone."""
    world, frames = frames_of(4, views=2)
    from oryx_scene.lab.synth import render
    from oryx_scene.lab.synth.solids import intersect

    poses = make_poses(world, RigConfig(height=120, width=160, views=2))
    for frame, pose in zip(frames, poses, strict=True):
        rays = render.rays(pose).reshape(-1, 3)
        nearest = np.full(len(rays), np.inf)
        for solid in world.solids:
            hits = intersect(solid, pose.T_map_camera[:3, 3], rays)
            nearest[hits.index] = np.minimum(nearest[hits.index], hits.t)
        shown = (frame.labels > 0).ravel()
        # At grazing rays float32 leaves a tenth of a millimetre.
        assert np.allclose(frame.depth.ravel()[shown], nearest[shown], atol=1e-3)
        assert (nearest[~shown] >= frame.depth.ravel()[~shown] - 1e-3).all()


def test_pictures_show_the_colours_that_the_truth_names():
    right = total = 0
    for seed in range(12):
        world, frames = frames_of(seed)
        for frame in frames:
            for thing in world.objects:
                own = frame.rgb[frame.labels == thing.object_id]
                if len(own) < 60 or thing.colour in ("white", "black"):
                    continue
                mean = own.mean(axis=0)
                names = [name for name in COLOURS if name not in ("white", "black")]
                chroma = {n: np.array(COLOURS[n]) / np.linalg.norm(COLOURS[n]) for n in names}
                best = max(names, key=lambda n: float(chroma[n] @ mean))
                right += best == thing.colour
                total += 1
    assert total > 100 and right / total > 0.97


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    code = (
        "import sys; from oryx_scene.lab.synth.world import make_world;"
        "from oryx_scene.lab.synth.rigs import RigConfig, make_poses;"
        "from oryx_scene.lab.synth.render import render_views; w = make_world(11);"
        "[sys.stdout.write(f.sha256 + f.depth_sha256) for f in render_views(w, make_poses(w,"
        " RigConfig(height=120, width=160)))]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, frames = frames_of(11)
    assert done.stdout == "".join(f.sha256 + f.depth_sha256 for f in frames)
    assert frames[0].sha256 == hashlib.sha256(frames[0].rgb.tobytes()).hexdigest()


def test_noise_differs_between_pictures_of_one_place_and_can_be_switched_off():
    world = make_world(0)
    poses = make_poses(world, RigConfig(height=48, width=64, kind="stereo", interval_s=0.0))
    quiet = SensorConfig(noise=0.0, blur_px=0.0, exposure=0.0)
    first, _, third, _ = render_views(world, poses, quiet)
    assert (first.T_fixed_camera == third.T_fixed_camera).all()
    assert (first.rgb == third.rgb).all()
    world = make_world(1)
    static = [poses[0], poses[1]]
    a, b = render_views(world, static)
    assert a.sha256 != b.sha256


@given(st.sampled_from(RIGS), st.integers(1, 16), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_rigs_give_the_asked_number_of_proper_poses_inside_the_room(kind, views, seed):
    world = make_world(seed)
    poses = make_poses(world, RigConfig(kind=kind, views=views))
    assert len(poses) == views
    assert len({(pose.camera, pose.stamp_ns) for pose in poses}) == views
    assert [p.stamp_ns for p in poses] == sorted(p.stamp_ns for p in poses)
    for pose in poses:
        check_transform(pose.T_map_camera, "T_map_camera")
        place = pose.T_map_camera[:3, 3]
        assert (place >= world.room.low).all() and (place <= world.room.high).all()
        # The picture's down is the world's down, up to an unsteady hand.
        assert pose.T_map_camera[2, 1] < 0


def test_cameras_stay_out_of_things():
    inside = 0
    for seed in range(60):
        world = make_world(seed)
        for kind in RIGS:
            for pose in make_poses(world, RigConfig(kind=kind)):
                inside += clearance(world, pose.T_map_camera[:3, 3]) < 0.05
    assert inside == 0


def test_ring_views_show_most_things_large_enough():
    big = total = 0
    for seed in range(15):
        world = make_world(seed, WorldConfig(split="test"))
        frames = render_views(world, make_poses(world))
        for thing in world.objects:
            total += 1
            shown = [(frame.labels == thing.object_id).sum() for frame in frames]
            big += sorted(shown)[-2] >= 12 * 12
    assert big / total > 0.9


@pytest.mark.parametrize(
    "values", [{"kind": "drone"}, {"views": 0}, {"width": 5}, {"start_ns": -1}]
)
def test_rigs_out_of_range_are_refused(values):
    with pytest.raises(ConfigError):
        RigConfig(**values)
