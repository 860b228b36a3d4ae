"""What happens in a house during a drive: things moved, taken, brought and brought back; lights.

Everything happens in rooms in which the robot is not. A placement is one thing at one place for a
time; what is there at a moment follows from all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oryx_scene.lab.synth.house import House, HouseObject
from oryx_scene.lab.synth.lighting import Lighting
from oryx_scene.lab.synth.placement import far_enough
from oryx_scene.records import FloatArray

# The robot is out of the room from this long before an event until this long after it.
AWAY_S = 3.0
_GAP_M = 0.12
_LEAST_MOVE_M = 0.6
_REACH_M = 1.45


@dataclass(frozen=True, eq=False)
class Placement:
    """One thing at one place.

    Attributes:
        thing: with the body and solids at this place.
        start_s, end_s: from when until when, seconds of the drive; ``end_s`` inf if it stays.
    """

    thing: HouseObject
    start_s: float
    end_s: float = float("inf")


@dataclass(frozen=True)
class Event:
    """One change.

    Attributes:
        seconds: when.
        kind: "moved", "taken", "brought" (new) or "returned" (taken before).
        object_id: what.
    """

    seconds: float
    kind: str
    object_id: int


@dataclass(frozen=True, eq=False)
class Timeline:
    """All that happens.

    Attributes:
        placements: in the order of their start, then id.
        events: in the order of time.
        lights: (seconds, room, level) from when on a room has a share of its light.
    """

    placements: tuple[Placement, ...]
    events: tuple[Event, ...]
    lights: tuple[tuple[float, int, float], ...]

    def there_at(self, seconds: float) -> list[HouseObject]:
        """The things that are there, by id."""
        there = [p.thing for p in self.placements if p.start_s <= seconds < p.end_s]
        return sorted(there, key=lambda thing: thing.object_id)

    def light_at(self, seconds: float, room: int) -> float:
        """Share of its light that a room has."""
        past = [level for start, index, level in self.lights if index == room and start <= seconds]
        return past[-1] if past else 1.0


def dimmed(lighting: Lighting, level: float) -> Lighting:
    """``lighting`` with every lamp at ``level``."""
    return dataclasses.replace(lighting, tint=lighting.tint * level)


def make_timeline(
    house: House,
    seconds: float,
    changes: int,
    room_at: Callable[[float], int],
    rng: np.random.Generator,
) -> Timeline:
    """Draw ``changes`` events; fewer where no thing may be moved.

    Args:
        room_at: seconds -> the room in which the robot is.
    """
    plot = _Plot(house, rng)
    times = np.sort(rng.uniform(0.1, 0.95, changes)) * seconds
    for time in times:
        busy = {room_at(time + offset) for offset in (-AWAY_S, 0.0, AWAY_S)}
        plot.happen(float(time), [i for i in range(len(house.middles)) if i not in busy])
    placements = sorted(plot.done + list(plot.open.values()), key=_order)
    return Timeline(tuple(placements), tuple(plot.events), _draw_lights(house, seconds, rng))


def _order(placement: Placement) -> tuple[float, int]:
    return placement.start_s, placement.thing.object_id


class _Plot:
    """The state of the house while events are drawn one after the other."""

    def __init__(self, house: House, rng: np.random.Generator) -> None:
        self.house = house
        self.rng = rng
        self.open = {thing.object_id: Placement(thing, 0.0) for thing in house.things}
        self.done: list[Placement] = []
        self.taken: list[HouseObject] = []
        self.spare = list(house.spare)
        self.events: list[Event] = []

    def happen(self, time: float, rooms: list[int]) -> None:
        """One event in one or two of ``rooms``, if any is possible."""
        if not rooms:
            return
        kinds = ["moved", "moved", "taken"]
        kinds += ["returned"] * bool(self.taken) + ["brought"] * bool(self.spare)
        for kind in self.rng.permutation(kinds):
            if self._try(str(kind), time, rooms):
                return

    def _try(self, kind: str, time: float, rooms: list[int]) -> bool:
        if kind in ("moved", "taken"):
            free = [
                p.thing
                for p in self.open.values()
                if p.thing.room in rooms and not p.thing.fixed and p.start_s < time
            ]
            if not free:
                return False
            thing = free[int(self.rng.integers(len(free)))]
        else:
            pool = self.taken if kind == "returned" else self.spare
            thing = pool[0]
        target = None
        if kind != "taken":
            target = self._find_place(thing, int(self.rng.choice(rooms)))
            if target is None:
                return False
        if kind in ("moved", "taken"):
            old = self.open.pop(thing.object_id)
            self.done.append(dataclasses.replace(old, end_s=time))
        else:
            pool.remove(thing)
        if target is None:
            self.taken.append(thing)
        else:
            self.open[thing.object_id] = Placement(target, time)
        self.events.append(Event(time, kind, thing.object_id))
        return True

    def _find_place(self, thing: HouseObject, room: int) -> HouseObject | None:
        """The thing on free floor of a room, clearly elsewhere than it was."""
        others = [p.thing for p in self.open.values() if p.thing.object_id != thing.object_id]
        bodies = [other.body for other in others if other.room == room]
        for _ in range(60):
            aside = self.rng.uniform(-_REACH_M, _REACH_M, 2)
            place: FloatArray = np.array([*(self.house.middles[room] + aside), thing.body.half[2]])
            moved = dataclasses.replace(thing.at(place), room=room)
            gone = np.linalg.norm(place - thing.body.centre)
            if gone >= _LEAST_MOVE_M and far_enough(moved.body, bodies, _GAP_M):
                return moved
        return None


def _draw_lights(
    house: House, seconds: float, rng: np.random.Generator
) -> tuple[tuple[float, int, float], ...]:
    """Rooms get darker and brighter, each at moments of its own, every three minutes or so."""
    found = []
    for room in range(len(house.middles)):
        time = float(rng.uniform(0, 120.0))
        while time < seconds:
            found.append((time, room, float(rng.choice([1.0, 0.9, 0.75, 0.6]))))
            time += float(rng.uniform(60.0, 300.0))
    return tuple(sorted(found))
