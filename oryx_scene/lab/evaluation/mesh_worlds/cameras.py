"""How mesh rooms are looked at: a walking hand, a robot that comes near, fixed cameras."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from oryx_scene.lab.evaluation.mesh_worlds.render import RayScene
from oryx_scene.lab.evaluation.mesh_worlds.rooms import MeshRoom
from oryx_scene.lab.synth.render import CameraPose
from oryx_scene.lab.synth.rigs import START_NS, look_at
from oryx_scene.records import FloatArray, Intrinsics

TRIES = 60
CLEAR_M = 0.3
Path = list[tuple[float, float, float]]


def take_poses(
    room: MeshRoom, scene: RayScene, kind: str, count: int, size: tuple[int, int]
) -> list[CameraPose]:
    """``count`` pictures of (height, width) ``size`` in the order of their stamps.

    The first drawn path all of whose cameras are clear of things and see the group, else the one
    with the most such cameras.
    """
    rng = np.random.default_rng([room.seed, 3, PATHS.index(kind)])
    height, width = size
    f = float(rng.uniform(0.72, 1.0)) * width
    K = np.array([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1.0]])
    intrinsics = Intrinsics(K, height, width)
    best: list[FloatArray] = []
    most = -1
    for _ in range(TRIES):
        drawn = [_pose(room, rng, at) for at in _PATHS[kind](room, rng, count)]
        good = sum(_clear(room, scene, T) for T in drawn)
        if good > most:
            best, most = drawn, good
        if most == count:
            break
    still = kind == "stations"
    return [
        CameraPose(
            f"camera_{i}" if still else kind,
            START_NS + (0 if still else i * 1_000_000_000),
            intrinsics,
            T,
        )
        for i, T in enumerate(best)
    ]


def _pose(room: MeshRoom, rng: np.random.Generator, at: tuple[float, float, float]) -> FloatArray:
    """A camera at (azimuth, radius, height) around the group, inside the room."""
    azimuth, radius, height = at
    eye = room.focus + radius * np.array([math.cos(azimuth), math.sin(azimuth), 0.0])
    c, s = math.cos(room.yaw), math.sin(room.yaw)
    R = np.array([[c, -s], [s, c]])
    own = np.clip(R.T @ eye[:2], room.low + CLEAR_M, room.high - CLEAR_M)
    eye = np.array([*(R @ own), min(height, room.height - CLEAR_M)])
    target = room.focus + rng.normal(0.0, 0.09, 3)
    return look_at(eye, target, roll=float(rng.normal(0.0, 0.05)))


def _clear(room: MeshRoom, scene: RayScene, T: FloatArray) -> bool:
    eye = T[:3, 3]
    if scene.clearance(eye) < CLEAR_M - 0.02:
        return False
    away = (room.focus - eye).astype(np.float32)
    reach = float(np.linalg.norm(away))
    hit = scene.cast(eye[None].astype(np.float32), away / reach)["t_hit"][0]
    return bool(hit > reach - 0.9 and reach > 0.75)


def _azimuth(room: MeshRoom, rng: np.random.Generator, margin: float) -> float:
    free = max(room.spread - margin, 0.05)
    return room.front + float(rng.uniform(-free, free))


def _height(room: MeshRoom, rng: np.random.Generator) -> float:
    return float(np.clip(room.focus[2] + rng.uniform(0.2, 0.9), 0.5, 1.95))


def _walk(room: MeshRoom, rng: np.random.Generator, count: int) -> Path:
    half = math.radians(float(rng.uniform(20, 50)))
    middle, side = _azimuth(room, rng, half), float(rng.choice([-1, 1]))
    radius, height = float(rng.uniform(0.85, 1.8)), _height(room, rng)
    drift = float(rng.uniform(-0.3, 0.3))
    share = np.linspace(-1, 1, count)
    return [
        (
            middle + side * half * t + rng.normal(0, 0.02),
            radius + drift * t + rng.normal(0, 0.03),
            height + rng.normal(0, 0.04),
        )
        for t in share
    ]


def _approach(room: MeshRoom, rng: np.random.Generator, count: int) -> Path:
    start, bend = _azimuth(room, rng, 0.5), float(rng.uniform(-0.6, 0.6))
    far, near, height = (
        float(rng.uniform(2.0, 2.8)),
        float(rng.uniform(0.85, 1.2)),
        _height(room, rng),
    )
    share = np.linspace(0, 1, count)
    return [(start + bend * t, far + (near - far) * t, height) for t in share]


def _stations(room: MeshRoom, rng: np.random.Generator, count: int) -> Path:
    return [
        (_azimuth(room, rng, 0.0), float(rng.uniform(0.85, 2.1)), _height(room, rng))
        for _ in range(count)
    ]


_PATHS: dict[str, Callable[[MeshRoom, np.random.Generator, int], Path]] = {
    "walk": _walk,
    "approach": _approach,
    "stations": _stations,
}
PATHS = tuple(_PATHS)
