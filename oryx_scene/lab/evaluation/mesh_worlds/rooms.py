"""One furnished room of meshes: a group of furniture, small things on it, the room around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oryx_scene.errors import ConfigError
from oryx_scene.lab.evaluation.mesh_worlds import furniture as pieces
from oryx_scene.lab.evaluation.mesh_worlds.arrangement import Arrangement
from oryx_scene.lab.evaluation.mesh_worlds.clutter import SMALL, USUAL
from oryx_scene.lab.evaluation.mesh_worlds.furniture import Furniture, Top
from oryx_scene.lab.evaluation.mesh_worlds.mesh import Mesh
from oryx_scene.lab.evaluation.mesh_worlds.shell import Shell, make_shell
from oryx_scene.lab.synth.truth import ObjectTruth
from oryx_scene.records import FloatArray

# True ids of what belongs to the room begin here; a number on them is right, its lack no miss.
FITTINGS = 1000


@dataclass(frozen=True)
class MeshRoomConfig:
    """What rooms are made of.

    Attributes:
        objects: fewest and most things, furniture included.
        small: chance that a thing on furniture is one of the small kinds (2 to 15 cm).
        twins: chance that a small thing comes twice, alike to the last detail.
        touching: chance that a thing is pushed against its neighbour.
        stacked: chance that a thing stands on another one.
        gap_m: least distance of things on furniture that do not touch.
    """

    objects: tuple[int, int] = (4, 8)
    small: float = 0.45
    twins: float = 0.2
    touching: float = 0.0
    stacked: float = 0.0
    gap_m: float = 0.035


@dataclass(frozen=True, eq=False)
class MeshRoom:
    """One room, in the axes of the fixed frame `map`.

    Attributes:
        seed: that made it.
        parts: (true id, mesh); 0 is background.
        objects: what is true about each thing that may be asked for.
        low, high: (2,) corners of the floor before ``yaw`` turned it.
        height: of the room, metres.
        yaw: turn of the walls against the fixed frame, rad.
        lights: (k, 3) lamps.
        focus: (3,) middle of the group.
        front: direction from which the group is meant to be seen, rad.
        spread: by how much to both sides, rad.
    """

    seed: int
    parts: tuple[tuple[int, Mesh], ...]
    objects: tuple[ObjectTruth, ...]
    low: FloatArray
    high: FloatArray
    height: float
    yaw: float
    lights: FloatArray
    focus: FloatArray
    front: float
    spread: float

    @property
    def fittings(self) -> frozenset[int]:
        """True ids that nobody asks for."""
        return frozenset(name for name, _ in self.parts if name >= FITTINGS)


def make_room(seed: int, config: MeshRoomConfig | None = None) -> MeshRoom:
    """The room of a seed.

    Raises:
        ConfigError: a negative seed.
    """
    config = config or MeshRoomConfig()
    if seed < 0:
        raise ConfigError(f"the seed of a room must not be negative, got {seed}.")
    rng = np.random.default_rng([seed, 2])
    shell = make_shell(rng)
    things = Arrangement(rng)
    wanted = int(rng.integers(config.objects[0], config.objects[1] + 1))
    at_wall = bool(rng.random() < 0.75)
    group = _GROUPS[int(rng.integers(len(_GROUPS)))]
    tops = group(things, shell, at_wall or group is _shelf)
    _strew(things, tops, wanted, config)
    yaw = float(rng.uniform(0, 2 * np.pi))
    return _turned(seed, shell, things, yaw, at_wall or group is _shelf)


def _turned(seed: int, shell: Shell, things: Arrangement, yaw: float, at_wall: bool) -> MeshRoom:
    """Everything in the fixed frame."""
    c, s = np.cos(yaw), np.sin(yaw)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    half = np.array([shell.width, shell.depth]) / 2
    parts = [(0, shell.background.moved((0, 0, 0), yaw))]
    parts += [(FITTINGS + i, m.moved((0, 0, 0), yaw)) for i, m in enumerate(shell.fittings)]
    own = [(i, t.mesh.moved((0, 0, 0), yaw)) for i, t in enumerate(things.things, 1)]
    names = [thing.name for thing in things.things]
    middles = np.array([(mesh.low + mesh.high) / 2 for _, mesh in own])
    # Small things, where there are any, are what one comes to see.
    small = middles[things.carriers :] if len(own) > things.carriers else middles
    return MeshRoom(
        seed,
        (*parts, *own),
        tuple(_truth(i, name, mesh) for name, (i, mesh) in zip(names, own, strict=True)),
        -half,
        half,
        shell.height,
        yaw,
        shell.lights @ R.T,
        0.65 * small.mean(axis=0) + 0.35 * middles.mean(axis=0),
        yaw - np.pi / 2,
        np.radians(62) if at_wall else np.pi,
    )


def _truth(object_id: int, name: str, mesh: Mesh) -> ObjectTruth:
    middle, extent = (mesh.low + mesh.high) / 2, mesh.high - mesh.low
    x, y, z = (float(v) for v in middle)
    return ObjectTruth(object_id, "", name, (x, y, z), tuple(float(v) for v in extent))  # type: ignore[arg-type]


def _seat(things: Arrangement, piece: Furniture, x: float, y: float, yaw: float) -> list[Top]:
    """Puts furniture at a place; its tops in room axes (only where it is not turned)."""
    if not things.put(piece.name, piece.mesh.moved((x, y, 0), yaw), gap=0.06) or yaw:
        return []
    return [Top(x + t.x, y + t.y, t.z, t.half_x, t.half_y, t.room) for t in piece.tops]


def _back(shell: Shell, piece: Furniture, at_wall: bool) -> float:
    """Where the middle of a piece goes, along y, that stands with its back to the wall."""
    free = 0.0 if at_wall else 0.22 * shell.depth
    return float(shell.depth / 2 - piece.mesh.high[1] - 0.03 - free)


def _beside(things: Arrangement, shell: Shell, x: float, y: float, count: int) -> None:
    """Furniture on the floor around a place."""
    rng = things.rng
    half = np.array([shell.width, shell.depth]) / 2 - 0.1
    for _ in range(count):
        piece = pieces.BESIDE[int(rng.integers(len(pieces.BESIDE)))](rng)
        low, high = np.maximum((x - 1.5, y - 1.2), -half), np.minimum((x + 1.5, y + 0.6), half)
        (u, v), (a, b) = (low + high) / 2, (high - low) / 2
        things.stand(piece.name, piece.mesh, Top(u, v, 0.0, a, b, 3.0), 0.12)


def _desk(things: Arrangement, shell: Shell, at_wall: bool) -> list[Top]:
    rng = things.rng
    piece = pieces.table(rng)
    x, y = float(rng.uniform(-0.4, 0.4)), _back(shell, piece, at_wall)
    tops = _seat(things, piece, x, y, 0.0)
    front = y + piece.mesh.low[1] - float(rng.uniform(0.38, 0.6))
    _seat(
        things,
        pieces.chair(rng),
        x + float(rng.uniform(-0.5, 0.5)),
        front,
        np.pi + rng.normal(0, 0.4),
    )
    _beside(things, shell, x, y, int(rng.integers(0, 2)))
    return tops


def _shelf(things: Arrangement, shell: Shell, at_wall: bool) -> list[Top]:
    rng = things.rng
    piece = pieces.shelf(rng)
    x, y = float(rng.uniform(-0.5, 0.5)), _back(shell, piece, at_wall)
    tops = _seat(things, piece, x, y, 0.0)
    _beside(things, shell, x, y, int(rng.integers(1, 3)))
    return [top for top in tops if top.room > 0.08]


def _lounge(things: Arrangement, shell: Shell, at_wall: bool) -> list[Top]:
    rng = things.rng
    seat = pieces.armchair(rng)
    x, y = float(rng.uniform(-0.4, 0.4)), _back(shell, seat, at_wall)
    _seat(things, seat, x, y, 0.0)
    low = pieces.coffee_table(rng)
    front = y + seat.mesh.low[1] - low.mesh.high[1] - float(rng.uniform(0.15, 0.4))
    tops = _seat(things, low, x + float(rng.uniform(-0.3, 0.3)), front, 0.0)
    _beside(things, shell, x, y, int(rng.integers(0, 3)))
    return tops


def _kitchen(things: Arrangement, shell: Shell, at_wall: bool) -> list[Top]:
    rng = things.rng
    piece = pieces.cupboard(rng)
    x, y = float(rng.uniform(-0.4, 0.4)), _back(shell, piece, at_wall)
    tops = _seat(things, piece, x, y, 0.0)
    _beside(things, shell, x, y, int(rng.integers(1, 3)))
    return tops


_GROUPS: tuple[Callable[[Arrangement, Shell, bool], list[Top]], ...] = (
    *(_desk, _shelf, _lounge, _kitchen),
)


def _strew(things: Arrangement, tops: list[Top], wanted: int, config: MeshRoomConfig) -> None:
    """Small things on the furniture, until the room holds ``wanted`` things."""
    rng = things.rng
    things.carriers = first = len(things.things)
    for _ in range(8 * wanted):
        if len(things.things) >= wanted or not tops:
            return
        kinds = SMALL if rng.random() < config.small else USUAL
        make = kinds[int(rng.integers(len(kinds)))]
        mesh, name = make(rng), make.__name__
        top = tops[int(rng.integers(len(tops)))]
        others = [t for t in things.things[first:] if abs(t.mesh.low[2] - top.z) < 1e-6]
        how = rng.random()
        if others and how < config.stacked + config.touching:
            anchor = others[int(rng.integers(len(others)))]
            if how < config.stacked:
                things.stack(name, mesh, anchor, top.room)
            else:
                things.lean(name, mesh, top, anchor)
            continue
        upright = name in ("screen", "standing_book")
        there = things.stand(name, mesh, top, config.gap_m, upright)
        if there and rng.random() < config.twins and len(things.things) < wanted:
            things.stand(name, mesh, top, config.gap_m, upright)
