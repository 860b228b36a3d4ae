"""Which measured facts go with which question.

Facts are computed from the marks' measured places, never read from pictures, and only those of the
asked kind are attached: always-on facts do not help a model and sometimes mislead it (order,
direction). Directions are stated from one named viewpoint: left and right mean nothing without it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from oryx_scene.qa.parse import named_numbers
from oryx_scene.qa.question_words import (
    AHEAD,
    SIDEWAYS,
    QuestionKind,
    asked_axes,
    name_pattern,
    named_views,
    question_kinds,
    viewpoint_of,
    without_views,
)
from oryx_scene.records import Changes, Mark, Predicate, Vector3
from oryx_scene.scene.measurements import Measurements

_FROM_VIEWPOINT = re.compile(r"\b(me|us|you|robot|camera|here|away)\b", re.IGNORECASE)
_BETWEEN_MARKS = re.compile(
    r"\b(nearest|closest|nearer|closer|farthest|furthest|between|from each)\b", re.IGNORECASE
)


def distance_pairs(
    question: str,
    marks: tuple[Mark, ...],
    seen: tuple[tuple[int, Vector3], ...],
    order: str = "number",
) -> tuple[tuple[int, int, float], ...]:
    """The distances that a question asks for; object 0 stands for the viewpoint.

    Two or more marks named: between those, in the order of naming. One named: from it to all
    others. None named: between all marks where the words compare marks with each other, else from
    the viewpoint. Order ``"number"`` lists by number, ``"distance"`` nearest first: the first of
    the list then is the answer to "which is nearest".
    """
    places = {m.number: np.array(m.position) for m in marks if m.position is not None}
    named = [number for number in named_numbers(question) if number in places]
    from_viewpoint = bool(_FROM_VIEWPOINT.search(question))
    if len(named) >= 2:
        pairs = list(itertools.combinations(named, 2))
    elif named:
        pairs = [(named[0], other) for other in places if other != named[0]]
    elif _BETWEEN_MARKS.search(question) and not from_viewpoint:
        pairs = list(itertools.combinations(places, 2))
    else:
        pairs = []
    found = [(a, b, float(np.linalg.norm(places[a] - places[b]))) for a, b in pairs]
    if len(named) < 2 and order == "distance":
        found.sort(key=lambda item: item[2])
    if found and not from_viewpoint:
        return tuple(found)
    ranges = {number: float(np.linalg.norm(point)) for number, point in seen}
    wanted = [number for number in named or ranges if number in ranges]
    away = [(number, 0, ranges[number]) for number in wanted]
    if not named and order == "distance":
        away.sort(key=lambda item: item[2])
    # One mark and the viewpoint: its distances to other marks are not asked for.
    return tuple(away) if len(named) == 1 and away else (*found, *away)


def fitting_facts(
    question: str, measured: Measurements, mode: str, order: str = "number"
) -> tuple[str, ...]:
    """Lines of measured facts for the prompt.

    Args:
        question: the user's words.
        measured: of the frozen scene.
        mode: "fit", "all" or "none" (``MarksConfig.facts``).
        order: of distances, as in :func:`distance_pairs`.
    """
    every = measured.stated
    if mode == "none" or not every:
        return ()
    mentioned = named_views(question, measured.names)
    views = {one.index: one.name for one in mentioned}
    kinds, asked = tuple(QuestionKind), every
    if mode != "all":
        named = set(named_numbers(question))
        asked = tuple(mark for mark in every if mark.number in named) or every
        kinds = question_kinds(without_views(question, mentioned))
        # What a view shows is told where nothing else is asked for.
        if views and not set(kinds) - {QuestionKind.OTHER, QuestionKind.CHANGE}:
            kinds = (*kinds, QuestionKind.SIGHTING)
    lines = [_fact(kind, question, measured, asked, views, order) for kind in kinds]
    return tuple(line for line in lines if line)


def _fact(
    kind: QuestionKind,
    question: str,
    measured: Measurements,
    asked: tuple[Mark, ...],
    views: dict[int, str],
    order: str,
) -> str:
    """The line of one kind; ``asked`` are the marks that the question names, or all."""
    marks = measured.marks
    # "What is left of mark 3" asks about all the others too.
    compared = asked if len(asked) > 1 else measured.stated
    line = ""
    if kind is QuestionKind.POSITION:
        line = position_facts(asked)
    elif kind is QuestionKind.SIZE:
        line = size_facts(asked)
    elif kind is QuestionKind.HEIGHT and measured.upright:
        line = height_facts(compared)
    elif kind is QuestionKind.CONTACT:
        on = [r for r in marks.relations if r.predicate is Predicate.ON]
        line = contact_facts([(r.subject, r.object) for r in on if r.object is not None])
    elif kind is QuestionKind.CHANGE:
        if marks.changes is not None:
            line = change_facts(marks.changes)
    elif kind is QuestionKind.SIGHTING:
        line = sighting_facts(marks.marks, views)
    elif kind in (QuestionKind.DIRECTION, QuestionKind.DISTANCE):
        view = measured.by_view[viewpoint_of(question, measured.names, measured.newest)]
        if kind is QuestionKind.DIRECTION:
            # "From left" names a view; only what is left of the question asks for a side.
            axes = asked_axes(re.sub(name_pattern(view.name.lower()), " ", question.lower()))
            numbers = {mark.number for mark in compared}
            seen = [item for item in view.points if item[0] in numbers]
            line = direction_facts(seen, view.name, axes)
        else:
            line = distance_facts(
                distance_pairs(question, measured.stated, view.points, order), view.name
            )
    return line


def _metres(value: float) -> str:
    # A rounded -0.0 would read as a direction.
    return f"{round(value, 1) + 0.0:.1f}"


def position_facts(marks: Sequence[Mark]) -> str:
    """Places of the marks in the fixed frame, metres rounded to 0.1; "" if none is known."""
    placed = [mark for mark in marks if mark.position is not None]
    if not placed:
        return ""
    listed = "; ".join(
        f"{mark.number} x {_metres(p[0])} y {_metres(p[1])} z {_metres(p[2])}"
        for mark in placed
        if (p := mark.position) is not None
    )
    return f"Measured places in {placed[0].frame_id or 'the map'}, metres: {listed}."


def height_facts(marks: Sequence[Mark]) -> str:
    """Heights of the marks' middles in a fixed frame whose z is up; "" if none is known."""
    placed = [(mark.number, mark.position[2]) for mark in marks if mark.position is not None]
    if not placed:
        return ""
    listed = "; ".join(f"{number} {_metres(z)}" for number, z in placed)
    return f"Measured heights, metres: {listed}."


