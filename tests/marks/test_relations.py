"""Measured relations: values and standard deviations against drawn noise, and what is stated."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oryx_scene.lab.synth.rigs import look_at
from oryx_scene.marks.places import as_covariance
from oryx_scene.marks.relations import (
    SIGMAS,
    VIEW_SHIFT_STD_M,
    VIEW_TURN_STD,
    ReferenceView,
    measure_relations,
    newest_viewpoint,
    relations_from,
)
from oryx_scene.records import Frame, Intrinsics, Mark, MarkObservation, Predicate

P = Predicate
CAMERA = look_at(np.array([-2.0, 0.3, 1.2]), np.array([0.5, 0.0, 0.2]))
VIEW = ReferenceView("front", CAMERA)


class Upright:
    """As much of a frame as the vertical needs."""

    T_fixed_camera = CAMERA
    stamp_ns, camera = 1, "front"


def mark(number, place, std=0.04, size=(0.3, 0.3, 0.3)):
    return Mark(number, (), tuple(map(float, place)), size, std, frame_id="map")


MARKS = (mark(1, (0.2, 0.6, 0.3)), mark(2, (1.0, -0.7, 0.2), 0.06), mark(3, (0.9, 0.5, 0.9), 0.03))


def key(relation):
    return relation.subject, relation.predicate, relation.object


def measured(marks=MARKS, viewpoint=VIEW):
    return {key(r): r for r in measure_relations(marks, (Upright(),), viewpoint)}


def drawn(rng):
    """The same scene as another measurement would have it."""
    moved = [
        dataclasses.replace(
            m, position=tuple(np.array(m.position) + rng.normal(0, m.position_std, 3))
        )
        for m in MARKS
    ]
    T = CAMERA.copy()
    T[:3, :3] = T[:3, :3] @ cv2.Rodrigues(rng.normal(0, VIEW_TURN_STD, 3))[0]
    T[:3, 3] += rng.normal(0, VIEW_SHIFT_STD_M, 3)
    return measured(moved, ReferenceView("front", T))


@pytest.fixture(scope="module")
def trials():
    rng = np.random.default_rng(5)
    return [drawn(rng) for _ in range(1500)]


SIGNED = {P.RIGHT_OF: P.LEFT_OF, P.BEHIND: P.IN_FRONT_OF, P.BELOW: P.ABOVE}


@pytest.mark.parametrize(
    "wanted", sorted((k for k in measured() if k[1] is not P.SIZE), key=str), ids=str
)
def test_standard_deviations_are_those_of_drawn_noise(trials, wanted):
    stated = measured()[wanted]
    values = [t[wanted].value for t in trials if wanted in t]
    if len(values) <= 0.97 * len(trials):
        # Draws too close to call state nothing, which cuts the spread; such a call must be close.
        assert wanted[1] is P.NEAREST
        return
    assert np.std(values) == pytest.approx(stated.std, rel=0.12)
    assert np.mean(values) == pytest.approx(stated.value, abs=0.35 * stated.std)


def test_units_frames_and_references():
    for relation in measured().values():
        assert relation.source == "geometry"
        assert math.isfinite(relation.std)
        assert relation.unit == ("rad" if relation.predicate is P.BEARING else "m")
        of_view = relation.predicate in (
            P.RANGE, P.BEARING, P.LEFT_OF, P.RIGHT_OF, P.IN_FRONT_OF, P.BEHIND,
        )  # fmt: skip
        assert relation.reference == ("view:front" if of_view else "map")


def test_close_calls_are_stated_as_often_as_two_deviations_allow():
    """Two marks at one place: a wrong side is stated in less than 5 % of measurements."""
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(1000):
        pair = [mark(n, np.array([1.0, 0.0, 0.3]) + rng.normal(0, 0.08, 3), 0.08) for n in (1, 2)]
        wrong += any(r.predicate is P.LEFT_OF for r in relations_from(pair, VIEW))
    assert SIGMAS == 2.0
    assert 10 < wrong < 65


places = st.tuples(*(st.floats(-2, 2) for _ in range(3)))


@settings(max_examples=60, deadline=None)
@given(places, places, st.floats(0.001, 0.2))
def test_every_side_has_its_converse_and_never_both(a, b, std):
    found = {
        key(r) for r in measure_relations((mark(1, a, std), mark(2, b, std)), (Upright(),), VIEW)
    }
    for one, other in SIGNED.items():
        assert ((1, one, 2) in found) == ((2, other, 1) in found)
        assert not {(1, one, 2), (1, other, 2)} <= found


@settings(max_examples=40, deadline=None)
@given(places, places, st.floats(-3, 3), places)
def test_distances_do_not_depend_on_the_fixed_frame(a, b, yaw, shift):
    c, s = np.cos(yaw), np.sin(yaw)
    R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    T = CAMERA.copy()
    T[:3, :3], T[:3, 3] = R @ CAMERA[:3, :3], R @ CAMERA[:3, 3] + shift
    before = {key(r): r.value for r in relations_from((mark(1, a), mark(2, b)), VIEW)}
    moved = [mark(n, R @ np.array(p) + shift) for n, p in ((1, a), (2, b))]
    after = {key(r): r.value for r in relations_from(moved, ReferenceView("front", T))}
    shared = before.keys() & after.keys()
    assert len(shared) >= min(len(before), len(after)) - 2
    for k in shared:
        assert before[k] == pytest.approx(after[k], abs=1e-6)


def test_the_viewpoint_decides_what_is_left():
    front = {key(r) for r in relations_from(MARKS, VIEW)}
    back = look_at(np.array([4.0, 0.0, 1.2]), np.array([0.5, 0.0, 0.2]))
    behind = {key(r) for r in relations_from(MARKS, ReferenceView("back", back))}
    assert (1, P.LEFT_OF, 2) in front
    assert (1, P.RIGHT_OF, 2) in behind


def test_on_and_nearest():
    table, cup = (
        mark(1, (1, 0, 0.35), 0.02, (1.0, 0.6, 0.7)),
        mark(2, (1, 0.1, 0.75), 0.02, (0.1,) * 3),
    )
    far = mark(3, (2.5, 1.5, 0.2), 0.02)
    found = measured((table, cup, far))
    assert (2, P.ON, 1) in found
    assert (1, P.ON, 2) not in found
    assert (1, P.NEAREST, 2) in found
    level = mark(2, (1, 0.1, 0.95), 0.02, (0.1,) * 3)
    assert (2, P.ON, 1) not in measured((table, level, far))


def test_of_unknown_error_nothing_is_stated_but_values():
    loose = [dataclasses.replace(m, position_std=float("nan")) for m in MARKS]
    kinds = {r.predicate for r in measure_relations(loose, (Upright(),), VIEW)}
    assert not kinds & {P.LEFT_OF, P.RIGHT_OF, P.IN_FRONT_OF, P.BEHIND, P.ABOVE, P.NEAREST}
    assert P.DISTANCE in kinds


def test_a_certain_mark_is_as_far_as_the_viewpoint_is_certain():
    """Of a mark without error only the viewpoint's own is left: 2 cm and 1 degree over sqrt(3)."""
    found = {r.predicate: r for r in relations_from((mark(1, (0.2, 0.6, 0.3), 0.0),), VIEW)}
    assert found[P.RANGE].std == pytest.approx(VIEW_SHIFT_STD_M)
    assert found[P.BEARING].std > VIEW_TURN_STD


