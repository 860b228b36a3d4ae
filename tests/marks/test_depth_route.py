"""The depth route on rooms whose truth is known: views cut into patches, patches into objects."""

import dataclasses

import numpy as np
import pytest

from oryx_scene.config import MarksConfig
from oryx_scene.lab.evaluation.mark_worlds import CONDITIONS, ROUGH, make_scene, scaled
from oryx_scene.lab.evaluation.marks import find_alone, run_condition
from oryx_scene.lab.synth.render import CameraPose, SensorConfig, render_views
from oryx_scene.lab.synth.rigs import RigConfig, look_at, make_poses, pinhole
from oryx_scene.lab.synth.solids import Pattern, Solid
from oryx_scene.lab.synth.world import WorldConfig, make_world
from oryx_scene.marks.depth.backdrop import find_backdrop
from oryx_scene.marks.depth.segments import BACKGROUND, cut_patches, inner_creases
from oryx_scene.marks.depth.view_grid import fit_normals, make_grid
from oryx_scene.records import ViewSet


def true_labels(frame, grid):
    step, half = grid.step, grid.half
    height, width = grid.z.shape
    return frame.labels[half::step, half::step][:height, :width]


def few_views(name):
    return dataclasses.replace(CONDITIONS[name], views=(4, 6))


@pytest.fixture(scope="module")
def clean():
    return make_scene(CONDITIONS["clean"], 3)


def test_a_grid_has_about_160_cells_across_whatever_the_size():
    world = make_world(3)
    for height, width in ((240, 320), (480, 640), (480, 848)):
        poses = make_poses(world, RigConfig(views=1, height=height, width=width))
        grid = make_grid(render_views(world, poses)[0], 6.0)
        assert 130 <= grid.z.shape[1] <= 190
        assert abs(grid.z.shape[0] * width / height - grid.z.shape[1]) < 3


def test_the_normal_of_a_plane_is_its_normal():
    v, u = np.mgrid[0:60, 0:80]
    rays = np.stack([(u - 40) / 70, (v - 30) / 70], axis=-1).astype(np.float32)
    normal = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])
    z = (-1.5 / (rays @ normal[:2] + normal[2])).astype(np.float32)
    found = fit_normals(z, rays)[5:-5, 5:-5]
    assert np.abs(found @ normal - 1).max() < 1e-3


def test_floor_and_walls_are_backdrop_and_things_are_not(clean):
    for frame in clean.views.frames[:4]:
        grid = make_grid(frame, 20.0)
        backdrop, truth = find_backdrop(grid), true_labels(frame, grid)
        assert backdrop[(truth == 0) & grid.valid].mean() > 0.93
        assert backdrop[truth > 0].mean() < 0.12


def test_every_large_patch_lies_on_one_thing():
    pure = large = 0
    for index in range(4):
        for frame in make_scene(CONDITIONS["touching"], index).views.frames[:4]:
            grid = make_grid(frame, 6.0)
            patches, truth = cut_patches(grid), true_labels(frame, grid)
            for name in range(patches.count):
                own = truth[patches.labels == name]
                if own.size >= 60:
                    large += 1
                    pure += np.bincount(own).max() >= 0.9 * own.size
    assert large >= 30 and pure >= 0.93 * large


def test_a_box_on_a_table_of_its_colour_is_parted_by_the_crease():
    world = make_world(1, WorldConfig(objects=(1, 1), table=0.0))
    red = np.array([200.0, 40.0, 40.0])
    solids = (
        Solid("box", 1, np.array([0, 0, 0.3]), np.array([0.6, 0.4, 0.3]), 0.0, red, Pattern()),
        Solid("box", 2, np.array([0, 0, 0.75]), np.array([0.15, 0.15, 0.15]), 0.0, red, Pattern()),
    )
    world = dataclasses.replace(world, solids=solids, bodies=())
    config = RigConfig(height=480, width=640)
    eye = np.array([1.2, -1.3, 1.5])
    pose = CameraPose("front", 1, pinhole(config, 0.9), look_at(eye, np.array([0, 0, 0.5])))
    frame = render_views(world, [pose], SensorConfig(noise=0.0))[0]
    grid = make_grid(frame, 6.0)
    assert inner_creases(grid).any()
    patches, truth = cut_patches(grid), true_labels(frame, grid)
    names = [
        np.bincount(patches.labels[(truth == i) & (patches.labels >= 0)]).argmax() for i in (1, 2)
    ]
    assert names[0] != names[1]
    assert patches.creased[names[0], names[1]]


