"""Pieces of pictures without depth: where they end, and when two are one, in exact cases."""

import dataclasses

import numpy as np
import pytest

from oryx_scene.geometry.camera import project
from oryx_scene.geometry.transforms import from_translation_rpy, invert, transform_points
from oryx_scene.marks.label_placement import Cutout
from oryx_scene.marks.rgb.features import Features, Matches, check, match
from oryx_scene.marks.rgb.regions import Region, RegionMap, find_regions
from oryx_scene.marks.rgb.segment_links import (
    PieceLink,
    _mutual,
    coloured_links,
    count_votes,
    one_label,
    posed_links,
    voted_links,
)
from oryx_scene.marks.viewing_rays import (
    ANGLE_STD,
    PAINT_STD,
    SIZE_LOG_STD,
    Sighting,
    meet,
    mismatch,
    sighting_of,
)
from oryx_scene.records import Frame, Intrinsics

K = Intrinsics(np.array([[100.0, 0, 49.5], [0, 100.0, 39.5], [0, 0, 1]]), 80, 100)


def frame(x=0.0, camera="a", stamp_ns=0, yaw=0.0):
    """A camera at (x, 0, 0) that looks along z of the fixed frame."""
    T = from_translation_rpy((x, 0, 0), (0, yaw, 0))
    rgb = np.zeros((80, 100, 3), np.uint8)
    return Frame(camera, stamp_ns, "", rgb, "", intrinsics=K, T_fixed_camera=T)


# -- pieces ---------------------------------------------------------------------------------------


def test_squares_on_a_wall_are_pieces_by_descending_area():
    rgb = np.full((80, 100, 3), (120, 120, 120), np.uint8)
    rgb[20:40, 10:40] = (200, 30, 30)
    rgb[50:80, 60:80] = (30, 30, 200)
    rgb[5:9, 80:84] = (30, 200, 30)  # 16 pixels: too small
    found = find_regions(rgb, 0.01)
    assert found.step == 1 and len(found.regions) == 2
    red, blue = found.regions
    if red.paint[1] < blue.paint[1]:
        red, blue = blue, red
    assert [r.seen.area_px for r in found.regions] == sorted(
        (r.seen.area_px for r in found.regions), reverse=True
    )
    assert red.seen.area_px == pytest.approx(600, abs=60)
    assert red.seen.bbox == pytest.approx((10, 20, 39, 39), abs=1)
    assert (red.cut, blue.cut) == (False, True)
    assert found.labels[30, 25] == found.regions.index(red)
    assert found.labels[70, 70] == found.regions.index(blue)
    assert found.labels[60, 20] == -1 and found.labels[7, 82] == -1
    assert find_regions(rgb, 0.5).regions == ()


def test_a_large_picture_is_looked_at_with_320_columns():
    rgb = np.full((480, 640, 3), (120, 120, 120), np.uint8)
    rgb[100:200, 100:300] = (200, 30, 30)
    found = find_regions(rgb, 0.01)
    (red,) = found.regions
    assert (found.step, found.labels.shape) == (2, (240, 320))
    assert red.seen.bbox == pytest.approx((100, 100, 299, 199), abs=2)
    assert red.seen.step == 2 and red.seen.u0 % 2 == 0


def region(u0, v0=0, paint=(0, 0, 0), side=10, label="", cut=False, step=1):
    return Region(
        Cutout(np.ones((side, side), bool), u0, v0, step), np.array(paint, float), cut, label
    )


def region_map(*regions, size=(80, 100)):
    labels = np.full(size, -1, np.int64)
    for index, one in enumerate(regions):
        height, width = one.seen.mask.shape
        labels[one.seen.v0 : one.seen.v0 + height, one.seen.u0 : one.seen.u0 + width] = index
    return RegionMap(labels, regions, 1)


def test_matches_count_for_the_pieces_under_them():
    a, b = region_map(region(10), region(40)), region_map(region(20))
    uv_a = np.array([[12.0, 5], [45.0, 5], [45.4, 5], [80.0, 5], [9.0, 5], [52.0, 5]])
    uv_b = np.array([[22.0, 5], [22.0, 5], [29.4, 5], [22.0, 5], [22.0, 5], [22.0, 5]])
    # A corner may be found 2 px outside of its thing, no more: 9 is, 52 is not.
    assert count_votes(Matches(uv_a, uv_b), a, b).tolist() == [[2.0], [2.0]]


def test_pieces_that_detectors_call_by_two_names_are_two():
    a = region_map(region(0, label="Mug"), region(20, label="box"), region(40))
    b = region_map(region(0, label="mug"), region(20))
    assert one_label(a, b).tolist() == [[True, True], [False, True], [True, True]]


def test_a_link_needs_a_clearly_worse_runner_up():
    cost = np.array([[1.0, 6.0], [6.5, 9.0]])
    assert _mutual(3, 4, cost, 5.0, 5.0) == [PieceLink((3, 0), (4, 0), 1.0)]
    assert _mutual(3, 4, cost, 5.0, 5.1) == []
    assert _mutual(3, 4, cost, 0.9, 5.0) == []
    assert _mutual(0, 1, np.array([[5.0]]), 5.0, 5.0) == [PieceLink((0, 0), (1, 0), 5.0)]


