"""Views compared with what a memory knows: seen again, missed, moved, new.

A place is judged point by point (`marks.revisit`): a thing is there where a view measures its
surface, and missed where the view looks through it. A thing that looks like one that is missed is
that one at another place. Where nobody looks nothing is said: the thing is merely unseen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from oryx_scene.marks.change.compared import ALIKE_COLOUR, GONE_SHARE, LEAST_SEEN, SIZE_RATIO
from oryx_scene.marks.change.revisit import OTHER_COLOUR, Surface, inside_box, verdicts
from oryx_scene.marks.depth.view_grid import usable
from oryx_scene.marks.places import covariance_of
from oryx_scene.memory.looks import shape_misfits, shape_names
from oryx_scene.memory.objects import (
    INTERVAL_GAP_NS,
    Instance,
    Stay,
    load_instances,
    place_columns,
    stay_columns,
)
from oryx_scene.memory.store import MemoryStore
from oryx_scene.memory.walls import Walls
from oryx_scene.records import FloatArray, Frame, Mark, MarkObservation, MarkSet, ViewSet

# A thing further from the camera than this is not judged: depth is too noisy there.
REACH_M = 8.0
# A place of which a view judges fewer points says nothing; from SURE_POINTS on one view is enough.
LEAST_POINTS, SURE_POINTS, SURE_SHARE = 8, 50, 0.9
# To be seen a smaller share of a thing is enough than to be missed (LEAST_SEEN).
SOME_SEEN = 0.15
# Of the judged points of a thing that is there, at most this share is gone: poses err.
THERE_SHARE = 0.4
# Points of one thing seen at two times lie as near as this to each other.
NEAR_M = 0.07
# Shares of a found thing on a known one and the other way round: the larger and the smaller one.
LARGER_SHARE, SMALLER_SHARE = 0.5, 0.15
# So much of a found thing may lie on known ones before it is a piece of them and nothing new.
EXPLAINED_SHARE = 0.5
# What lies so flat on a wall with this share of its points is a piece of the wall.
FLAT_M, FLAT_SHARE = 0.05, 0.7
# Further than this, and than its standard deviations, a thing has moved.
LEAST_MOVED_M, MOVED_STDS = 0.15, 3.0
# Views of which a shape is measured, per thing.
MOST_SHAPED = 24
# Points of a found thing that are compared, and of a known one where drift may have put it.
MOST_FOUND, MOST_SHIFTED = 240, 60
# Two things that are missed and look like a new one are told apart by so much.
SIZE_LOG_STD, SHAPE_STD = 0.3, 3.0
MOST_UNLIKE = 9.0


@dataclass
class Update:
    """What one window of views brought.

    Attributes:
        seen: (frame index, instance, where in the picture) of all that marks show.
        new, moved, gone: instances.
    """

    seen: list[tuple[int, Instance, MarkObservation]] = field(default_factory=list)
    new: list[Instance] = field(default_factory=list)
    moved: list[Instance] = field(default_factory=list)
    gone: list[Instance] = field(default_factory=list)

    @property
    def changed(self) -> set[int]:
        """Rows of the instances about which something changed."""
        return {item.row for item in (*self.new, *self.moved, *self.gone)}


@dataclass(eq=False)
class _Found:
    """A mark as the new views of a window show it.

    Attributes:
        surface: points that they see, thinned.
        seen, stamps: where in which view, and when, ascending.
        widest: (n, 3) points of the view that shows most of it.
    """

    mark: Mark
    surface: Surface
    seen: list[MarkObservation]
    stamps: list[int]
    widest: FloatArray

    @property
    def first_ns(self) -> int:
        return self.stamps[0]

    @property
    def last_ns(self) -> int:
        return self.stamps[-1]

    @property
    def position(self) -> FloatArray:
        return np.array(self.mark.position)

    @property
    def size(self) -> FloatArray:
        return np.array(self.mark.size)


class Tracker:
    """The instances of one map while a session is written.

    Args:
        store: open for writing.
        map_row, session: rows.
        walls: of the map: what lies flat on them is no thing.
        drift_m: by how much poses may be off.
    """

    def __init__(
        self, store: MemoryStore, map_row: int, session: int, walls: Walls, drift_m: float
    ) -> None:
        self._walls, self._drift = walls, drift_m
        steps = np.linspace(-drift_m, drift_m, 5)
        self._shifts = np.array([(x, y, 0.0) for x in steps for y in steps if x or y])
        self._store, self._map, self._session = store, map_row, session
        self._shown: set[int] = set()
        self.instances = {item.row: item for item in load_instances(store, map_row)}

    def update(self, views: ViewSet, fresh: Sequence[int], marks: MarkSet) -> Update:
        """Take in a window of views.

        Args:
            views: the window.
            fresh: indices of the views that no earlier window held.
            marks: found in it.
        """
        out = Update()
        self._shown.clear()
        for index in sorted(fresh, key=lambda i: views.frames[i].stamp_ns):
            if usable(views.frames[index]):
                self._revisit(views.frames[index], out)
        found = [item for mark in marks.marks if (item := _found(mark, views, set(fresh)))]
        pairs = self._pairs(found)
        for index, known in pairs.items():
            self._again(known, found[index], out)
        for index, item in enumerate(found):
            if (
                index not in pairs
                and self._explained(item) < EXPLAINED_SHARE
                and self._walls.share_on(item.surface.points, FLAT_M + self._drift / 3.0)
                < FLAT_SHARE
            ):
                self._come(item, out)
        self._join_moved(out)
        for instance in self.instances.values():
            instance.chances += instance.row in self._shown
            if instance.stay.changed:
                self._write(instance)
        return out

    # What is there, by its points.

    def _near(self, place: FloatArray, reach: float) -> list[Instance]:
        known = list(self.instances.values())
        if not known:
            return []
        places = np.stack([item.stay.position for item in known])
        near = np.flatnonzero(np.linalg.norm(places - place, axis=1) <= reach)
        return [known[i] for i in near]

    def _revisit(self, frame: Frame, out: Update) -> None:
        assert frame.T_fixed_camera is not None
        near = self._near(frame.T_fixed_camera[:3, 3], REACH_M)
        near = [item for item in near if len(item.stay.points)]
        if not near:
            return
        surface = Surface(
            np.concatenate([item.stay.points for item in near]),
            np.concatenate([item.stay.paint for item in near]),
        )
        owner = np.repeat(np.arange(len(near)), [len(item.stay.points) for item in near])
        there, gone = (
            np.bincount(owner[points], minlength=len(near)) for points in verdicts(surface, frame)
        )
        for index, instance in enumerate(near):
            judged = int(there[index] + gone[index])
            if judged < max(LEAST_POINTS, SOME_SEEN * len(instance.stay.points)):
                continue
            share = float(gone[index]) / judged
            if share > THERE_SHARE:
                share = min(share, self._shifted_share(instance.stay, frame))
            if share >= GONE_SHARE and judged >= LEAST_SEEN * len(instance.stay.points):
                self._missed(instance, frame.stamp_ns, share, judged, out)
            elif share <= THERE_SHARE:
                self._see(instance, frame.stamp_ns)

    def _shifted_share(self, stay: Stay, frame: Frame) -> float:
        """Least share of a thing's points that is gone where drift may have put them, 1 unseen."""
        thin = np.linspace(0, len(stay.points) - 1, min(MOST_SHIFTED, len(stay.points)))
        points, paint = stay.points[thin.astype(int)], stay.paint[thin.astype(int)]
        moved = (points[None] + self._shifts[:, None]).reshape(-1, 3)
        there, gone = (
            verdict.reshape(len(self._shifts), -1).sum(axis=1)
            for verdict in verdicts(Surface(moved, np.tile(paint, (len(self._shifts), 1))), frame)
        )
        judged = there + gone
        enough = judged >= 0.5 * len(points)
        return float((gone[enough] / judged[enough]).min()) if enough.any() else 1.0

    def _see(self, instance: Instance, stamp_ns: int) -> None:
        """A view shows it where it was."""
        stay = instance.stay
        if stamp_ns <= stay.last_ns:
            return
        if stay.interval and stamp_ns - stay.last_ns <= INTERVAL_GAP_NS and not stay.missed:
            stay.interval_views += 1
            self._store.update(
                "intervals", stay.interval, last_ns=stamp_ns, views=stay.interval_views
            )
        else:
            self._begin_interval(stay, stamp_ns, stamp_ns, 1)
        stay.last_ns, stay.missed, stay.absence, stay.sure_miss = stamp_ns, 0, 0, False
        stay.changed = True
        instance.views += 1
        self._shown.add(instance.row)

    def _begin_interval(self, stay: Stay, first_ns: int, last_ns: int, views: int) -> None:
        stay.interval_views = views
        stay.interval = self._store.insert(
            "intervals",
            stay=stay.row,
            session=self._session,
            first_ns=first_ns,
            last_ns=last_ns,
            views=views,
        )

    def _missed(
        self, instance: Instance, stamp_ns: int, share: float, judged: int, out: Update
    ) -> None:
        """A view looks through its place."""
        stay = instance.stay
        if stamp_ns <= stay.last_ns:
            return
        was_gone = stay.gone
        if not stay.missed:
            stay.first_missed_ns = stamp_ns
        stay.missed += 1
        sure = judged >= SURE_POINTS and share >= SURE_SHARE
        stay.sure_miss |= sure
        if stay.absence:
            self._store.rows(
                "UPDATE absences SET last_ns = ?, views = views + 1, "
                "changed_share = max(changed_share, ?), sure = max(sure, ?) WHERE id = ?",
                stamp_ns,
                share,
                int(sure),
                stay.absence,
            )
        else:
            stay.absence = self._store.insert(
                "absences",
                stay=stay.row,
                session=self._session,
                first_ns=stamp_ns,
                last_ns=stamp_ns,
                views=1,
                changed_share=share,
                sure=int(sure),
            )
        if stay.gone and not was_gone:
            out.gone.append(instance)

    # What was found, and which known thing it is.

    def _pairs(self, found: Sequence[_Found]) -> dict[int, Instance]:
        """Found thing -> known one that stands at its place and looks like it."""
        if not found:
            return {}
        known: dict[int, Instance] = {}
        scores: dict[tuple[int, int], float] = {}
        for index, item in enumerate(found):
            reach = float(np.linalg.norm(item.size)) / 2.0
            for instance in self._near(item.position, reach + 2.0):
                score = max(_together(item, instance.stay), self._beside(item, instance))
                if score > 0.0:
                    known[instance.row] = instance
                    scores[index, instance.row] = score
        rows = sorted(known)
        table = np.zeros((len(found), len(rows)))
        for (index, row), score in scores.items():
            table[index, rows.index(row)] = score
        chosen = zip(*linear_sum_assignment(-table), strict=True)
        return {int(i): known[rows[j]] for i, j in chosen if table[i, j] > 0.0}

    def _beside(self, item: _Found, instance: Instance) -> float:
        """How well a found thing is a known one that drift has shifted, less than 0.5."""
        limit = self._drift + float(np.min(item.size[:2])) / 4.0
        apart = float(np.linalg.norm((item.position - instance.stay.position)[:2]))
        high = abs(float(item.position[2] - instance.stay.position[2]))
        if apart >= limit or high > self._drift or _unlike(instance, item) >= MOST_UNLIKE:
            return 0.0
        return 0.5 * (1.0 - apart / limit)

    def _explained(self, item: _Found) -> float:
        """Share of a found thing's points that lie on known things of its colour."""
        on = np.zeros(len(item.surface.points), dtype=bool)
        for instance in self._near(item.position, float(np.linalg.norm(item.size)) / 2.0 + 2.0):
            stay = instance.stay
            if stay.gone or not len(stay.points):
                continue
            apart, nearest = cKDTree(stay.points).query(
                item.surface.points, distance_upper_bound=NEAR_M
            )
            hit = np.isfinite(apart)
            paint = stay.paint[nearest[hit]] - item.surface.paint[hit]
            on[np.flatnonzero(hit)] |= np.linalg.norm(paint, axis=1) < OTHER_COLOUR
        return float(on.mean())

    def _on_wall(self, item: _Found) -> float:
        return self._walls.share_on(item.surface.points, FLAT_M + self._drift / 3.0)

    def _again(self, instance: Instance, item: _Found, out: Update) -> None:
        """A known thing was found: where it was, or a little further."""
        stay = instance.stay
        apart = item.position - stay.position
        way = float(np.linalg.norm(apart))
        both = stay.covariance + covariance_of(item.mark)
        unit = apart / max(way, 1e-9)
        std = math.sqrt(max(0.0, float(unit @ both @ unit)))
        if stay.missed and way > max(LEAST_MOVED_M + self._drift, MOVED_STDS * std):
            self._move(instance, item, out)
            return
        stay.measure(item.position, covariance_of(item.mark), item.size, item.last_ns)
        stay.show(item.surface)
        for stamp_ns in item.stamps:
            self._see(instance, stamp_ns)
        self._take(instance, item, out)

    def _come(self, item: _Found, out: Update) -> None:
        """Something stands where nothing was known: one that is missed elsewhere, or new."""
        candidates = [
            (unlike, instance.row)
            for instance in self.instances.values()
            if instance.stay.gone and instance.stay.last_ns < item.first_ns
            if (unlike := _unlike(instance, item)) < MOST_UNLIKE
        ]
        if candidates:
            self._move(self.instances[min(candidates)[1]], item, out)
            return
        row = self._store.insert(
            "instances",
            map=self._map,
            first_ns=item.first_ns,
            last_ns=item.last_ns,
            views=0,
            windows=0,
        )
        instance = Instance(row, self._new_stay(row, item), item.first_ns)
        instance.views = len(item.seen)
        self.instances[row] = instance
        self._take(instance, item, out)
        out.new.append(instance)

    def _move(self, instance: Instance, item: _Found, out: Update) -> None:
        """The same thing at another place."""
        if instance.stay.changed:
            self._write(instance)
        instance.stay = self._new_stay(instance.row, item)
        instance.stays += 1
        instance.views += len(item.seen)
        self._take(instance, item, out)
        out.moved.append(instance)

    def _new_stay(self, instance: int, item: _Found) -> Stay:
        stay = Stay(
            0,
            item.position,
            covariance_of(item.mark),
            item.size,
            np.zeros((0, 3)),
            np.zeros((0, 3)),
            item.first_ns,
            item.last_ns,
        )
        stay.show(item.surface)
        stay.row = self._store.insert("stays", instance=instance, **stay_columns(stay))
        self._store.rows(
            "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?)", stay.row, *place_columns(stay)
        )
        self._begin_interval(stay, item.first_ns, item.last_ns, len(item.seen))
        return stay

    def _take(self, instance: Instance, item: _Found, out: Update) -> None:
        """What a window shows of a thing beside its place."""
        instance.windows += 1
        self._shown.add(instance.row)
        if item.mark.label:
            instance.labels[item.mark.label] += len(item.seen)
        if instance.shaped < MOST_SHAPED:
            instance.shape(shape_misfits(item.widest))
        out.seen += [(seen.view, instance, seen) for seen in item.seen]

    # A thing that came before it was missed.

    def _join_moved(self, out: Update) -> None:
        """Newly missed things that stand elsewhere already, where they were taken for new."""
        for gone in list(out.gone):
            if gone.stay.gone and gone.row in self.instances:
                later = [
                    (_unlike_instance(gone, other), other.row)
                    for other in self.instances.values()
                    if other is not gone
                    and other.stays == 1
                    and other.first_ns > gone.stay.last_ns
                    and not other.stay.gone
                ]
                later = [pair for pair in later if pair[0] < MOST_UNLIKE]
                if later:
                    self._join(gone, self.instances[min(later)[1]], out)

    def _join(self, gone: Instance, other: Instance, out: Update) -> None:
        """``other`` is ``gone`` at its new place."""
        if gone.stay.changed:
            self._write(gone)
        self._store.rows("UPDATE stays SET instance = ? WHERE instance = ?", gone.row, other.row)
        self._store.update("instances", other.row, same_as=gone.row)
        gone.stay, gone.stays = other.stay, gone.stays + 1
        gone.stay.changed = True
        gone.views += other.views
        gone.windows += other.windows
        gone.chances += other.chances
        if other.row in self._shown:
            self._shown.add(gone.row)
        gone.labels.update(other.labels)
        del self.instances[other.row]
        out.seen = [(view, gone if item is other else item, seen) for view, item, seen in out.seen]
        out.new = [item for item in out.new if item is not other]
        out.moved.append(gone)

    def _write(self, instance: Instance) -> None:
        stay = instance.stay
        self._store.update("stays", stay.row, **stay_columns(stay))
        self._store.rows("DELETE FROM places WHERE stay = ?", stay.row)
        self._store.rows(
            "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?)", stay.row, *place_columns(stay)
        )
        self._store.update(
            "instances",
            instance.row,
            last_ns=stay.last_ns,
            views=instance.views,
            windows=instance.windows,
            chances=instance.chances,
            **instance.look_columns(),
        )
        for label, views in instance.labels.items():
            self._store.rows(
                "INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", instance.row, label, views
            )
        stay.changed = False


