"""Things of two scenes brought together: what moved, what stands still, what looks alike.

Works on marks with their seen surfaces and on what the other scene sees at their places. Pairs only
what may be one object; decides nothing about things that stay alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from oryx_scene.config import MarksConfig
from oryx_scene.marks.change.revisit import OTHER_COLOUR, PlaceVerdict, Surface, revisit, surface_of
from oryx_scene.marks.places import (
    assumed_noise,
    covariance_of,
    pose_noise,
    seen_covariance,
    std_along,
)
from oryx_scene.records import FloatArray, Mark, ViewSet

# Of an object's points with a verdict, this share must be gone before the object is.
GONE_SHARE = 0.7
# A place of which a smaller share changed, and no pair explains it, stands still.
SHIFTED_SHARE = 0.25
# Two places of one object that overlap: at least this share of each has changed. The shift must
# undo a change of the second share (each surface, laid on the other's place, is there again), and
# exceed so many standard deviations of what poses and depth alone do to a surface. Wrong poses
# change the rims of what stands still, and a shift of up to five of those deviations undoes that;
# what is hidden of a thing moves its middle, but not its surface.
LEAST_CHANGED = 0.1
EXPLAINED_SHARE = 0.2
SURFACE_STDS = 6.0
# What does not do so stands still within so many standard deviations of its middle; beyond them
# nothing is known.
STEADY_STDS = 3.0
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


@dataclass(frozen=True, eq=False)
class Compared:
    """A mark, its seen surface, and what the other scene sees at its place."""

    mark: Mark
    surface: Surface | None
    place: PlaceVerdict | None

    @staticmethod
    def of(mark: Mark, own: ViewSet, other: ViewSet) -> Compared:
        """A mark found in ``own``, compared with what ``other`` sees."""
        surface = surface_of(mark, own)
        place = None if surface is None else revisit(surface, other)
        return Compared(mark, surface, place)

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
        """Of its points that the other scene sees, the share that is gone there."""
        return 0.0 if self.place is None else self.place.changed_share


def pair_changed(
    gone: list[Compared], come: list[Compared], before: ViewSet, after: ViewSet
) -> tuple[list[MovedMark], set[int], set[int]]:
    """Things that left one place and came to another, where they look alike.

    Args:
        gone, come: things of the earlier and of the later scene whose places changed.
        before, after: the views of the two scenes.

    Returns what moved, the identities of all things in pairs, and of those that stand still: their
    shift is no more than the uncertainty of their places.
    """
    moved: list[MovedMark] = []
    paired: set[int] = set()
    steady: set[int] = set()
    if not gone or not come:
        return moved, paired, steady
    misfit = np.array([[_misfit(a, b, before, after) for b in come] for a in gone])
    colour = np.array([[_colours_apart(a, b) for b in come] for a in gone])
    # A point that is gone counts as one of another colour.
    cost = colour + OTHER_COLOUR * misfit
    left = np.array([[_left(a, b) for b in come] for a in gone])
    cost[left & (cost >= ALIKE_COLOUR)] = np.inf
    for i, j in zip(*linear_sum_assignment(np.minimum(cost, 1e6)), strict=True):
        if not np.isfinite(cost[i, j]):
            continue
        a, b = gone[i], come[j]
        distance = _apart(a.mark, b.mark)
        std = _std_of_shift(a.mark, b.mark)
        both = {id(a), id(b)}
        if distance >= LEAST_MOVED_M and (
            left[i, j] or _shifted(a, b, float(misfit[i, j]), before, after)
        ):
            moved.append(MovedMark(a.mark, b.mark, distance, std))
        elif distance < max(LEAST_MOVED_M, STEADY_STDS * std):
            steady |= both
        else:
            continue
        paired |= both
    return moved, paired, steady


def _left(a: Compared, b: Compared) -> bool:
    """Whether nothing is left of a thing at its old place, and nothing was at its new one."""
    return min(a.changed_share, b.changed_share) >= GONE_SHARE


def _may_be_one(a: Compared, b: Compared) -> bool:
    """Whether places, names, sizes and colours allow two things to be the same."""
    if not _left(a, b) and not _boxes_meet(a.mark, b.mark):
        return False
    if a.mark.label and b.mark.label and a.mark.label != b.mark.label:
        return False
    if a.mark.size is not None and b.mark.size is not None:
        ratio = max(a.mark.size) / max(b.mark.size)
        if max(ratio, 1.0 / ratio) > SIZE_RATIO:
            return False
    return _colours_apart(a, b) < ALIKE_COLOUR


def _colours_apart(a: Compared, b: Compared) -> float:
    """Paint distance of two surfaces."""
    assert a.surface is not None and b.surface is not None
    return float(np.linalg.norm(a.surface.colour - b.surface.colour))


def _misfit(a: Compared, b: Compared, before: ViewSet, after: ViewSet) -> float:
    """Mean share of two surfaces that is gone where each is laid on the other's place.

    Infinite where they cannot be one thing; of a surface that nobody sees there, half may be gone.
    """
    if not _may_be_one(a, b):
        return float("inf")
    assert a.surface is not None and b.surface is not None
    way = _way(a.mark, b.mark)
    laid = (revisit(a.surface.shifted(way), after), revisit(b.surface.shifted(-way), before))
    return float(np.mean([v.changed_share if v.seen_share >= LEAST_SEEN else 0.5 for v in laid]))


def _shifted(a: Compared, b: Compared, misfit: float, before: ViewSet, after: ViewSet) -> bool:
    """Whether a shift explains what changed at two places that overlap, and wrong poses do not."""
    explained = (a.changed_share + b.changed_share) / 2.0 - misfit
    noise = _sighting_covariance(a.mark, before) + _sighting_covariance(b.mark, after)
    std = std_along(noise, _way(a.mark, b.mark))
    return explained >= EXPLAINED_SHARE and _apart(a.mark, b.mark) >= SURFACE_STDS * std


def _sighting_covariance(mark: Mark, views: ViewSet) -> FloatArray:
    """(3, 3) of where a mark's seen surface is, from the noise of poses and depth alone."""
    frames = [views.frames[seen.view] for seen in mark.observations]
    origins = [f.T_fixed_camera[:3, 3] for f in frames if f.T_fixed_camera is not None]
    noise = [
        pose_noise(f.pose_std, assumed_noise(MarksConfig()))
        for f in frames
        if f.T_fixed_camera is not None
    ]
    return seen_covariance(np.stack(origins), np.array(mark.position), noise)


def pair_still(old: list[Compared], new: list[Compared]) -> tuple[tuple[int, int], ...]:
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


def _std_of_shift(a: Mark, b: Mark) -> float:
    """Standard deviation of the distance between two places, along the way between them."""
    return std_along(covariance_of(a) + covariance_of(b), _way(a, b))


def _way(a: Mark, b: Mark) -> FloatArray:
    """(3,) from one place to the other, metres; NaN where one is unknown."""
    return np.broadcast_to(np.subtract(b.position or np.nan, a.position or np.nan), 3)


def _boxes_meet(a: Mark, b: Mark) -> bool:
    if a.size is None or b.size is None or a.position is None or b.position is None:
        return False
    apart = np.abs(np.array(a.position) - np.array(b.position))
    return bool((apart < 0.5 * (np.array(a.size) + np.array(b.size))).all())