@pytest.mark.parametrize(("y", "sign"), [(0.5, 1), (-0.5, -1)])
def test_a_bearing_is_positive_to_the_left(y, sign):
    """A camera that looks along x of the map has +y to its left (REP-103)."""
    ahead = ReferenceView("front", look_at(np.array([0.0, 0, 1]), np.array([1.0, 0, 1])))
    found = {r.predicate: r for r in relations_from((mark(1, (2.0, y, 1.0)),), ahead)}
    assert found[P.BEARING].value == pytest.approx(sign * math.atan2(0.5, 2.0))


def test_each_relation_takes_the_error_of_its_own_direction():
    """A place that is long along the ray: its range is unsure, its side is not."""
    ahead = ReferenceView("front", look_at(np.array([0.0, 0, 1]), np.array([1.0, 0, 1])))
    long = as_covariance(np.diag([0.5**2, 0.01**2, 0.01**2]))
    marks = [
        dataclasses.replace(mark(n, (3.0, y, 1.0)), covariance=long)
        for n, y in ((1, 0.2), (2, -0.2))
    ]
    found = {key(r): r for r in relations_from(marks, ahead)}
    assert (1, P.LEFT_OF, 2) in found
    assert found[1, P.RANGE, None].std == pytest.approx(0.5, rel=0.02)
    deeper = [dataclasses.replace(marks[1], position=(3.6, -0.2, 1.0)), marks[0]]
    told = {key(r) for r in relations_from(deeper, ahead)}
    assert (1, P.LEFT_OF, 2) in told
    assert not any(k[1] in (P.BEHIND, P.IN_FRONT_OF) for k in told)


# -- exact cases ----------------------------------------------------------------------------------

AHEAD = ReferenceView("front", look_at(np.array([0.0, 0, 1]), np.array([1.0, 0, 1])))


def stated(*marks, viewpoint=AHEAD):
    return {key(r): r for r in relations_from(marks, viewpoint)}


