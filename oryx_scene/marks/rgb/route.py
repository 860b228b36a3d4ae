"""Marks of views of which none has depth, calibration and pose: found by `tracks`, chosen as usual.

The result does not depend on the order of the views, and says what could not be known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Protocol

from oryx_scene.config import MarksConfig
from oryx_scene.marks.mark_selection import FoundObject, choose_marks, disc_radii, reasons_by_view
from oryx_scene.marks.relations import measure_relations
from oryx_scene.marks.rgb.features import posed
from oryx_scene.marks.rgb.tracks import find_by_tracks
from oryx_scene.records import Frame, Mark, MarkSet, ViewSet
from oryx_scene.warning import Warning

ONE_VIEW = Warning(
    "marks_of_one_view",
    "one view without depth: there is no correspondence between views, no marks",
)
NOTHING = Warning(
    "marks_none",
    "no view has depth, calibration and pose, and no piece of a picture was found again in another "
    "view: there is no correspondence, no marks",
)
BY_TRACKS = Warning(
    "marks_by_colour",
    "no view has depth, calibration and pose: objects were joined by colour and matched points, "
    "what only one view shows has no number",
)
ROUGH = Warning("places_rough", "places and sizes are triangulated from pictures and rough")
NO_PLACES = Warning(
    "marks_without_places", "fewer than two views have poses: marks have no 3D place"
)


class Numbers(Protocol):
    """What a memory of numbers is asked on this route, in this order."""

    def recall(
        self, found: Sequence[FoundObject], frames: Sequence[Frame]
    ) -> Sequence[FoundObject]:
        """The objects, with the numbers they had before."""

    def used(self) -> Collection[int]:
        """Numbers that must not be given to new objects."""

    def keep(self, marks: Sequence[Mark], frames: Sequence[Frame]) -> None:
        """Told last: the marks of these frames."""


def find_marks_by_tracks(
    views: ViewSet, config: MarksConfig, question: str, memory: Numbers
) -> MarkSet:
    """Number the objects that at least two views show; depth is not looked at."""
    if len(views.frames) < 2:
        return MarkSet(warnings=(ONE_VIEW,))
    order = sorted_views(views.frames)
    frames = [views.frames[index] for index in order]
    found = find_by_tracks(frames, config)
    radii = disc_radii(frames, [config.discs.radii[i] for i in order] if config.discs.radii else ())
    lattices = [config.discs.lattices[i] for i in order] if config.discs.lattices else ()
    choice = choose_marks(
        memory.recall(found.objects, frames),
        frames,
        radii,
        config.max_marks,
        question=question,
        used=memory.used(),
        lattices=lattices,
        most_hidden=config.discs.most_hidden,
    )
    memory.keep(choice.marks, frames)
    by_view = reasons_by_view(choice.by_view, order)
    left_out = dict(sorted((found.left_out + choice.left_out).items()))
    marks = tuple(renamed(mark, order) for mark in choice.marks)
    if not marks:
        return MarkSet(left_out=left_out, warnings=(NOTHING,), left_out_by_view=by_view)
    places = NO_PLACES if sum(map(posed, frames)) < 2 else _places_told(marks)
    relations = measure_relations(marks, frames)
    return MarkSet(
        marks, relations, left_out, "tracks", (BY_TRACKS, places), left_out_by_view=by_view
    )


def _places_told(marks: Sequence[Mark]) -> Warning:
    """What is said about the places of marks that several posed views show."""
    without = sum(mark.position is None for mark in marks)
    if not without:
        return ROUGH
    return Warning(
        "marks_without_parallax",
        f"{without} of {len(marks)} marks have no 3D place: the cameras that show them stand too "
        "near to each other for what is known of their poses",
    )


def sorted_views(frames: Sequence[Frame]) -> list[int]:
    """Indices of the frames in an order that does not depend on how they were handed in."""
    return sorted(
        range(len(frames)),
        key=lambda i: (frames[i].stamp_ns, frames[i].camera, frames[i].sha256),
    )


def renamed(mark: Mark, order: Sequence[int]) -> Mark:
    """``mark`` with view k called ``order[k]``."""
    seen = [dataclasses.replace(item, view=order[item.view]) for item in mark.observations]
    return dataclasses.replace(mark, observations=tuple(sorted(seen, key=lambda item: item.view)))
