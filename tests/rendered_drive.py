"""Rendered RGB-D recordings in which things are moved, taken and brought, with what is true."""

import dataclasses
import math

import numpy as np

from oryx_scene.lab.synth.noise import spoil
from oryx_scene.lab.synth.placement import Body
from oryx_scene.lab.synth.render import CameraPose, render_views
from oryx_scene.lab.synth.rigs import look_at
from oryx_scene.lab.synth.solids import Solid
from oryx_scene.lab.synth.words import COLOURS
from oryx_scene.lab.synth.world import WorldConfig, make_world
from oryx_scene.records import Intrinsics
from oryx_scene.sources.base import BaseSource, FrameStub

START_NS = 1_700_000_000_000_000_000
SIZE = (120, 160)


def a_thing(object_id, colour, shape, x, y, half=0.2):
    """A thing on the floor: (solid, body)."""
    size = np.full(3, half)
    centre = np.array([x, y, half])
    solid = Solid(shape, object_id, centre, size, 0.4, np.array(COLOURS[colour]))
    return solid, Body(shape, size, centre, 0.4)


def a_world(things, seed=3):
    """An empty room of ``seed`` with ``things``: object id -> (colour, shape, x, y)."""
    world = make_world(seed, WorldConfig(objects=(1, 1), table=0.0))
    built = [a_thing(number, *thing) for number, thing in sorted(things.items())]
    return dataclasses.replace(
        world,
        objects=(),
        solids=tuple(solid for solid, _ in built),
        bodies=tuple(body for _, body in built),
    )


def circle(radius=2.0, height=1.1, seconds=40.0, rate=2.0, begin_s=0.0, start=0.0, turns=1.0):
    """(seconds, eye (3,), target (3,)) of a drive around the middle that looks across it."""
    for index in range(round(seconds * rate)):
        angle = start + turns * math.tau * index / (seconds * rate)
        eye = np.array([radius * math.cos(angle), radius * math.sin(angle), height])
        yield begin_s + index / rate, eye, np.array([0.0, 0.0, 0.3])


class Drive(BaseSource):
    """A recording that is rendered while it is read.

    Args:
        world_at: seconds since the start -> world.
        places: (seconds, eye, target) of every picture.
        noise: of depth and poses.
        T_map_odom: (4, 4) put before all poses: a session of another map frame.
    """

    def __init__(self, world_at, places, noise=None, T_map_odom=None, size=SIZE, start_ns=START_NS):
        self._world_at, self._noise, self._odom = world_at, noise, T_map_odom
        height, width = size
        f = 0.75 * width
        K = np.array([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1.0]])
        self._intrinsics = Intrinsics(K, height, width)
        self._places, self.loaded = {}, 0
        stubs = []
        for serial, (seconds, eye, target) in enumerate(places):
            stamp = start_ns + round(seconds * 1e9)
            stubs.append(FrameStub("front", stamp, stamp, "front", serial))
            self._places[stamp] = (seconds, look_at(eye, target))
        super().__init__(stubs, synthetic=True)

    def load(self, stub):
        self.loaded += 1
        seconds, T = self._places[stub.stamp_ns]
        pose = CameraPose("front", stub.stamp_ns, self._intrinsics, T)
        (frame,) = render_views(self._world_at(seconds), [pose])
        if self._noise is not None:
            (frame,) = spoil([frame], self._noise, 1)
        return dataclasses.replace(frame, T_fixed_camera=self.pose_of(frame.T_fixed_camera))

    def pose_of(self, T):
        return T if self._odom is None else self._odom @ T

    def pose(self, stub):
        return self.pose_of(self._places[stub.stamp_ns][1])
