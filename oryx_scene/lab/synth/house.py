"""A house of several rooms on one floor: walls, doorways, and the things in every room.

The rooms are equal squares in rows; the floor, the ceiling and the outer walls are one `Room`, the
walls between rooms are solids of no object. In the middle of a room stand the things of a
`make_world`; around them a lane is left free, in which a robot can drive. Fixed frame `map`, z up.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.synth.lighting import Lighting, make_lighting
from oryx_scene.lab.synth.placement import Body
from oryx_scene.lab.synth.rooms import Room, make_room
from oryx_scene.lab.synth.solids import Pattern, Solid
from oryx_scene.lab.synth.words import COLOURS, FURNITURE, HELD_OUT, SHAPES
from oryx_scene.lab.synth.world import WorldConfig, make_world
from oryx_scene.records import FloatArray

ROOM_NAMES = (
    *("kitchen", "office", "workshop", "store"),
    *("lounge", "lab", "studio", "archive", "hall"),
)
ROOM_M = 6.6
DOOR_M = 1.2
# Half side of the square lane around the things of a room.
LANE_M = 2.35
# Tables: no colour that things are asked by.
_WOOD = ("wooden", (150.0, 112.0, 78.0))
_WALL_HALF_M = 0.05
_DOOR_HIGH_M = 2.1
# Share of things that have the colour and shape of another one in the house.
_TWINS = 0.15


@dataclass(frozen=True, eq=False)
class HouseObject:
    """One thing of a house, at its first place.

    Attributes:
        object_id: as in ``Frame.labels``, from 1.
        colour, shape: words.
        body: its footprint and height.
        solids: what it is built of.
        room: index of the room.
        fixed: it carries something or stands on something, and is never moved.
    """

    object_id: int
    colour: str
    shape: str
    body: Body
    solids: tuple[Solid, ...]
    room: int
    fixed: bool

    @property
    def name(self) -> str:
        """Colour and shape."""
        return f"{self.colour} {self.shape}"

    @property
    def extent(self) -> FloatArray:
        """(3,) full size along the fixed frame's axes, metres."""
        corners = np.concatenate([solid.corners() for solid in self.solids])
        return np.asarray(np.ptp(corners, axis=0))

    def at(self, centre: FloatArray) -> HouseObject:
        """The same thing with its middle at ``centre`` (3,)."""
        offset = centre - self.body.centre
        return dataclasses.replace(
            self,
            body=dataclasses.replace(self.body, centre=centre),
            solids=tuple(dataclasses.replace(s, centre=s.centre + offset) for s in self.solids),
        )


@dataclass(frozen=True, eq=False)
class House:
    """Rooms and what is in them.

    Attributes:
        outer: floor, ceiling and outer walls.
        middles: (rooms, 2) middle of each room.
        doors: pair of rooms (lower index first) -> (2,) middle of the doorway.
        walls: between the rooms, and screens that hide things; of object 0.
        things: by ascending id from 1.
        spare: things that are brought later, none of them there yet; ids continue.
        lightings: one per room.
    """

    outer: Room
    middles: FloatArray
    doors: dict[tuple[int, int], FloatArray]
    walls: tuple[Solid, ...]
    things: tuple[HouseObject, ...]
    spare: tuple[HouseObject, ...]
    lightings: tuple[Lighting, ...]

    @property
    def room_names(self) -> tuple[str, ...]:
        """One word per room."""
        return ROOM_NAMES[: len(self.middles)]

    def room_at(self, place: FloatArray) -> int:
        """Index of the room whose middle is nearest to ``place`` (2,)."""
        return int(np.abs(self.middles - place[:2]).max(axis=1).argmin())

    def neighbours(self, room: int) -> list[int]:
        """Rooms with a doorway to ``room``."""
        return sorted(b if a == room else a for a, b in self.doors if room in (a, b))


def make_house(seed: int, rooms: int, spare: int) -> House:
    """The house of a seed.

    Args:
        seed: not negative.
        rooms: 1..9.
        spare: how many things may be brought later.
    """
    rng = np.random.default_rng([seed, 31])
    columns = math.ceil(math.sqrt(rooms))
    rows = math.ceil(rooms / columns)
    cells = [divmod(index, columns) for index in range(rooms)]
    middles = np.array([[column * ROOM_M, row * ROOM_M] for row, column in cells])
    outer = dataclasses.replace(
        make_room(rng, (ROOM_M, ROOM_M)),
        low=np.array([-ROOM_M / 2, -ROOM_M / 2, 0.0]),
        high=np.array([(columns - 0.5) * ROOM_M, (rows - 0.5) * ROOM_M, 2.7]),
    )
    doors, walls = _divide(rng, middles, outer)
    things = _name(rng, _furnish(seed, middles) + _spares(seed, spare))
    count = len(things) - spare
    return House(
        outer,
        middles,
        doors,
        (*walls, *_screens(rng, middles)),
        tuple(things[:count]),
        tuple(things[count:]),
        tuple(make_lighting(rng) for _ in range(rooms)),
    )