def _found(mark: Mark, views: ViewSet, fresh: set[int]) -> _Found | None:
    """A mark that a new view shows with a measured surface, else None."""
    seen = sorted(
        (item for item in mark.observations if item.view in fresh),
        key=lambda item: views.frames[item.view].stamp_ns,
    )
    if not seen or mark.position is None or mark.size is None:
        return None
    parts = [inside_box(mark, item, views.frames[item.view]) for item in seen]
    points = np.concatenate([part[0] for part in parts])
    if len(points) < LEAST_POINTS:
        return None
    thin = np.linspace(0, len(points) - 1, min(MOST_FOUND, len(points))).round().astype(int)
    paint = np.concatenate([part[1] for part in parts])[thin]
    widest = max((part[0] for part in parts), key=len)
    stamps = [views.frames[item.view].stamp_ns for item in seen]
    return _Found(mark, Surface(points[thin], paint), seen, stamps, widest)


def _together(item: _Found, stay: Stay) -> float:
    """How well a found thing lies on a known one, 0 where it is not that one, at most 1."""
    if not len(stay.points):
        return 0.0
    if np.linalg.norm(item.surface.colour - stay.surface.colour) >= OTHER_COLOUR:
        return 0.0
    apart = cKDTree(stay.points).query(item.surface.points, distance_upper_bound=NEAR_M)[0]
    back = cKDTree(item.surface.points).query(stay.points, distance_upper_bound=NEAR_M)[0]
    shares = float(np.isfinite(apart).mean()), float(np.isfinite(back).mean())
    if max(shares) >= LARGER_SHARE and min(shares) >= SMALLER_SHARE:
        return sum(shares) / 2.0
    # A thing that was shifted by less than its size: little of it lies where it was.
    alike = _sizes_apart(item.size, stay.size) < SIZE_LOG_STD
    return sum(shares) / 4.0 if stay.missed and min(shares) > 0.0 and alike else 0.0


