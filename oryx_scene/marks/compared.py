"""Things of two scenes brought together: what moved, what stands still, what looks alike.

Works on marks with their seen surfaces and on what the other scene sees at their places. Pairs only
what may be one object; decides nothing about things that stay alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from oryx_scene.frames import Mark, ViewSet
from oryx_scene.marks.places import covariance_of, std_along
from oryx_scene.marks.revisit import PlaceVerdict, Surface, revisit, surface_of

# Of an object's points with a verdict, this share must be gone before the object is.
GONE_SHARE = 0.7
# Two places of one object that overlap: this share of each must have changed, and the shift must
# exceed so many of its standard deviations. Wrong poses change the rims of what stands still.
SHIFTED_SHARE = 0.25
SHIFT_STDS = 3.0
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
    gone: list[Compared], come: list[Compared]
) -> tuple[list[MovedMark], set[int], set[int]]:
    """Things that left one place and came to another, where they look alike.

    Returns what moved, the identities of all things in pairs, and of those that stand still: their
    shift is no more than the uncertainty of their places.
    """
    moved: list[MovedMark] = []
    paired: set[int] = set()
    steady: set[int] = set()
    if not gone or not come:
        return moved, paired, steady
    cost = np.array([[_difference(a, b) for b in come] for a in gone])
    for i, j in zip(*linear_sum_assignment(np.minimum(cost, 1e6)), strict=True):
        if not np.isfinite(cost[i, j]):
            continue
        a, b = gone[i], come[j]
        distance = _apart(a.mark, b.mark)
        std = _std_of_shift(a.mark, b.mark)
        both = {id(a), id(b)}
        if distance < LEAST_MOVED_M or (not _left(a, b) and distance < SHIFT_STDS * std):
            steady |= both
        else:
            moved.append(MovedMark(a.mark, b.mark, distance, std))
        paired |= both
    return moved, paired, steady


def _left(a: Compared, b: Compared) -> bool:
    """Whether nothing is left of a thing at its old place, and nothing was at its new one."""
    return min(a.changed_share, b.changed_share) >= GONE_SHARE


def _difference(a: Compared, b: Compared) -> float:
    """How unlike two things look, a paint distance; infinite where they cannot be the same."""
    assert a.surface is not None and b.surface is not None
    if not _left(a, b) and not _boxes_meet(a.mark, b.mark):
        return float("inf")
    if a.mark.label and b.mark.label and a.mark.label != b.mark.label:
        return float("inf")
    if a.mark.size is not None and b.mark.size is not None:
        ratio = max(a.mark.size) / max(b.mark.size)
        if max(ratio, 1.0 / ratio) > SIZE_RATIO:
            return float("inf")
    colour = float(np.linalg.norm(a.surface.colour - b.surface.colour))
    return colour if colour < ALIKE_COLOUR else float("inf")


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
    away = np.subtract(b.position or np.nan, a.position or np.nan)
    return std_along(covariance_of(a) + covariance_of(b), np.broadcast_to(away, 3))


def _boxes_meet(a: Mark, b: Mark) -> bool:
    if a.size is None or b.size is None or a.position is None or b.position is None:
        return False
    apart = np.abs(np.array(a.position) - np.array(b.position))
    return bool((apart < 0.5 * (np.array(a.size) + np.array(b.size))).all())