def test_values_and_deviations_of_one_mark():
    # 3 m ahead, 4 m to the left and level, 10 cm unsure in every direction.
    found = stated(mark(1, (3.0, 4.0, 1.0), 0.1))
    range_, bearing = found[1, P.RANGE, None], found[1, P.BEARING, None]
    assert (range_.value, range_.unit) == (pytest.approx(5.0), "m")
    assert range_.std == pytest.approx(math.hypot(0.1, VIEW_SHIFT_STD_M))
    assert bearing.value == pytest.approx(math.atan2(4, 3))
    assert bearing.std == pytest.approx(math.hypot(range_.std / 5, VIEW_TURN_STD))
    # Overhead a bearing says hardly anything: nearer than 10 cm counts as 10 cm.
    above = stated(mark(1, (0.01, 0.0, 3.0), 0.0))[1, P.BEARING, None]
    assert above.std == pytest.approx(math.hypot(VIEW_SHIFT_STD_M / 0.1, VIEW_TURN_STD))


def test_values_and_deviations_of_two_marks():
    a, b = mark(1, (4.0, 1.0, 1.5), 0.03), mark(2, (3.0, -1.0, 1.0), 0.04)
    found = stated(a, b)
    left, behind = found[1, P.LEFT_OF, 2], found[1, P.BEHIND, 2]
    assert (left.value, behind.value) == (pytest.approx(2.0), pytest.approx(1.0))
    # Both places, and a turn of the viewpoint times what lies across: 0.5 m up, 1 m or 2 m.
    assert left.std == pytest.approx(math.hypot(0.05, VIEW_TURN_STD * math.hypot(0.5, 1.0)))
    assert behind.std == pytest.approx(math.hypot(0.05, VIEW_TURN_STD * math.hypot(0.5, 2.0)))
    assert (found[2, P.RIGHT_OF, 1].value, found[2, P.IN_FRONT_OF, 1].value) == (2.0, 1.0)
    assert (found[2, P.RIGHT_OF, 1].std, left.reference) == (left.std, "view:front")
    whole = measured((a, b), AHEAD)
    distance = whole[1, P.DISTANCE, 2]
    assert distance.value == pytest.approx(math.sqrt(5.25))
    assert (distance.std, distance.reference) == (pytest.approx(0.05), "map")
    up = whole[1, P.ABOVE, 2]
    assert (up.value, up.std, up.unit) == (0.5, pytest.approx(0.05), "m")
    assert whole[2, P.BELOW, 1].value == 0.5


@pytest.mark.parametrize(("apart", "std", "said"), [(0.051, 0.0, True), (0.049, 0.0, False)])
def test_less_than_5_cm_is_no_difference(apart, std, said):
    found = stated(mark(1, (3.0, apart / 2, 1), std), mark(2, (3.0, -apart / 2, 1), std))
    assert ((1, P.LEFT_OF, 2) in found) == said


def test_further_right_in_metres_and_further_left_in_the_picture_is_neither():
    # 2 m to the right at 8 m is further left in the picture than 1 m at 2 m.
    found = stated(mark(1, (8.0, -2.0, 1.0), 0.01), mark(2, (2.0, -1.0, 1.0), 0.01))
    assert not {k for k in found if k[1] in (P.LEFT_OF, P.RIGHT_OF)}
    assert (1, P.BEHIND, 2) in found


def test_the_size_is_the_largest_extent_and_as_sure_as_two_faces():
    found = measured((mark(1, (1, 0, 0), 0.04, (0.2, 0.7, 0.3)),))
    size = found[1, P.SIZE, None]
    assert (size.value, size.unit, size.reference) == (0.7, "m", "map")
    assert size.std == pytest.approx(math.sqrt(2) * math.hypot(0.02, 0.02))
    unsized = measured((mark(1, (1, 0, 0), 0.04, None),))
    assert (1, P.SIZE, None) not in unsized
    # Along its own axis, not along the others.
    long = dataclasses.replace(
        mark(1, (1, 0, 0), 0.0, (0.2, 0.7, 0.3)), covariance=as_covariance(np.diag([1, 0.01, 1]))
    )
    assert measured((long,))[1, P.SIZE, None].std == pytest.approx(
        math.sqrt(2) * math.hypot(0.02, 0.05)
    )