def test_matches_alone_link_pieces_of_one_paint():
    maps = [region_map(region(0), region(20)), region_map(region(0), region(20, paint=(17, 0, 0)))]
    for votes, links in (
        ([[4, 2], [0, 0]], [PieceLink((0, 0), (1, 0), -4.0)]),
        ([[3, 0], [0, 0]], []),
        ([[4, 3], [0, 0]], []),  # the runner-up has more than half
        ([[4, 0], [3, 0]], []),
        ([[0, 9], [0, 0]], []),  # another paint
    ):
        assert voted_links(0, 1, maps, np.array(votes, float)) == links
    named = [region_map(region(0, label="a")), region_map(region(0, label="b"))]
    assert voted_links(0, 1, named, np.array([[9.0]])) == []


def coloured(a, b, matches=15, seconds=1.0, cameras=("a", "a"), flow=5.0):
    uv = np.random.default_rng(0).uniform(0, 80, (matches, 2))
    found = Matches(uv, uv + np.array([flow, 0.0]))
    frames = [frame(camera=cameras[0]), frame(camera=cameras[1], stamp_ns=round(seconds * 1e9))]
    return coloured_links(0, 1, [region_map(*a), region_map(*b)], found, frames)


def test_a_colour_of_its_own_links_pieces_of_pictures_taken_soon():
    one, same = region(10, paint=(0, 0, 0)), region(15, paint=(4, 0, 0))
    assert coloured([one], [same]) == [PieceLink((0, 0), (1, 0), 4.0)]
    # A rival must differ by 8, or twice as much as the pair, and 8 more.
    for rival, links in ((17.0, 1), (15.0, 0)):
        assert len(coloured([one], [same, region(40, paint=(-rival, 0, 0))])) == links
    assert coloured([one], [region(15, paint=(8.1, 0, 0))]) == []
    assert coloured([one], [same], matches=14) == []
    assert coloured([one], [same], seconds=4.6) == [] and coloured([one], [same], seconds=4.5)
    assert coloured([one], [same], cameras=("a", "b")) == []
    assert coloured([], [same]) == []
    # Sizes within a factor of e^0.5 = 1.65, in sides 1.28; shifted from the flow by 35 px at most.
    assert coloured([one], [region(15, side=12)]) and not coloured([one], [region(15, side=13)])
    assert coloured([one], [region(50)]) and not coloured([one], [region(51)])
    assert coloured([one], [region(15)], flow=40.0) and not coloured([one], [region(15)], flow=41.0)
    assert not coloured([region(10, label="x")], [region(15, label="y")])


# -- epipolar lines -------------------------------------------------------------------------------


def test_matches_off_their_epipolar_line_are_wrong():
    frames = frame(0.0), frame(0.5, yaw=0.1)
    world = np.array([[0.1, 0.2, 2.0], [-0.3, 0.1, 3.0], [0.2, -0.3, 2.5]])
    uv = [project(K, transform_points(invert(f.T_fixed_camera), world)) for f in frames]
    assert len(check(Matches(*uv), frames).uv_a) == 3
    # 1.5 % of 100 px across the lines, which are level: shared by both views, so 2.1 px in one.
    for off, kept in ((1.9, 3), (2.4, 0)):
        moved = uv[1] + (0.0, off)
        assert len(check(Matches(uv[0], moved), frames).uv_a) == kept
    few = Matches(uv[0], uv[1])
    assert len(check(few).uv_a) == 0  # three points agree on anything


def test_points_match_where_each_is_the_others_nearest():
    eye = np.eye(128, dtype=np.float32)
    a = Features(np.array([[1.0, 1], [2, 2], [3, 3]]), eye[[0, 1, 2]])
    b = Features(np.array([[10.0, 1], [20, 2], [30, 3]]), eye[[1, 0, 5]])
    found = match(a, b)
    assert sorted(zip(found.uv_a[:, 0], found.uv_b[:, 0], strict=True)) == [(1, 20), (2, 10)]
    # Two that are as near are none.
    twin = Features(b.uv, eye[[0, 0, 5]])
    assert len(match(a, twin).uv_a) == 0
    assert len(match(Features(a.uv[:1], a.descriptors[:1]), b).uv_a) == 0


# -- rays -----------------------------------------------------------------------------------------


def test_a_piece_becomes_the_rays_of_its_middle_and_its_outline():
    seen = sighting_of(region(45, 35, side=10, paint=(1, 2, 3)), frame(0.5))
    assert seen.origin.tolist() == [0.5, 0, 0]
    assert seen.middle == pytest.approx((0, 0, 1))
    assert len(seen.rim) == 20  # first and last cell of ten rows
    assert seen.rim[0] == pytest.approx(np.array([-0.045, -0.045, 1]) / np.hypot(1, 0.0636396))
    assert seen.half_angle == pytest.approx(np.sqrt(100 / np.pi) / 100)
    assert (seen.pixel_angle, seen.cut, seen.paint.tolist()) == (0.01, False, [1, 2, 3])
    turned = sighting_of(region(45, 35, side=10), frame(yaw=np.pi / 2))
    assert turned.middle == pytest.approx((1, 0, 0))
    assert sighting_of(region(45, 35, cut=True), frame()).cut
    assert sighting_of(region(40, 30, side=10, step=2), frame()).half_angle == pytest.approx(
        np.sqrt(400 / np.pi) / 100
    )


