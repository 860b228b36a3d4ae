"""A marked scene as questions see it: what marks name, where it is, and what stands on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.lab.synth.true_sightings import true_changes, true_sightings
from oryx_scene.lab.synth.truth import ObjectTruth
from oryx_scene.lab.synth.world import World
from oryx_scene.qa.question_words import viewpoint_of
from oryx_scene.records import Changes, FloatArray, MarkSet, Predicate, ViewSet
from oryx_scene.scene.measurements import newest_view
from oryx_scene.scene.prompt_text import view_names

# What a number on the wall or the floor stands on (the finder's error).
NOTHING = ("grey", "wall")


@dataclass(frozen=True)
class MarkedObject:
    """One mark.

    Attributes:
        number: of the mark.
        colour, shape: words.
        position, size: metres, fixed frame, None where not measured.
    """

    number: int
    colour: str
    shape: str
    position: tuple[float, float, float] | None
    size: tuple[float, float, float] | None

    @property
    def name(self) -> str:
        """Colour and shape."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, eq=False)
class MarkedScene:
    """What questions are made of.

    Attributes:
        things: by mark number.
        views: cameras and poses; pixels are not used.
        on: (upper, lower) mark numbers.
        seen_in: mark number -> indices of the views that show it.
        changes: what came and went between the views, None where nothing can be said.
    """

    things: dict[int, MarkedObject]
    views: ViewSet
    on: frozenset[tuple[int, int]]
    seen_in: Mapping[int, frozenset[int]] = field(default_factory=dict)
    changes: Changes | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The views as the prompt calls them."""
        return view_names([frame.camera for frame in self.views.frames])

    def place(self, number: int) -> FloatArray:
        """(3,) fixed frame, metres."""
        position = self.things[number].position
        assert position is not None
        return np.array(position)

    def seen(self, number: int, question: str) -> FloatArray:
        """(3,) of a mark in the optical frame of the view that ``question`` speaks of."""
        index = viewpoint_of(question, self.names, newest_view(self.views))
        frame = self.views.frames[index]
        assert frame.T_fixed_camera is not None
        points: FloatArray = transform_points(
            invert(frame.T_fixed_camera), self.place(number)[None]
        )
        return np.asarray(points[0])

    def distance(self, a: int, b: int) -> float:
        """Between the middles of two marks, metres."""
        return float(np.linalg.norm(self.place(a) - self.place(b)))


def measured_scene(
    marks: MarkSet, objects: Mapping[int, int], truth: Mapping[int, ObjectTruth], views: ViewSet
) -> MarkedScene:
    """Names from the truth, places as measured: what an answer can know at best."""
    things = {}
    for mark in marks.marks:
        true = truth.get(objects.get(mark.number, 0))
        colour, shape = (true.colour, true.shape) if true else NOTHING
        things[mark.number] = MarkedObject(mark.number, colour, shape, mark.position, mark.size)
    on = [r for r in marks.relations if r.predicate is Predicate.ON and r.object is not None]
    pairs = frozenset((r.subject, r.object or 0) for r in on)
    seen_in = {m.number: frozenset(seen.view for seen in m.observations) for m in marks.marks}
    return MarkedScene(things, views, pairs, seen_in, marks.changes)


def true_scene(
    marks: MarkSet,
    objects: Mapping[int, int],
    truth: Mapping[int, ObjectTruth],
    views: ViewSet,
    world: World | None = None,
) -> MarkedScene:
    """Names and places from the truth, to judge answers by; marks on nothing are left out.

    Args:
        marks: as found.
        objects: mark number -> true id, 0 for nothing.
        truth: by object id.
        views: with true ids.
        world: that the views show; without it nothing is known about changes.
    """
    things = {
        mark.number: MarkedObject(mark.number, true.colour, true.shape, true.position, true.extent)
        for mark in marks.marks
        if (true := truth.get(objects.get(mark.number, 0))) is not None
    }
    on = {
        (a.number, b.number)
        for a in things.values()
        for b in things.values()
        if a.number != b.number and _stands_on(a, b)
    }
    known = {number: objects[number] for number in things}
    changes = None if world is None else true_changes(known, views, world)
    return MarkedScene(things, views, frozenset(on), true_sightings(marks, views), changes)


def _stands_on(a: MarkedObject, b: MarkedObject) -> bool:
    if a.position is None or b.position is None or a.size is None or b.size is None:
        return False
    gap = (a.position[2] - a.size[2] / 2) - (b.position[2] + b.size[2] / 2)
    over = all(abs(a.position[i] - b.position[i]) < b.size[i] / 2 for i in (0, 1))
    return over and abs(gap) < 0.02
