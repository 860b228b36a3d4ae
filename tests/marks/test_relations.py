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
    relations_from,
)
from oryx_scene.records import Mark, Predicate

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
