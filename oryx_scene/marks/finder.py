"""Finding marks in a frozen view set: the depth route, then the choice of marks.

The result does not depend on the order of the views. Views without depth or pose carry no marks,
which is said; where no view has both, objects are joined by colour and tracks. A memory, such as
the instance map, may know views already, add evidence and remember numbers; without one nothing is
known of earlier scenes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Protocol

from oryx_scene.config import MarksConfig
from oryx_scene.marks.depth.linking import Link
from oryx_scene.marks.depth.reprojection_votes import CutView, ReprojectionVotes
from oryx_scene.marks.depth.route import DepthObjects, cut_view, find_objects
from oryx_scene.marks.depth.view_grid import usable
from oryx_scene.marks.mark_selection import FoundObject, choose_marks, disc_radii, reasons_by_view
from oryx_scene.marks.relations import measure_relations
from oryx_scene.marks.rgb.route import find_marks_by_tracks
from oryx_scene.records import Frame, Mark, MarkSet, ViewSet
from oryx_scene.warning import Warning


class FinderMemory(Protocol):
    """What a finder may be told from earlier views; used for one call, in this order."""

    def cut(self, frame: Frame, config: MarksConfig) -> CutView:
        """A view cut into patches; called once per usable view."""

    def links(self, ballot: ReprojectionVotes) -> Sequence[Link]:
        """Further evidence that patches are one object."""

    def number(self, objects: DepthObjects) -> Sequence[FoundObject]:
        """The objects, with the numbers they had before."""

    def used(self) -> Collection[int]:
        """Numbers that must not be given to new objects."""

    def learn(self, objects: DepthObjects, marks: Sequence[Mark]) -> None:
        """Told last: which marks came of which objects."""

    def recall(
        self, found: Sequence[FoundObject], frames: Sequence[Frame]
    ) -> Sequence[FoundObject]:
        """Objects found without depth, with the numbers they had before."""

    def keep(self, marks: Sequence[Mark], frames: Sequence[Frame]) -> None:
        """Told last where there is no depth: the marks of these frames."""


class NoMemory:
    """Knows nothing of earlier views."""

    def cut(self, frame: Frame, config: MarksConfig) -> CutView:
        """Cut the view."""
        return cut_view(frame, config)

    def links(self, ballot: ReprojectionVotes) -> Sequence[Link]:
        """None."""
        return ()

    def number(self, objects: DepthObjects) -> Sequence[FoundObject]:
        """As they are."""
        return objects.kept

    def used(self) -> Collection[int]:
        """None."""
        return ()

    def learn(self, objects: DepthObjects, marks: Sequence[Mark]) -> None:
        """Nothing is kept."""

    def recall(
        self, found: Sequence[FoundObject], frames: Sequence[Frame]
    ) -> Sequence[FoundObject]:
        """As they are."""
        return found

    def keep(self, marks: Sequence[Mark], frames: Sequence[Frame]) -> None:
        """Nothing is kept."""


def find_marks(
    views: ViewSet,
    config: MarksConfig | None = None,
    *,
    question: str = "",
    memory: FinderMemory | None = None,
) -> MarkSet:
    """Number the objects of a view set.

    Args:
        views: frames; those without depth, calibration or pose carry no marks, unless no view has
            all three: then objects are joined by colour and tracks (`rgb.route`).
        config: limits; ``disc_radii`` are per view of ``views``.
        question: objects whose label it names come first.
        memory: what is known of earlier views.

    Returns:
        at most ``config.max_marks`` marks; new ones are numbered by number of views, then area.
    """
    config = config or MarksConfig()
    frames = views.frames
    if not any(usable(frame) for frame in frames):
        return find_marks_by_tracks(views, config, question, memory or NoMemory())
    order = sorted(range(len(frames)), key=lambda i: _identity(frames[i]))
    found = _find_ordered([frames[i] for i in order], config, order, question, memory or NoMemory())
    missing = [frame.camera for frame in frames if not usable(frame)]
    warnings = found.warnings
    if missing:
        listed = ", ".join(sorted(set(missing)))
        warnings += (no_marks_there(listed),)
    return dataclasses.replace(found, warnings=warnings)


def no_marks_there(cameras: str) -> Warning:
    """Views of ``cameras`` (names, comma separated) that cannot carry marks."""
    text = f"no depth or pose in views of {cameras}: no marks there"
    return Warning("marks_not_in_views", text)


def _identity(frame: Frame) -> tuple[int, str, str]:
    return frame.stamp_ns, frame.camera, frame.sha256


def _find_ordered(
    frames: list[Frame], config: MarksConfig, order: list[int], question: str, memory: FinderMemory
) -> MarkSet:
    names = [index for index, frame in enumerate(frames) if usable(frame)]
    cuts = [memory.cut(frames[index], config) for index in names]
    objects = find_objects(cuts, names, config, memory.links)
    numbered = memory.number(objects)
    radii = disc_radii(frames, [config.discs.radii[i] for i in order] if config.discs.radii else ())
    lattices = [config.discs.lattices[index] for index in order] if config.discs.lattices else ()
    choice = choose_marks(
        numbered,
        frames,
        radii,
        config.max_marks,
        question=question,
        used=memory.used(),
        lattices=lattices,
        most_hidden=config.discs.most_hidden,
    )
    memory.learn(objects, choice.marks)
    marks = tuple(_renamed(mark, order) for mark in choice.marks)
    left_out = objects.left_out + choice.left_out
    route = "depth" if marks else "none"
    warnings: tuple[Warning, ...] = ()
    if not marks:
        warnings += (Warning("marks_none", "no object could be told apart in depth: no marks"),)
    noisy = {frames[i].camera for i, cut in zip(names, cuts, strict=True) if cut.patches.noisy}
    if noisy:
        listed = ", ".join(sorted(noisy))
        text = f"depth in views of {listed} is too noisy to tell objects apart: left out"
        warnings += (Warning("depth_noisy", text),)
    relations = measure_relations(marks, frames)
    by_view = reasons_by_view(objects.by_view + choice.by_view, order)
    return MarkSet(
        marks,
        relations,
        dict(sorted(left_out.items())),
        route,
        warnings,
        left_out_by_view=by_view,
    )


def _renamed(mark: Mark, order: list[int]) -> Mark:
    """The same mark with views counted as the caller does."""
    seen = [dataclasses.replace(item, view=order[item.view]) for item in mark.observations]
    return dataclasses.replace(mark, observations=tuple(sorted(seen, key=lambda item: item.view)))