def _sizes_apart(a: FloatArray, b: FloatArray) -> float:
    """Logarithm of the ratio of two largest extents, without its sign."""
    return abs(math.log(max(float(a.max()), 1e-3) / max(float(b.max()), 1e-3)))


def _unlike(instance: Instance, item: _Found) -> float:
    """How unlike a known and a found thing look, in squared deviations; infinite: not the same."""
    labels = {item.mark.label.lower()} - {""}
    return _look_apart(
        (instance.colour, instance.stay.size, _likeliest(instance), _labels(instance)),
        (item.surface.colour, item.size, None, labels),
    )


def _unlike_instance(a: Instance, b: Instance) -> float:
    """The same of two known things."""
    return _look_apart(
        (a.colour, a.stay.size, _likeliest(a), _labels(a)),
        (b.colour, b.stay.size, _likeliest(b), _labels(b)),
    )


_Look = tuple[FloatArray, FloatArray, FloatArray | None, set[str]]


def _look_apart(a: _Look, b: _Look) -> float:
    colour = float(np.linalg.norm(a[0] - b[0]))
    size = _sizes_apart(a[1], b[1])
    if colour >= ALIKE_COLOUR or size > math.log(SIZE_RATIO):
        return math.inf
    if a[3] and b[3] and not a[3] & b[3]:
        return math.inf
    shape = 0.0
    if a[2] is not None and b[2] is not None:
        # Bhattacharyya coefficient of the two distributions over shapes.
        shape = SHAPE_STD * (1.0 - float(np.sqrt(a[2] * b[2]).sum()))
    return (2.0 * colour / ALIKE_COLOUR) ** 2 + (size / SIZE_LOG_STD) ** 2 + shape**2


def _likeliest(instance: Instance) -> FloatArray | None:
    """(5,) probabilities of its shapes, None where none was measured."""
    if not instance.shaped:
        return None
    return np.array(list(shape_names(instance.misfits, instance.shaped).values()))


def _labels(instance: Instance) -> set[str]:
    return {label.lower() for label in instance.labels}
