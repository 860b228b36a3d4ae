"""Pixel probes: marks, cloud, frusta, boxes are drawn where the geometry says."""

from __future__ import annotations

import importlib.util
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from oryx_scene.errors import ConfigError
from oryx_scene.records import Mark
from oryx_scene.view.captions import Caption, add_caption
from oryx_scene.view.headless import animation_bytes, render_pictures
from oryx_scene.view.overlay import disc_radius_px, draw_labels, project
from oryx_scene.view.shapes import BOX_COLOR, LAYERS, SceneGeometry, build_geometry, camera_color
from oryx_scene.view.snapshot import take_snapshot
from oryx_scene.view.splat import BACKGROUND, render_splat
from oryx_scene.view.viewpoint import Viewpoint, make_viewpoint, orbit

SIZE = (360, 480)


@pytest.fixture
def scene(make_frame, box_mark):
    frames = [make_frame((0, 0.6, 1)), make_frame((0, -0.6, 1), "side", 1_010_000_000)]
    return build_geometry(take_snapshot(frames), [box_mark])


def near(pixels, color, tolerance=12):
    return np.abs(pixels.astype(int) - color).max(axis=-1) <= tolerance


def around(image, u, v, reach=2):
    u, v = round(u), round(v)
    return image[v - reach : v + reach + 1, u - reach : u + reach + 1].reshape(-1, 3)


@pytest.mark.parametrize("name", ["free", "front", "camera:front"])
def test_cloud_points_have_their_own_colour_in_the_picture(scene, name):
    view = make_viewpoint(name, scene, *SIZE)
    picture = render_splat(scene.only(["cloud"]), view, supersample=1)
    uvz = project(view, scene.points)
    inside = np.all((uvz[:, :2] >= 2) & (uvz[:, :2] < (SIZE[1] - 2, SIZE[0] - 2)), axis=1)
    u, v = np.rint(uvz[inside, :2]).astype(int).T
    depth = picture.depth[v, u]
    visible = np.abs(depth - uvz[inside, 2]) < 0.03
    assert visible.mean() > 0.5
    assert near(picture.rgb[v, u], scene.colors[inside])[visible].mean() > 0.97
    # Nothing lies before a point that is nearer than what was drawn there.
    assert (uvz[inside, 2] - depth > -0.03).all()


def test_the_box_hides_the_wall_behind_it(scene):
    view = make_viewpoint("camera:front", scene, *SIZE)
    picture = render_splat(scene.only(["cloud"]), view)
    u, v, _ = project(view, np.array([[2.0, 0.0, 1.0]]))[0]
    assert near(around(picture.rgb, u, v), (230, 60, 200)).all()
    assert picture.depth[round(v), round(u)] == pytest.approx(2.0, abs=0.01)
    u, v, _ = project(view, np.array([[3.0, 0.6, 1.4]]))[0]
    assert near(around(picture.rgb, u, v), (40, 200, 60)).all()
    assert picture.depth[round(v), round(u)] == pytest.approx(3.0, abs=0.01)


def test_a_point_missing_from_a_surface_leaves_no_hole(scene):
    """A wall of points two pixels apart, one of them missing, one pixel large each."""
    steps = np.arange(-10, 11) * 0.02
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    wall = np.column_stack([grid, np.full(len(grid), 1.0)])
    wall = wall[np.abs(grid).max(axis=1) > 0.001]
    red = np.full((len(wall), 3), (200, 10, 10), np.uint8)
    K = np.array([[100.0, 0, 30.0], [0, 100.0, 30.0], [0, 0, 1]])
    view = Viewpoint("plain", K, 61, 61, np.eye(4))
    picture = render_splat(SceneGeometry(wall, red, 0.001), view, supersample=1)
    assert near(around(picture.rgb, 30, 30), (200, 10, 10)).all()
    assert picture.depth[30, 30] == pytest.approx(1.0)