def test_lines_meet_at_the_point_nearest_to_them():
    origins = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    rays = np.array([[0.0, 0, 1], [-1, 0, 1] / np.sqrt(2)])
    point, along = meet(origins, rays)
    assert point == pytest.approx((0, 0, 1))
    assert along == pytest.approx((1, np.sqrt(2)))


def sighting(x=0.0, target=(0.0, 0.0, 2.0), half=0.05, paint=(0, 0, 0), cut=False, width=0.1):
    """A camera at (x, 0, 0) sees a disc of a radius of ``width`` m around ``target``."""
    origin, target = np.array([x, 0.0, 0.0]), np.array(target)
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rim = target + width * np.column_stack([np.cos(turn), np.sin(turn), np.zeros(24)])
    rays = np.vstack([target, rim]) - origin
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return Sighting(origin, rays[0], rays[1:], half, np.array(paint, float), cut, 0.001)


def test_two_sightings_of_one_thing_differ_by_paint_and_size_alone():
    a = sighting(-0.5)
    assert mismatch(a, sighting(0.5)) == pytest.approx(0, abs=1e-9)
    assert mismatch(a, sighting(0.5, paint=(PAINT_STD, 0, 0))) == pytest.approx(1)
    assert mismatch(a, sighting(0.5, paint=(4.01 * PAINT_STD, 0, 0))) == np.inf
    bigger = sighting(0.5, half=0.05 * np.exp(SIZE_LOG_STD))
    assert mismatch(a, bigger) == pytest.approx(1)
    # What the border cuts may be larger, and one end of its span tells nothing.
    cut = dataclasses.replace(bigger, cut=True)
    assert mismatch(a, cut) == pytest.approx(0.25 + 2)
    assert mismatch(a, None) == mismatch(None, a) == np.inf


def test_what_lies_behind_too_near_or_too_far_is_no_thing():
    for z, possible in ((0.16, True), (0.1, False), (14.9, True), (16.0, False), (-2.0, False)):
        pair = [sighting(x, (0.0, 0.0, z), width=0.02 * abs(z)) for x in (-0.05, 0.05)]
        if z < 0:
            pair = [dataclasses.replace(one, middle=-one.middle, rim=-one.rim) for one in pair]
        assert (mismatch(*pair) < np.inf) == possible, z


def test_tangent_planes_tell_things_at_other_heights_apart():
    """Both planes through the cameras are off by the angle; its error grows by 1 / sine."""
    a, b = sighting(-0.5), sighting(0.5, (0.0, 0.07, 2.0))
    angle_std = np.hypot(ANGLE_STD, 0.002)
    expected = 2 * (np.arctan2(0.07, 2.0) / angle_std) ** 2
    assert mismatch(a, b) == pytest.approx(expected, rel=0.2)
    apart = sighting(0.5, (0.0, 0.5, 2.0), cut=True)
    assert mismatch(a, apart) == np.inf  # a cut piece's span must meet the other's
    # A thing on the line through both cameras: the planes say nothing.
    assert mismatch(sighting(0.0, (2, 0, 0.1)), sighting(1.0, (2, 0, 0.05))) == np.inf


def test_cameras_at_one_place_compare_their_rays():
    a = sighting(0.0)
    assert mismatch(a, sighting(0.019, (0.019, 0, 2.0))) == pytest.approx(0, abs=1e-9)
    off = sighting(0.0, (0.07, 0.0, 2.0))
    angle_std = np.hypot(ANGLE_STD, 0.002)
    assert mismatch(a, off) == pytest.approx((np.arctan(0.035) / angle_std) ** 2, rel=1e-6)
    larger = sighting(0.0, half=0.05 * np.exp(2 * SIZE_LOG_STD))
    assert mismatch(a, larger) == pytest.approx(4)


def test_matches_make_a_posed_pair_likelier_up_to_a_limit():
    sightings = [[sighting(-0.5)], [sighting(0.5, paint=(2 * PAINT_STD, 0, 0))]]
    alike = np.ones((1, 1), bool)
    for votes, cost in ((0, 4.0), (3, 1.0), (9, -2.0)):
        (link,) = posed_links(0, 1, sightings, np.array([[float(votes)]]), alike)
        assert (link.a, link.b, link.cost) == ((0, 0), (1, 0), pytest.approx(cost))
    assert posed_links(0, 1, sightings, np.array([[9.0]]), ~alike) == []
    assert posed_links(0, 1, [[], []], np.zeros((0, 0)), np.ones((0, 0), bool)) == []
