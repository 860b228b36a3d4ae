"""What changed between two frozen scenes, from geometry and colour alone; no model is asked.

A mark whose place nobody looked at again is neither gone nor there: it is counted under ``unknown``
with the reason. An object has disappeared only if its place was seen again and the camera now looks
through it (or sees another colour there), and has appeared only if its place was seen before and
was free. A pair of the two that look alike has moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from oryx_scene.errors import SceneMismatchError
from oryx_scene.frames import Mark, MarkSet, ViewSet
from oryx_scene.marks.revisit import PlaceVerdict, Surface, revisit, surface_of
from oryx_scene.marks.view_grid import usable

# Of an object's points with a verdict, this share must be gone before the object is.
GONE_SHARE = 0.7
# Two places of one object that overlap: this share of each must have changed.
SHIFTED_SHARE = 0.25
# Fewer points seen again than this share say nothing.
LEAST_SEEN = 0.3
LEAST_MOVED_M = 0.06
# Paint distance within which two objects look alike.
ALIKE_COLOUR = 14.0
# Largest extents of one object from two sides differ by what is hidden.
SIZE_RATIO = 2.2


@dataclass(frozen=True)
class MovedMark:
    """One object at two places.

    Attributes:
        before, after: its marks in the two scenes; the numbers may differ.
        distance_m: between the two measured places.
        std_m: standard deviation of ``distance_m``.
    """

    before: Mark
    after: Mark
    distance_m: float
    std_m: float


@dataclass(frozen=True)
class SceneChanges:
    """What is different in the later scene.

    Attributes:
        appeared: marks of the later scene.
        disappeared: marks of the earlier scene.
        moved: objects found at another place.
        stayed: (number before, number after) of objects that did not change; 0 where the object is
            still there but has no number in that scene.
        unknown: reason -> number of marks about which nothing can be said.
        warnings: one sentence each.
    """

    appeared: tuple[Mark, ...] = ()
    disappeared: tuple[Mark, ...] = ()
    moved: tuple[MovedMark, ...] = ()
    stayed: tuple[tuple[int, int], ...] = ()
    unknown: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything is known to be different."""
        return bool(self.appeared or self.disappeared or self.moved)


def what_changed(
    before_views: ViewSet, before: MarkSet, after_views: ViewSet, after: MarkSet
) -> SceneChanges:
    """Compare two frozen scenes by their numbered objects.

    Args:
        before_views, before: the earlier scene.
        after_views, after: the later scene; places of both in the same fixed frame.

    Raises:
        SceneMismatchError: the scenes' places are in different coordinate frames.
    """
    _check_frames(before_views, after_views)
    if not _any_depth(before_views) or not _any_depth(after_views):
        text = "a scene without depth and poses cannot be compared: nothing is said about changes"
        count = len(before.marks) + len(after.marks)
        return SceneChanges(unknown={"no depth": count} if count else {}, warnings=(text,))
    old = [_Thing.of(mark, before_views, after_views) for mark in before.marks]
    new = [_Thing.of(mark, after_views, before_views) for mark in after.marks]
    return _judge(old, new)


@dataclass(frozen=True, eq=False)
class _Thing:
    """A mark, its seen surface, and what the other scene sees at its place."""

    mark: Mark
    surface: Surface | None
    place: PlaceVerdict | None

    @staticmethod
    def of(mark: Mark, own: ViewSet, other: ViewSet) -> _Thing:
        surface = surface_of(mark, own)
        place = None if surface is None else revisit(surface, other)
        return _Thing(mark, surface, place)

    @property
    def unseen(self) -> str:
        """Why nothing can be said about its place, "" if something can."""
        if self.mark.position is None or self.surface is None or self.place is None:
            return "no measured surface"
        if self.place.seen_share < LEAST_SEEN:
            return "its place was not seen in the other scene"
        return ""

    @property
    def changed_share(self) -> float:
        return 0.0 if self.place is None else self.place.changed_share


def _check_frames(before: ViewSet, after: ViewSet) -> None:
    names = [
        {frame.fixed_frame for frame in views.frames if frame.fixed_frame}
        for views in (before, after)
    ]
    if names[0] and names[1] and names[0] != names[1]:
        raise SceneMismatchError(
            f"the scenes are in different frames: {', '.join(sorted(names[0]))} and "
            f"{', '.join(sorted(names[1]))}.",
            hint="freeze both scenes with the same fixed frame",
        )