def test_frustum_edges_are_drawn_between_their_corners(scene):
    view = make_viewpoint("free", scene, *SIZE)
    picture = render_splat(scene.only(["frusta"]), view, supersample=1)
    for index, segments in enumerate(s for s in scene.segments if s.layer == "frusta"):
        for a, b in segments.ends:
            steps = np.linspace(0.1, 0.9, 9)[:, None]
            uvz = project(view, a + steps * (b - a))
            for u, v, _ in uvz:
                assert near(around(picture.rgb, u, v, 1), camera_color(index)).any()
    middle = scene.pictures[0].corners.mean(axis=0)
    u, v, _ = project(view, middle[None])[0]
    assert near(around(picture.rgb, u, v), BACKGROUND).any()


def test_frustum_pictures_show_the_picture_upright(scene):
    view = make_viewpoint("front", scene, *SIZE)
    picture = render_splat(scene.only(["pictures"]), view)
    quad = scene.pictures[0]
    rows, columns = quad.image.shape[:2]
    for fu, fv in [(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.69, 0.5)]:
        top = quad.corners[0] + fu * (quad.corners[1] - quad.corners[0])
        point = top + fv * (quad.corners[3] - quad.corners[0])
        u, v, z = project(view, point[None])[0]
        wanted = quad.image[int(fv * rows), int(fu * columns)]
        assert near(picture.rgb[round(v), round(u)], wanted).all()
        assert picture.depth[round(v), round(u)] == pytest.approx(z, rel=0.01)
    # The left camera sees the square to its right.
    assert near(quad.image[60, int(0.74 * columns)], (230, 60, 200))


def test_box_edges_are_drawn(scene):
    view = make_viewpoint("free", scene, *SIZE)
    picture = render_splat(scene.only(["boxes"]), view, supersample=1)
    for a, b in next(s for s in scene.segments if s.layer == "boxes").ends:
        u, v, _ = project(view, (0.5 * (a + b))[None])[0]
        assert near(around(picture.rgb, u, v, 1), BOX_COLOR).any()


@pytest.mark.parametrize("name", ["free", "front", "top"])
def test_mark_disc_sits_on_the_projected_centre(scene, box_mark, name):
    view = make_viewpoint(name, scene, *SIZE)
    picture = render_splat(scene, view)
    labelled = draw_labels(scene, view, picture)
    u, v, _ = project(view, np.array([box_mark.position]))[0]
    radius = disc_radius_px(view)
    disc = labelled[
        round(v - radius) : round(v + radius) + 1, round(u - radius) : round(u + radius) + 1
    ].reshape(-1, 3)
    assert near(disc, BOX_COLOR).sum() > 0.4 * len(disc)  # red disc
    assert near(disc, (255, 255, 255)).sum() > 0.04 * len(disc)  # white digit and ring
    assert np.any(labelled != picture.rgb)


def test_a_hidden_mark_is_hollow(make_frame):
    behind = Mark(2, (), (2.6, 0.0, 1.0), (0.1, 0.1, 0.1))
    both = build_geometry(take_snapshot([make_frame()]), [behind])
    view = make_viewpoint("camera:front", both, *SIZE)
    labelled = draw_labels(both, view, render_splat(both, view))
    u, v, _ = project(view, np.array([behind.position]))[0]
    radius = disc_radius_px(view)
    disc = labelled[
        round(v - radius) : round(v + radius) + 1, round(u - radius) : round(u + radius) + 1
    ].reshape(-1, 3)
    assert 0 < near(disc, BOX_COLOR).sum() < 0.25 * len(disc)  # a ring, not a disc


def test_looking_through_a_camera_shows_what_it_saw(scene, make_frame):
    view = make_viewpoint("camera:front", scene, 120, 160)
    picture = render_splat(scene.only(["cloud"]), view)
    seen = make_frame((0, 0.6, 1)).rgb
    same = near(picture.rgb, seen)
    assert same.mean() > 0.9
    shifted = near(picture.rgb[:, 5:], seen[:, :-5])
    assert shifted.mean() < same.mean()


def test_layers_can_be_taken_out_of_a_picture(scene):
    view = make_viewpoint("free", scene, *SIZE)
    empty = render_splat(scene.only([]), view)
    assert near(empty.rgb, BACKGROUND, 0).all()
    assert np.isinf(empty.depth).all()
    drawn = [near(render_splat(scene.only([n]), view).rgb, BACKGROUND, 0).mean() for n in LAYERS]
    assert [share < 1 for share in drawn] == [
        n not in ("marks", "relations", "path") for n in LAYERS
    ]


