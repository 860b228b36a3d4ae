"""A furnished office of solids, seen by a hand-held RGB-D camera: stands in for a real recording.

Each piece is a list of boxes, balls and upright cylinders under one true id, in its own axes (front
towards -y, its foot at 0). Places and colours follow from the seed, the layout stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.synth.lighting import make_lighting
from oryx_scene.lab.synth.noise import NoiseConfig
from oryx_scene.lab.synth.placement import Body
from oryx_scene.lab.synth.render import CameraPose
from oryx_scene.lab.synth.rigs import START_NS, RigConfig, look_at, pinhole
from oryx_scene.lab.synth.rooms import make_room
from oryx_scene.lab.synth.solids import Pattern, Solid
from oryx_scene.lab.synth.truth import ObjectTruth
from oryx_scene.lab.synth.words import COLOURS
from oryx_scene.lab.synth.world import World, WorldConfig

# What a structured-light camera and a good SLAM leave: depth noise of 2 mm at 1 m that grows with
# z squared, holes, poses off by 1 cm and a third of a degree.
SENSOR = NoiseConfig(
    depth_quadratic=0.002, depth_blur_px=1.2, holes=0.04, turn_deg=0.3, shift_m=0.01
)
Vector = tuple[float, float, float]
# Kind, middle, half sizes, brightness against the piece's own colour.
Part = tuple[str, Vector, Vector, float]


def _legs(x: float, y: float, high: float, thick: float = 0.02) -> tuple[Part, ...]:
    half = (thick, thick, high / 2)
    return tuple(("box", (a * x, b * y, high / 2), half, 0.7) for a in (-1, 1) for b in (-1, 1))


def _boards(*levels: float) -> tuple[Part, ...]:
    return tuple(("box", (0.0, 0.0, z), (0.43, 0.15, 0.012), 1.0) for z in levels)


PIECES: dict[str, tuple[Part, ...]] = {
    "desk": (("box", (0, 0, 0.72), (0.65, 0.36, 0.02), 1.0), *_legs(0.6, 0.31, 0.7, 0.025)),
    "chair": (
        ("box", (0, 0, 0.45), (0.21, 0.21, 0.025), 1.0),
        ("box", (0, 0.2, 0.74), (0.2, 0.018, 0.14), 1.0),
        *(("box", (x, 0.2, 0.6), (0.015, 0.015, 0.14), 0.7) for x in (-0.18, 0.18)),
        *_legs(0.18, 0.18, 0.43, 0.018),
    ),
    "shelf": (
        *(("box", (x, 0.0, 0.65), (0.012, 0.15, 0.65), 0.9) for x in (-0.44, 0.44)),
        *_boards(0.06, 0.44, 0.82, 1.288),
        ("box", (0, 0.145, 0.65), (0.43, 0.005, 0.64), 0.8),
    ),
    "sofa": (
        ("box", (0, 0, 0.22), (0.62, 0.38, 0.18), 1.0),
        ("box", (0, 0.3, 0.58), (0.6, 0.09, 0.18), 0.95),
        *(("box", (x, 0, 0.31), (0.09, 0.38, 0.31), 0.9) for x in (-0.71, 0.71)),
    ),
    "screen": (
        ("box", (0, 0, 0.012), (0.12, 0.08, 0.012), 1.2),
        ("box", (0, 0.02, 0.08), (0.02, 0.015, 0.06), 1.2),
        ("box", (0, 0, 0.29), (0.27, 0.02, 0.165), 1.0),
    ),
    "lamp": (
        ("cylinder", (0, 0, 0.012), (0.08, 0.08, 0.012), 0.8),
        ("cylinder", (0, 0, 0.18), (0.012, 0.012, 0.16), 0.6),
        ("cylinder", (0, 0, 0.38), (0.1, 0.1, 0.08), 1.0),
    ),
    "cabinet": (
        ("box", (0, 0, 0.3), (0.22, 0.25, 0.3), 1.0),
        *(("box", (0, -0.252, z), (0.2, 0.006, 0.085), 0.85) for z in (0.1, 0.3, 0.5)),
        *(("box", (0, -0.268, z), (0.06, 0.01, 0.008), 0.4) for z in (0.1, 0.3, 0.5)),
    ),
    "bin": (("cylinder", (0, 0, 0.16), (0.13, 0.13, 0.16), 1.0),),
    "carton": (("box", (0, 0, 0.14), (0.17, 0.13, 0.14), 1.0),),
    "ball": (("ball", (0, 0, 0.12), (0.12, 0.12, 0.12), 1.0),),
    "books": tuple(
        (
            "box",
            (-0.12 + 0.05 * k, 0, 0.11 + 0.01 * (k % 3)),
            (0.02, 0.09, 0.11 + 0.01 * (k % 3)),
            v,
        )
        for k, v in enumerate((1.0, 0.7, 0.9, 0.6, 0.8))
    ),
    "mug": (("cylinder", (0, 0, 0.055), (0.045, 0.045, 0.055), 1.0),),
}


@dataclass(frozen=True)
class _StandingPlace:
    """Where a piece goes: x, y, height of its foot, turn in degrees."""

    piece: str
    x: float
    y: float
    z: float = 0.0
    turn: float = 0.0


LAYOUT = (
    _StandingPlace("desk", -0.9, 0.9),
    _StandingPlace("screen", -1.0, 1.0, 0.741),
    _StandingPlace("lamp", -0.45, 1.05, 0.741),
    _StandingPlace("mug", -1.35, 0.8, 0.741),
    _StandingPlace("chair", -0.85, 0.1, 0.0, 165),
    _StandingPlace("cabinet", 0.1, 1.0),
    _StandingPlace("carton", 0.1, 1.0, 0.601, 20),
    _StandingPlace("shelf", 1.05, 1.1),
    _StandingPlace("books", 1.15, 1.08, 0.833),
    _StandingPlace("ball", 0.85, 1.08, 0.453),
    _StandingPlace("sofa", 1.5, -0.3, 0.0, -75),
    _StandingPlace("bin", -1.75, 0.5),
)
# True colours, most of them muted; words for people, not for questions of the small checkpoint.
_WOODS = {
    "oak": (176.0, 136.0, 92.0),
    "walnut": (112.0, 78.0, 54.0),
    "birch": (214.0, 190.0, 152.0),
}
_WOODEN = ("desk", "shelf", "chair", "cabinet")


def office_poses(seed: int, views: int, size: tuple[int, int]) -> list[CameraPose]:
    """A hand that walks along the front of the office, a picture a second of (height, width)."""
    rng = np.random.default_rng([seed, 12])
    intrinsics = pinhole(RigConfig("handheld", views, *size), 0.85)
    poses = []
    for index, angle in enumerate(np.radians(np.linspace(-148.0, -48.0, views))):
        eye = np.array([0.1 + 2.2 * np.cos(angle), 0.5 + 2.2 * np.sin(angle), 1.5])
        target = np.array([0.1, 0.7, 0.5]) + rng.normal(0, 0.06, 3)
        T = look_at(eye + rng.normal(0, 0.03, 3), target, roll=float(rng.normal(0, 0.04)))
        poses.append(CameraPose("camera", START_NS + index * 1_000_000_000, intrinsics, T))
    return poses


def furnished_world(seed: int) -> World:
    """The office of a seed: about 12 pieces within 1.8 m of the origin."""
    rng = np.random.default_rng([seed, 11])
    room = make_room(rng, WorldConfig().room_m)
    lighting = make_lighting(rng)
    solids: list[Solid] = []
    bodies, objects = [], []
    for object_id, spot in enumerate(LAYOUT, 1):
        yaw = float(np.radians(spot.turn + (rng.normal(0, 6) if spot.z == 0 else 0)))
        aside = rng.normal(0, 0.02, 2) if spot.z == 0 else np.zeros(2)
        foot = np.array([spot.x, spot.y, spot.z]) + np.array([*aside, 0.0])
        paints = _WOODS if spot.piece in _WOODEN else COLOURS
        colour = "black" if spot.piece == "screen" else str(rng.choice(list(paints)))
        rgb = np.array({**_WOODS, **COLOURS}[colour]) * rng.normal(1, 0.04, 3)
        own = _built(spot.piece, object_id, foot, yaw, rgb, rng)
        solids += own
        corners = np.concatenate([solid.corners() for solid in own])
        low, high = corners.min(axis=0), corners.max(axis=0)
        middle, extent = (low + high) / 2, high - low
        bodies.append(Body("box", extent / 2, middle, 0.0))
        objects.append(ObjectTruth(object_id, colour, spot.piece, _triple(middle), _triple(extent)))
    config = WorldConfig(split="test")
    words = (tuple(COLOURS), tuple(PIECES))
    return World(seed, config, tuple(objects), tuple(solids), tuple(bodies), room, lighting, *words)


def _built(
    piece: str,
    object_id: int,
    foot: np.ndarray,
    yaw: float,
    rgb: np.ndarray,
    rng: np.random.Generator,
) -> list[Solid]:
    """A piece at its place."""
    grain = Pattern("noise", 0.05, 0.22, float(rng.uniform(0, 40)))
    c, s = np.cos(yaw), np.sin(yaw)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return [
        Solid(
            kind,
            object_id,
            foot + R @ np.array(middle),
            np.array(half, dtype=float),
            yaw,
            np.clip(rgb * level, 12, 245),
            grain,
        )
        for kind, middle, half, level in PIECES[piece]
    ]


def _triple(value: np.ndarray) -> Vector:
    x, y, z = (float(v) for v in value)
    return x, y, z