@pytest.mark.parametrize(
    ("place", "std", "on"),
    [
        ((1.0, 0.0, 0.75), 0.02, True),
        ((1.0, 0.0, 0.809), 0.02, True),  # 5.9 cm above the table's top
        ((1.0, 0.0, 0.811), 0.02, False),
        ((1.0, 0.0, 0.691), 0.02, True),  # 5.9 cm in it
        ((1.0, 0.0, 0.689), 0.02, False),
        ((1.49, 0.0, 0.75), 0.02, True),  # over the table
        ((1.51, 0.0, 0.75), 0.02, False),
        ((1.0, 0.29, 0.75), 0.02, True),
        ((1.0, -0.31, 0.75), 0.02, False),
        ((1.0, 0.0, 0.75), 0.2, False),  # who knows
    ],
)
def test_what_stands_on_a_table(place, std, on):
    table, cup = mark(1, (1, 0, 0.35), 0.0, (1.0, 0.6, 0.7)), mark(2, place, std, (0.1,) * 3)
    found = measured((table, cup))
    assert ((2, P.ON, 1) in found) == on
    assert (1, P.ON, 2) not in found
    if on:
        assert found[2, P.ON, 1].value == pytest.approx(abs(place[2] - 0.75), abs=1e-9)
        assert found[2, P.ON, 1].std == pytest.approx(std)
    unsized = (table, dataclasses.replace(cup, size=None))
    assert (2, P.ON, 1) not in measured(unsized)


def test_the_nearest_is_stated_where_the_next_is_clearly_further():
    def nearest(second_x, std):
        marks = (mark(1, (0, 0, 0), 0.0), mark(2, (1, 0, 0), 0.0), mark(3, (second_x, 0, 0), std))
        return measured(marks).get((1, P.NEAREST, 2))

    assert nearest(-1.051, 0.0) is not None and nearest(-1.049, 0.0) is None
    assert nearest(-1.41, 0.2) is not None and nearest(-1.39, 0.2) is None
    assert (nearest(-2.0, 0.1).value, nearest(-2.0, 0.1).std) == (1.0, 0.0)
    # In opposite directions the mark's own error counts twice, in one direction not at all.
    own = (mark(1, (0, 0, 0), 0.1), mark(2, (1, 0, 0), 0.0))
    assert (1, P.NEAREST, 2) in measured((*own, mark(3, (-1.41, 0, 0), 0.0)))
    assert (1, P.NEAREST, 2) not in measured((*own, mark(3, (-1.39, 0, 0), 0.0)))
    assert (1, P.NEAREST, 2) in measured((*own, mark(3, (1.06, 0, 0), 0.0)))
    # Two marks are each other's nearest; one alone has none.
    pair = measured((mark(1, (0, 0, 0)), mark(2, (1, 0, 0))))
    assert (1, P.NEAREST, 2) in pair and (2, P.NEAREST, 1) in pair
    assert not [k for k in measured((mark(1, (0, 0, 0)),)) if k[1] is P.NEAREST]


def view_at(stamp_ns, camera, pose=CAMERA):
    rgb = np.zeros((4, 4, 3), np.uint8)
    return Frame(camera, stamp_ns, "", rgb, "", T_fixed_camera=pose, fixed_frame="map")


def test_directions_are_those_of_the_newest_view_with_a_pose():
    frames = [view_at(1, "z"), view_at(3, "a"), view_at(3, "b"), view_at(9, "c", None)]
    assert newest_viewpoint(frames).name == "b"
    assert newest_viewpoint(frames).reference == "view:b"
    assert newest_viewpoint(frames[3:]) is None
    found = {key(r): r for r in measure_relations((mark(1, (1, 0, 0)),), frames)}
    assert found[1, P.RANGE, None].reference == "view:b"
    kinds = {r.predicate for r in measure_relations(MARKS, frames[3:])}
    assert kinds <= {P.SIZE, P.DISTANCE, P.NEAREST}


def test_a_mark_without_a_place_has_the_bearing_of_its_picture():
    K = Intrinsics(np.array([[100.0, 0, 50.0], [0, 100.0, 40.0], [0, 0, 1]]), 80, 100)
    frames = [view_at(1, "old", CAMERA.copy()), view_at(2, "new")]
    frames[1] = dataclasses.replace(frames[1], intrinsics=K)
    box = (20.0, 30.0, 30.0, 50.0)
    seen = [MarkObservation(view, 26.0, 40.0, 5.0, 1.0, 1.0, 9, box) for view in (0, 1)]
    found = measure_relations((Mark(4, tuple(seen)),), frames)
    (bearing,) = found
    left, right = math.atan(0.3), math.atan(0.2)
    assert (bearing.subject, bearing.predicate, bearing.unit) == (4, P.BEARING, "rad")
    assert bearing.value == pytest.approx((left + right) / 2)
    # Anywhere between the edges: a uniform width over sqrt(12).
    width = (left - right) / math.sqrt(12)
    assert bearing.std == pytest.approx(math.hypot(width, VIEW_TURN_STD))
    assert bearing.reference == "view:new"
    assert measure_relations((Mark(4, tuple(seen[:1])),), frames) == ()