def test_everything_is_inside_the_picture(scene):
    for name in ("free", "front", "top"):
        view = make_viewpoint(name, scene, *SIZE)
        for segments in scene.segments:
            uv = project(view, segments.ends.reshape(-1, 3))
            assert (uv[:, 0] > 0).all() and (uv[:, 0] < SIZE[1]).all(), name
            assert (uv[:, 1] > 0).all() and (uv[:, 1] < SIZE[0]).all(), name
            assert (uv[:, 2] > 0).all(), name


def test_top_looks_down_and_unknown_viewpoints_are_refused(scene):
    top = make_viewpoint("top", scene, *SIZE)
    np.testing.assert_allclose(top.T_fixed_view[:3, 2], (0, 0, -1), atol=1e-9)
    assert np.linalg.det(top.T_fixed_view[:3, :3]) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="unknown viewpoint 'back'"):
        make_viewpoint("back", scene, *SIZE)
    with pytest.raises(ConfigError, match="no posed view 'left'") as caught:
        make_viewpoint("camera:left", scene, *SIZE)
    assert "front, side" in caught.value.hint


def test_nothing_to_look_at_is_refused(make_frame):
    flat = build_geometry(take_snapshot([make_frame(posed=False, depth=False)]))
    with pytest.raises(ConfigError, match="nothing in this scene has a place"):
        make_viewpoint("free", flat, *SIZE)


def test_says_which_renderer_drew(scene):
    view = make_viewpoint("free", scene, 90, 120)
    pictures = render_pictures(scene, [view], renderer="splat")
    assert (pictures.renderer, pictures.warnings) == ("splat", ())
    assert pictures.images[0].shape == (90, 120, 3)
    with pytest.raises(ConfigError, match="renderer 'gl'"):
        render_pictures(scene, [view], renderer="gl")


def test_falls_back_by_itself_and_says_why(scene, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    pictures = render_pictures(scene, [make_viewpoint("free", scene, 90, 120)], renderer="auto")
    assert pictures.renderer == "splat"
    assert "Open3D" in pictures.warnings[0].text


def test_orbit_goes_round_once_at_one_distance(scene):
    views = orbit(scene, 8, 90, 120)
    places = np.array([view.T_fixed_view[:3, 3] for view in views])
    middle = places.mean(axis=0)
    distances = np.linalg.norm((places - middle)[:, :2], axis=1)
    np.testing.assert_allclose(distances, distances[0], rtol=1e-6)
    angles = np.unwrap(np.arctan2(*(places - middle)[:, 1::-1].T))
    np.testing.assert_allclose(np.diff(angles), np.diff(angles)[0], rtol=1e-6)
    assert abs(np.diff(angles)[0]) == pytest.approx(2 * np.pi / 8)


def test_gif_and_mp4_hold_every_picture(scene, tmp_path):
    views = orbit(scene, 5, 91, 121)
    images = render_pictures(scene, views, renderer="splat", supersample=1).images
    with Image.open(io.BytesIO(animation_bytes(images, ".gif"))) as gif:
        assert gif.n_frames == 5
        assert gif.size == (121, 91)
    (tmp_path / "o.mp4").write_bytes(animation_bytes(images, ".mp4"))
    video = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    count = 0
    while True:
        ok, image = video.read()
        if not ok:
            break
        assert image.shape == (90, 120, 3)
        difference = np.abs(image[:, :, ::-1].astype(int) - images[count][:90, :120]).mean()
        assert difference < 12
        count += 1
    assert count == 5
    with pytest.raises(ConfigError, match="no animation"):
        animation_bytes(images, ".avi")


def test_caption_is_below_the_picture_and_takes_any_text(scene):
    image = np.zeros((60, 300, 3), np.uint8)
    text = "Ist <b>Marke 1</b> grün? 日本 \x00"
    captioned = add_caption(image, Caption(text, "ja " * 400, warnings=("random",)))
    assert captioned.shape[0] > 100 and captioned.shape[1] == 300
    np.testing.assert_array_equal(captioned[:60], image)
    assert captioned[60:].max() > 200
    assert add_caption(image, Caption()) is image
