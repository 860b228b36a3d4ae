"""A synthetic world: a room, its light, and things whose colour, shape and place are known.

Seeded: equal seed and settings give the equal world. Coordinates are those of the fixed frame
`map`: z up, the floor at 0, the room's middle near the origin. Knows no cameras.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oryx_scene.errors import ConfigError
from oryx_scene.lab.synth.lighting import Lighting, make_lighting
from oryx_scene.lab.synth.placement import Body, beside, far_enough, on_top, overlap
from oryx_scene.lab.synth.rooms import Room, make_room
from oryx_scene.lab.synth.solids import Pattern, Solid
from oryx_scene.lab.synth.texture import KINDS
from oryx_scene.lab.synth.truth import ObjectTruth
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, HELD_OUT, SHAPES, SPLITS, check_split
from oryx_scene.records import FloatArray

TRIES = 400


@dataclass(frozen=True)
class WorldConfig:
    """What worlds are made of.

    Attributes:
        split: "train", "test" or "combinations" (see `words`).
        objects: fewest and most things, tables included.
        small_m, large_m: half size of the two size classes; half of the things are small.
        table: chance of a table with things on it.
        touching: chance that a thing touches another one.
        stacked: chance that a thing stands on another one.
        patterned: chance that a thing has a brightness pattern.
        gap_m: least distance between things that do not touch.
        spread_m: things stand within this square's half side around the origin.
        room_m: smallest and largest width of the room.
    """

    split: str = "train"
    objects: tuple[int, int] = (3, 8)
    small_m: tuple[float, float] = (0.13, 0.19)
    large_m: tuple[float, float] = (0.19, 0.3)
    table: float = 0.2
    touching: float = 0.0
    stacked: float = 0.08
    patterned: float = 0.3
    gap_m: float = 0.12
    spread_m: float = 1.45
    room_m: tuple[float, float] = (6.2, 7.6)

    def __post_init__(self) -> None:
        check_split(self.split)
        if not 1 <= self.objects[0] <= self.objects[1]:
            raise ConfigError(f"world.objects: 1 <= fewest <= most expected, got {self.objects}.")
        for name in ("table", "touching", "stacked", "patterned"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"world.{name}: a chance of 0..1 expected.")
        if self.spread_m * 2 + 2.0 > self.room_m[0]:
            raise ConfigError("world.spread_m: the room is too narrow for it.")


@dataclass(frozen=True, eq=False)
class World:
    """One world.

    Attributes:
        seed: that made it.
        config: that made it.
        objects: what is true about each thing, by ascending id from 1.
        solids: what they are built of.
        bodies: their footprints, in the order of ``objects``.
        room, lighting: around them.
        colours, shapes: words that may occur.
        gone, new: ids of things that are not there from ``changed_ns`` on, and only from then on.
        changed_ns: stamp of the first late picture (`changes`).
    """

    seed: int
    config: WorldConfig
    objects: tuple[ObjectTruth, ...]
    solids: tuple[Solid, ...]
    bodies: tuple[Body, ...]
    room: Room
    lighting: Lighting
    colours: tuple[str, ...]
    shapes: tuple[str, ...]
    gone: frozenset[int] = frozenset()
    new: frozenset[int] = frozenset()
    changed_ns: int = 0

    @property
    def truth(self) -> dict[int, ObjectTruth]:
        """Objects by id."""
        return {thing.object_id: thing for thing in self.objects}


def make_world(seed: int, config: WorldConfig | None = None) -> World:
    """The world of a seed.

    Raises:
        ConfigError: a negative seed.
    """
    config = config or WorldConfig()
    if seed < 0:
        raise ConfigError(f"the seed of a world must not be negative, got {seed}.")
    rng = np.random.default_rng([SPLITS[config.split], seed])
    room = make_room(rng, config.room_m)
    lighting = make_lighting(rng)
    bodies = _place(rng, config)
    names = _names(rng, config, bodies)
    solids: list[Solid] = []
    for index, (body, (colour, _)) in enumerate(zip(bodies, names, strict=True), 1):
        solids += _build(rng, config, index, body, colour)
    objects = tuple(
        _truth(index, colour, shape, body)
        for index, (body, (colour, shape)) in enumerate(zip(bodies, names, strict=True), 1)
    )
    shapes = (*SHAPES, FURNITURE) if config.table > 0 else SHAPES
    return World(
        seed,
        config,
        objects,
        tuple(solids),
        tuple(bodies),
        room,
        lighting,
        tuple(COLOURS),
        shapes,
    )


def _half(rng: np.random.Generator, config: WorldConfig, kind: str) -> FloatArray:
    size = rng.uniform(*(config.small_m if rng.random() < 0.5 else config.large_m))
    if kind == "ball":
        return np.full(3, size)
    if kind == "cylinder":
        radius = size * rng.uniform(0.65, 0.95)
        return np.array([radius, radius, size * rng.uniform(0.8, 1.5)])
    return np.array([*(size * rng.uniform(0.7, 1.0, 2)), size * rng.uniform(0.6, 1.4)])


def _place(rng: np.random.Generator, config: WorldConfig) -> list[Body]:
    """Things that stand somewhere; fewer than asked for where no place is left."""
    wanted = int(rng.integers(config.objects[0], config.objects[1] + 1))
    bodies: list[Body] = []
    on_table = 0
    if rng.random() < config.table and wanted >= 2:
        half = np.array([*rng.uniform((0.4, 0.3), (0.6, 0.42)), rng.uniform(0.22, 0.36)])
        centre = np.array([*rng.uniform(-0.6, 0.6, 2) * config.spread_m, half[2]])
        bodies.append(Body(FURNITURE, half, centre, float(rng.uniform(0, np.pi))))
        on_table = int(rng.integers(1, 3))
    for _ in range(TRIES):
        if len(bodies) == wanted:
            break
        kind = str(rng.choice(SHAPES))
        half = _half(rng, config, kind)
        body = _stand(rng, config, bodies, kind, half, on_table > 0)
        if body is not None:
            bodies.append(body)
            on_table -= 1
    return bodies


def _stand(
    rng: np.random.Generator,
    config: WorldConfig,
    bodies: list[Body],
    kind: str,
    half: FloatArray,
    on_table: bool,
) -> Body | None:
    """One attempt to place a thing."""
    how = rng.random()
    anchor = bodies[int(rng.integers(len(bodies)))] if bodies else None
    if on_table:
        # Things on a table are smaller than things on the floor.
        body = on_top(bodies[0], half * 0.75, kind, rng, 1.0)
        if body is None or not far_enough(body, bodies[1:], 0.04):
            return None
        return body
    if anchor is not None and anchor.kind != FURNITURE:
        if how < config.stacked and kind != "ball":
            return _clear(on_top(anchor, half * 0.9, kind, rng, 0.5), bodies, config)
        if how < config.stacked + config.touching and anchor.bottom < 1e-6:
            return _clear(beside(anchor, half, kind, rng), bodies, config)
    centre = np.array([*rng.uniform(-config.spread_m, config.spread_m, 2), half[2]])
    body = Body(kind, half, centre, float(rng.uniform(0, np.pi)))
    return body if far_enough(body, bodies, config.gap_m) else None


def _clear(body: Body | None, bodies: list[Body], config: WorldConfig) -> Body | None:
    """The body, unless it shares space with another one or leaves the square."""
    if body is None or np.abs(body.centre[:2]).max() > config.spread_m:
        return None
    return None if any(overlap(body, other) for other in bodies) else body


def _names(
    rng: np.random.Generator, config: WorldConfig, bodies: list[Body]
) -> list[tuple[str, str]]:
    """Colour and shape of every body, combinations held out or asked for by the split."""
    names = []
    for body in bodies:
        colours = [
            colour
            for colour in COLOURS
            if config.split == "combinations" or (colour, body.kind) not in HELD_OUT
        ]
        names.append((str(rng.choice(colours)), body.kind))
    if config.split == "combinations":
        held = {shape: colour for colour, shape in HELD_OUT}
        free = [i for i, body in enumerate(bodies) if body.kind in held]
        for i in rng.permutation(free)[: max(1, len(free) // 2)]:
            names[i] = (held[bodies[i].kind], bodies[i].kind)
    return names


def _build(
    rng: np.random.Generator, config: WorldConfig, object_id: int, body: Body, colour: str
) -> list[Solid]:
    rgb = np.clip(np.array(COLOURS[colour]) * rng.normal(1.0, 0.03, 3), 15, 245)
    pattern = Pattern()
    if rng.random() < config.patterned:
        period, strength = rng.uniform(0.06, 0.14), rng.uniform(0.1, 0.3)
        kind = str(rng.choice(KINDS))
        pattern = Pattern(kind, float(period), float(strength), float(rng.uniform(0, 40)))
    if body.kind != FURNITURE:
        return [Solid(body.kind, object_id, body.centre, body.half, body.yaw, rgb, pattern)]
    return _table(object_id, body, rgb, pattern)


def _table(object_id: int, body: Body, rgb: FloatArray, pattern: Pattern) -> list[Solid]:
    """A top and four legs."""
    thick, leg = 0.02, 0.025
    c, s = np.cos(body.yaw), np.sin(body.yaw)
    up = body.half[2]
    top = body.centre + np.array([0.0, 0.0, up - thick])
    half_top = np.array([body.half[0], body.half[1], thick])
    solids = [Solid("box", object_id, top, half_top, body.yaw, rgb, pattern)]
    half_leg = np.array([leg, leg, up - thick])
    for x in (-1, 1):
        for y in (-1, 1):
            place = np.array([x, y]) * (body.half[:2] - leg - 0.01)
            turned = np.array([[c, -s], [s, c]]) @ place
            centre = body.centre + np.array([*turned, -thick])
            solids.append(Solid("box", object_id, centre, half_leg, body.yaw, rgb))
    return solids


def _truth(object_id: int, colour: str, shape: str, body: Body) -> ObjectTruth:
    c, s = abs(np.cos(body.yaw)), abs(np.sin(body.yaw))
    hx, hy, hz = body.half
    if body.kind in ("ball", "cylinder"):
        extent = (2 * hx, 2 * hx, 2 * hz)
    else:
        extent = (2 * (c * hx + s * hy), 2 * (s * hx + c * hy), 2 * hz)
    x, y, z = (float(value) for value in body.centre)
    return ObjectTruth(
        object_id, colour, shape, (x, y, z), (float(extent[0]), float(extent[1]), float(extent[2]))
    )
