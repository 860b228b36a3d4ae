"""Exact cases of transforms: signs, orders and limits that laws alone leave open."""

import numpy as np
import pytest

from oryx_scene.errors import CalibrationError
from oryx_scene.geometry.transforms import (
    check_transform,
    from_translation_quaternion,
    from_translation_rpy,
    interpolate,
    quaternion_to_rotation,
    rotation_to_quaternion,
)
from oryx_scene.geometry.upright import z_is_up
from oryx_scene.records import Frame

HALF = np.sqrt(0.5)
TURN = {
    "x": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "y": [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
    "z": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
}


@pytest.mark.parametrize(("place", "axis"), list(enumerate("xyz")))
def test_a_quarter_turn_about_each_axis(place, axis):
    q = [0.0, 0.0, 0.0, HALF]
    q[place] = HALF
    assert np.allclose(quaternion_to_rotation([2 * value for value in q]), TURN[axis], atol=1e-12)
    assert np.allclose(rotation_to_quaternion(np.array(TURN[axis], float)), q, atol=1e-12)
    rpy = [0.0, 0.0, 0.0]
    rpy[place] = np.pi / 2
    T = from_translation_rpy((1, 2, 3), rpy)
    assert np.allclose(T[:3, :3], TURN[axis], atol=1e-12)
    assert T[:, 3].tolist() == [1, 2, 3, 1] and T[3].tolist() == [0, 0, 0, 1]


def test_roll_comes_first_and_yaw_last():
    roll, pitch, yaw = (
        from_translation_rpy((0, 0, 0), [angle if place == axis else 0.0 for place in range(3)])
        for axis, angle in enumerate((0.3, -0.5, 1.1))
    )
    whole = from_translation_rpy((0, 0, 0), (0.3, -0.5, 1.1))
    assert np.allclose(whole, yaw @ pitch @ roll, atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
def test_half_a_turn_about_each_axis_there_and_back(axis):
    R = -np.eye(3)
    R[axis, axis] = 1.0
    q = rotation_to_quaternion(R)
    assert np.abs(q).tolist() == [float(place == axis) for place in range(4)]
    assert np.allclose(quaternion_to_rotation(q), R)


def test_a_quaternion_has_w_not_below_zero():
    q = rotation_to_quaternion(quaternion_to_rotation((0.6, -0.64, 0.48, -0.02)))
    assert q == pytest.approx(np.array((-0.6, 0.64, -0.48, 0.02)) / 1.00018, abs=1e-3)


@pytest.mark.parametrize("q", [(0, 0, 0, 0), (0, 0, 1e-10, 0), (0, 0, np.nan, 1), (0, 0, 1)])
def test_what_is_no_rotation_is_refused(q):
    with pytest.raises(CalibrationError, match=r"no rotation \(x, y, z, w\)"):
        quaternion_to_rotation(q)


def bent(row, column, by):
    T = np.eye(4)
    T[row, column] += by
    return T


@pytest.mark.parametrize(
    ("T", "said"),
    [
        (np.eye(3), r"got shape \(3, 3\)"),
        (bent(0, 3, np.inf), "not finite"),
        *((bent(3, column, 1e-6), "last row") for column in range(4)),
        *((bent(3, column, -1e-6), "last row") for column in range(4)),
        (np.diag([1.0, 1.0, -1.0, 1.0]), "determinant -1.000"),
        (np.diag([1.001, 1.0, 1.0, 1.0]), "no rotation"),
        (bent(0, 1, 2e-3), "no rotation"),
    ],
)
def test_a_transform_that_is_not_rigid_is_refused(T, said):
    with pytest.raises(CalibrationError, match=f"'rig'.*{said}"):
        check_transform(T, "rig")


def test_rounding_of_a_file_is_no_fault():
    T = np.round(from_translation_rpy((1, 2, 3), (0.3, -0.5, 1.1)), 4)
    assert check_transform(T.tolist(), "rig").dtype == np.float64
    assert check_transform(bent(3, 3, 1e-10), "rig")[3, 3] > 1
    assert check_transform(np.diag([1.0004, 1.0, 1.0, 1.0]), "rig")[0, 0] == 1.0004


def test_between_two_poses_at_a_third_of_the_way():
    start = from_translation_rpy((0, 3, 9), (0, 0, 0))
    end = from_translation_rpy((3, 0, 9), (0, 0, 1.2))
    assert np.allclose(
        interpolate(start, end, 1 / 3), from_translation_rpy((1, 2, 9), (0, 0, 0.4)), atol=1e-12
    )
    # So small an angle that its sine is lost.
    tiny = from_translation_quaternion((0, 0, 0), (0, 0, 1e-8, 1))
    assert interpolate(np.eye(4), tiny, 0.25)[1, 0] == pytest.approx(0.5e-8, rel=1e-6)


def tilted(down_rad):
    """A level camera, tilted down."""
    T = from_translation_rpy((0, 0, 1), (-np.pi / 2 - down_rad, 0, 0))
    return Frame("c", 0, "c", np.zeros((1, 1, 3), np.uint8), "", T_fixed_camera=T)


def test_45_degrees_still_are_upright_and_46_are_not():
    quarter = np.pi / 4
    assert z_is_up([tilted(-quarter)])
    assert not z_is_up([tilted(-np.radians(46))])
    assert z_is_up([tilted(quarter)])
    assert z_is_up([tilted(np.radians(89))])
    # The mean of a level camera and one that looks straight up is 0.5, too little.
    assert not z_is_up([tilted(0.0), tilted(-np.pi / 2)])
    assert z_is_up([tilted(0.0), tilted(0.0), tilted(0.0), tilted(-np.pi / 2)])
