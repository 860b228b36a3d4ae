"""Things that views have shown so far: points, colour, when seen, which number; all bounded.

A view's patches are given to the things whose points fall on them; what fits none becomes a new
thing. Things that views see as one again and again become one. Knows nothing of marks or pictures.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oryx_scene.marks.depth.linking import ACROSS_VIEWS, LEAST_SHARE, LEAST_VOTES
from oryx_scene.marks.depth.reprojection_votes import CutView, Samples, carry
from oryx_scene.marks.surface_colour import LEAST_RATIO, SAME_COLOUR, compare_colours
from oryx_scene.records import FloatArray

IntArray = NDArray[np.int64]

CELL_M = 0.05
MOST_POINTS = 256
# Patches of fewer cells make no new thing.
LEAST_CELLS = 24
# So often must two things fall on one patch, less how often they do not, to become one.
TO_MERGE = 4
# A thing of which no more than this share of its points is left has gone.
LEAST_LEFT = 0.2
# A thing further from the camera than this cannot be in view.
REACH_M = 9.0
_BITS = 20


@dataclass(eq=False)
class Instance:
    """One thing.

    Attributes:
        points, normals: (n, 3) fixed frame, the newest first.
        rgb: (3,) mean colour, a running mean.
        last_ns: stamp of the last view that showed it.
        times: how many views showed it.
        number: of its mark, 0 if it never had one.
        peak: most points it ever had.
    """

    points: FloatArray
    normals: FloatArray
    rgb: NDArray[np.float32]
    last_ns: int
    times: int = 1
    number: int = 0
    peak: int = 0

    def __post_init__(self) -> None:
        self.peak = max(self.peak, len(self.points))

    def add(
        self, points: FloatArray, normals: FloatArray, rgb: NDArray[np.float32], stamp_ns: int
    ) -> None:
        """Take in what a view shows of it; the newest point of every cell is kept."""
        self.points = np.concatenate([points, self.points])
        self.normals = np.concatenate([normals, self.normals])
        cells = np.floor(self.points / CELL_M).astype(np.int64) + (1 << (_BITS - 1))
        keys = (cells[:, 0] << (2 * _BITS)) | (cells[:, 1] << _BITS) | cells[:, 2]
        _, kept = np.unique(keys, return_index=True)
        kept = np.sort(kept)[:MOST_POINTS]
        self.points, self.normals = self.points[kept], self.normals[kept]
        self.peak = max(self.peak, len(kept))
        share = np.float32(max(0.1, 1.0 / (self.times + 1)))
        self.rgb = (1 - share) * self.rgb + share * rgb
        self.last_ns = max(self.last_ns, stamp_ns)
        self.times += 1


class InstanceStore:
    """All things that are known.

    Args:
        most: how many at once.
        forget_ns: a thing unseen for so long is forgotten.
    """

    def __init__(self, most: int, forget_ns: int) -> None:
        self._most, self._forget_ns = most, forget_ns
        self._known: dict[int, Instance] = {}
        self._next = 0
        self._together: Counter[tuple[int, int]] = Counter()
        self._became: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, name: int) -> Instance | None:
        """A thing by its name, also by one that it had before it became part of another."""
        return self._known.get(self.now(name))

    def now(self, name: int) -> int:
        """What a thing is called now, -1 where it is forgotten."""
        while name in self._became:
            name = self._became[name]
        return name if name in self._known else -1

    def observe(self, view: CutView, stamp_ns: int) -> IntArray:
        """Take in a view; returns the thing of each of its patches, -1 none."""
        self._forget(stamp_ns)
        names, samples = self._near(view)
        votes = carry(samples, view)
        self._drop(names, samples, votes.gone)
        given = self._assign(names, votes.onto, votes.seen, view)
        for patch in range(view.patches.count):
            own = view.samples.owner == patch
            points, normals = view.samples.points[own], view.samples.normals[own]
            rgb = view.patches.rgb[patch]
            if given[patch] >= 0:
                self._known[int(given[patch])].add(points, normals, rgb, stamp_ns)
            elif view.patches.cells[patch] >= LEAST_CELLS:
                self._known[self._next] = Instance(points, normals, rgb.copy(), stamp_ns)
                given[patch] = self._next
                self._next += 1
        self._bound()
        return given

    def _near(self, view: CutView) -> tuple[list[int], Samples]:
        """Things that may be in view, and their points."""
        eye = view.T_fixed_camera[:3, 3]
        ahead = view.T_fixed_camera[:3, 2]
        names, points, normals = [], [], []
        for name, thing in self._known.items():
            away = thing.points[0] - eye if len(thing.points) else np.full(3, np.inf)
            if float(away @ away) < REACH_M**2 and float(away @ ahead) > -1.0:
                names.append(name)
                points.append(thing.points)
                normals.append(thing.normals)
        owner = np.repeat(np.arange(len(names)), [len(item) for item in points])
        empty = np.zeros((0, 3))
        return names, Samples(
            np.concatenate([empty, *points]),
            np.concatenate([empty, *normals]),
            owner.astype(np.int64),
            len(names),
        )

    def _drop(self, names: list[int], samples: Samples, gone: IntArray) -> None:
        """Forget points that the view looks through: the thing has moved, or they were wrong."""
        lost = np.zeros(len(samples.points), dtype=bool)
        lost[gone] = True
        for index in np.unique(samples.owner[gone]):
            own = samples.owner == index
            thing = self._known[names[int(index)]]
            keep = ~lost[own]
            thing.points, thing.normals = thing.points[keep], thing.normals[keep]
            if len(thing.points) < max(LEAST_VOTES, LEAST_LEFT * thing.peak):
                del self._known[names[int(index)]]

    def _assign(self, names: list[int], onto: IntArray, seen: IntArray, view: CutView) -> IntArray:
        given = np.full(view.patches.count, -1, dtype=np.int64)
        if not names or not view.patches.count:
            return given
        share = onto / np.maximum(seen, 1)[:, None]
        unknown = np.zeros(3, np.float32)
        rgb = [self._known[name].rgb if name in self._known else unknown for name in names]
        score = np.where((onto >= LEAST_VOTES) & (share >= LEAST_SHARE), onto, 0)
        for thing, patch in zip(*np.nonzero(score), strict=True):
            if names[thing] not in self._known or not _alike(
                rgb[thing], view.patches.rgb[patch], ACROSS_VIEWS
            ):
                score[thing, patch] = 0
        self._weigh_merging(names, score)
        order = sorted(zip(*np.nonzero(score), strict=True), key=lambda pair: (-score[pair], *pair))
        main: dict[int, int] = {}
        for thing, patch in order:
            if given[patch] >= 0:
                continue
            first = main.setdefault(int(thing), int(patch))
            # A second patch of one thing only where nothing speaks for two things.
            if first == patch or _one_thing(view, first, int(patch)):
                given[patch] = names[int(thing)]
        return np.array([self.now(int(name)) if name >= 0 else -1 for name in given], np.int64)

    def _weigh_merging(self, names: list[int], score: IntArray) -> None:
        """Count for every two things how often they fall on one patch; join those that keep to."""
        best = np.where(score.max(axis=1) > 0, score.argmax(axis=1), -1)
        seen = np.flatnonzero(best >= 0)
        for i, a in enumerate(seen):
            for b in seen[i + 1 :]:
                low, high = sorted((names[a], names[b]))
                if best[a] == best[b]:
                    self._together[low, high] += 1
                elif (low, high) in self._together:
                    self._together[low, high] -= 2
        for (low, high), count in list(self._together.items()):
            if count <= 0:
                del self._together[low, high]
            elif count >= TO_MERGE:
                self._merge(low, high)

    def _merge(self, low: int, high: int) -> None:
        first, second = self._known.get(low), self._known.get(high)
        del self._together[low, high]
        if first is None or second is None:
            return
        # The older number stays; the other one is never given again.
        numbers = [number for number in (first.number, second.number) if number]
        first.number = min(numbers, default=0)
        times = first.times
        first.add(second.points, second.normals, second.rgb, second.last_ns)
        first.times = times + second.times
        del self._known[high]
        self._became[high] = low

    def _forget(self, now_ns: int) -> None:
        """Forget what no view has shown for long."""
        for name, thing in list(self._known.items()):
            if now_ns - thing.last_ns > self._forget_ns:
                del self._known[name]

    def _bound(self) -> None:
        """Of too many things, forget those without a number, seen once or twice, or long ago."""
        excess = len(self._known) - self._most
        if excess > 0:
            for name in sorted(self._known, key=self._worth)[:excess]:
                del self._known[name]
        for pair in [pair for pair in self._together if not all(n in self._known for n in pair)]:
            del self._together[pair]
        if len(self._became) > 4 * self._most:
            self._became = {a: b for a, b in self._became.items() if self.now(b) >= 0}

    def _worth(self, name: int) -> tuple[bool, bool, int, int]:
        thing = self._known[name]
        return thing.number > 0, thing.times > 2, thing.last_ns, name

    def numbered(self) -> dict[int, int]:
        """Name -> number of all things that have one."""
        return {name: thing.number for name, thing in self._known.items() if thing.number}


def _alike(a: NDArray[np.float32], b: NDArray[np.float32], angle_limit: float) -> bool:
    angle, ratio = compare_colours(a[None], b[None])
    return bool(angle[0] < angle_limit and ratio[0] > LEAST_RATIO)


def _one_thing(view: CutView, first: int, second: int) -> bool:
    rgb = view.patches.rgb
    return not view.patches.creased[first, second] and _alike(rgb[first], rgb[second], SAME_COLOUR)
