"""Where cameras are: rings around the things, robots that look around, masts, stereo, a hand.

A rig is either free poses or mounts on a base that moves; either way the result is a list of
`CameraPose` with true poses in `map` (optical frames, REP-103). Seeded by the world's seed. Cameras
keep away from things and walls as far as the room allows.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oryx_scene.errors import ConfigError
from oryx_scene.lab.synth.render import CameraPose
from oryx_scene.lab.synth.words import SPLITS
from oryx_scene.lab.synth.world import World
from oryx_scene.records import FloatArray, Intrinsics

# A thousand seconds after the epoch: small, and not zero, which ROS takes for "no stamp".
START_NS = 1_000_000_000_000
WALL_M = 0.15
CLEAR_M = 0.65
UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class RigConfig:
    """Which cameras look at a world.

    Attributes:
        kind: one of `RIGS`.
        views: how many pictures, 1..64.
        height, width: pixels.
        focal: smallest and largest focal length in widths; "surround" widens it to close the ring.
        interval_s: time between the instants of a rig that moves, and of a hand.
        start_ns: stamp of the first picture.
    """

    kind: str = "ring"
    views: int = 4
    height: int = 240
    width: int = 320
    focal: tuple[float, float] = (0.75, 1.1)
    interval_s: float = 1.0
    start_ns: int = START_NS

    def __post_init__(self) -> None:
        if self.kind not in RIGS:
            raise ConfigError(f"there is no rig '{self.kind}'.", hint=f"known: {', '.join(RIGS)}")
        if not 1 <= self.views <= 64:
            raise ConfigError(f"rig.views: 1..64 expected, got {self.views}.")
        if min(self.height, self.width) < 16 or max(self.height, self.width) > 4096:
            raise ConfigError(f"rig: pictures of {self.width}x{self.height} are not rendered.")
        if self.interval_s < 0 or self.start_ns < 0:
            raise ConfigError("rig: interval_s and start_ns must not be negative.")


def make_poses(world: World, config: RigConfig | None = None) -> list[CameraPose]:
    """The pictures that a rig takes of a world, in the order of their stamps."""
    config = config or RigConfig()
    seeds = [SPLITS[world.config.split], world.seed, zlib.crc32(config.kind.encode())]
    rng = np.random.default_rng(seeds)
    return _MAKERS[config.kind](world, config, rng)


def look_at(eye: FloatArray, target: FloatArray, roll: float = 0.0) -> FloatArray:
    """(4, 4) pose of an optical frame at ``eye`` that looks at ``target``, x level for roll 0."""
    z = target - eye
    z = z / np.linalg.norm(z)
    x = np.cross(z, UP)
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    c, s = math.cos(roll), math.sin(roll)
    T = np.eye(4)
    T[:3, :3] = np.stack([c * x + s * y, c * y - s * x, z], axis=1)
    T[:3, 3] = eye
    return T


def pinhole(config: RigConfig, focal: float) -> Intrinsics:
    """Square pixels, centre in the middle; ``focal`` in widths."""
    f = focal * config.width
    K = np.array([[f, 0, (config.width - 1) / 2], [0, f, (config.height - 1) / 2], [0, 0, 1.0]])
    return Intrinsics(K, config.height, config.width)


def clearance(world: World, place: FloatArray) -> float:
    """Distance in metres from ``place`` (3,) to the nearest thing, roughly (bounding cylinders)."""
    nearest = math.inf
    for body in world.bodies:
        aside = float(np.hypot(*(place[:2] - body.centre[:2]))) - body.radius
        above = float(place[2]) - body.top
        nearest = min(nearest, max(aside, above))
    return nearest


def _middle(world: World) -> FloatArray:
    if not world.bodies:
        return np.array([0.0, 0.0, 0.25])
    return np.asarray(np.mean([body.centre for body in world.bodies], axis=0))


def _inside(world: World, place: FloatArray) -> FloatArray:
    return np.clip(place, world.room.low + WALL_M, world.room.high - WALL_M)


def _clear_place(world: World, draw: Callable[[], FloatArray]) -> FloatArray:
    """The first drawn place that keeps away from things, else the one furthest from them."""
    best, most = np.zeros(3), -math.inf
    for _ in range(40):
        place = _inside(world, draw())
        free = clearance(world, place)
        if free >= CLEAR_M:
            return place
        if free > most:
            best, most = place, free
    return best


def _focal(config: RigConfig, rng: np.random.Generator) -> float:
    return float(rng.uniform(*config.focal))


_AROUND = {
    1: ("front",),
    2: ("front", "back"),
    3: ("front", "left", "right"),
    4: ("front", "left", "back", "right"),
    5: ("front", "front_left", "back_left", "back_right", "front_right"),
    6: ("front", "front_left", "back_left", "back", "back_right", "front_right"),
    8: (
        *("front", "front_left", "left", "back_left"),
        *("back", "back_right", "right", "front_right"),
    ),
}


def camera_names(count: int) -> tuple[str, ...]:
    """Names of cameras in a circle, counter-clockwise from the front."""
    return _AROUND.get(count) or tuple(f"camera_{index:02d}" for index in range(count))


def _ring(world: World, config: RigConfig, rng: np.random.Generator) -> list[CameraPose]:
    """Cameras around the things that look inward, all at one instant."""
    intrinsics = pinhole(config, _focal(config, rng))
    start, middle = rng.uniform(0, 2 * np.pi), _middle(world)
    poses = []
    for index, name in enumerate(camera_names(config.views)):
        angle = start + 2 * np.pi * index / config.views

        def draw(angle: float = angle) -> FloatArray:
            turned = angle + rng.normal(0.0, 0.15)
            radius = rng.uniform(1.9, 2.7)
            x, y = middle[:2] * 0.5 + radius * np.array([math.cos(turned), math.sin(turned)])
            return np.array([x, y, rng.uniform(0.9, 1.7)])

        eye = _clear_place(world, draw)
        target = middle + rng.normal(0.0, 1.0, 3) * [0.2, 0.2, 0.05]
        poses.append(CameraPose(name, config.start_ns, intrinsics, look_at(eye, target)))
    return poses


@dataclass(frozen=True, eq=False)
class _Mount:
    """One camera on a base: x forward, y left, z up."""

    name: str
    offset: FloatArray
    yaw: float
    pitch: float

    def at(self, base: FloatArray, heading: float) -> FloatArray:
        """Its pose in `map` with the base at ``base`` (3,) and turned by ``heading``."""
        c, s = math.cos(heading), math.sin(heading)
        place = base + np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ self.offset
        direction = heading + self.yaw
        ahead = np.array([math.cos(direction), math.sin(direction), -math.tan(self.pitch)])
        return look_at(place, place + ahead)


def _mounted(
    world: World,
    config: RigConfig,
    mounts: list[_Mount],
    intrinsics: Intrinsics,
    base_at: Callable[[float], tuple[FloatArray, float]],
) -> list[CameraPose]:
    """Pictures of all mounts at one instant after the other; ``base_at`` takes seconds."""
    poses = []
    for index in range(config.views):
        instant, which = divmod(index, len(mounts))
        seconds = instant * config.interval_s
        base, heading = base_at(seconds)
        T = mounts[which].at(base, heading)
        T[:3, 3] = _inside(world, T[:3, 3])
        stamp_ns = config.start_ns + round(seconds * 1e9)
        poses.append(CameraPose(mounts[which].name, stamp_ns, intrinsics, T))
    return poses


def _surround(world: World, config: RigConfig, rng: np.random.Generator) -> list[CameraPose]:
    """A robot among the things with up to 6 cameras that look outward; it drives on slowly."""
    count = config.views if config.views <= 6 else 4
    around = 2 * np.pi / max(count, 4)
    widest = 0.5 / math.tan(min(around * 1.15, math.radians(100)) / 2)
    intrinsics = pinhole(config, min(_focal(config, rng), widest))
    reach = world.config.spread_m
    pitch = float(rng.uniform(0.12, 0.35))
    mounts = [
        _Mount(
            name,
            0.12 * np.array([math.cos(index * around), math.sin(index * around), 0.0]),
            index * around,
            pitch,
        )
        for index, name in enumerate(camera_names(count))
    ]

    def draw() -> FloatArray:
        return np.array([*rng.uniform(-reach, reach, 2), rng.uniform(0.6, 1.1)])

    base = _clear_place(world, draw)
    away = _middle(world)[:2] - base[:2]
    heading = float(np.arctan2(away[1], away[0]) + rng.normal(0.0, 0.4))
    speed = np.append(rng.normal(0.0, 0.1, 2), 0.0)
    return _mounted(
        world, config, mounts, intrinsics, lambda s: (base + speed * s, heading + 0.1 * s)
    )


def _circling(
    world: World, rng: np.random.Generator, height: tuple[float, float], speed: float
) -> Callable[[float], tuple[FloatArray, float]]:
    """A base that drives around the things, its heading towards their middle."""
    middle = _middle(world)
    start = rng.uniform(0, 2 * np.pi)

    def draw() -> FloatArray:
        radius = rng.uniform(1.7, 2.5)
        return np.array([radius, start + rng.normal(0, 0.5), rng.uniform(*height)])

    def at(polar: FloatArray) -> FloatArray:
        aside = polar[0] * np.array([math.cos(polar[1]), math.sin(polar[1])])
        return np.array([*(middle[:2] * 0.5 + aside), polar[2]])

    drawn = [draw() for _ in range(20)]
    polar = max(drawn, key=lambda item: min(clearance(world, at(item)), CLEAR_M))
    turn = speed / polar[0] * float(rng.choice([-1.0, 1.0]))

    def base_at(seconds: float) -> tuple[FloatArray, float]:
        place = _inside(world, at(polar + np.array([0.0, turn * seconds, 0.0])))
        towards = middle[:2] - place[:2]
        return place, float(np.arctan2(towards[1], towards[0]))

    return base_at


def _stereo(world: World, config: RigConfig, rng: np.random.Generator) -> list[CameraPose]:
    """Pairs with parallel axes on a robot that circles the things."""
    baseline = float(rng.uniform(0.06, 0.2))
    mounts = [
        _Mount(f"stereo_{side}", np.array([0.0, sign * baseline / 2, 0.0]), 0.0, 0.42)
        for side, sign in (("left", 1.0), ("right", -1.0))
    ]
    intrinsics = pinhole(config, _focal(config, rng))
    return _mounted(world, config, mounts, intrinsics, _circling(world, rng, (1.0, 1.5), 0.5))


def _mast(world: World, config: RigConfig, rng: np.random.Generator) -> list[CameraPose]:
    """Six cameras in two rows on a mast at the side of the things."""
    yaws = (("mid", 0.0), ("left", 0.5), ("right", -0.5))
    mounts = [
        _Mount(f"mast_{row}_{side}", np.array([0.05, 0.2 * yaw, up]), yaw, pitch)
        for row, up, pitch in (("high", 0.7, 0.6), ("low", 0.0, 0.4))
        for side, yaw in yaws
    ]
    intrinsics = pinhole(config, _focal(config, rng))
    return _mounted(world, config, mounts, intrinsics, _circling(world, rng, (1.0, 1.3), 0.3))


def _handheld(world: World, config: RigConfig, rng: np.random.Generator) -> list[CameraPose]:
    """One camera carried around the things with an unsteady hand."""
    intrinsics = pinhole(config, _focal(config, rng))
    base_at = _circling(world, rng, (1.2, 1.7), float(rng.uniform(0.25, 0.5)))
    middle = _middle(world)
    poses = []
    for index in range(config.views):
        seconds = index * config.interval_s
        base, _ = base_at(seconds)
        eye = _inside(world, base + rng.normal(0.0, 0.03, 3))
        target = middle + rng.normal(0.0, 0.08, 3)
        stamp_ns = config.start_ns + round(seconds * 1e9)
        T = look_at(eye, target, roll=float(rng.normal(0.0, 0.05)))
        poses.append(CameraPose("hand", stamp_ns, intrinsics, T))
    return poses


_MAKERS: dict[str, Callable[[World, RigConfig, np.random.Generator], list[CameraPose]]] = {
    "ring": _ring,
    "surround": _surround,
    "stereo": _stereo,
    "handheld": _handheld,
    "mast": _mast,
}
RIGS = tuple(_MAKERS)
