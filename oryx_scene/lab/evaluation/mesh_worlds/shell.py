"""The room itself: walls with windows, door, floor, ceiling, and what hangs on the walls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.evaluation.mesh_worlds.materials import Material, any_colour, wood_colour
from oryx_scene.lab.evaluation.mesh_worlds.mesh import Mesh, box, join, sheet, tube

OUTSIDE_M = 4.0


@dataclass(frozen=True, eq=False)
class Shell:
    """A room.

    Attributes:
        width, depth, height: metres, its middle at the origin, the floor at 0.
        background: walls, floor, ceiling and what lies outside.
        fittings: windows, door, pictures, radiator, rug: things of their own that nobody asks for.
        lights: (k, 3) places of lamps, the first at the ceiling, then one outside each window.
    """

    width: float
    depth: float
    height: float
    background: Mesh
    fittings: tuple[Mesh, ...]
    lights: np.ndarray


def make_shell(rng: np.random.Generator) -> Shell:
    """A room with one or two windows; the wall at +y may have one above eye level or none."""
    w, d, h = (float(v) for v in rng.uniform((3.4, 3.4, 2.35), (5.6, 5.2, 2.9)))
    kind = str(rng.choice(["plaster", "plaster", "wallpaper", "boards"]))
    paint = Material(kind, any_colour(rng, (0.0, 0.25)), 0.7, int(rng.integers(1 << 30)))
    ground = _floor(rng)
    white = Material("plaster", (226, 226, 222), 1.0, 1)
    parts = [
        sheet((-w / 2, -d / 2, 0), (w, 0, 0), (0, d, 0), ground),
        sheet((-w / 2, -d / 2, h), (w, 0, 0), (0, d, 0), white),
    ]
    fittings: list[Mesh] = []
    lights = [(*(rng.uniform(-0.2, 0.2, 2) * (w, d)), h - 0.15)]
    with_window = set(rng.choice(4, int(rng.integers(1, 3)), replace=False).tolist())
    for side in range(4):
        length, away = (w, d / 2) if side % 2 == 0 else (d, w / 2)
        yaw = side * np.pi / 2
        offset = np.array([-np.sin(yaw), np.cos(yaw), 0.0]) * away
        wall, hung, lamp = _wall(rng, length, h, paint, side in with_window)
        parts.append(wall.moved(offset, yaw))
        fittings += [item.moved(offset, yaw) for item in hung]
        if lamp is not None:
            c, s = np.cos(yaw), np.sin(yaw)
            turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ lamp
            lights.append(tuple(turned + offset))
    if rng.random() < 0.4:
        kind = str(rng.choice(["plaid", "cloth"]))
        rug = Material(kind, any_colour(rng, (0.2, 0.7)), 0.8, int(rng.integers(1 << 30)))
        fittings.append(box((*rng.uniform(1.0, 1.9, 2), 0.008), rug, (0, 0.1 * d, 0)))
    return Shell(w, d, h, join(parts), tuple(fittings), np.array(lights))


def _floor(rng: np.random.Generator) -> Material:
    kind = str(rng.choice(["boards", "boards", "tiles", "cloth", "speckle"]))
    colour = wood_colour(rng) if kind == "boards" else any_colour(rng, (0.0, 0.35))
    return Material(kind, colour, float(rng.uniform(0.6, 1.1)), int(rng.integers(1 << 30)), 0.1)


def _wall(
    rng: np.random.Generator, length: float, height: float, paint: Material, window: bool
) -> tuple[Mesh, list[Mesh], np.ndarray | None]:
    """A wall along x that looks to -y, what is fixed to it, and the light of its window."""
    skirting = Material("smooth", (215, 212, 205), 0.5, 3)
    parts = [box((length, 0.012, 0.08), skirting, (0, -0.006, 0))]
    low, high = np.array([-length / 2, 0.0]), np.array([length / 2, height])
    if not window:
        parts.append(sheet((low[0], 0, 0), (length, 0, 0), (0, 0, height), paint))
        return join(parts), _hung(rng, length, height), None
    wide, tall = float(rng.uniform(0.8, 1.5)), float(rng.uniform(0.9, 1.3))
    x = float(rng.uniform(-0.5, 0.5)) * (length - wide - 0.4)
    sill = float(rng.uniform(0.85, height - tall - 0.15)) if height - tall > 1.05 else 0.85
    a, b = np.array([x - wide / 2, sill]), np.array([x + wide / 2, sill + tall])
    for (x0, z0), (x1, z1) in (
        (low, (a[0], high[1])),
        ((b[0], 0.0), high),
        ((a[0], 0.0), (b[0], a[1])),
        ((a[0], b[1]), (b[0], high[1])),
    ):
        parts.append(sheet((x0, 0, z0), (x1 - x0, 0, 0), (0, 0, z1 - z0), paint))
    for corner, edge in (
        ((a[0], a[1]), (wide, 0, 0)),
        ((a[0], b[1]), (wide, 0, 0)),
        ((a[0], a[1]), (0, 0, tall)),
        ((b[0], a[1]), (0, 0, tall)),
    ):
        parts.append(sheet((corner[0], 0, corner[1]), edge, (0, 0.16, 0), skirting))
    sky = Material("outdoors", (176, 204, 236), 14.0, int(rng.integers(1 << 30)), glow=True)
    parts.append(sheet((x - 7, OUTSIDE_M, -2.2), (14, 0, 0), (0, 0, 14), sky))
    frame = _window(wide, tall, int(rng.integers(1, 3))).moved((x, 0.1, sill))
    light = np.array([x + float(rng.uniform(-1, 1)), 1.8, sill + tall + float(rng.uniform(0, 1))])
    return join(parts), [frame], light


def _window(wide: float, tall: float, panes: int) -> Mesh:
    white, bar = Material("smooth", (232, 232, 230), 0.5, 4), 0.06
    parts = [box((wide, 0.05, bar), white, (0, 0, z)) for z in (0.0, tall - bar)]
    for x in np.linspace(-wide / 2 + bar / 2, wide / 2 - bar / 2, panes + 1):
        parts.append(box((bar, 0.05, tall), white, (float(x), 0, 0)))
    return join(parts)


def _hung(rng: np.random.Generator, length: float, height: float) -> list[Mesh]:
    """At most one thing on a wall without a window: a door, a picture, a radiator."""
    kind = str(rng.choice(["door", "picture", "radiator", "none"]))
    x = float(rng.uniform(-0.5, 0.5)) * (length - 1.6)
    seed = int(rng.integers(1 << 30))
    if kind == "door":
        wood = Material("wood", wood_colour(rng), 0.9, seed, 0.1)
        steel = Material("metal", (190, 190, 190), 0.2, 1, 0.7)
        parts = [box((0.86, 0.03, min(2.0, height - 0.1)), wood, (x, -0.015, 0))]
        grip = [[0.32, -0.03, 1.0], [0.32, -0.08, 1.0], [0.2, -0.08, 1.0]]
        parts.append(tube(np.array(grip) + np.array([x, 0, 0]), 0.01, steel))
        return [join(parts)]
    if kind == "picture":
        w, h = (float(v) for v in rng.uniform((0.3, 0.25), (0.8, 0.6)))
        rim = Material("wood", wood_colour(rng), 0.4, seed)
        art = Material(str(rng.choice(["print", "stone", "plaid"])), any_colour(rng), 0.7, seed)
        z = float(rng.uniform(1.2, height - h - 0.15))
        inner = box((w - 0.05, 0.022, h - 0.05), art, (x, -0.011, z + 0.025))
        return [join([box((w, 0.018, h), rim, (x, -0.009, z)), inner])]
    if kind == "radiator":
        white = Material("smooth", (224, 224, 220), 0.5, 5, 0.2)
        ribs = [box((0.07, 0.08, 0.55), white, (x + 0.1 * k, -0.06, 0.12)) for k in range(-4, 5)]
        pipe = box((0.9, 0.04, 0.04), white, (x, -0.06, 0.14))
        return [join([*ribs, pipe])]
    return []
