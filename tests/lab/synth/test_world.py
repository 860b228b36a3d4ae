"""Worlds: seeded, never interpenetrating, split by seed and by combination."""

import numpy as np
import pytest

from oryx_scene.errors import ConfigError
from oryx_scene.lab.synth.placement import Body, beside, overlap
from oryx_scene.lab.synth.words import COLOURS, HELD_OUT, SHAPES
from oryx_scene.lab.synth.world import WorldConfig, make_world

CLUTTER = WorldConfig(objects=(6, 9), touching=0.6, stacked=0.2, table=0.5)


def test_equal_seeds_give_equal_worlds_and_splits_differ():
    first, again, other = make_world(5), make_world(5), make_world(6)
    assert first.objects == again.objects
    assert first.objects != other.objects
    test = make_world(5, WorldConfig(split="test"))
    assert test.objects != first.objects


@pytest.mark.parametrize("seed", range(40))
def test_things_share_no_space_and_stand_on_something(seed):
    world = make_world(seed, CLUTTER)
    for i, a in enumerate(world.bodies):
        assert not any(overlap(a, b) for b in world.bodies[:i])
        on_floor = abs(a.bottom) < 1e-9
        carried = any(0 <= a.bottom - b.top < 0.002 for b in world.bodies if b is not a)
        assert on_floor or carried


def test_overlap_sees_a_small_thing_inside_a_large_one_and_a_crossing():
    big = Body("box", np.array([0.5, 0.5, 0.5]), np.array([0, 0, 0.5]), 0.3)
    small = Body("ball", np.array([0.1, 0.1, 0.1]), np.array([0.1, 0, 0.1]), 0.0)
    long = Body("box", np.array([0.9, 0.05, 0.1]), np.array([0, 0, 0.1]), 0.0)
    above = Body("ball", np.array([0.1, 0.1, 0.1]), np.array([0.1, 0, 1.2]), 0.0)
    assert overlap(big, small) and overlap(small, big) and overlap(big, long)
    assert not overlap(big, above)


@pytest.mark.parametrize("kinds", [(a, b) for a in SHAPES for b in SHAPES])
def test_touching_things_touch_without_overlap(kinds):
    rng = np.random.default_rng(1)
    for _ in range(20):
        first = rng.uniform(0.13, 0.3, 3)
        second = rng.uniform(0.13, 0.3, 3)
        if kinds[0] != "box":
            first[:] = first[0]
        if kinds[1] != "box":
            second[:] = second[0]
        a = Body(kinds[0], first, np.array([0.2, 0.1, first[2]]), float(rng.uniform(0, 3)))
        b = beside(a, second, kinds[1], rng)
        moved = b.centre.copy()
        moved[:2] += (
            0.01 * (a.centre[:2] - b.centre[:2]) / np.linalg.norm((a.centre - b.centre)[:2])
        )
        closer = Body(b.kind, b.half, moved, b.yaw)
        if kinds != ("ball", "ball") and "ball" in kinds:
            continue  # a ball leans over or under an edge; footprints say nothing about it
        assert not overlap(a, b)
        assert overlap(a, closer)


def test_clutter_touches():
    close = 0
    for seed in range(20):
        bodies = make_world(seed, CLUTTER).bodies
        for i, a in enumerate(bodies):
            for b in bodies[:i]:
                gap = np.hypot(*(a.centre[:2] - b.centre[:2])) - a.radius - b.radius
                close += gap < 0.02
    assert close > 20
    for seed in range(20):
        bodies = make_world(seed, WorldConfig(table=0.0, stacked=0.0)).bodies
        for i, a in enumerate(bodies):
            for b in bodies[:i]:
                gap = np.hypot(*(a.centre[:2] - b.centre[:2])) - a.radius - b.radius
                assert gap >= 0.12 - 1e-9


@pytest.mark.parametrize("split", ["train", "test"])
def test_held_out_combinations_stay_out(split):
    for seed in range(150):
        world = make_world(seed, WorldConfig(split=split))
        assert not {(o.colour, o.shape) for o in world.objects} & set(HELD_OUT)


def test_the_combinations_split_holds_at_least_one():
    for seed in range(60):
        world = make_world(seed, WorldConfig(split="combinations", table=0.0))
        assert {(o.colour, o.shape) for o in world.objects} & set(HELD_OUT)


def test_every_word_occurs():
    worlds = [make_world(seed) for seed in range(80)]
    assert {o.colour for w in worlds for o in w.objects} == set(COLOURS)
    assert {o.shape for w in worlds for o in w.objects} == {*SHAPES, "table"}


def test_truth_is_the_bounding_box_of_the_solids():
    for seed in range(20):
        world = make_world(seed, CLUTTER)
        for thing in world.objects:
            solids = [s for s in world.solids if s.object_id == thing.object_id]
            if thing.shape in ("ball", "cylinder"):
                half = np.array([solids[0].half[0]] * 2 + [solids[0].half[2]])
                low, high = solids[0].centre - half, solids[0].centre + half
            else:
                corners = np.concatenate([s.corners() for s in solids])
                low, high = corners.min(axis=0), corners.max(axis=0)
            assert np.allclose((low + high) / 2, thing.position, atol=1e-6)
            assert np.allclose(high - low, thing.extent, atol=1e-6)


@pytest.mark.parametrize(
    "values",
    [{"split": "validation"}, {"objects": (5, 2)}, {"table": 1.5}, {"spread_m": 3.0}],
)
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(ConfigError):
        WorldConfig(**values)


def test_negative_seeds_are_refused():
    with pytest.raises(ConfigError, match="negative"):
        make_world(-1)
