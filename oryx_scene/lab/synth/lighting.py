"""Light of a room: ambient, two directional lamps, and soft dark blobs where things stand.

Lambert's law; no cast shadows. The blob stands for the light that a thing keeps from the surface
under it and tells where it touches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.synth.solids import Float32
from oryx_scene.records import FloatArray


@dataclass(frozen=True, eq=False)
class Lighting:
    """Lamps of a room.

    Attributes:
        ambient: share of light from everywhere, 0..1.
        towards: (n, 3) unit vectors towards the lamps, fixed frame.
        strengths: (n,) of the rest, sum 1.
        tint: (3,) factor of the colours (white balance).
        shadow: 0..1, darkness of the blobs under things.
    """

    ambient: float
    towards: FloatArray
    strengths: FloatArray
    tint: FloatArray
    shadow: float


def make_lighting(rng: np.random.Generator) -> Lighting:
    """Lamps from above with a random side."""
    main = np.array([0.4, 0.2, 0.9]) * [rng.choice([-1, 1]), rng.choice([-1, 1]), 1.0]
    towards = np.stack([main + rng.normal(0.0, 0.2, 3), rng.normal((0.0, 0.0, 1.0), 0.6)])
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    first = rng.uniform(0.65, 1.0)
    return Lighting(
        ambient=float(rng.uniform(0.42, 0.6)),
        towards=towards,
        strengths=np.array([first, 1.0 - first]),
        tint=rng.normal(1.0, 0.025, 3),
        shadow=float(rng.uniform(0.1, 0.45)),
    )


def shade(lighting: Lighting, normals: Float32) -> Float32:
    """(..., 3) factor of surface colours with outward unit ``normals`` (..., 3)."""
    towards = lighting.towards.astype(np.float32)
    level = np.full(normals.shape[:-1], lighting.ambient, np.float32)
    for direction, strength in zip(towards, lighting.strengths, strict=True):
        lit = np.maximum(normals @ direction, 0.0)
        level += np.float32((1.0 - lighting.ambient) * strength) * lit
    return level[..., None] * lighting.tint.astype(np.float32)


def blob(lighting: Lighting, distance: Float32) -> Float32:
    """Factor of a surface at ``distance`` (in footprint radii) from the middle of a thing on it."""
    return np.asarray(
        1.0 - np.float32(lighting.shadow) * np.exp(-((distance / np.float32(1.15)) ** 4)),
        dtype=np.float32,
    )
