"""Where a robot drives through a house, and how wrong its own idea of that is.

True poses are knots between which place and heading change linearly. The pose that the robot
publishes drifts away from the true one as a random walk over the distance driven, and jumps back
when it closes a loop. Planar: the camera's height and pitch stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.synth.house import LANE_M, House
from oryx_scene.records import FloatArray

SPEED_M_S = 0.5
TURN_RAD_S = 0.8
# Random walk of the published pose: standard deviation after one metre; it grows with the root.
DRIFT_M = 0.018
DRIFT_RAD = math.radians(0.08)
# A closed loop leaves this share of the error.
LEFT_AFTER_CLOSURE = 0.15
_CLOSURE_S = (120.0, 300.0)
_STEP_M = 0.4


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Knots of the true path.

    Attributes:
        seconds: (n,) ascending, from 0.
        poses: (n, 3) x, y in metres and heading in rad (counter-clockwise from x, unwrapped).
    """

    seconds: FloatArray
    poses: FloatArray

    def at(self, seconds: FloatArray) -> FloatArray:
        """(k, 3) x, y, heading at ``seconds`` (k,)."""
        columns = [np.interp(seconds, self.seconds, self.poses[:, i]) for i in range(3)]
        return np.stack(columns, axis=-1)


class _Driver:
    """Collects knots: drive to a place with a heading, turn where one stands, wait."""

    def __init__(self, place: FloatArray, heading: float) -> None:
        self.seconds = [0.0]
        self.poses = [np.array([*place, heading])]

    @property
    def now(self) -> float:
        return self.seconds[-1]

    @property
    def place(self) -> FloatArray:
        return np.asarray(self.poses[-1][:2])

    def _add(self, seconds: float, place: FloatArray, heading: float) -> None:
        self.seconds.append(self.now + seconds)
        self.poses.append(np.array([*place, heading]))

    def _nearest(self, heading: float) -> float:
        """``heading`` plus full turns, the way round that is shorter."""
        last = float(self.poses[-1][2])
        return last + math.remainder(heading - last, math.tau)

    def turn(self, heading: float) -> None:
        wanted = self._nearest(heading)
        turn = abs(wanted - self.poses[-1][2])
        if turn > 1e-3:
            self._add(turn / TURN_RAD_S, self.place, wanted)

    def wait(self, seconds: float) -> None:
        self._add(seconds, self.place, float(self.poses[-1][2]))

    def drive(self, place: FloatArray, heading: float | None = None) -> None:
        """Straight to ``place``; with a heading the robot looks there meanwhile, else ahead."""
        way = place - self.place
        length = float(np.hypot(*way))
        if length < 1e-6:
            return
        if heading is None:
            heading = math.atan2(way[1], way[0])
            self.turn(heading)
        wanted = self._nearest(heading)
        turn = abs(wanted - self.poses[-1][2])
        self._add(max(length / SPEED_M_S, turn / TURN_RAD_S), place, wanted)


def drive_through(house: House, seconds: float, rng: np.random.Generator) -> Trajectory:
    """A path from room to room; in each the robot goes some way around the things, facing them."""
    room = int(rng.integers(len(house.middles)))
    along = float(rng.uniform(0, 4))
    driver = _Driver(_lane(house, room, along), 0.0)
    visits = np.zeros(len(house.middles))
    while driver.now < seconds:
        visits[room] += 1
        along = _tour(driver, house, room, along, rng)
        if rng.random() < 0.3:
            driver.wait(float(rng.uniform(2.0, 12.0)))
        others = house.neighbours(room)
        if not others:
            continue
        # Rooms that were visited less come first, with some chance for the others.
        weights = 1.0 / (1.0 + visits[others] - visits[others].min()) ** 2
        target = int(rng.choice(others, p=weights / weights.sum()))
        along = _through_door(driver, house, room, target, along)
        room = target
    return Trajectory(np.array(driver.seconds), np.array(driver.poses))


def _lane(house: House, room: int, along: float) -> FloatArray:
    """(2,) place on the lane of a room; ``along`` counts its four sides, corners are whole."""
    side, share = divmod(along % 4.0, 1.0)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * LANE_M
    a, b = corners[int(side)], corners[(int(side) + 1) % 4]
    return np.asarray(house.middles[room] + a + (b - a) * share)


def _steps(start: float, way: float) -> list[float]:
    """Positions along the lane from ``start`` over ``way`` sides, corners included."""
    count = max(1, math.ceil(abs(way) * 2 * LANE_M / _STEP_M))
    found = {round(start + way * (i + 1) / count, 6) for i in range(count)}
    low, high = sorted((start, start + way))
    found |= {float(k) for k in range(math.ceil(low), math.floor(high) + 1)} - {round(start, 6)}
    return sorted(found, reverse=way < 0)


def _tour(
    driver: _Driver, house: House, room: int, along: float, rng: np.random.Generator
) -> float:
    """Some way along the lane, looking at the middle; returns where it ends."""
    way = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 4.0))
    glance = float(rng.normal(0.0, 0.15))
    driver.turn(_towards(house, room, driver.place) + glance)
    for step in _steps(along, way):
        place = _lane(house, room, step)
        driver.drive(place, _towards(house, room, place) + glance)
    return along + way


def _towards(house: House, room: int, place: FloatArray) -> float:
    away = house.middles[room] - place
    return math.atan2(away[1], away[0])


def _through_door(driver: _Driver, house: House, room: int, target: int, along: float) -> float:
    """Along the lane to the door, through it, and onto the lane of the next room."""
    door = house.doors[min(room, target), max(room, target)]
    leave = _beside(house, room, door)
    way = math.remainder(leave - along, 4.0)
    for step in _steps(along, way):
        driver.drive(_lane(house, room, step))
    driver.drive(door)
    enter = _beside(house, target, door)
    driver.drive(_lane(house, target, enter))
    return enter


def _beside(house: House, room: int, door: FloatArray) -> float:
    """Place on the lane that is nearest to a door."""
    every = np.linspace(0, 4, 400, endpoint=False)
    places = np.array([_lane(house, room, s) for s in every])
    return float(every[np.hypot(*(places - door).T).argmin()])


@dataclass(frozen=True, eq=False)
class PoseError:
    """How far the published poses are off, one row per frame.

    Attributes:
        errors: (frames, 3) x, y in metres and heading in rad, to add to the true pose.
        closures: index of the first frame after each closed loop.
    """

    errors: FloatArray
    closures: tuple[int, ...]


def pose_errors(poses: FloatArray, seconds: FloatArray, rng: np.random.Generator) -> PoseError:
    """Drift over the true ``poses`` (frames, 3) at ``seconds`` (frames,)."""
    moved = np.hypot(*np.diff(poses[:, :2], axis=0, prepend=poses[:1, :2]).T)
    steps = rng.standard_normal(poses.shape) * [DRIFT_M, DRIFT_M, DRIFT_RAD]
    steps *= np.sqrt(moved)[:, None]
    errors = np.zeros_like(poses)
    closures: list[int] = []
    due = float(rng.uniform(*_CLOSURE_S))
    for index in range(1, len(poses)):
        errors[index] = errors[index - 1] + steps[index]
        if seconds[index] >= due:
            errors[index] *= LEFT_AFTER_CLOSURE
            closures.append(index)
            due += float(rng.uniform(*_CLOSURE_S))
    return PoseError(errors, tuple(closures))
