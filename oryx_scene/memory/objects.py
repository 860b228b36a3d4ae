"""Instances as the writer holds them: what is known of a thing at one place, and its rows.

Knows how a thing is kept and changed, not how views are compared with it (`tracking`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oryx_scene.marks.change.revisit import Surface
from oryx_scene.memory.looks import SHAPES
from oryx_scene.memory.store import MemoryStore
from oryx_scene.records import FloatArray

# Points kept of a surface: one per cell, the newest first.
CELL_M, MOST_POINTS = 0.03, 160
# Views further apart than this in time make two intervals.
INTERVAL_GAP_NS = 10_000_000_000
# A place is no surer than this, however often it is measured: poses err alike for long.
LEAST_VARIANCE = 0.01**2
# What is known of a place ages: poses drift, by so much variance a second, up to the second number.
AGEING, MOST_AGEING = 0.01**2 / 60.0, 0.1**2


@dataclass(eq=False)
class Stay:
    """An instance at one place.

    Attributes:
        row: in the table ``stays``.
        position (3,), covariance (3, 3), size (3,): metres, the map's frame.
        points, paint: (n, 3) of its surface.
        first_ns, last_ns: of the views that show it.
        interval, absence: rows that are being extended, 0 none.
        missed: views since ``last_ns`` that looked through its place.
        first_missed_ns: of them.
        sure_miss: one of them saw nearly all of its place free.
    """

    row: int
    position: FloatArray
    covariance: FloatArray
    size: FloatArray
    points: FloatArray
    paint: FloatArray
    first_ns: int
    last_ns: int
    interval: int = 0
    interval_views: int = 0
    absence: int = 0
    missed: int = 0
    first_missed_ns: int = 0
    sure_miss: bool = False
    changed: bool = False

    @property
    def gone(self) -> bool:
        """Whether its place was looked through often enough since it was last seen."""
        return self.missed >= (2 if self.sure_miss else 3)

    @property
    def surface(self) -> Surface:
        """Its points and their paint."""
        return Surface(self.points, self.paint)

    def measure(
        self, position: FloatArray, covariance: FloatArray, size: FloatArray, stamp_ns: int
    ) -> None:
        """Take in another measurement of its place, weighed by both covariances."""
        age_s = max(0.0, (stamp_ns - self.last_ns) / 1e9)
        before = self.covariance + np.eye(3) * min(AGEING * age_s, MOST_AGEING)
        gain = before @ np.linalg.inv(before + covariance)
        self.position = self.position + gain @ (position - self.position)
        after = (np.eye(3) - gain) @ before
        after = (after + after.T) / 2.0
        self.covariance = after + np.eye(3) * max(
            0.0, LEAST_VARIANCE - np.linalg.eigvalsh(after)[0]
        )
        share = float(np.clip(np.trace(gain) / 3.0, 0.0, 1.0))
        self.size = (1.0 - share) * self.size + share * size
        self.changed = True

    def show(self, surface: Surface) -> None:
        """Take in points that a view shows; the newest of every cell is kept."""
        points = np.concatenate([surface.points, self.points])
        paint = np.concatenate([surface.paint, self.paint])
        cells = np.floor(points / CELL_M).astype(np.int64) + (1 << 19)
        keys = (cells[:, 0] << 40) | (cells[:, 1] << 20) | cells[:, 2]
        _, first = np.unique(keys, return_index=True)
        first = np.sort(first)
        if len(first) > MOST_POINTS:
            first = first[np.linspace(0, len(first) - 1, MOST_POINTS).round().astype(int)]
        self.points, self.paint = points[first], paint[first]
        self.changed = True


@dataclass(eq=False)
class Instance:
    """A thing.

    Attributes:
        row: in the table ``instances``.
        stay: where it is, or was last.
        first_ns, views: since when, in how many views it was seen.
        windows, chances: in how many windows it was told apart, of those that show its surface.
        stays: at how many places.
        misfits: (4,) mean squared misfits to the shapes, of ``shaped`` views.
        labels: of a detector.
    """

    row: int
    stay: Stay
    first_ns: int
    views: int = 0
    windows: int = 0
    chances: int = 0
    stays: int = 1
    misfits: FloatArray = field(default_factory=lambda: np.zeros(len(SHAPES)))
    shaped: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    @property
    def colour(self) -> FloatArray:
        """(3,) median paint."""
        return self.stay.surface.colour

    def shape(self, misfits: FloatArray | None) -> None:
        """Take in how a view's points fit the shapes."""
        if misfits is not None:
            self.shaped += 1
            self.misfits = self.misfits + (misfits - self.misfits) / self.shaped

    def look_columns(self) -> dict[str, Any]:
        """The columns that say what it looks like."""
        names = ("bright", "red_green", "yellow_blue")
        columns = dict(zip(names, self.colour.tolist(), strict=True))
        if self.shaped:
            columns |= dict(zip(SHAPES, self.misfits.tolist(), strict=True))
        return {**columns, "shaped": self.shaped}


