"""Which fixed frames have z up: those in which cameras stand upright or look down."""

import math
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oryx_scene.geometry.upright import z_is_up
from oryx_scene.lab.synth.rigs import look_at


def posed(*poses):
    return [SimpleNamespace(T_fixed_camera=pose) for pose in poses]


def looking(down_degrees, turned=0.0):
    down = math.radians(down_degrees)
    eye = np.array([0.3, -0.2, 1.5])
    flat = np.array([math.cos(turned), math.sin(turned), 0.0]) * math.cos(down)
    return look_at(eye, eye + flat - np.array([0.0, 0.0, math.sin(down)]))


@given(st.floats(-40.0, 89.0), st.floats(0.0, 6.2))
def test_level_tilted_and_steep_cameras_tell_that_z_is_up(down, turned):
    assert z_is_up(posed(looking(down, turned)))


def test_all_cameras_of_a_robot_may_look_steeply_down():
    assert z_is_up(posed(*(looking(75.0, angle) for angle in (0.0, 2.0, 4.0))))


@given(st.lists(st.floats(-0.6, 0.6), max_size=4))
def test_the_optical_frame_of_the_first_camera_is_no_such_frame(turns):
    def turned(angle):
        pose = np.eye(4)
        pose[0, 0] = pose[2, 2] = math.cos(angle)
        pose[0, 2], pose[2, 0] = math.sin(angle), -math.sin(angle)
        return pose

    assert not z_is_up(posed(np.eye(4), *map(turned, turns)))


def test_without_poses_nothing_is_said():
    assert not z_is_up(posed(None))
    assert not z_is_up([])
