"""Which objects get a number, which number, and where it is drawn: the same for every route.

Objects that the question names come first, then those in most views, then the largest. Discs never
overlap and are never cut by the border; a view without room for a disc goes without. Knows nothing
of how objects were found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from oryx_scene.marks.label_placement import Cutout, Taken, centre_of, find_spot
from oryx_scene.marks.leader_lines import find_beside, occupancy
from oryx_scene.marks.named_objects import UNNAMED, number_place, place_in
from oryx_scene.marks.places import largest_std
from oryx_scene.records import Covariance, FloatArray, Frame, Lattice, Mark, MarkObservation

BEYOND = "beyond the number of marks"
NO_PLACE = "no free place for its number"
# Of the picture's width: the discs of Coarse Correspondences (arXiv 2408.00754) in radius.
RADIUS_SHARE = 0.025


@dataclass(frozen=True, eq=False)
class SeenIn:
    """One object in one view.

    Attributes:
        view: index into the frames that were searched.
        seen: its pixels.
        visible_fraction: share of the whole object that this view shows, NaN unknown.
        depth: (h, w) metres along optical z per cell of ``seen``, None without depth.
    """

    view: int
    seen: Cutout
    visible_fraction: float = float("nan")
    depth: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class FoundObject:
    """One object before it has a number.

    Attributes:
        views: at least one, each view once, ordered by view.
        position, size: metres in ``frame_id``; None where unknown.
        covariance: of ``position`` in ``frame_id``, square metres; None where unknown.
        label: a detector's name, "" if none.
        score: 0..1, how sure the association is.
        number: the number it had before in this scene's life, 0 for a new object.
    """

    views: tuple[SeenIn, ...]
    position: tuple[float, float, float] | None = None
    size: tuple[float, float, float] | None = None
    covariance: Covariance | None = None
    frame_id: str = ""
    label: str = ""
    score: float = 1.0
    number: int = 0


@dataclass(frozen=True)
class Choice:
    """The marks, by number, and how many objects got none, by reason.

    ``by_view`` counts (view, reason): objects that a view shows without a number in it.
    """

    marks: tuple[Mark, ...]
    left_out: Counter[str]
    by_view: Counter[tuple[int, str]]


def reasons_by_view(
    counted: Counter[tuple[int, str]], order: Sequence[int]
) -> tuple[dict[str, int], ...]:
    """Per view of the caller: reason -> objects that it shows without a number.

    Args:
        counted: (view, reason) -> objects.
        order: the caller's index of every view.
    """
    found: list[dict[str, int]] = [{} for _ in order]
    for (view, reason), count in sorted(counted.items()):
        found[order[view]][reason] = count
    return tuple(found)


def disc_radii(frames: Sequence[Frame], given: Sequence[float]) -> list[float]:
    """Radius of the discs of every view, received pixels; ``given`` wins where it is not empty."""
    return list(given) if given else [RADIUS_SHARE * frame.width for frame in frames]


def choose_marks(
    found: Sequence[FoundObject],
    frames: Sequence[Frame],
    radii: Sequence[float],
    max_marks: int,
    *,
    question: str = "",
    used: Collection[int] = (),
    lattices: Sequence[Lattice] = (),
    most_hidden: float = 0.5,
) -> Choice:
    """Number at most ``max_marks`` objects and place their discs.

    Args:
        found: objects in any order; the result does not depend on it.
        frames: the views that ``found`` refers to.
        radii: of the discs, per view, received pixels.
        question: objects that it names, by label or by number, come first.
        lattices: per view, where discs go if the object allows; () means anywhere.
        most_hidden: a disc that hides more than this of its object stands beside it where there is
            room.
        used: numbers that belonged to objects of this scene's life and are not given again.
    """
    ranked = sorted(found, key=lambda item: rank(item, frames, question))
    rooms = [
        _Limits(view, frame, found, radii, lattices, most_hidden)
        for view, frame in enumerate(frames)
    ]
    left_out: Counter[str] = Counter()
    by_view: Counter[tuple[int, str]] = Counter()
    kept: list[tuple[FoundObject, tuple[MarkObservation, ...]]] = []
    for item in ranked:
        if len(kept) == max_marks:
            left_out[BEYOND] += 1
            by_view.update((part.view, BEYOND) for part in item.views)
            continue
        placed = {part.view: rooms[part.view].place(part) for part in item.views}
        seen = tuple(one for one in placed.values() if one is not None)
        by_view.update((view, NO_PLACE) for view, one in placed.items() if one is None)
        if seen:
            kept.append((item, seen))
        else:
            left_out[NO_PLACE] += 1
    numbers = _numbers([item for item, _ in kept], used)
    marks = [
        Mark(
            number=number,
            observations=seen,
            position=item.position,
            size=item.size,
            position_std=largest_std(item.covariance),
            covariance=item.covariance,
            label=item.label,
            score=item.score,
            frame_id=item.frame_id,
        )
        for number, (item, seen) in zip(numbers, kept, strict=True)
    ]
    return Choice(tuple(sorted(marks, key=lambda mark: mark.number)), left_out, by_view)


def rank(item: FoundObject, frames: Sequence[Frame], question: str) -> tuple[float, ...]:
    """Sorting key: named in the question, number of views, share of the pictures, place."""
    # "mark 0" names nobody: an object without a number has not been spoken of.
    by_number = number_place(question, item.number) if item.number else UNNAMED
    named = min(place_in(question, item.label), by_number)
    share = sum(
        part.seen.area_px / (frames[part.view].height * frames[part.view].width)
        for part in item.views
    )
    place = item.position or (0.0, 0.0, 0.0)
    first = item.views[0]
    where = (*(round(value, 6) for value in place), first.view, first.seen.v0, first.seen.u0)
    return (named, -len(item.views), -round(share, 9), *where)


class _Limits:
    """What one view has room for: discs on things, beside them, and nothing over their centres.

    Args:
        view: index of the frame.
        frame: the view.
        found: all objects; those without a number are not covered either.
        radii, lattices, most_hidden: as in :func:`choose_marks`.
    """

    def __init__(
        self,
        view: int,
        frame: Frame,
        found: Sequence[FoundObject],
        radii: Sequence[float],
        lattices: Sequence[Lattice],
        most_hidden: float,
    ) -> None:
        self._size = (frame.height, frame.width)
        self._radius = radii[view]
        self._most_hidden = most_hidden
        self._lattice = lattices[view] if lattices else None
        parts = [part.seen for item in found for part in item.views if part.view == view]
        self._centres = {id(seen): centre_of(seen) for seen in parts}
        self._extents = {id(seen): self._extent(seen) for seen in parts}
        self._things = occupancy(parts, self._size)
        self._taken: list[Taken] = []

    def _extent(self, seen: Cutout) -> float:
        """Radius around the centre of a thing that a disc could hide whole; 0 of a larger one."""
        radius = float(np.sqrt(seen.area_px / np.pi))
        return radius if radius < self._radius else 0.0

    def place(self, part: SeenIn) -> MarkObservation | None:
        """The number of ``part`` where it fits best, None where there is no room for it.

        Discs keep off small things where there is room, and off the centres of all in any case.
        """
        for share in (1.0, 0.0):
            others = [
                Taken(u, v, share * self._extents[key])
                for key, (u, v, _) in self._centres.items()
                if key != id(part.seen)
            ]
            found = self._placed(part, [*self._taken, *others])
            if found is not None:
                self._taken.append(Taken(*found.disc, self._radius))
                if found.beside is not None:
                    self._taken += _along(found.beside, (found.u, found.v))
                return found
        return None

    def _placed(self, part: SeenIn, taken: Sequence[Taken]) -> MarkObservation | None:
        u, v, inside = self._centres[id(part.seen)]
        spot = find_spot(part.seen, self._size, self._radius, taken, self._lattice)
        if (spot is None or spot.hidden > self._most_hidden) and inside:
            beside = find_beside(
                part.seen, (u, v), self._size, self._radius, taken, self._things, self._lattice
            )
            if beside is not None:
                return self._observed(part, (u, v), beside)
        return None if spot is None else self._observed(part, (spot.u, spot.v), None)

    def _observed(
        self, part: SeenIn, on: tuple[float, float], beside: tuple[float, float] | None
    ) -> MarkObservation:
        return MarkObservation(
            view=part.view,
            u=on[0],
            v=on[1],
            radius_px=self._radius,
            depth_m=_depth_at(part, *on),
            visible_fraction=part.visible_fraction,
            area_px=part.seen.area_px,
            bbox=_within(part.seen.bbox, self._size),
            beside=beside,
        )


def _along(start: tuple[float, float], end: tuple[float, float]) -> list[Taken]:
    """Points of a leader, which no later disc may cover."""
    count = max(2, round(float(np.hypot(end[0] - start[0], end[1] - start[1])) / 4.0))
    points = np.linspace(start, end, count + 1)[1:]
    return [Taken(float(u), float(v), 0.0) for u, v in points]


def _within(
    bbox: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """The box without what a last, incomplete cell adds beyond the picture of (height, width)."""
    u0, v0, u1, v1 = bbox
    return u0, v0, min(u1, size[1] - 1.0), min(v1, size[0] - 1.0)


def _depth_at(part: SeenIn, u: float, v: float) -> float:
    if part.depth is None:
        return float("nan")
    row, column = (v - part.seen.v0) / part.seen.step, (u - part.seen.u0) / part.seen.step
    value = float(part.depth[int(row), int(column)])
    return value if np.isfinite(value) else float("nan")


def _numbers(kept: Sequence[FoundObject], used: Collection[int]) -> list[int]:
    """Known numbers stay; new objects take the smallest that nobody ever had."""
    gone = {*used, *(item.number for item in kept)}
    numbers, following = [], 1
    for item in kept:
        number = item.number
        if not number:
            while following in gone:
                following += 1
            number = following
            gone.add(number)
        numbers.append(number)
    return numbers
