"""The second generator: true geometry, things that stand as they say, scenes that are judged."""

import itertools
import json
import sys

import numpy as np
import pytest
from PIL import Image

from oryx_scene.cli.main import main
from oryx_scene.errors import ConfigError, MissingExtraError
from oryx_scene.geometry.transforms import transform_points
from oryx_scene.lab.evaluation.mark_scores import score_marks
from oryx_scene.lab.evaluation.mark_worlds import MESH_CONDITIONS, make_scene
from oryx_scene.lab.evaluation.mesh_worlds.arrangement import PlacedMesh, share_space
from oryx_scene.lab.evaluation.mesh_worlds.cameras import PATHS, take_poses
from oryx_scene.lab.evaluation.mesh_worlds.clutter import SMALL, USUAL
from oryx_scene.lab.evaluation.mesh_worlds.materials import Material, picture
from oryx_scene.lab.evaluation.mesh_worlds.mesh import box, cushion, tube, turned
from oryx_scene.lab.evaluation.mesh_worlds.render import RayScene, render_room
from oryx_scene.lab.evaluation.mesh_worlds.rooms import MeshRoomConfig, make_room
from oryx_scene.records import Mark, MarkObservation, MarkSet
from oryx_scene.view.open3d_backend import MissingLibraryError, load_open3d

GREY = Material("smooth", (120.0, 120.0, 120.0))
SIZE = (96, 128)


def needs_rays():
    try:
        load_open3d()
    except (MissingExtraError, MissingLibraryError) as err:
        pytest.skip(str(err))


@pytest.fixture(scope="module")
def shown():
    """A room, its ray scene and its frames."""
    needs_rays()
    room = make_room(3)
    rays = RayScene.of(room)
    return room, rays, render_room(room, rays, take_poses(room, rays, "walk", 4, SIZE))


