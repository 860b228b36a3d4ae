"""Furniture with legs, boards, doors and handles, and where things can stand on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.evaluation.mesh_worlds.materials import Material, any_colour, wood_colour
from oryx_scene.lab.evaluation.mesh_worlds.mesh import Mesh, box, cushion, join, sheet, tube, turned


@dataclass(frozen=True)
class Top:
    """A level rectangle that things can stand on, in the axes of its furniture.

    Attributes:
        x, y, z: its middle, metres.
        half_x, half_y: metres.
        room: free height above it, metres.
    """

    x: float
    y: float
    z: float
    half_x: float
    half_y: float
    room: float = 1.0


@dataclass(frozen=True, eq=False)
class Furniture:
    """A piece of furniture.

    Attributes:
        name: what it is.
        mesh: its front towards -y.
        tops: where things can stand.
    """

    name: str
    mesh: Mesh
    tops: tuple[Top, ...] = ()


def _wood(rng: np.random.Generator) -> Material:
    """What cupboards and tables are made of: wood, or painted board."""
    seed = int(rng.integers(1 << 30))
    if rng.random() < 0.7:
        return Material("wood", wood_colour(rng), float(rng.uniform(0.4, 0.9)), seed, 0.15)
    return Material("smooth", any_colour(rng, (0.0, 0.5)), 0.6, seed, 0.2)


def _fabric(rng: np.random.Generator) -> Material:
    kind = str(rng.choice(["cloth", "cloth", "plaid"]))
    period = 0.25 if kind == "cloth" else 0.5
    return Material(kind, any_colour(rng, (0.1, 0.7)), period, int(rng.integers(1 << 30)))


def _metal(rng: np.random.Generator) -> Material:
    grey = float(rng.uniform(50, 210))
    return Material("metal", (grey, grey, grey * 0.98), 0.2, int(rng.integers(1 << 30)), 0.6)


def _bar(
    start: tuple[float, float, float], end: tuple[float, float, float], r: float, m: Material
) -> Mesh:
    return tube(np.linspace(start, end, 3), r, m)


def _legs(w: float, d: float, h: float, m: Material, r: float, splay: float = 0.0) -> list[Mesh]:
    """Four legs under a ``w`` x ``d`` plate, leaning outward by ``splay`` metres."""
    return [
        _bar((x * (w / 2 + splay), y * (d / 2 + splay), 0), (x * w / 2, y * d / 2, h), r, m)
        for x in (-1, 1)
        for y in (-1, 1)
    ]


def table(rng: np.random.Generator, height: tuple[float, float] = (0.68, 0.76)) -> Furniture:
    """A table with an apron and round or square legs; coffee tables are lower."""
    w, d = float(rng.uniform(0.9, 1.4)), float(rng.uniform(0.55, 0.8))
    h, thick = float(rng.uniform(*height)), float(rng.uniform(0.02, 0.045))
    wood = _wood(rng)
    legs = _metal(rng) if rng.random() < 0.4 else wood
    parts = [box((w, d, thick), wood, (0, 0, h - thick))]
    if rng.random() < 0.5:
        parts += _legs(w - 0.12, d - 0.12, h - thick, legs, 0.022, float(rng.uniform(0, 0.05)))
    else:
        side = float(rng.uniform(0.04, 0.07))
        parts += [
            box((side, side, h - thick), legs, (x * (w / 2 - side), y * (d / 2 - side), 0))
            for x in (-1, 1)
            for y in (-1, 1)
        ]
        parts += [
            box((w - 0.2, 0.02, 0.07), wood, (0, y * (d / 2 - 0.06), h - thick - 0.07))
            for y in (-1, 1)
        ]
    return Furniture("table", join(parts), (Top(0, 0, h, w / 2 - 0.03, d / 2 - 0.03),))


def coffee_table(rng: np.random.Generator) -> Furniture:
    """A low table."""
    return table(rng, (0.36, 0.46))


def chair(rng: np.random.Generator) -> Furniture:
    """A chair: legs, seat, posts and slats."""
    w, d, h = 0.42, 0.42, float(rng.uniform(0.43, 0.48))
    frame = _wood(rng) if rng.random() < 0.6 else _metal(rng)
    seat = frame if rng.random() < 0.5 else _fabric(rng)
    parts = _legs(w - 0.06, d - 0.06, h, frame, 0.017, 0.03)
    parts.append(cushion((w / 2, d / 2, 0.025), seat, (0, 0, h - 0.02), 0.25))
    top = h + float(rng.uniform(0.36, 0.5))
    for x in (-1, 1):
        parts.append(
            _bar((x * (w / 2 - 0.03), 0.19, h), (x * (w / 2 - 0.03), 0.25, top), 0.016, frame)
        )
    for z in np.linspace(h + 0.14, top - 0.06, int(rng.integers(2, 5))):
        lean = 0.19 + 0.06 * (z - h) / (top - h)
        parts.append(box((w - 0.06, 0.016, 0.055), frame, (0, lean, float(z))))
    return Furniture("chair", join(parts))


def stool(rng: np.random.Generator) -> Furniture:
    """Three or four splayed legs under a round seat."""
    h, r = float(rng.uniform(0.4, 0.62)), float(rng.uniform(0.15, 0.19))
    wood = _wood(rng)
    count = int(rng.integers(3, 5))
    parts = [turned([(0, h - 0.035), (r, h - 0.035), (r, h), (0, h)], wood)]
    for k in range(count):
        a = 2 * np.pi * k / count
        c, s = float(np.cos(a)), float(np.sin(a))
        parts.append(
            _bar((1.05 * r * c, 1.05 * r * s, 0), (0.6 * r * c, 0.6 * r * s, h - 0.03), 0.015, wood)
        )
    return Furniture("stool", join(parts), (Top(0, 0, h, 0.6 * r, 0.6 * r),))


def shelf(rng: np.random.Generator) -> Furniture:
    """An open shelf of boards between sides, with or without a back."""
    w, d, h = (float(rng.uniform(*r)) for r in ((0.7, 1.15), (0.28, 0.38), (1.1, 1.75)))
    thick, wood = 0.02, _wood(rng)
    back = Material("smooth", any_colour(rng, (0.0, 0.35)), 0.6, int(rng.integers(1 << 30)))
    parts = [box((thick, d, h), wood, (x * (w / 2 - thick / 2), 0, 0)) for x in (-1, 1)]
    levels = np.linspace(0.06, h - thick, int(rng.integers(3, 5)) + 1)
    inner = w - 2 * thick
    parts += [box((inner, d, thick), wood, (0, 0, float(z))) for z in levels]
    if rng.random() < 0.7:
        parts.append(box((inner, 0.008, h - 0.06), back, (0, d / 2 - 0.004, 0.06)))
    gaps = np.append(np.diff(levels) - thick, 1.0)
    tops = [
        Top(0, -0.01, float(z) + thick, inner / 2 - 0.02, d / 2 - 0.03, float(room) - 0.015)
        for z, room in zip(levels, gaps, strict=True)
    ]
    return Furniture("shelf", join(parts), tuple(tops))


def cupboard(rng: np.random.Generator) -> Furniture:
    """A low cupboard on feet: doors and drawers with handles and gaps between."""
    w, d, h = (float(rng.uniform(*r)) for r in ((0.7, 1.3), (0.4, 0.5), (0.6, 0.92)))
    body, front, metal = _wood(rng), _wood(rng), _metal(rng)
    foot, gap = 0.08, 0.006
    parts = [box((w, d, h - foot), body, (0, 0, foot))]
    parts += _legs(w - 0.1, d - 0.1, foot, metal, 0.018)
    parts.append(box((w + 0.02, d + 0.02, 0.022), body, (0, 0, h)))
    columns = int(rng.integers(2, 4))
    wide = w / columns
    for k in range(columns):
        x = -w / 2 + wide * (k + 0.5)
        rows = 1 if rng.random() < 0.5 else 3
        tall = (h - foot) / rows
        for row in range(rows):
            z = foot + row * tall
            panel = (wide - gap, 0.018, tall - gap)
            parts.append(box(panel, front, (x, -d / 2 - 0.009, z + gap / 2)))
            parts.append(_handle(x, -d / 2 - 0.018, z + tall / 2, rows == 1, metal))
    return Furniture("cupboard", join(parts), (Top(0, 0, h + 0.022, w / 2 - 0.02, d / 2 - 0.03),))


def _handle(x: float, y: float, z: float, upright: bool, metal: Material) -> Mesh:
    half = np.array([0, 0, 0.06]) if upright else np.array([0.06, 0, 0])
    out = np.array([0, -0.03, 0])
    spot = np.array([x, y, z])
    return tube(
        np.array([spot - half, spot - half + out, spot + half + out, spot + half]), 0.005, metal
    )


def armchair(rng: np.random.Generator) -> Furniture:
    """An armchair or a two-seat sofa of cushions on feet."""
    seats = int(rng.integers(1, 3))
    w, d = 0.36 + 0.56 * seats, 0.8
    cloth = _fabric(rng)
    parts = _legs(w - 0.15, d - 0.15, 0.1, _wood(rng), 0.022)
    parts.append(cushion((w / 2, d / 2, 0.13), cloth, (0, 0, 0.08), 0.15))
    parts += [
        cushion((0.09, d / 2, 0.25), cloth, (x * (w / 2 - 0.09), 0, 0.1), 0.3) for x in (-1, 1)
    ]
    for k in range(seats):
        x = 0.56 * (k - (seats - 1) / 2)
        parts.append(cushion((0.275, 0.3, 0.08), cloth, (x, -0.07, 0.31), 0.3))
        parts.append(cushion((0.275, 0.1, 0.26), cloth, (x, 0.27, 0.36), 0.35))
    return Furniture("armchair", join(parts))


def lamp(rng: np.random.Generator) -> Furniture:
    """A floor lamp."""
    h, r = float(rng.uniform(1.25, 1.6)), float(rng.uniform(0.14, 0.2))
    metal = _metal(rng)
    shade = Material("cloth", any_colour(rng, (0.05, 0.5)), 0.2, int(rng.integers(1 << 30)))
    parts = [
        turned([(0, 0), (0.13, 0), (0.13, 0.02), (0, 0.025)], metal),
        _bar((0, 0, 0.02), (0, 0, h), 0.012, metal),
        turned([(r, h - 0.24), (0.65 * r, h), (0, h)], shade),
    ]
    return Furniture("lamp", join(parts))


def plant(rng: np.random.Generator) -> Furniture:
    """A pot with leaves that bend outward."""
    r, h = float(rng.uniform(0.1, 0.17)), float(rng.uniform(0.16, 0.3))
    pot = Material(str(rng.choice(["smooth", "speckle", "stone"])), any_colour(rng), 0.3, 5, 0.2)
    soil = Material("speckle", (60, 44, 32), 0.1, 3)
    parts = [turned([(0, 0), (0.7 * r, 0), (r, h), (0.92 * r, h), (0.88 * r, h - 0.02)], pot)]
    parts.append(turned([(0.9 * r, h - 0.03), (0, h - 0.03)], soil))
    leaf = Material("leaf", (55 + 60 * rng.random(), 110 + 50 * rng.random(), 50), 0.1, 4, 0.15)
    for _ in range(int(rng.integers(9, 18))):
        turn, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.45)
        lean, width = rng.uniform(0.2, 1.0), rng.uniform(0.02, 0.05)
        parts.append(_leaf(leaf, length, lean, width).moved((0, 0, h - 0.03), float(turn)))
    return Furniture("plant", join(parts))


def _leaf(m: Material, length: float, lean: float, width: float) -> Mesh:
    share = np.linspace(0, 1, 7)
    angle = np.pi / 2 - lean * share * 1.6
    step = length / 6
    x = np.concatenate([[0.0], np.cumsum(np.cos(angle[1:]) * step)])
    z = np.concatenate([[0.0], np.cumsum(np.sin(angle[1:]) * step)])
    wide = width * np.sin(np.pi * np.clip(share * 0.9 + 0.08, 0, 1))
    parts = []
    for k in range(6):
        corner = (x[k], -wide[k], z[k])
        part = sheet(corner, (0, 2 * wide[k], 0), (x[k + 1] - x[k], 0, z[k + 1] - z[k]), m)
        points = part.points.copy()
        points[2, 1], points[3, 1] = -wide[k + 1], wide[k + 1]
        parts.append(Mesh(points, part.normals, part.uv, part.triangles, part.surface, (m,)))
    return join(parts)


def bin_(rng: np.random.Generator) -> Furniture:
    """An open waste bin."""
    r, h = float(rng.uniform(0.11, 0.16)), float(rng.uniform(0.24, 0.36))
    m = Material("smooth", any_colour(rng), 0.3, int(rng.integers(1 << 30)), 0.3)
    profile = [(0, 0), (0.8 * r, 0), (r, h), (r - 0.006, h), (0.78 * r, 0.012), (0, 0.012)]
    return Furniture("bin", turned(profile, m))


def crate(rng: np.random.Generator) -> Furniture:
    """A carton or storage box on the floor."""
    w, d, h = (float(v) for v in rng.uniform((0.25, 0.22, 0.18), (0.5, 0.4, 0.4)))
    m = Material("print", (186, 150, 108), 0.5, int(rng.integers(1 << 30)))
    if rng.random() < 0.5:
        m = _wood(rng)
    return Furniture("crate", box((w, d, h), m), (Top(0, 0, h, w / 2 - 0.02, d / 2 - 0.02),))


BESIDE = (chair, stool, lamp, plant, bin_, crate)
