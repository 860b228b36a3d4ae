"""The room around the objects: an upright box seen from inside, its colours and patterns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.synth.solids import Float32, IntArray, Pattern
from oryx_scene.lab.synth.texture import KINDS
from oryx_scene.records import FloatArray

# Index of a room surface is 2 * axis + (1 on the far side): walls 0..3, floor 4, ceiling 5.
FLOOR = 4


@dataclass(frozen=True, eq=False)
class Room:
    """A room.

    Attributes:
        low, high: (3,) opposite corners, fixed frame, metres; the floor is at z = 0.
        rgb: (6, 3) colours of the surfaces, 0..255.
        floor, walls: patterns.
    """

    low: FloatArray
    high: FloatArray
    rgb: FloatArray
    floor: Pattern
    walls: Pattern


def make_room(rng: np.random.Generator, size_m: tuple[float, float]) -> Room:
    """A room of random size, its middle within 0.3 m of the fixed frame's origin.

    Args:
        size_m: smallest and largest width.
    """
    half = rng.uniform(*size_m, 2) / 2
    middle = rng.uniform(-0.3, 0.3, 2)
    height = rng.uniform(2.5, 3.2)
    floor = rng.uniform(90, 185) * (1 + rng.normal(0, 0.06, 3))
    wall = rng.uniform(120, 220) * (1 + rng.normal(0, 0.06, 3))
    rgb = np.stack([*(wall * rng.uniform(0.9, 1.08) for _ in range(4)), floor, wall * 1.05])
    return Room(
        np.array([*(middle - half), 0.0]),
        np.array([*(middle + half), height]),
        np.clip(rgb, 0, 245),
        _pattern(rng, (0.2, 0.6), 0.22),
        _pattern(rng, (0.3, 0.9), 0.12),
    )


def _pattern(rng: np.random.Generator, period_m: tuple[float, float], most: float) -> Pattern:
    return Pattern(
        str(rng.choice(KINDS)),
        float(rng.uniform(*period_m)),
        float(rng.uniform(0.0, most)),
        float(rng.uniform(0, 50)),
    )


def cast_room(room: Room, origin: FloatArray, directions: Float32) -> tuple[Float32, IntArray]:
    """Depth (n,) float32 and surface index (n,) of rays from inside the room."""
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.where(
            directions > 0,
            (room.high - origin).astype(np.float32),
            (room.low - origin).astype(np.float32),
        )
        t = wanted / directions
    t[~np.isfinite(t)] = np.inf
    axis = t.argmin(axis=1)
    rows = np.arange(len(t))
    surface = 2 * axis + (directions[rows, axis] > 0)
    return t[rows, axis], np.asarray(surface, dtype=np.int64)


def inward_normals() -> Float32:
    """(6, 3) normals of the surfaces, into the room."""
    out = np.zeros((6, 3), np.float32)
    for surface in range(6):
        out[surface, surface // 2] = -1.0 if surface % 2 else 1.0
    return out
