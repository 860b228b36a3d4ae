"""Places and their covariance: of rays in exact cases and drawn noise, of depth, over baselines."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.lab.evaluation.mark_places import PlaceCounts, judge_places, make_line
from oryx_scene.lab.evaluation.mark_places import given as as_given
from oryx_scene.marks.depth.route import _on_thing
from oryx_scene.marks.finder import find_marks
from oryx_scene.marks.places import (
    MeasuredPlace,
    PoseNoise,
    across,
    as_covariance,
    covariance_of,
    isotropic,
    largest_std,
    measured_place,
    pose_noise,
    seen_covariance,
    sharing,
    std_along,
    triangulate,
)
from oryx_scene.records import Mark, Predicate

TRUE = PoseNoise(0.0, 0.0)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def line(baseline, views=4):
    """Places on a line across the view."""
    return np.stack([np.linspace(-baseline / 2, baseline / 2, views), *np.zeros((2, views))], 1)


def meet(target, origins, ray_std=1e-3, noise=TRUE):
    rays = unit(np.asarray(target) - origins)
    return triangulate(origins, rays, np.full(len(origins), ray_std), [noise] * len(origins))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_exact_rays_meet_at_their_point(seed):
    rng = np.random.default_rng(seed)
    target = np.array([*rng.uniform(-1, 1, 2), rng.uniform(1.5, 4.0)])
    origins = rng.uniform(-0.8, 0.8, (5, 3))
    found = meet(target, origins)
    assert found.known
    assert found.point == pytest.approx(target, abs=1e-6)
    assert found.along == pytest.approx(np.linalg.norm(target - origins, axis=1), abs=1e-6)
    assert np.linalg.eigvalsh(found.covariance)[0] > 0


def test_two_rays_have_the_covariance_of_the_textbook():
    """Depth: d^2 sqrt(2) angle / baseline, stretched to the far end; across: d angle / sqrt(2)."""
    distance, baseline, angle = 4.0, 0.5, 5e-4
    found = meet([0, 0, distance], line(baseline, 2), angle)
    inverse_std = np.sqrt(2) * angle / baseline
    along = distance**2 * inverse_std / (1 - 2 * inverse_std * distance)
    assert std_along(found.covariance, np.array([0, 0, 1.0])) == pytest.approx(along, rel=0.02)
    across_std = std_along(found.covariance, np.array([0, 1.0, 0]))
    assert across_std == pytest.approx(distance * angle / np.sqrt(2), rel=0.02)


def test_without_a_baseline_nothing_is_known_and_with_less_of_it_less():
    stds = []
    for baseline in (2.0, 1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 0.0):
        found = meet([0.1, 0.2, 2.0], line(baseline), 2e-3)
        assert found.known == (baseline >= 0.1)
        stds.append(std_along(found.covariance, np.array([0, 0, 1.0])))
    assert stds[:5] == sorted(stds[:5])
    assert min(stds[5:]) > 1e3


def test_views_of_one_place_share_their_error_and_do_not_average_it_away():
    noise, ends = PoseNoise(0.02, np.radians(1.0)), line(1.0, 2)
    two = meet([0, 0, 2.0], ends, 1e-9, noise)
    eight = meet([0, 0, 2.0], np.tile(ends, (4, 1)), 1e-9, noise)
    assert eight.covariance == pytest.approx(two.covariance, rel=0.02, abs=1e-6)
    apart = meet([0, 0, 2.0], line(1.0, 8), 1e-9, noise)
    assert largest_std(as_covariance(apart.covariance)) < 0.8 * largest_std(
        as_covariance(two.covariance)
    )


@pytest.mark.parametrize("noise", [TRUE, PoseNoise(0.002, 0.0017), PoseNoise(0.02, 0.0175)])
@pytest.mark.parametrize("baseline", [0.5, 2.0])
def test_drawn_noise_stays_within_what_is_stated_and_pulls_nowhere(noise, baseline):
    rng = np.random.default_rng(4)
    target, origins = np.array([0.2, -0.1, 2.0]), line(baseline)
    along = []
    for _ in range(200):
        rays = unit(target - origins)
        rays = unit(rays + np.stack([across(ray) @ rng.normal(0, 2e-3, 2) for ray in rays]))
        turns = rng.normal(0, np.sqrt(noise.turn_var), (4, 3))
        wrong = origins + rng.normal(0, np.sqrt(noise.shift_var), (4, 3))
        rays = unit(rays + np.cross(turns, rays))
        found = triangulate(wrong, rays, np.full(4, 2e-3), [noise] * 4)
        ray = unit(target)
        along.append(ray @ (found.point - target) / std_along(found.covariance, ray))
    assert np.mean(np.abs(along) < 2) >= 0.94
    assert abs(np.median(along)) < 0.2


# -- depth ----------------------------------------------------------------------------------------

CUBE = np.random.default_rng(0).uniform(-0.2, 0.2, (4000, 3))


def surface(*faces):
    """Points on faces of a cube of 0.4 m about the origin: (axis, sign) each."""
    parts = []
    for axis, sign in faces:
        face = CUBE.copy()
        face[:, axis] = 0.2 * sign
        parts.append(face)
    return np.concatenate(parts)


def test_what_is_seen_from_one_side_has_a_back():
    eye = np.array([[0.0, 0.0, -3.0]])
    # One face is no more than a board; its place is on it.
    board = measured_place(surface((2, -1)), eye, [TRUE])
    assert board.middle == pytest.approx([0, 0, -0.2], abs=0.01)
    # With its upper face it is a thing, about a fifth deeper than it is wide.
    front = measured_place(surface((2, -1), (1, 1)), eye, [TRUE])
    assert front.middle == pytest.approx([0, 0, 0.04], abs=0.015)
    assert front.size == pytest.approx([0.4, 0.4, 0.48], abs=0.03)
    depth, wide = (std_along(front.covariance, np.eye(3)[i]) for i in (2, 0))
    assert depth > 1.5 * wide
    around = np.array([[0.0, 0.0, -3.0], [0.0, 0.0, 3.0], [3.0, 0, 0], [-3.0, 0, 0]])
    whole = measured_place(surface((2, -1), (2, 1), (0, 1), (0, -1)), around, [TRUE] * 4)
    assert whole.middle == pytest.approx([0, 0, 0], abs=0.01)
    assert whole.size == pytest.approx([0.4, 0.4, 0.4], abs=0.02)


def test_what_something_hides_is_less_certain():
    eye = np.array([[0.0, 0.0, -3.0]])
    free, cut = (measured_place(surface((2, -1)), eye, [TRUE], unseen=u) for u in (0.0, 0.25))
    side = np.array([1.0, 0, 0])
    assert std_along(free.covariance, side) < 0.06
    assert std_along(cut.covariance, side) > 0.1


def test_a_wrong_pose_counts_across_by_its_distance():
    points, noise = surface((2, -1)), PoseNoise(0.0, np.radians(3.0))
    far, near = (
        measured_place(points, np.array([[0.0, 0.0, -z]]), [noise]).covariance for z in (6.0, 3.0)
    )
    turned = far[0, 0] - near[0, 0]
    assert turned == pytest.approx(noise.turn_var * (5.8**2 - 2.8**2), rel=0.02)


def test_numbers_stand_only_on_cells_that_lie_on_the_thing():
    z = np.array([[2.0, 2.0, 1.2, 3.0, 0.0]], np.float32)
    rays = np.zeros((1, 5, 2), np.float32)
    cut = SimpleNamespace(grid=SimpleNamespace(z=z, rays=rays), T_fixed_camera=np.eye(4))
    place = MeasuredPlace(np.array([0, 0, 2.1]), np.full(3, 0.2), np.eye(3) * 1e-4)
    mask = np.array([[True, False, True, True, True]])
    # On it, not of it, before it, behind it, and a hole of which nothing is known.
    assert _on_thing(cut, mask, place).tolist() == [[True, False, False, False, True]]


# -- records --------------------------------------------------------------------------------------


def test_a_mark_says_how_certain_it_is_and_of_unknown_nothing_is_certain():
    assert covariance_of(Mark(1, (), (0, 0, 0), position_std=0.1)) == pytest.approx(np.eye(3) / 100)
    assert np.isnan(covariance_of(Mark(1, ()))).all()
    long = Mark(1, (), (0, 0, 0), covariance=as_covariance(np.diag([1e-4, 1e-4, 0.04])))
    assert std_along(covariance_of(long), np.array([0, 0, 3.0])) == pytest.approx(0.2)
    assert std_along(covariance_of(long), np.array([0, 2.0, 0])) == pytest.approx(0.01)
    assert largest_std(long.covariance) == pytest.approx(0.2)
    assert np.isnan(largest_std(None))
    assert np.isnan(std_along(covariance_of(Mark(1, ())), np.ones(3)))
    assert isotropic(0.5) == ((0.25, 0, 0), (0, 0.25, 0), (0, 0, 0.25))


def test_what_the_source_says_about_its_poses_counts():
    assert pose_noise(None, TRUE) is TRUE
    assert pose_noise((0.1, 0.2), TRUE) == PoseNoise(0.1, 0.2)


# -- over baselines -------------------------------------------------------------------------------


def test_a_still_colour_camera_states_no_place_and_no_relation_but_bearings():
    _, true = make_line(1, 0.0)
    found = find_marks(as_given(true, "rgb", (0.002, 0.1), 7))
    assert found.marks
    assert all(mark.position is None and mark.size is None for mark in found.marks)
    assert {relation.predicate for relation in found.relations} == {Predicate.BEARING}
    assert [w.code for w in found.warnings][-1] == "marks_without_parallax"
    # The bearing is that of the picture: left is positive.
    seen = {o.view: o for o in found.marks[0].observations}[3]
    bearing = next(r for r in found.relations if r.subject == found.marks[0].number)
    assert bearing.value * ((seen.bbox[0] + seen.bbox[2]) / 2 - 159.5) < 0


@pytest.mark.parametrize("route", ["rgb", "depth"])
def test_true_places_lie_within_what_is_stated(route):
    counts = PlaceCounts()
    for index in (1, 3, 4):
        world, true = make_line(index, 1.0)
        judge_places(counts, world, as_given(true, route, (0.002, 0.1), index))
    told = counts.as_dict()
    assert told["placed"] >= 6
    assert told["within_2_sigma"] >= 0.85
    assert abs(told["median_along_sigma"]) < 0.4
    assert told["median_std_along_m"] < 0.2


def test_marks_keep_the_covariance_of_what_was_found():
    _, true = make_line(3, 0.5)
    marks = find_marks(as_given(true, "depth", (0.02, 1.0), 3)).marks
    sure = find_marks(as_given(true, "depth", (0.0, 0.0), 3)).marks
    for mark in marks:
        assert mark.position_std == pytest.approx(largest_std(mark.covariance))
    assert np.mean([m.position_std for m in marks]) > np.mean([m.position_std for m in sure])
    assert dataclasses.replace(marks[0], covariance=None) != marks[0]


# -- exact cases ----------------------------------------------------------------------------------


def test_noise_of_a_pose_is_shared_by_three_axes():
    noise = PoseNoise(0.3, 0.6)
    assert (noise.shift_var, noise.turn_var) == (pytest.approx(0.03), pytest.approx(0.12))


def test_views_within_twice_the_shift_share_their_error():
    origins = np.array([[0.0, 0, 0], [0.04, 0, 0], [0.081, 0, 0], [5.0, 0, 0]])
    same = [PoseNoise(0.02, 0.0)] * 4
    assert sharing(origins, same).tolist() == [2, 2, 1, 1]
    # The larger of the two errors counts.
    worse = [PoseNoise(0.02, 0.0)] * 2 + [PoseNoise(0.05, 0.0), PoseNoise(0.02, 0.0)]
    assert sharing(origins, worse).tolist() == [3, 3, 3, 1]


def test_a_measured_place_is_as_sure_as_depth_and_poses():
    noise, origin = PoseNoise(0.03, 0.02), np.array([[0.0, 0.0, 0.0]])
    found = seen_covariance(origin, np.array([0.0, 0.0, 2.0]), [noise])
    shift, turn = 0.03**2 / 3, 0.02**2 / 3
    # Across: shift and turn times distance; along: shift and 1 % of the distance.
    assert np.diag(found) == pytest.approx([shift + turn * 4] * 2 + [shift + 0.02**2])
    assert found[0, 1] == found[1, 2] == 0
    # Two views apart halve the variance, two at one place do not.
    apart = np.array([[0.0, 0, 0], [0.0, 0, 4.0]])
    assert seen_covariance(apart, np.array([0, 0, 2.0]), [noise] * 2) == pytest.approx(found / 2)
    twice = np.zeros((2, 3))
    assert seen_covariance(twice, np.array([0, 0, 2.0]), [noise] * 2) == pytest.approx(found)


@pytest.mark.parametrize("ray", [(1.0, 0, 0), (0, -1.0, 0), (0.6, 0.48, 0.64)])
def test_two_directions_across_a_ray(ray):
    basis = np.column_stack([across(np.array(ray)), ray])
    assert basis.T @ basis == pytest.approx(np.eye(3), abs=1e-12)


def test_covariances_are_symmetric_and_measured_along_a_direction():
    assert as_covariance(np.array([[1.0, 2, 0], [0, 3, 0], [0, 0, 4]]))[0] == (1.0, 1.0, 0.0)
    spread = np.array([[4.0, 2, 0], [2, 4.0, 0], [0, 0, 1]])
    assert std_along(spread, np.array([1.0, 1, 0])) == pytest.approx(np.sqrt(6))
    assert std_along(spread, np.array([1.0, -1, 0])) == pytest.approx(np.sqrt(2))
    assert std_along(spread, np.zeros(3)) == 2.0
    assert largest_std(as_covariance(spread)) == pytest.approx(np.sqrt(6))
    assert largest_std(((-1e-9, 0, 0), (0, -1e-9, 0), (0, 0, -1e-9))) == 0.0


def test_rays_off_by_some_pixels_say_by_how_much():
    origins = line(1.0, 2)
    rays = unit(np.array([0.0, 0, 2.0]) - origins)
    lifted = unit(rays + np.array([[0, 0.004, 0], [0, -0.004, 0]]))
    found = triangulate(origins, lifted, np.full(2, 2e-3), [TRUE] * 2)
    # They pass each other; each misses the point by 4 mrad, two standard deviations.
    assert found.point == pytest.approx([0, 0, 2.0], abs=0.01)
    assert found.off == pytest.approx([0.004, 0.004], rel=0.05)
    assert found.misfit == pytest.approx([4.0, 4.0], rel=0.1)
    assert found.along == pytest.approx([np.hypot(0.5, 2)] * 2, rel=0.01)


def test_rays_that_part_have_no_point():
    origins = line(1.0, 2)
    apart = unit(np.array([[-0.3, 0, 1.0], [0.3, 0, 1.0]]))
    assert not triangulate(origins, apart, np.full(2, 1e-3), [TRUE] * 2).known


def test_what_ends_a_things_outline_widens_its_place():
    """1 cm and 8 % of its extent; of the whole extent as often as something else ends it."""
    eye, side = np.array([[0.0, 0.0, -3.0]]), np.array([1.0, 0, 0])
    for unseen in (0.0, 0.5):
        place = measured_place(surface((2, -1)), eye, [TRUE], unseen=unseen)
        extent = place.size[0]
        expected = np.hypot(0.01, np.hypot(0.08 * extent, unseen * extent))
        assert std_along(place.covariance, side) == pytest.approx(expected, rel=0.02)
    # From around, nothing is added for a hidden back; from one side 15 % of its width.
    front = measured_place(surface((2, -1)), eye, [TRUE])
    ahead = std_along(front.covariance, np.array([0, 0, 1.0]))
    assert ahead == pytest.approx(np.hypot(0.01, np.hypot(0.03, 0.15 * 0.384)), rel=0.1)