def area(mesh):
    a, b, c = (mesh.points[mesh.triangles[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.mark.parametrize(
    ("mesh", "wanted"),
    [
        (box((0.2, 0.3, 0.4), GREY), 2 * (0.06 + 0.08 + 0.12)),
        (turned([(0.1, 0), (0.1, 0.5)], GREY, 64), 2 * np.pi * 0.1 * 0.5),
        (tube(np.array([[0, 0, 0], [0, 0, 0.5], [0, 0, 1.0]]), 0.05, GREY, 64), np.pi * 0.105),
        (cushion((0.1, 0.1, 0.1), GREY, square=1.0), 4 * np.pi * 0.01),
    ],
)
def test_parts_have_the_surface_of_their_shape_and_normals_outward(mesh, wanted):
    assert area(mesh) == pytest.approx(wanted, rel=0.02)
    away = mesh.points - (mesh.low + mesh.high) / 2
    assert (np.einsum("ij,ij->i", away, mesh.normals) > -1e-9).all()
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("make", [*SMALL, *USUAL], ids=lambda make: make.__name__)
def test_small_things_stand_on_their_foot_and_are_of_table_size(make):
    mesh = make(np.random.default_rng(1))
    size = mesh.high - mesh.low
    assert mesh.low[2] == pytest.approx(0.0, abs=2e-3)
    assert 0.015 < size.max() < 0.6
    assert np.abs((mesh.low + mesh.high)[:2] / 2).max() < 0.06
    assert len(mesh.materials) > mesh.surface.max()


def test_pictures_of_surfaces_repeat_without_a_seam():
    for kind in ("plaster", "wood", "cloth", "stone"):
        shades = picture(Material(kind, (120.0, 120.0, 120.0), seed=4)).mean(axis=2)
        inside = np.abs(np.diff(shades, axis=1)).mean()
        assert np.abs(shades[:, 0] - shades[:, -1]).mean() < 3 * inside, kind


def test_a_seed_is_a_room():
    first, again, other = make_room(7), make_room(7), make_room(8)
    assert first.objects == again.objects != other.objects
    for (a, mesh), (b, same) in zip(first.parts, again.parts, strict=True):
        assert a == b
        assert np.array_equal(mesh.points, same.points)
    with pytest.raises(ConfigError, match="negative"):
        make_room(-1)


def small_things(room):
    """Those that stand on furniture, by true id."""
    by_id = dict(room.parts)
    return [PlacedMesh.of(t.shape, by_id[t.object_id]) for t in room.objects if t.shape in NAMES]


NAMES = {make.__name__ for make in (*SMALL, *USUAL)}


def test_things_apart_are_apart_and_things_that_touch_touch():
    touching = 0
    for seed in range(20):
        for a, b in itertools.combinations(small_things(make_room(seed)), 2):
            assert not share_space(a, b, 0.02)
        crowded = make_room(seed, MeshRoomConfig(objects=(6, 8), touching=0.8))
        for a, b in itertools.combinations(small_things(crowded), 2):
            assert not share_space(a, b, 0.0)
            touching += share_space(a, b, 0.004)
    assert touching > 10


def test_rooms_hold_small_things_twins_and_no_more_than_the_marks():
    rooms = [make_room(seed) for seed in range(30)]
    assert all(2 <= len(room.objects) <= 8 for room in rooms)
    least = [min(max(thing.extent) for thing in room.objects) for room in rooms]
    assert sum(size < 0.06 for size in least) > 5
    alike = 0
    for room in rooms:
        by_id = dict(room.parts)
        counts = [len(by_id[t.object_id].points) for t in room.objects]
        sizes = [
            round(by_id[t.object_id].high[2] - by_id[t.object_id].low[2], 6) for t in room.objects
        ]
        alike += len(set(zip(counts, sizes, strict=True))) < len(counts)
    assert alike > 3


def test_every_pixel_lies_on_a_surface_and_views_agree(shown):
    _, rays, frames = shown
    clouds = []
    for frame in frames:
        v, u = np.mgrid[: frame.height, : frame.width]
        K = frame.intrinsics.K
        x, y = (u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]
        local = np.stack([x, y, np.ones_like(x)], axis=-1) * frame.depth[..., None]
        clouds.append(transform_points(frame.T_fixed_camera, local.reshape(-1, 3)))
    for cloud in clouds:
        away = [rays.clearance(point) for point in cloud[::997]]
        assert max(away) < 2e-3
    # A point of one view, carried into another one that sees it at its depth, has its id there.
    first, second = frames[0], frames[1]
    seen = transform_points(np.linalg.inv(second.T_fixed_camera), clouds[0])
    pixels = (seen @ second.intrinsics.K.T)[:, :2] / seen[:, 2:]
    at = np.rint(pixels).astype(int)
    inside = (seen[:, 2] > 0.1) & ((at >= 0) & (at < SIZE[::-1])).all(axis=1)
    at, z, ids = at[inside], seen[inside, 2], first.labels.ravel()[inside]
    same_depth = np.abs(second.depth[at[:, 1], at[:, 0]] - z) < 0.005
    assert same_depth.mean() > 0.3
    assert (second.labels[at[:, 1], at[:, 0]] == ids)[same_depth].mean() > 0.97


def test_true_boxes_hold_the_pixels_of_their_things(shown):
    room, _, frames = shown
    frame = frames[2]
    v, u = np.nonzero((frame.labels > 0) & (frame.labels < 1000))
    z = frame.depth[v, u]
    K = frame.intrinsics.K
    local = np.column_stack([(u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z])
    points = transform_points(frame.T_fixed_camera, local)
    truth = {thing.object_id: thing for thing in room.objects}
    for name in np.unique(frame.labels[v, u]):
        own = points[frame.labels[v, u] == name]
        off = np.abs(own - truth[int(name)].position) - np.array(truth[int(name)].extent) / 2
        assert off.max() < 2e-3


@pytest.mark.parametrize("kind", PATHS)
def test_cameras_see_the_group(kind):
    needs_rays()
    room = make_room(5)
    rays = RayScene.of(room)
    poses = take_poses(room, rays, kind, 8, SIZE)
    assert len({(pose.camera, pose.stamp_ns) for pose in poses}) == 8
    for frame in render_room(room, rays, poses):
        assert ((frame.labels > 0) & (frame.labels < 1000)).mean() > 0.01


def test_fittings_may_carry_a_number_and_need_none():
    needs_rays()
    scene = make_scene(MESH_CONDITIONS["clean"], 2, SIZE)
    views = scene.views
    fitting = max(
        scene.fittings, key=lambda name: sum((frame.labels == name).any() for frame in views.frames)
    )
    seen = []
    for index, frame in enumerate(views.frames):
        v, u = np.nonzero(frame.labels == fitting)
        if len(v):
            seen.append(MarkObservation(index, u[0], v[0], 2.0, 1.0, 1.0, 9, (0, 0, 1, 1)))
    marks = MarkSet((Mark(1, tuple(seen)),))
    counts = score_marks(views, marks, fittings=scene.fittings)
    strict = score_marks(views, marks)
    assert counts.wrong == strict.wrong == 0 < counts.right
    assert counts.reached == 0 and counts.missed < strict.missed + strict.reached


def test_the_share_from_which_things_count_is_the_conditions(capsys, tmp_path):
    needs_rays()
    base = ["eval", "marks", "--worlds", "meshes", "--scenes", "1", "--conditions", "clean"]
    base += ["--size", "128x96", "--json"]
    found = []
    for more in ([], ["--visible", "20"]):
        assert main([*base, *more, "--sheet", str(tmp_path / "sheet.jpg")]) in (0, 1)
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["worlds"] == "meshes"
    objects = [
        c["objects_found"] is not None and c["single_view_objects_found"]
        for c in (report["conditions"][0] for report in found)
    ]
    assert objects[0] != objects[1]
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert sheet.size == (3 * 272, 204)
    assert main([*base, "--visible", "0"]) == 2
    assert main(["eval", "marks", "--worlds", "meshes", "--conditions", "touching_noisy"]) == 2


def test_without_open3d_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(MissingExtraError, match="view"):
        make_scene(MESH_CONDITIONS["clean"], 0, SIZE)
