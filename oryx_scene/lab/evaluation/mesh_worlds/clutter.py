"""Small things on tables and boards, 2 to 35 cm: each made of its own parts and print."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oryx_scene.lab.evaluation.mesh_worlds.materials import Material, any_colour, wood_colour
from oryx_scene.lab.evaluation.mesh_worlds.mesh import Mesh, box, cushion, join, tube, turned


def _paint(
    rng: np.random.Generator,
    *kinds: str,
    period: float = 0.15,
    gloss: float = 0.4,
    saturation: tuple[float, float] = (0.1, 0.9),
) -> Material:
    colour = any_colour(rng, saturation)
    return Material(str(rng.choice(kinds)), colour, period, int(rng.integers(1 << 30)), gloss)


def _arc(radius: float, squeeze: float, start: float, end: float) -> np.ndarray:
    angle = np.linspace(start, end, 12)
    return np.column_stack([squeeze * radius * np.cos(angle), 0 * angle, radius * np.sin(angle)])


def mug(rng: np.random.Generator) -> Mesh:
    """A cup with a handle."""
    r, h = float(rng.uniform(0.035, 0.047)), float(rng.uniform(0.08, 0.11))
    m = _paint(rng, "smooth", "smooth", "print", "speckle")
    profile = [
        (0, 0),
        (0.9 * r, 0),
        (r, 0.01),
        (r, h),
        (r - 0.004, h),
        (r - 0.005, 0.01),
        (0, 0.008),
    ]
    handle = _arc(0.32 * h, 0.8, -np.pi / 2, np.pi / 2) + np.array([r, 0, h / 2])
    return join([turned(profile, m), tube(handle, 0.006, m)])


def bottle(rng: np.random.Generator) -> Mesh:
    """A bottle with a label and a cap."""
    r, h = float(rng.uniform(0.028, 0.045)), float(rng.uniform(0.18, 0.31))
    glass = _paint(rng, "smooth", gloss=0.8)
    label, cap = _paint(rng, "print", period=0.12), _paint(rng, "smooth")
    body = [
        (0, 0),
        (r, 0),
        (r, 0.6 * h),
        (0.8 * r, 0.7 * h),
        (0.4 * r, 0.78 * h),
        (0.36 * r, 0.95 * h),
    ]
    return join(
        [
            turned(body, glass),
            turned([(1.01 * r, 0.15 * h), (1.01 * r, 0.5 * h)], label),
            turned([(0.42 * r, 0.9 * h), (0.42 * r, h), (0, h)], cap),
        ]
    )


def book(rng: np.random.Generator) -> Mesh:
    """A book that lies: cover, spine and a block of pages."""
    w, d, h = (float(v) for v in rng.uniform((0.12, 0.17, 0.015), (0.2, 0.28, 0.05)))
    cover = _paint(rng, "print", "print", "cloth", period=0.25, gloss=0.1)
    pages = Material("wood", (232, 226, 210), 0.05, 2)
    return join(
        [
            box((w, d, 0.003), cover),
            box((w, d, 0.003), cover, (0, 0, h - 0.003)),
            box((0.003, d, h), cover, (-w / 2, 0, 0)),
            box((w - 0.008, d - 0.008, h - 0.006), pages, (-0.002, 0, 0.003)),
        ]
    )


def standing_book(rng: np.random.Generator) -> Mesh:
    """A book that stands on its lower edge."""
    return book(rng).tipped().moved((0, 0, 0), np.pi / 2)


def carton(rng: np.random.Generator) -> Mesh:
    """A printed packet."""
    size = [float(v) for v in rng.uniform((0.06, 0.04, 0.08), (0.2, 0.12, 0.28))]
    return box(size, _paint(rng, "print", period=float(rng.uniform(0.15, 0.3)), gloss=0.2))


def tin(rng: np.random.Generator) -> Mesh:
    """A tin with a printed side and metal ends."""
    r, h = float(rng.uniform(0.03, 0.055)), float(rng.uniform(0.05, 0.14))
    metal = Material("metal", (180, 182, 184), 0.1, 1, 0.7)
    side = turned([(r, 0.004), (r, h - 0.004)], _paint(rng, "print", period=0.2))
    foot = turned([(0, 0), (0.97 * r, 0), (r, 0.004)], metal)
    lid = turned([(r, h - 0.004), (0.97 * r, h), (0.92 * r, h - 0.004), (0, h - 0.004)], metal)
    return join([foot, side, lid])


def bowl(rng: np.random.Generator) -> Mesh:
    """An open bowl."""
    r = float(rng.uniform(0.07, 0.13))
    angle = np.linspace(0.15, np.pi / 2, 8)
    outer = [(float(r * np.sin(a)), float(0.6 * r * (1 - np.cos(a)))) for a in angle]
    inner = [(x - 0.005, z + 0.004) for x, z in outer[::-1]]
    return turned([(0, 0), *outer, *inner, (0, 0.006)], _paint(rng, "smooth", "speckle", "stone"))


def teapot(rng: np.random.Generator) -> Mesh:
    """A pot with a spout, a lid with a knob, and a handle."""
    r = float(rng.uniform(0.055, 0.085))
    m = _paint(rng, "smooth", "speckle", "metal")
    spout = np.array([[0.8 * r, 0, 0.5 * r], [1.3 * r, 0, 0.8 * r], [1.6 * r, 0, 1.4 * r]])
    handle = _arc(0.6 * r, 1.1, np.pi / 2, 3 * np.pi / 2) + np.array([-0.8 * r, 0, 0.9 * r])
    parts = [cushion((r, r, 0.8 * r), m, square=0.9), tube(spout, 0.16 * r, m)]
    parts += [
        tube(handle, 0.1 * r, m),
        cushion((0.18 * r, 0.18 * r, 0.18 * r), m, (0, 0, 1.5 * r), 1.0),
    ]
    return join(parts)


def fruit(rng: np.random.Generator) -> Mesh:
    """An apple, lemon or egg of 4 to 9 cm."""
    r = float(rng.uniform(0.02, 0.042))
    m = _paint(rng, "plaster", "speckle", "smooth", period=0.08, saturation=(0.5, 0.95))
    return cushion(
        (r * float(rng.uniform(1.0, 1.35)), r, r), m, square=float(rng.uniform(0.85, 1.1))
    )


def ball(rng: np.random.Generator) -> Mesh:
    """A ball of 5 to 20 cm."""
    r = float(rng.uniform(0.025, 0.1))
    return cushion((r, r, r), _paint(rng, "smooth", "print", "tiles", period=0.25), square=1.0)


def cube(rng: np.random.Generator) -> Mesh:
    """A toy block of 2 to 5 cm."""
    side = float(rng.uniform(0.02, 0.05))
    return box(
        (side, side, side), _paint(rng, "smooth", "wood", period=0.1, saturation=(0.4, 0.95))
    )


def eraser(rng: np.random.Generator) -> Mesh:
    """A flat block of 3 to 5 cm."""
    w, d, h = (float(v) for v in rng.uniform((0.035, 0.02, 0.012), (0.05, 0.03, 0.025)))
    return box((w, d, h), _paint(rng, "smooth", "print", period=0.06))


def pen(rng: np.random.Generator) -> Mesh:
    """A thick marker pen that lies."""
    r, length = float(rng.uniform(0.006, 0.011)), float(rng.uniform(0.12, 0.16))
    body, cap = _paint(rng, "smooth"), _paint(rng, "smooth")
    lying = [turned([(0, 0), (r, 0), (r, 0.65 * length)], body, 12)]
    lying.append(turned([(1.1 * r, 0.65 * length), (1.1 * r, length), (0, length)], cap, 12))
    return join(lying).tipped().moved((-length / 2, 0, 0))


def tape(rng: np.random.Generator) -> Mesh:
    """A roll that lies: a ring with a hole."""
    r, h = float(rng.uniform(0.028, 0.055)), float(rng.uniform(0.018, 0.05))
    hole = 0.6 * r
    m = _paint(rng, "smooth", "cloth", period=0.1)
    return turned([(hole, 0), (r, 0), (r, h), (hole, h), (hole, 0)], m)


def toy_car(rng: np.random.Generator) -> Mesh:
    """A car with four wheels."""
    s = float(rng.uniform(0.06, 0.14))
    body, glass = _paint(rng, "smooth", gloss=0.7), Material("smooth", (40, 46, 52), 0.2, 1, 0.8)
    rubber = Material("smooth", (28, 28, 28), 0.1, 1)
    parts = [box((s, 0.45 * s, 0.2 * s), body, (0, 0, 0.1 * s))]
    parts.append(box((0.5 * s, 0.4 * s, 0.17 * s), glass, (-0.05 * s, 0, 0.3 * s)))
    for x in (-0.3, 0.3):
        axle = np.array(
            [[x * s, -0.25 * s, 0.1 * s], [x * s, 0, 0.1 * s], [x * s, 0.25 * s, 0.1 * s]]
        )
        parts.append(tube(axle, 0.1 * s, rubber, 16))
    return join(parts)


def vase(rng: np.random.Generator) -> Mesh:
    """A vase with a belly and a neck."""
    r, h = float(rng.uniform(0.04, 0.08)), float(rng.uniform(0.15, 0.32))
    share = np.linspace(0, 1, 14)
    belly = r * (0.45 + 0.55 * np.sin(np.pi * np.clip(share * 1.15, 0, 1)) ** 2 + 0.15 * share**6)
    profile = [(0.0, 0.0), *zip(belly.tolist(), (h * share).tolist(), strict=True)]
    return turned(profile, _paint(rng, "smooth", "stone", "speckle", "tiles"))


def desk_lamp(rng: np.random.Generator) -> Mesh:
    """A small lamp: foot, bent arm, cone."""
    h = float(rng.uniform(0.25, 0.35))
    m = _paint(rng, "smooth", "metal")
    arm = np.array([[0, 0, 0.01], [0.02, 0, 0.5 * h], [-0.02, 0, 0.9 * h], [-0.1, 0, h]])
    shade = turned([(0.06, 0), (0.025, 0.08), (0, 0.08)], m).moved((-0.11, 0, h - 0.07))
    return join(
        [turned([(0, 0), (0.06, 0), (0.06, 0.015), (0, 0.02)], m), tube(arm, 0.006, m), shade]
    )


def screen(rng: np.random.Generator) -> Mesh:
    """A monitor on a foot, switched on."""
    w, h = float(rng.uniform(0.4, 0.56)), float(rng.uniform(0.26, 0.34))
    case = Material("smooth", (34, 34, 36), 0.3, 2, 0.3)
    shown = Material("print", any_colour(rng), 0.4, int(rng.integers(1 << 30)), 0.1)
    return join(
        [
            box((0.22, 0.16, 0.012), case),
            box((0.05, 0.02, 0.14), case, (0, 0.03, 0.01)),
            box((w, 0.03, h), case, (0, 0, 0.11)),
            box((w - 0.03, 0.002, h - 0.03), shown, (0, -0.016, 0.125)),
        ]
    )


def tray(rng: np.random.Generator) -> Mesh:
    """A basket of wooden slats."""
    w, d, h = (float(v) for v in rng.uniform((0.18, 0.14, 0.06), (0.3, 0.22, 0.12)))
    m = Material("wood", wood_colour(rng), 0.3, int(rng.integers(1 << 30)))
    parts = [box((w, d, 0.006), m)]
    for z in (0.01, 0.55 * h):
        parts += [box((w, 0.006, 0.35 * h), m, (0, y * d / 2, z)) for y in (-1, 1)]
        parts += [box((0.006, d, 0.35 * h), m, (x * w / 2, 0, z)) for x in (-1, 1)]
    return join(parts)


Maker = Callable[[np.random.Generator], Mesh]
SMALL: tuple[Maker, ...] = (fruit, cube, eraser, pen, tape, ball, toy_car)
USUAL: tuple[Maker, ...] = (
    *(mug, bottle, book, standing_book, carton, tin, bowl, teapot, vase, desk_lamp, tray),
    *(screen, ball, toy_car),
)