def surface_bytes(stay: Stay) -> bytes:
    """(n, 6) float32 as the table keeps it."""
    return np.hstack([stay.points, stay.paint]).astype("<f4").tobytes()


def stay_columns(stay: Stay) -> dict[str, Any]:
    """All columns of a stay but its instance."""
    x, y, z = stay.position.tolist()
    size_x, size_y, size_z = stay.size.tolist()
    return {
        "x": x,
        "y": y,
        "z": z,
        "size_x": size_x,
        "size_y": size_y,
        "size_z": size_z,
        "covariance": stay.covariance.astype("<f8").tobytes(),
        "first_ns": stay.first_ns,
        "last_ns": stay.last_ns,
        "surface": surface_bytes(stay),
    }


def place_columns(stay: Stay) -> tuple[float, ...]:
    """Bounds of a stay in the R*Tree, low and high of x, y and z."""
    low, high = stay.position - stay.size / 2.0, stay.position + stay.size / 2.0
    return tuple(float(value) for pair in zip(low, high, strict=True) for value in pair)


def load_instances(store: MemoryStore, map_row: int) -> list[Instance]:
    """All instances of a map with their last stays, as a writer needs them after a restart."""
    labels: dict[int, Counter[str]] = {}
    for row, label, views in store.rows("SELECT instance, label, views FROM labels"):
        labels.setdefault(row, Counter())[label] = views
    counts = {
        row["instance"]: row["stays"]
        for row in store.rows("SELECT instance, count(*) AS stays FROM stays GROUP BY instance")
    }
    found = store.rows(
        "SELECT s.*, i.first_ns AS born_ns, i.views, i.windows, i.chances, i.ball, i.box, "
        "i.cylinder, i.flat, i.shaped, max(s.last_ns) FROM stays s "
        "JOIN instances i ON i.id = s.instance "
        "WHERE i.map = ? AND i.same_as IS NULL GROUP BY i.id ORDER BY i.id",
        map_row,
    )
    return [_instance(store, row, labels, counts) for row in found]


def _instance(
    store: MemoryStore, row: Any, labels: dict[int, Counter[str]], counts: dict[int, int]
) -> Instance:
    surface = np.frombuffer(row["surface"], "<f4").reshape(-1, 6).astype(np.float64)
    stay = Stay(
        row["id"],
        np.array([row["x"], row["y"], row["z"]]),
        np.frombuffer(row["covariance"], "<f8").reshape(3, 3).copy(),
        np.array([row["size_x"], row["size_y"], row["size_z"]]),
        surface[:, :3],
        surface[:, 3:],
        row["first_ns"],
        row["last_ns"],
    )
    missed = store.rows(
        "SELECT id, first_ns, views, sure FROM absences WHERE stay = ? AND first_ns > ? "
        "ORDER BY first_ns",
        stay.row,
        stay.last_ns,
    )
    if missed:
        stay.missed = sum(item["views"] for item in missed)
        stay.first_missed_ns = missed[0]["first_ns"]
        stay.absence = missed[-1]["id"]
        stay.sure_miss = any(item["sure"] for item in missed)
    return Instance(
        row["instance"],
        stay,
        row["born_ns"],
        row["views"],
        row["windows"],
        row["chances"],
        counts[row["instance"]],
        np.array([row[name] or 0.0 for name in SHAPES]),
        row["shaped"],
        labels.get(row["instance"], Counter()),
    )