def direction_facts(
    seen: Sequence[tuple[int, tuple[float, float, float]]],
    viewpoint: str,
    axes: Sequence[str] = (SIDEWAYS, AHEAD),
) -> str:
    """Places as seen from a camera.

    Args:
        seen: (mark number, point in the camera's optical frame: x right, y down, z forward).
        viewpoint: name of that view.
        axes: which directions to tell.
    """
    if not seen:
        return ""
    # Each value right after its mark: what is looked up by one word is looked up reliably.
    index = {SIDEWAYS: 0, AHEAD: 2}
    lists = [
        f"metres {axis}: "
        + "; ".join(f"{number} {_metres(point[index[axis]])}" for number, point in seen)
        for axis in axes
    ]
    return f"Measured from {viewpoint}, {'; '.join(lists)}."


def distance_facts(pairs: Sequence[tuple[int, int, float]], viewpoint: str = "") -> str:
    """Measured distances in the order given; object 0 stands for the viewpoint."""
    between = "; ".join(f"{a} to {b} {_metres(value)}" for a, b, value in pairs if b)
    # As with directions, each value right after its mark.
    away = "; ".join(f"{a} {_metres(value)}" for a, b, value in pairs if not b)
    lines = [
        f"Measured distances, metres: {between}." if between else "",
        f"Measured from {viewpoint}, metres away: {away}." if away else "",
    ]
    return " ".join(line for line in lines if line)


def size_facts(marks: Sequence[Mark]) -> str:
    """Measured extents along the fixed frame's axes, metres rounded to 0.1."""
    sized = [(mark.number, mark.size) for mark in marks if mark.size is not None]
    if not sized:
        return ""
    listed = "; ".join(
        f"{number} {_metres(s[0])} by {_metres(s[1])} by {_metres(s[2])}" for number, s in sized
    )
    return f"Measured sizes, metres: {listed}."


def contact_facts(pairs: Sequence[tuple[int, int]]) -> str:
    """Which mark was measured to stand on which: (upper, lower)."""
    listed = "; ".join(f"{a} on {b}" for a, b in pairs) or "no mark on another"
    return f"Measured contacts: {listed}."


def change_facts(changes: Changes) -> str:
    """Which marks came or went between the views."""
    told = dict.fromkeys(changes.gone, "gone") | dict.fromkeys(changes.new, "new")
    listed = "; ".join(f"{number} {told[number]}" for number in sorted(told)) or "none"
    return f"Measured changes: {listed}."


def sighting_facts(marks: Sequence[Mark], named: Mapping[int, str]) -> str:
    """Which marks the named views show; of several views, first what only one of them shows.

    Args:
        marks: of the scene.
        named: index -> name of the views.
    """
    if not named:
        return ""
    heading = " and ".join(named.values())
    seen = {
        mark.number: [
            name for index, name in named.items() if any(o.view == index for o in mark.observations)
        ]
        for mark in marks
    }
    shown = {number: names for number, names in seen.items() if names}
    if len(named) == 1:
        listed = "; ".join(map(str, shown))
    else:
        order = sorted(shown, key=lambda number: (len(shown[number]) > 1, number))
        listed = "; ".join(f"{n} {_where(shown[n], len(named))}" for n in order)
    return f"Seen in {heading}: {listed or 'none'}."


def _where(names: Sequence[str], of: int) -> str:
    if len(names) == of:
        return "in both" if of == 2 else "in all"
    return f"{'only ' if len(names) == 1 else ''}in {' and '.join(names)}"