def test_marks_are_right_on_clean_scenes():
    found = run_condition(few_views("clean"), range(100, 105)).counts.summary()
    assert found["pairs"] > 60
    assert found["pair_precision"] > 0.99
    assert found["pair_recall"] > 0.9
    assert found["mark_on_object"] > 0.99
    assert found["discs_cut"] == found["discs_overlapping"] == 0


def test_marks_are_right_on_noisy_and_on_touching_scenes():
    for name, least in (("noisy", 0.85), ("touching", 0.75)):
        result = run_condition(few_views(name), range(100, 103))
        found = result.counts.summary()
        assert found["pair_precision"] > 0.96
        assert found["pair_recall"] > least
        assert result.reversed_alike == 3


def test_what_another_view_looks_through_gets_no_number(clean):
    frames = list(clean.views.frames)
    # One view claims a thing in mid-air that all others look through.
    depth = frames[0].depth.copy()
    depth[100:150, 140:190] = 1.0
    rgb = frames[0].rgb.copy()
    rgb[100:150, 140:190] = (20, 200, 220)
    frames[0] = dataclasses.replace(frames[0], depth=depth, rgb=rgb)
    found = find_alone(dataclasses.replace(clean.views, frames=tuple(frames)), MarksConfig())
    on_ghost = [
        o
        for mark in found.marks
        for o in mark.observations
        if o.view == 0 and 100 <= o.v < 150 and 140 <= o.u < 190 and o.depth_m < 1.1
    ]
    assert not on_ghost
    assert any("nothing there" in reason for reason in found.left_out)


def test_an_empty_room_has_only_background():
    world = dataclasses.replace(make_world(2), solids=(), bodies=(), objects=())
    for frame in render_views(world, make_poses(make_world(2), RigConfig(views=3))):
        patches = cut_patches(make_grid(frame, 20.0))
        assert patches.count == 0
        assert (patches.labels == BACKGROUND).mean() > 0.95


def test_depth_that_is_only_noise_gives_no_marks_and_says_so():
    bad = dataclasses.replace(CONDITIONS["noisy"], noise=scaled(ROUGH, 4.0), views=(4, 4))
    found = find_alone(make_scene(bad, 1).views, MarksConfig())
    assert found.marks == ()
    assert any("too noisy to tell objects apart" in text.text for text in found.warnings)
    # Noise that the route can still stand is none of this.
    rough = dataclasses.replace(bad, noise=scaled(ROUGH, 2.0))
    found = find_alone(make_scene(rough, 1).views, MarksConfig())
    assert found.marks
    assert not any("too noisy" in text.text for text in found.warnings)


def test_a_small_thing_keeps_its_number_where_other_views_confirm_it():
    """A ball of 0.8 % of one view and 0.2 % of three; each of these alone is not believed."""
    world = make_world(1, WorldConfig(objects=(1, 1), table=0.0))
    blue, half = np.array([50.0, 80.0, 200.0]), np.array([0.15, 0.15, 0.15])
    ball = Solid("ball", 1, np.array([0, 0, 0.15]), half, 0.0, blue, Pattern())
    world = dataclasses.replace(world, solids=(ball,), bodies=())
    config = RigConfig(height=480, width=640)
    eyes = [(1.2, -1.0, 0.9), (-1.1, -2.8, 1.0), (-2.9, 0.5, 1.1), (2.4, 2.2, 1.3)]
    poses = [
        CameraPose(f"c{i}", 1, pinhole(config, 0.5), look_at(np.array(eye), np.array([0, 0, 0.2])))
        for i, eye in enumerate(eyes)
    ]
    frames = render_views(world, poses, SensorConfig(noise=0.0))
    assert all(0.0015 < (frame.labels == 1).mean() < 0.0025 for frame in frames[1:])
    found = find_alone(ViewSet(tuple(frames)), MarksConfig())
    (mark,) = found.marks
    assert [o.view for o in mark.observations] == [0, 1, 2, 3]
    assert [o.beside is not None for o in mark.observations] == [False, True, True, True]
    for o in mark.observations:
        assert frames[o.view].labels[round(o.v), round(o.u)] == 1
    assert found.left_out_by_view == ({}, {}, {}, {})
    alone = find_alone(ViewSet((frames[3],)), MarksConfig())
    assert alone.marks == ()
    assert alone.left_out == {"too small in every view": 1}
    assert alone.left_out_by_view == ({"too small in every view": 1},)
