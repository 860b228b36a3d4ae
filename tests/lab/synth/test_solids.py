"""Closed-form hits against what must hold on any surface, and against marching along the ray."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.lab.synth.solids import Pattern, Solid, intersect
from oryx_scene.lab.synth.texture import KINDS, brightness


def solid_of(kind, yaw=0.4):
    half = np.array([0.3, 0.3, 0.3]) if kind == "ball" else np.array([0.3, 0.3, 0.4])
    if kind == "box":
        half = np.array([0.3, 0.2, 0.4])
    return Solid(kind, 1, np.array([0.5, -0.2, 0.4]), half, yaw, np.zeros(3))


def inside(solid, points):
    local = (points - solid.centre) @ solid.R_fixed_solid
    if solid.kind == "box":
        return (np.abs(local) <= solid.half).all(axis=1)
    if solid.kind == "ball":
        return np.linalg.norm(local, axis=1) <= solid.half[0]
    return (np.hypot(local[:, 0], local[:, 1]) <= solid.half[0]) & (
        np.abs(local[:, 2]) <= solid.half[2]
    )


@pytest.mark.parametrize("kind", ["box", "ball", "cylinder"])
def test_hits_equal_marching_along_the_ray(kind):
    solid = solid_of(kind)
    rng = np.random.default_rng(3)
    origin = np.array([2.5, 1.0, 1.4])
    directions = (solid.centre - origin + rng.uniform(-0.6, 0.6, (400, 3))).astype(np.float32)
    hits = intersect(solid, origin, directions)
    assert 50 < hits.index.size < 350
    steps = np.linspace(0, 2, 4001)
    for ray in range(400):
        within = inside(solid, origin + steps[:, None] * directions[ray])
        found = np.flatnonzero(hits.index == ray)
        if found.size:
            assert within.any() or hits.local[found[0]] @ hits.local[found[0]] > 0.02
            if within.any():
                assert abs(steps[within.argmax()] - hits.t[found[0]]) < 1e-3
        else:
            assert within.sum() <= 1


@pytest.mark.parametrize("kind", ["box", "ball", "cylinder"])
def test_normals_are_unit_and_face_the_camera(kind):
    solid = solid_of(kind)
    rng = np.random.default_rng(4)
    origin = np.array([-2.0, 1.0, 2.0])
    directions = (solid.centre - origin + rng.uniform(-0.4, 0.4, (500, 3))).astype(np.float32)
    hits = intersect(solid, origin, directions)
    assert np.allclose(np.linalg.norm(hits.normal, axis=1), 1.0, atol=1e-3)
    facing = (hits.normal * directions[hits.index]).sum(axis=1)
    assert (facing < 1e-3).all()
    # A step along the normal leaves the solid, a step against it stays inside.
    points = origin + hits.t[:, None].astype(float) * directions[hits.index]
    assert not inside(solid, points + 0.004 * hits.normal).any()
    assert inside(solid, points - 0.004 * hits.normal).mean() > 0.98


def test_nothing_behind_the_camera_is_hit():
    solid = solid_of("ball")
    away = (np.array([[0.0, 0.0, 0.0]]) + (np.array([3.0, 0, 0.4]) - solid.centre)).astype("f4")
    assert intersect(solid, np.array([3.0, 0.0, 0.4]), away).index.size == 0


@given(st.sampled_from(KINDS), st.floats(0.02, 1.0), st.floats(0.0, 0.9), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_patterns_only_darken_and_by_no_more_than_their_strength(kind, period, strength, seed):
    points = np.random.default_rng(seed).uniform(-3, 3, (300, 3)).astype(np.float32)
    found = brightness(Pattern(kind, period, strength, 1.5), points)
    assert found.shape == (300,)
    assert (found <= 1.0 + 1e-6).all() and (found >= 1.0 - strength - 1e-5).all()


def test_checker_alternates():
    pattern = Pattern("checker", 0.1, 0.5)
    points = np.array([[0.05, 0.05, 0.05], [0.15, 0.05, 0.05], [0.15, 0.15, 0.05]], np.float32)
    assert brightness(pattern, points).tolist() == [1.0, 0.5, 1.0]
