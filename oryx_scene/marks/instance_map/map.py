"""A map of the things a robot has seen, fused at camera rate, bounded, that keeps their numbers.

`observe` takes in every RGB-D view. Called as a mark finder, the map finds marks in the frozen
views alone, with what it knows as further evidence, and gives every object the number that it had.
The map reads no clock: time is the frames' stamps.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oryx_scene.config import MarksConfig
from oryx_scene.errors import ConfigError
from oryx_scene.marks.depth.linking import Link
from oryx_scene.marks.depth.reprojection_votes import CutView, ReprojectionVotes
from oryx_scene.marks.depth.route import DepthObjects, cut_view
from oryx_scene.marks.depth.view_grid import usable
from oryx_scene.marks.finder import find_marks
from oryx_scene.marks.instance_map.instances import InstanceStore
from oryx_scene.marks.instance_map.known_places import LARGEST_NUMBER, KnownPlaces, renumbered
from oryx_scene.marks.mark_selection import FoundObject
from oryx_scene.records import Frame, Mark, MarkSet, ViewSet

# Of a link that only the map knows: below that of views that agree themselves.
MAP_WEIGHT = 0.3

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class MapConfig:
    """Bounds of the map.

    Attributes:
        max_things: things known at once; of too many, those without a number and those unseen for
            longest go first.
        forget_s: a thing that no view showed for so long is forgotten, and its number retired.
        max_views: cut views kept for freezing; others are cut again when they are frozen.
    """

    max_things: int = 256
    forget_s: float = 600.0
    max_views: int = 64

    def __post_init__(self) -> None:
        if self.max_things < 1 or self.max_views < 1 or not self.forget_s > 0:
            raise ConfigError("map: max_things, max_views and forget_s must be positive.")


@dataclass(frozen=True, eq=False)
class _AssignedView:
    """A cut view and the thing of each of its patches."""

    cut: CutView
    things: IntArray


class InstanceMap:
    """Use as the ``find_marks`` of a pipeline, and feed every frame to :meth:`observe`.

    One lock guards it: frames and questions may come from different threads.

    Args:
        config: bounds.
        marks: settings of the views' cutting; a finder call's own limits count for its marks.
    """

    def __init__(self, config: MapConfig | None = None, marks: MarksConfig | None = None) -> None:
        self.config = config or MapConfig()
        self._marks = marks or MarksConfig()
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything, numbers included: a new scene's life begins."""
        with self._lock:
            self._things = InstanceStore(self.config.max_things, round(self.config.forget_s * 1e9))
            self._seen: OrderedDict[tuple[str, int, str], _AssignedView] = OrderedDict()
            self._places = KnownPlaces(self.config.max_things, round(self.config.forget_s * 1e9))
            self._largest = 0

    @property
    def size(self) -> dict[str, int]:
        """How much is held: "things", "views", "numbers" given so far."""
        return {
            "things": len(self._things),
            "views": len(self._seen),
            "numbers": self._largest,
        }

    def observe(self, frame: Frame, marks: MarksConfig | None = None) -> bool:
        """Take in one frame; False where it has no depth, calibration or pose.

        Args:
            frame: with depth and T_fixed_camera.
            marks: settings of the views' cutting from now on; None keeps those of before.
        """
        if not usable(frame):
            return False
        with self._lock:
            self._marks = marks or self._marks
            self._observe(frame)
        return True

    def __call__(self, views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
        """Marks of frozen views, numbered as before; the order of the views does not matter."""
        with self._lock:
            begun_anew = self._largest + config.max_marks > LARGEST_NUMBER
            if begun_anew:
                self._renumber()
            found = find_marks(views, config, question=question, memory=_MapFinderMemory(self))
            self._largest = max([self._largest, *(mark.number for mark in found.marks)])
        return renumbered(found) if begun_anew else found

    def _renumber(self) -> None:
        for name in self._things.numbered():
            thing = self._things.get(name)
            if thing is not None:
                thing.number = 0
        self._places.clear()
        self._largest = 0

    def _observe(self, frame: Frame) -> _AssignedView:
        key = (frame.camera, frame.stamp_ns, frame.sha256)
        if key in self._seen:
            self._seen.move_to_end(key)
            return self._seen[key]
        cut = cut_view(frame, self._marks)
        seen = _AssignedView(cut, self._things.observe(cut, frame.stamp_ns))
        self._seen[key] = seen
        while len(self._seen) > self.config.max_views:
            self._seen.popitem(last=False)
        return seen


class _MapFinderMemory:
    """What the finder asks of the map during one freeze."""

    def __init__(self, owner: InstanceMap) -> None:
        self._map = owner
        self._things_of: list[IntArray] = []

    def cut(self, frame: Frame, config: MarksConfig) -> CutView:
        """The view cut into patches, from the map where it has seen it."""
        seen = self._map._observe(frame)
        self._things_of.append(seen.things)
        return seen.cut

    def links(self, ballot: ReprojectionVotes) -> list[Link]:
        """Patches of one thing whose views do not see each other's part of it."""
        things = self._names()
        seen = ballot.seen[:, ballot.node_view] + ballot.seen[:, ballot.node_view].T
        found = []
        for name in np.unique(things[things >= 0]):
            nodes = np.flatnonzero(things == name)
            for i, p in enumerate(nodes):
                for q in nodes[i + 1 :]:
                    if ballot.node_view[p] != ballot.node_view[q] and seen[p, q] < 5:
                        found.append(Link(int(p), int(q), MAP_WEIGHT))
        return found

    def _names(self) -> IntArray:
        now = self._map._things.now
        parts = [[now(int(name)) for name in names] for names in self._things_of]
        return np.array([name for part in parts for name in part], dtype=np.int64)

    def number(self, objects: DepthObjects) -> Sequence[FoundObject]:
        """Objects with the numbers of the things they consist of."""
        claims = []
        for index, nodes in enumerate(objects.nodes):
            for number, cells in self._numbers(objects.ballot, nodes).items():
                claims.append((-cells, number, index))
        given: dict[int, int] = {}
        for _, number, index in sorted(claims):
            if index not in given and number not in given.values():
                given[index] = number
        return [
            dataclasses.replace(item, number=given.get(index, 0))
            for index, item in enumerate(objects.kept)
        ]

    def _numbers(self, ballot: ReprojectionVotes, nodes: IntArray) -> Counter[int]:
        """Number -> cells of the nodes whose thing has it."""
        things, cells = self._names(), Counter[int]()
        for node in nodes:
            thing = self._map._things.get(int(things[node]))
            if thing is not None and thing.number:
                view = ballot.views[ballot.node_view[node]]
                cells[thing.number] += int(view.patches.cells[ballot.node_patch[node]])
        return cells

    def used(self) -> Collection[int]:
        """Numbers that were given in this scene's life."""
        return range(1, self._map._largest + 1)

    def learn(self, objects: DepthObjects, marks: Sequence[Mark]) -> None:
        """Keep the numbers that objects got."""
        things = self._names()
        by_place = {(mark.position, mark.size): mark.number for mark in marks}
        for item, nodes in zip(objects.kept, objects.nodes, strict=True):
            number = by_place.get((item.position, item.size))
            if number is None:
                continue
            for name in set(things[nodes].tolist()):
                thing = self._map._things.get(name)
                if thing is not None and not thing.number:
                    thing.number = number

    def recall(
        self, found: Sequence[FoundObject], frames: Sequence[Frame]
    ) -> Sequence[FoundObject]:
        """Objects found without depth, with the numbers they had before."""
        return self._map._places.recall(found, frames)

    def keep(self, marks: Sequence[Mark], frames: Sequence[Frame]) -> None:
        """Keep the places of marks found without depth."""
        self._map._places.keep(marks, frames)