def _divide(
    rng: np.random.Generator, middles: FloatArray, outer: Room
) -> tuple[dict[tuple[int, int], FloatArray], list[Solid]]:
    """Doorways between all neighbours, and the walls that they are in."""
    doors: dict[tuple[int, int], FloatArray] = {}
    walls: list[Solid] = []
    size = np.ceil((outer.high - outer.low)[:2] / ROOM_M - 0.5).astype(int)
    for index in range(int(size[0] * size[1])):
        here = np.array([index % size[0], index // size[0]])
        for axis in (0, 1):
            there = here + np.eye(2, dtype=int)[axis]
            if there[axis] >= size[axis]:
                continue
            other = int(there[0] + there[1] * size[0])
            middle = (here + there) / 2.0 * ROOM_M
            rgb = _plaster(rng)
            aside = float(rng.uniform(-1.0, 1.0))
            if max(index, other) < len(middles):
                doors[index, other] = middle + aside * np.eye(2)[1 - axis]
                walls += _wall_with_door(middle, axis, aside, outer.high[2], rgb)
            elif index < len(middles):
                walls.append(_slab(middle, axis, 0.0, ROOM_M / 2, 0.0, outer.high[2], rgb))
    return doors, walls


def _plaster(rng: np.random.Generator) -> FloatArray:
    """A light grey with a breath of colour: no wall has a colour that things are asked by."""
    return np.asarray(rng.uniform(140.0, 190.0) * rng.normal(1.0, 0.025, 3))


def _wall_with_door(
    middle: FloatArray, axis: int, aside: float, high: float, rgb: FloatArray
) -> list[Solid]:
    """Wall across ``axis``: left and right of a doorway at ``aside`` from its middle, and above."""
    half, door = ROOM_M / 2, DOOR_M / 2
    spans = ((-half, aside - door), (aside + door, half))
    sides = [_slab(middle, axis, (a + b) / 2, (b - a) / 2, 0.0, high, rgb) for a, b in spans]
    return [*sides, _slab(middle, axis, aside, door, _DOOR_HIGH_M, high, rgb)]


def _slab(
    middle: FloatArray,
    axis: int,
    along: float,
    half_length: float,
    low: float,
    high: float,
    rgb: FloatArray,
) -> Solid:
    centre = np.array([*middle, (low + high) / 2])
    centre[1 - axis] += along
    half = np.array([_WALL_HALF_M, half_length, (high - low) / 2])
    if axis == 1:
        half[:2] = half[1::-1]
    return Solid("box", 0, centre, half, 0.0, rgb, Pattern("noise", 0.6, 0.1, float(along)))


def _screens(rng: np.random.Generator, middles: FloatArray) -> list[Solid]:
    """In every other room a low wall between the lane and the things, which hides some of them."""
    screens = []
    for index in rng.permutation(len(middles))[: max(1, len(middles) // 2)]:
        axis, side = int(rng.integers(2)), float(rng.choice([-1.0, 1.0]))
        middle = middles[index].copy()
        middle[axis] += side * (LANE_M - 0.36)
        slab = _slab(middle, axis, float(rng.uniform(-0.8, 0.8)), 0.75, 0.0, 1.5, _plaster(rng))
        screens.append(slab)
    return screens


def _furnish(seed: int, middles: FloatArray) -> list[HouseObject]:
    """The things of all rooms; names are given later."""
    found: list[HouseObject] = []
    for room, middle in enumerate(middles):
        world = make_world(seed * 16 + room, WorldConfig(split="test", objects=(3, 5), table=0.5))
        for body, true in zip(world.bodies, world.objects, strict=True):
            own = tuple(s for s in world.solids if s.object_id == true.object_id)
            # Footprints as circles: what may carry something stays where it is.
            near = [b for b in world.bodies if b is not body and b.bottom > 1e-6]
            under = any(np.hypot(*(b.centre - body.centre)[:2]) < body.radius for b in near)
            fixed = body.bottom > 1e-6 or body.kind == FURNITURE or under
            thing = HouseObject(0, true.colour, true.shape, body, own, room, fixed)
            found.append(thing.at(body.centre + np.array([*middle, 0.0])))
    return found


def _spares(seed: int, count: int) -> list[HouseObject]:
    found = []
    for index in range(count):
        config = WorldConfig(split="test", objects=(1, 1), table=0.0)
        world = make_world(10**9 + seed * 64 + index, config)
        true = world.objects[0]
        found.append(
            HouseObject(0, true.colour, true.shape, world.bodies[0], world.solids, -1, False)
        )
    return found


def _name(rng: np.random.Generator, things: Sequence[HouseObject]) -> list[HouseObject]:
    """Ids and colours; most things are the only one of their name while colours last."""
    free = {
        shape: [c for c in rng.permutation(list(COLOURS)) if (c, shape) not in HELD_OUT]
        for shape in SHAPES
    }
    used: dict[str, list[str]] = {shape: [] for shape in free}
    found = []
    for object_id, thing in enumerate(things, 1):
        colour, true = _WOOD
        if thing.shape != FURNITURE:
            again = bool(used[thing.shape]) and rng.random() < _TWINS
            if again or not free[thing.shape]:
                colour = str(rng.choice(used[thing.shape]))
            else:
                colour = str(free[thing.shape].pop())
                used[thing.shape].append(colour)
            true = COLOURS[colour]
        rgb = np.clip(np.array(true) * rng.normal(1.0, 0.03, 3), 15, 245)
        solids = tuple(dataclasses.replace(s, object_id=object_id, rgb=rgb) for s in thing.solids)
        found.append(dataclasses.replace(thing, object_id=object_id, colour=colour, solids=solids))
    return found
