"""Numbers of objects that were found without depth: known again by place, or in the same picture.

A number is given again only where one object alone fits it and it alone fits the object. In a
picture that both scenes share, the object under the old disc is the one; otherwise its place must
agree within what both places' standard deviations allow. Without poses and without a shared picture
nothing is known again.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from oryx_scene.marks.mark_selection import FoundObject, SeenIn
from oryx_scene.marks.places import covariance_of, std_along
from oryx_scene.records import FloatArray, Frame, Mark, MarkSet
from oryx_scene.warning import Warning

# A larger number fits no disc: the scene's life ends and numbering begins anew.
LARGEST_NUMBER = 99
# Two places are one if they are nearer than this many standard deviations, within these bounds.
PLACE_STDS, NEAREST_M, FURTHEST_M = 2.0, 0.1, 0.5
# Of the allowed distance: by so much a second object must fit worse.
MARGIN = 0.5

View = tuple[str, int, str]


@dataclass(eq=False)
class _Known:
    """What is known of one number."""

    mark: Mark
    last_ns: int
    discs: dict[View, tuple[float, float]] = field(default_factory=dict)


class NumberMemory:
    """Numbers of one scene's life for routes that have no map; safe from several threads.

    Args:
        most, forget_s: as of the instance map: numbers known at once, and seconds until one is
            forgotten.
    """

    def __init__(self, most: int = 256, forget_s: float = 600.0) -> None:
        self._places = KnownPlaces(most, round(forget_s * 1e9))
        self._largest = 0
        self._lock = threading.Lock()

    def remembering(self, find: Callable[[NumberMemory], MarkSet], max_marks: int) -> MarkSet:
        """What ``find`` finds with this memory; begins anew before numbers outgrow the discs."""
        with self._lock:
            begun_anew = self._largest + max_marks > LARGEST_NUMBER
            if begun_anew:
                self._places.clear()
                self._largest = 0
            found = find(self)
        return renumbered(found) if begun_anew else found

    def recall(
        self, found: Sequence[FoundObject], frames: Sequence[Frame]
    ) -> Sequence[FoundObject]:
        """Objects with the numbers they had before."""
        return self._places.recall(found, frames)

    def used(self) -> Collection[int]:
        """Numbers that were given in this scene's life."""
        return range(1, self._largest + 1)

    def keep(self, marks: Sequence[Mark], frames: Sequence[Frame]) -> None:
        """Remember the marks of these frames."""
        self._places.keep(marks, frames)
        self._largest = max([self._largest, *(mark.number for mark in marks)])


def renumbered(found: MarkSet) -> MarkSet:
    """``found`` with the warning that numbering began anew."""
    text = f"marks are numbered anew: their numbers had reached {LARGEST_NUMBER}"
    warning = Warning("marks_renumbered", text)
    return dataclasses.replace(found, warnings=(*found.warnings, warning))


class KnownPlaces:
    """Places and discs by number.

    Args:
        most: numbers kept; of more, those unseen for longest are forgotten.
        forget_ns: what no frame showed for so long is forgotten.
    """

    def __init__(self, most: int, forget_ns: int) -> None:
        self._most, self._forget_ns = most, forget_ns
        self._known: dict[int, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def recall(
        self, found: Sequence[FoundObject], frames: Sequence[Frame]
    ) -> tuple[FoundObject, ...]:
        """``found`` with the numbers that they had before."""
        self._forget(frames)
        numbers = sorted(self._known)
        if not found or not numbers:
            return tuple(found)
        cost = np.array(
            [[_misfit(item, self._known[n], frames) for n in numbers] for item in found]
        )
        given = dict(_clear_pairs(cost))
        return tuple(
            dataclasses.replace(item, number=numbers[given[i]]) if i in given else item
            for i, item in enumerate(found)
        )

    def keep(self, marks: Sequence[Mark], frames: Sequence[Frame]) -> None:
        """Remember marks of ``frames``; forget what is old or too much."""
        for mark in marks:
            discs = {_identity(frames[o.view]): (o.u, o.v) for o in mark.observations}
            last_ns = max(frames[o.view].stamp_ns for o in mark.observations)
            self._known[mark.number] = _Known(mark, last_ns, discs)
        self._forget(frames)

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()

    def _forget(self, frames: Sequence[Frame]) -> None:
        now_ns = max((frame.stamp_ns for frame in frames), default=0)
        newest = sorted(self._known, key=lambda n: (-self._known[n].last_ns, n))
        self._known = {
            n: self._known[n]
            for n in newest[: self._most]
            if now_ns - self._known[n].last_ns <= self._forget_ns
        }


def _identity(frame: Frame) -> View:
    return frame.camera, frame.stamp_ns, frame.sha256


def _misfit(item: FoundObject, known: _Known, frames: Sequence[Frame]) -> float:
    """0 fits, up to 1 may fit, infinite where it is another object."""
    if item.label and known.mark.label and item.label.lower() != known.mark.label.lower():
        return float("inf")
    shared = [
        _covers(part, *known.discs[_identity(frames[part.view])])
        for part in item.views
        if _identity(frames[part.view]) in known.discs
    ]
    if shared:
        return 0.0 if all(shared) else float("inf")
    if item.position is None or known.mark.position is None:
        return float("inf")
    if item.frame_id != known.mark.frame_id:
        return float("inf")
    away = np.subtract(item.position, known.mark.position)
    own = np.full((3, 3), np.nan) if item.covariance is None else np.array(item.covariance)
    std = std_along(own + covariance_of(known.mark), away)
    reach = float(np.clip(PLACE_STDS * std, NEAREST_M, FURTHEST_M)) if np.isfinite(std) else 0.0
    apart = float(np.linalg.norm(away))
    return apart / reach if apart < reach else float("inf")


def _covers(part: SeenIn, u: float, v: float) -> bool:
    """Whether a pixel lies on an object's picture."""
    seen = part.seen
    row, column = round((v - seen.v0) / seen.step), round((u - seen.u0) / seen.step)
    height, width = seen.mask.shape
    return 0 <= row < height and 0 <= column < width and bool(seen.mask[row, column])


def _clear_pairs(cost: FloatArray) -> list[tuple[int, int]]:
    """(row, column) of finite costs that all others of their row and column exceed by a margin."""
    pairs = []
    for i, j in np.argwhere(np.isfinite(cost)):
        others = np.concatenate([np.delete(cost[i], j), np.delete(cost[:, j], i)])
        if others.min(initial=np.inf) >= cost[i, j] + MARGIN:
            pairs.append((int(i), int(j)))
    return pairs
