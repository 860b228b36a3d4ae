"""A drive: hours of RGB-D frames through a house in which things change, rendered one at a time.

Everything follows from `DriveConfig`; any frame can be rendered without those before it. Poses are
those that a robot would publish: they drift and jump back at closed loops; the error stands in no
frame, as with most localisers, but in the truth beside the drive (`drive_truth`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from oryx_scene.errors import ConfigError
from oryx_scene.lab.synth.furniture import SENSOR
from oryx_scene.lab.synth.house import ROOM_NAMES, House, make_house
from oryx_scene.lab.synth.noise import spoil
from oryx_scene.lab.synth.render import FIXED_FRAME, CameraPose, render_views
from oryx_scene.lab.synth.rigs import START_NS, RigConfig, look_at, pinhole
from oryx_scene.lab.synth.timeline import Timeline, dimmed, make_timeline
from oryx_scene.lab.synth.trajectory import PoseError, Trajectory, drive_through, pose_errors
from oryx_scene.lab.synth.truth import ObjectTruth
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, SHAPES
from oryx_scene.lab.synth.world import World, WorldConfig
from oryx_scene.records import FloatArray, Frame, Intrinsics

CAMERA = "front"
# One change in two minutes, where nothing else is asked for.
_CHANGE_EVERY_S = 120.0
_MOST_SECONDS = 86_400.0


@dataclass(frozen=True)
class DriveConfig:
    """What is driven.

    Attributes:
        seed: of the house, the path, the changes and the noise.
        seconds: how long, 1 s to a day.
        rate_hz: frames per second.
        rooms: 1..9.
        changes: things moved, taken or brought; -1 for one in two minutes.
        height, width: pixels.
        noise: of depth and poses as of a real RGB-D camera; without it only the drift is left.
    """

    seed: int = 0
    seconds: float = 3600.0
    rate_hz: float = 2.0
    rooms: int = 4
    changes: int = -1
    height: int = 240
    width: int = 320
    noise: bool = True

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"drive.seed must not be negative, got {self.seed}.")
        if not 1.0 <= self.seconds <= _MOST_SECONDS:
            raise ConfigError(f"drive.seconds: 1 s to a day expected, got {self.seconds}.")
        if not 0.01 <= self.rate_hz <= 60.0:
            raise ConfigError(f"drive.rate_hz: 0.01..60 expected, got {self.rate_hz}.")
        if not 1 <= self.rooms <= len(ROOM_NAMES):
            raise ConfigError(f"drive.rooms: 1..{len(ROOM_NAMES)} expected, got {self.rooms}.")
        if self.changes < -1:
            raise ConfigError(f"drive.changes must not be negative, got {self.changes}.")
        RigConfig(height=self.height, width=self.width)

    @property
    def frames(self) -> int:
        """How many frames the drive has."""
        return max(1, math.floor(self.seconds * self.rate_hz))

    @property
    def expected_changes(self) -> int:
        """How many changes are drawn."""
        return round(self.seconds / _CHANGE_EVERY_S) if self.changes < 0 else self.changes


# Many drives: a quarter of the pixels, half the rate.
LIGHT = DriveConfig(rate_hz=1.0, height=120, width=160)


class Drive:
    """The drive of a config; nothing is rendered before `frame` is called."""

    def __init__(self, config: DriveConfig) -> None:
        self.config = config
        rng = np.random.default_rng([config.seed, 32])
        changes = config.expected_changes
        self.house: House = make_house(config.seed, config.rooms, min(changes // 4 + 1, 63))
        self.trajectory: Trajectory = drive_through(self.house, config.seconds, rng)
        self.timeline: Timeline = make_timeline(
            self.house, config.seconds, changes, self.room_at, rng
        )
        self._height_m, self._pitch = float(rng.uniform(0.9, 1.3)), float(rng.uniform(0.18, 0.3))
        self._focal = float(rng.uniform(0.72, 0.85))
        seconds = np.arange(config.frames) / config.rate_hz
        self.poses: FloatArray = self.trajectory.at(seconds)
        self.pose_error: PoseError = pose_errors(self.poses, seconds, rng)

    def seconds_of(self, index: int) -> float:
        """Seconds of the drive at a frame."""
        return index / self.config.rate_hz

    def stamp_of(self, seconds: float) -> int:
        """Stamp of a moment, ns."""
        return START_NS + round(seconds * 1e9)

    def room_at(self, seconds: float) -> int:
        """Index of the room in which the robot is."""
        return self.house.room_at(self.trajectory.at(np.array([seconds]))[0, :2])

    def intrinsics(self, size: tuple[int, int] | None = None) -> Intrinsics:
        """Of the camera, at (height, width)."""
        height, width = size or (self.config.height, self.config.width)
        return pinhole(RigConfig(height=height, width=width), self._focal)

    def camera_pose(self, pose: FloatArray) -> FloatArray:
        """T_map_camera (4, 4) of a robot at x, y, heading."""
        eye = np.array([pose[0], pose[1], self._height_m])
        ahead = np.array([math.cos(pose[2]), math.sin(pose[2]), -math.tan(self._pitch)])
        return look_at(eye, eye + ahead)

    def world_at(self, index: int) -> World:
        """What is there at a frame, under the light of the room in which the robot is."""
        seconds = self.seconds_of(index)
        there = self.timeline.there_at(seconds)
        room = self.house.room_at(self.poses[index, :2])
        lighting = dimmed(self.house.lightings[room], self.timeline.light_at(seconds, room))
        return World(
            self.config.seed,
            _WORLD,
            tuple(
                ObjectTruth(t.object_id, t.colour, t.shape, triple(t.body.centre), triple(t.extent))
                for t in there
            ),
            (*self.house.walls, *(solid for thing in there for solid in thing.solids)),
            tuple(thing.body for thing in there),
            self.house.outer,
            lighting,
            tuple(COLOURS),
            (*SHAPES, FURNITURE),
        )

    def true_pose(self, index: int, size: tuple[int, int] | None = None) -> CameraPose:
        """From where frame ``index`` is taken, with a camera of (height, width)."""
        stamp_ns = self.stamp_of(self.seconds_of(index))
        T = self.camera_pose(self.poses[index])
        return CameraPose(CAMERA, stamp_ns, self.intrinsics(size), T)

    def published_pose(self, index: int) -> FloatArray:
        """T_map_camera (4, 4) as the robot believes it, as `frame` has it."""
        pose = self.true_pose(index)
        empty = np.zeros((1, 1, 3), np.uint8)
        bare = Frame(CAMERA, pose.stamp_ns, pose.frame_id, empty, "")
        published = self._published(bare, index).T_fixed_camera
        assert published is not None
        return published

    def frame(self, index: int) -> Frame:
        """Render frame ``index`` with true ids in ``labels``."""
        (frame,) = render_views(self.world_at(index), [self.true_pose(index)])
        return self._published(frame, index)

    def _published(self, frame: Frame, index: int) -> Frame:
        """With the pose that the robot believes, and with noise."""
        T = self.camera_pose(self.poses[index] + self.pose_error.errors[index])
        believed = dataclasses.replace(frame, T_fixed_camera=T, fixed_frame=FIXED_FRAME)
        return spoil([believed], SENSOR, self.config.seed)[0] if self.config.noise else believed

    @cached_property
    def fingerprint(self) -> str:
        """Of path, poses and changes: another version that draws others has another one."""
        told = [
            [
                [p.thing.name, *_rounded(p.thing.body.centre), p.start_s]
                for p in self.timeline.placements
            ],
            _rounded(self.poses[:: max(1, len(self.poses) // 50)]),
            _rounded(self.pose_error.errors[-1]),
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


# What `World.config` says of a house: things of this split, nothing else is read from it.
_WORLD = WorldConfig(split="test")


def triple(value: FloatArray) -> tuple[float, float, float]:
    """Three plain floats."""
    x, y, z = (float(v) for v in value)
    return x, y, z


def _rounded(value: FloatArray) -> list[float]:
    return [round(float(v), 4) + 0.0 for v in np.asarray(value).ravel()]