def _any_depth(views: ViewSet) -> bool:
    return any(usable(frame) for frame in views.frames)


def _judge(old: Sequence[_Thing], new: Sequence[_Thing]) -> SceneChanges:
    unknown: Counter[str] = Counter()
    gone = [item for item in old if not item.unseen and item.changed_share >= SHIFTED_SHARE]
    come = [item for item in new if not item.unseen and item.changed_share >= SHIFTED_SHARE]
    moved, paired = _pair(gone, come)
    disappeared: list[Mark] = []
    appeared: list[Mark] = []
    for group, out in ((gone, disappeared), (come, appeared)):
        for item in group:
            if id(item) in paired:
                continue
            if item.changed_share >= GONE_SHARE:
                out.append(item.mark)
            else:
                unknown["only a part of its place changed"] += 1
    for item in (*old, *new):
        if item.unseen:
            unknown[item.unseen] += 1
    still = [item for item in old if not item.unseen and item.changed_share < SHIFTED_SHARE]
    there = [item for item in new if not item.unseen and item.changed_share < SHIFTED_SHARE]
    return SceneChanges(
        appeared=tuple(sorted(appeared, key=lambda mark: mark.number)),
        disappeared=tuple(sorted(disappeared, key=lambda mark: mark.number)),
        moved=tuple(sorted(moved, key=lambda item: item.before.number)),
        stayed=_stayed(still, there),
        unknown=dict(sorted(unknown.items())),
    )


def _pair(gone: list[_Thing], come: list[_Thing]) -> tuple[list[MovedMark], set[int]]:
    """Things that left one place and things that came to another, where they look alike."""
    if not gone or not come:
        return [], set()
    cost = np.array([[_difference(a, b) for b in come] for a in gone])
    moved, paired = [], set()
    for i, j in zip(*linear_sum_assignment(np.minimum(cost, 1e6)), strict=True):
        if not np.isfinite(cost[i, j]):
            continue
        a, b = gone[i].mark, come[j].mark
        distance = _apart(a, b)
        std = float(np.hypot(a.position_std, b.position_std))
        if distance < LEAST_MOVED_M:
            continue
        moved.append(MovedMark(a, b, distance, std))
        paired |= {id(gone[i]), id(come[j])}
    return moved, paired


def _difference(a: _Thing, b: _Thing) -> float:
    """How unlike two things look, a paint distance; infinite where they cannot be the same."""
    assert a.surface is not None and b.surface is not None
    if a.mark.label and b.mark.label and a.mark.label != b.mark.label:
        return float("inf")
    if a.mark.size is not None and b.mark.size is not None:
        ratio = max(a.mark.size) / max(b.mark.size)
        if max(ratio, 1.0 / ratio) > SIZE_RATIO:
            return float("inf")
    colour = float(np.linalg.norm(a.surface.colour - b.surface.colour))
    return colour if colour < ALIKE_COLOUR else float("inf")


def _stayed(old: list[_Thing], new: list[_Thing]) -> tuple[tuple[int, int], ...]:
    """Numbers of things at one place in both scenes: the nearest, if their boxes meet."""
    found, taken = [], set()
    for item in old:
        near = [
            (_apart(item.mark, other.mark), k)
            for k, other in enumerate(new)
            if k not in taken and _boxes_meet(item.mark, other.mark)
        ]
        if near:
            _, k = min(near)
            taken.add(k)
            found.append((item.mark.number, new[k].mark.number))
        else:
            found.append((item.mark.number, 0))
    found += [(0, other.mark.number) for k, other in enumerate(new) if k not in taken]
    return tuple(found)


def _apart(a: Mark, b: Mark) -> float:
    """Metres between two places; infinite where one is unknown."""
    if a.position is None or b.position is None:
        return float("inf")
    return float(np.linalg.norm(np.array(a.position) - np.array(b.position)))


def _boxes_meet(a: Mark, b: Mark) -> bool:
    if a.size is None or b.size is None or a.position is None or b.position is None:
        return False
    apart = np.abs(np.array(a.position) - np.array(b.position))
    return bool((apart < 0.5 * (np.array(a.size) + np.array(b.size))).all())
