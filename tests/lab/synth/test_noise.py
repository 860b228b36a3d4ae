"""Spoilt frames are spoilt by as much as was asked for, and the same way every time."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.errors import ConfigError
from oryx_scene.lab.synth.noise import NoiseConfig, spoil, spoil_depth, spoil_pose
from oryx_scene.lab.synth.render import render_views
from oryx_scene.lab.synth.rigs import RigConfig, make_poses
from oryx_scene.lab.synth.world import make_world


def frames_of(**values):
    world = make_world(3)
    return render_views(
        world, make_poses(world, RigConfig(**{"height": 120, "width": 160, **values}))
    )


def test_depth_noise_grows_with_z():
    rng = np.random.default_rng(0)
    for z in (1.0, 4.0):
        depth = np.full((200, 300), z, np.float32)
        share = spoil_depth(depth, NoiseConfig(depth_share=0.01), rng) - depth
        assert float(share.std()) == pytest.approx(0.01 * z, rel=0.05)
        square = spoil_depth(depth, NoiseConfig(depth_quadratic=0.002), rng) - depth
        assert float(square.std()) == pytest.approx(0.002 * z * z, rel=0.05)


def test_neighbouring_errors_are_alike_over_the_asked_distance():
    depth = np.full((200, 300), 2.0, np.float32)

    def likeness(blur):
        config = NoiseConfig(depth_share=0.01, depth_blur_px=blur)
        error = spoil_depth(depth, config, np.random.default_rng(1)) - depth
        return float((error[:, 1:] * error[:, :-1]).mean() / error.var())

    assert abs(likeness(0.0)) < 0.05
    assert likeness(1.0) > 0.6


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_holes_cover_the_asked_share_in_patches(share):
    depth = np.full((240, 320), 2.0, np.float32)
    holes = np.isnan(spoil_depth(depth, NoiseConfig(holes=share), np.random.default_rng(2)))
    assert holes.mean() == pytest.approx(share, abs=0.01)
    # Patches, not single pixels: most neighbours of a hole are holes.
    assert (holes[:, 1:] & holes[:, :-1]).sum() > 0.6 * holes.sum()


def test_pose_noise_has_the_asked_size():
    config = NoiseConfig(turn_deg=1.0, shift_m=0.02)
    rng = np.random.default_rng(3)
    turns, shifts = [], []
    for _ in range(800):
        T = spoil_pose(np.eye(4), config, rng)
        assert np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3))
        turns.append(np.arccos(np.clip((np.trace(T[:3, :3]) - 1) / 2, -1, 1)))
        shifts.append(np.linalg.norm(T[:3, 3]))
    assert np.degrees(np.sqrt(np.mean(np.square(turns)))) == pytest.approx(1.0, rel=0.1)
    assert np.sqrt(np.mean(np.square(shifts))) == pytest.approx(0.02, rel=0.1)


def test_skew_moves_along_the_cameras_path_only():
    frames = frames_of(kind="handheld", views=5)
    skewed = spoil(frames, NoiseConfig(skew_s=0.2), seed=1)
    moved = [
        float(np.linalg.norm(a.T_fixed_camera[:3, 3] - b.T_fixed_camera[:3, 3]))
        for a, b in zip(frames, skewed, strict=True)
    ]
    steps = [
        float(np.linalg.norm(a.T_fixed_camera[:3, 3] - b.T_fixed_camera[:3, 3]))
        for a, b in itertools.pairwise(frames)
    ]
    assert 0 < max(moved) <= 0.2 * max(steps) + 1e-9
    still = frames_of(kind="ring", views=3)
    again = spoil(still, NoiseConfig(skew_s=0.2), seed=1)
    assert all(
        (a.T_fixed_camera == b.T_fixed_camera).all() for a, b in zip(still, again, strict=True)
    )


def test_losses_roll_from_camera_to_camera():
    frames = frames_of(kind="mast", views=18)
    left = spoil(frames, NoiseConfig(missing=1 / 6), seed=0)
    assert len(left) == 15
    kept = {(frame.camera, frame.stamp_ns) for frame in left}
    lost = [frame for frame in frames if (frame.camera, frame.stamp_ns) not in kept]
    # One of six cameras at each of the three instants, each time another one.
    assert len({frame.stamp_ns for frame in lost}) == 3
    assert len({frame.camera for frame in lost}) == 3


@given(st.integers(0, 99), st.floats(0, 0.9), st.floats(0, 0.9), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_equal_seeds_spoil_equally_and_one_frame_is_always_left(seed, holes, missing, views):
    frames = frames_of(kind="handheld", views=views, height=24, width=32)
    config = NoiseConfig(0.01, holes=holes, turn_deg=2.0, shift_m=0.1, missing=missing)
    first, again = spoil(frames, config, seed), spoil(frames, config, seed)
    assert first
    for a, b in zip(first, again, strict=True):
        assert a.depth_sha256 == b.depth_sha256
        assert (a.T_fixed_camera == b.T_fixed_camera).all()
        assert a.labels is not None


def test_no_noise_changes_nothing():
    frames = frames_of(views=2)
    assert spoil(frames, NoiseConfig(), 5) == frames


@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(NoiseConfig)])
def test_negative_noise_is_refused(name):
    with pytest.raises(ConfigError, match=name):
        NoiseConfig(**{name: -0.1})
