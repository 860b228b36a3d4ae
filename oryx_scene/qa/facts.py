"""Which measured facts go with which question.

Facts are computed from the marks' measured places, never read from pictures, and only those of the
asked kind are attached. Directions are stated from one named viewpoint: left and right mean nothing
without it.
"""

from __future__ import annotations

import itertools
import re

import numpy as np

from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.geometry.upright import z_is_up
from oryx_scene.qa.parse import named_numbers
from oryx_scene.qa.sequence_facts import change_facts, sighting_facts
from oryx_scene.qa.view_references import name_pattern, named_views, without_views
from oryx_scene.qa.wording import (
    QuestionKind,
    asked_axes,
    contact_facts,
    direction_facts,
    distance_facts,
    height_facts,
    position_facts,
    question_kinds,
    size_facts,
)
from oryx_scene.records import Frame, Mark, MarkSet, Predicate, ViewSet
from oryx_scene.scene.prompt_text import view_names

_FROM_VIEWPOINT = re.compile(r"\b(me|us|you|robot|camera|here|away)\b", re.IGNORECASE)
_BETWEEN_MARKS = re.compile(
    r"\b(nearest|closest|nearer|closer|farthest|furthest|between|from each)\b", re.IGNORECASE
)


def viewpoint_of(question: str, views: ViewSet) -> int:
    """Index of the view that directions are stated from.

    The view whose name the question says, the longest name first; else the newest frame. Names that
    are also directions ("left", "front") count only as views: "from left", "the left camera".
    """
    names = view_names([frame.camera for frame in views.frames])
    lowered = question.lower()
    said = [
        (len(name), index)
        for index, name in enumerate(names)
        if re.search(name_pattern(name.lower()), lowered)
    ]
    if said:
        return max(said, key=lambda item: (item[0], -item[1]))[1]
    return max(range(len(names)), key=lambda index: (views.frames[index].stamp_ns, -index))


def points_in_view(
    marks: tuple[Mark, ...], frame: Frame
) -> tuple[tuple[int, tuple[float, float, float]], ...]:
    """(number, point) of the marks with a place, in ``frame``'s optical frame, metres."""
    if frame.T_fixed_camera is None:
        return ()
    placed = [mark for mark in marks if mark.position is not None]
    if not placed:
        return ()
    points = np.array([mark.position for mark in placed], dtype=np.float64)
    seen = transform_points(invert(frame.T_fixed_camera), points)
    return tuple(
        (mark.number, (float(p[0]), float(p[1]), float(p[2])))
        for mark, p in zip(placed, seen, strict=True)
    )


def distance_pairs(
    question: str,
    marks: tuple[Mark, ...],
    seen: tuple[tuple[int, tuple[float, float, float]], ...],
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
    question: str, views: ViewSet, marks: MarkSet, mode: str, order: str = "number"
) -> tuple[str, ...]:
    """Lines of measured facts for the prompt.

    Args:
        question: the user's words.
        views, marks: the frozen scene.
        mode: "fit", "all" or "none" (``MarksConfig.facts``).
        order: of distances, as in :func:`distance_pairs`.
    """
    if mode == "none" or not marks.marks:
        return ()
    if mode == "all":
        lines = [_fact(kind, question, views, marks, marks.marks, order) for kind in QuestionKind]
    else:
        named = set(named_numbers(question))
        asked = tuple(mark for mark in marks.marks if mark.number in named) or marks.marks
        lines = [
            _fact(kind, question, views, marks, asked, order) for kind in _kinds(question, views)
        ]
    return tuple(line for line in lines if line)


def _kinds(question: str, views: ViewSet) -> tuple[QuestionKind, ...]:
    """Kinds of facts: what a view shows is told where nothing else is asked for."""
    kinds = question_kinds(without_views(question, views))
    others = set(kinds) - {QuestionKind.OTHER, QuestionKind.CHANGE}
    if others or not named_views(question, views):
        return kinds
    return (*kinds, QuestionKind.SIGHTING)


def _fact(
    kind: QuestionKind,
    question: str,
    views: ViewSet,
    marks: MarkSet,
    asked: tuple[Mark, ...],
    order: str,
) -> str:
    """The line of one kind; ``asked`` are the marks that the question names, or all."""
    # "What is left of mark 3" asks about all the others too.
    compared = asked if len(asked) > 1 else marks.marks
    line = ""
    if kind is QuestionKind.POSITION:
        line = position_facts(asked)
    elif kind is QuestionKind.SIZE:
        line = size_facts(asked)
    elif kind is QuestionKind.HEIGHT and z_is_up(views.frames):
        line = height_facts(compared)
    elif kind is QuestionKind.CONTACT:
        on = [r for r in marks.relations if r.predicate is Predicate.ON]
        line = contact_facts([(r.subject, r.object) for r in on if r.object is not None])
    elif kind is QuestionKind.CHANGE:
        if marks.changes is not None:
            line = change_facts(marks.changes)
    elif kind is QuestionKind.SIGHTING:
        line = sighting_facts(marks.marks, named_views(question, views))
    elif kind in (QuestionKind.DIRECTION, QuestionKind.DISTANCE):
        index = viewpoint_of(question, views)
        name = view_names([frame.camera for frame in views.frames])[index]
        if kind is QuestionKind.DIRECTION:
            # "From left" names a view; only what is left of the question asks for a side.
            axes = asked_axes(re.sub(name_pattern(name.lower()), " ", question.lower()))
            line = direction_facts(points_in_view(compared, views.frames[index]), name, axes)
        else:
            seen = points_in_view(marks.marks, views.frames[index])
            line = distance_facts(distance_pairs(question, marks.marks, seen, order), name)
    return line
