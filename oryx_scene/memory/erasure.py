"""Forgetting: what a region, a span of time or everything left in a memory goes from its files.

Rows are deleted, pictures removed, and the database is written anew, so that no byte of them stays
in free pages, in the log, or in the index of words. What was measured together with what stays
(the look and surface of a thing that was seen at other times, too) cannot be told apart: it is
kept, which a warning says. Where it is not known whether a picture shows the region it is
forgotten.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sqlite3
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from oryx_scene.errors import ConfigError, MemoryStoreError
from oryx_scene.geometry.camera import normalised_rays, scaled_to
from oryx_scene.memory.keyframes import DEPTH_UNIT_M, intrinsics_of
from oryx_scene.memory.quota import FILES
from oryx_scene.memory.vacuum import UNDER_WAY, Erasable, overwrite_deleted
from oryx_scene.records import FloatArray, Vector3
from oryx_scene.warning import Warning

# Depth and poses err: a surface this far outside a region may be of it.
MARGIN_M = 0.1
# Every so many pixels of a picture without depth a ray is tried.
RAY_STEP_PX = 4


@dataclass(frozen=True)
class Scope:
    """What is to be forgotten; all that is left out is not limited, so ``Scope()`` is everything.

    Attributes:
        low, high: (x, y, z) corners of a region in the coordinate frame of ``map_row``, metres.
        since_ns, until_ns: span of capture stamps, both ends included.
        map_row: the region's map; None is that of the newest session.
    """

    low: Vector3 | None = None
    high: Vector3 | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    map_row: int | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ConfigError("a region has two corners.", hint="give low and high")
        if self.low is not None and self.high is not None:
            corners = np.array([self.low, self.high], dtype=np.float64)
            if not np.isfinite(corners).all() or (corners[0] >= corners[1]).any():
                raise ConfigError(
                    f"the region from {self.low} to {self.high} holds nothing.",
                    hint="low must lie below high along x, y and z",
                )
        if None not in (self.since_ns, self.until_ns) and self.begin_ns > self.end_ns:
            raise ConfigError("the span ends before it begins.", hint="until lies after since")

    @property
    def begin_ns(self) -> int:
        """First stamp of the span."""
        return -(2**62) if self.since_ns is None else self.since_ns

    @property
    def end_ns(self) -> int:
        """Last stamp of the span."""
        return 2**62 if self.until_ns is None else self.until_ns

    @property
    def box(self) -> FloatArray | None:
        """(2, 3) corners, None without a region."""
        return None if self.low is None else np.array([self.low, self.high], dtype=np.float64)

    @property
    def timed(self) -> bool:
        """Whether it is limited to a span of time."""
        return self.since_ns is not None or self.until_ns is not None


@dataclass(frozen=True)
class Forgotten:
    """How much went, or would go.

    Attributes:
        instances, stays: things and places of things of which nothing is left.
        keyframes: kept views, with their pictures and depth.
        crops, path, answers: rows of these tables.
        freed_bytes: of all files together; 0 of a dry run.
        warnings: what was kept because it cannot be told apart.
    """

    instances: int = 0
    stays: int = 0
    keyframes: int = 0
    crops: int = 0
    path: int = 0
    answers: int = 0
    freed_bytes: int = 0
    warnings: tuple[Warning, ...] = ()


def forget(store: Erasable, scope: Scope, *, dry_run: bool = False) -> Forgotten:
    """Delete what lies in ``scope``, rows and files, and leave no byte of it in the database.

    The database is written anew, for which its log takes as many bytes as it has for a moment. A
    process that is killed meanwhile leaves all or nothing forgotten; what bytes are left are
    overwritten when the next writer opens the memory.

    Args:
        store: open for writing, no transaction open, no :class:`Recorder` at work: what a recorder
            knows of the forgotten it would write again.
        scope: a region, a span of time, both together, or everything.
        dry_run: only count.

    Raises:
        MemoryStoreError: the disk is full, or a reader still holds the old rows; what is forgotten
            is in no answer any more, and its bytes are overwritten later.
    """
    before = store.size_bytes
    store.rows("PRAGMA secure_delete = ON")
    store.rows("BEGIN IMMEDIATE")
    try:
        work = _Erasure(store, scope)
        found = work.run()
        if not dry_run:
            store.rows("INSERT OR REPLACE INTO settings VALUES (?, '1')", UNDER_WAY)
    except BaseException:
        store.rows("ROLLBACK")
        raise
    store.rows("ROLLBACK" if dry_run else "COMMIT")
    if dry_run:
        return found
    for name, size in work.files:
        store.drop_file(name, size)
    if not overwrite_deleted(store):
        raise MemoryStoreError(
            store.folder,
            "what was forgotten is deleted, but a reader holds its bytes in the log.",
            hint="close the reader and forget again, or open the memory for writing",
        )
    return dataclasses.replace(found, freed_bytes=max(0, before - store.size_bytes))


class _Erasure:
    """The rows of one scope, within a transaction.

    Attributes:
        files: (name, bytes) of the pictures whose rows are deleted.
    """

    def __init__(self, store: Erasable, scope: Scope) -> None:
        self._store, self._scope = store, scope
        self.files: list[tuple[str, int]] = []
        self._map = scope.map_row
        if self._map is None and scope.box is not None:
            newest = store.rows("SELECT map FROM sessions ORDER BY done_ns DESC LIMIT 1")
            self._map = newest[0]["map"] if newest else -1

    def run(self) -> Forgotten:
        """Delete; returns the counts."""
        self._store.rows("PRAGMA defer_foreign_keys = ON")
        if self._scope == Scope():
            return self._everything()
        touched = self._cut_stays()
        keyframes = self._keyframes()
        crops = self._crops(touched)
        stays, instances = self._empty_stays(touched)
        path, answers = self._path(), self._answers(touched)
        self._walls()
        self._sessions()
        kept = self._kept(touched)
        return Forgotten(
            instances, stays, len(keyframes), crops, path, answers, warnings=self._warnings(kept)
        )

    def _everything(self) -> Forgotten:
        names = ("instances", "stays", "keyframes", "crops", "path", "answers")
        things, stays, keyframes, crops, path, answers = (
            self._ids(f"SELECT count(*) FROM {name}")[0] for name in names
        )
        # A thing that turned out to be another one is no second thing.
        things -= self._ids("SELECT count(*) FROM instances WHERE same_as NOT NULL")[0]
        for table, column in FILES:
            self.files += [
                (row[0], row[1])
                for row in self._store.rows(
                    f"SELECT {column}, {column}_bytes FROM {table} WHERE {column} NOT NULL"
                )
            ]
        others = ("labels", "places", "intervals", "absences", "sightings", "walls")
        for name in (*names, *others, "sessions", "maps"):
            self._store.rows(f"DELETE FROM {name}")
        return Forgotten(things, stays, keyframes, crops, path, answers)

    def _delete(self, table: str, rows: list[int], column: str = "id") -> int:
        before = self._store.changes
        for row in rows:
            self._store.rows(f"DELETE FROM {table} WHERE {column} = ?", row)
        return self._store.changes - before

    def _ids(self, sql: str, *values: Any) -> list[int]:
        return [int(row[0]) for row in self._store.rows(sql, *values)]

    # Things.

    def _cut_stays(self) -> dict[int, int]:
        """Cut the span out of what is known of every stay of the region; stay -> instance."""
        touched: dict[int, int] = {}
        for stay, instance in self._stays():
            if not self._scope.timed:
                touched[stay] = instance
            for table in ("intervals", "absences"):
                for row in self._store.rows(
                    f"SELECT * FROM {table} WHERE stay = ? AND last_ns >= ? AND first_ns <= ?",
                    stay,
                    self._scope.begin_ns,
                    self._scope.end_ns,
                ):
                    touched[stay] = instance
                    self._cut(table, row)
        return touched

    def _stays(self) -> list[tuple[int, int]]:
        box = self._scope.box
        if box is None:
            return [(row[0], row[1]) for row in self._store.rows("SELECT id, instance FROM stays")]
        return [
            (row["id"], row["instance"])
            for row in self._store.rows(
                "SELECT s.* FROM stays s JOIN instances i ON i.id = s.instance WHERE i.map = ?",
                self._map,
            )
            if _overlap(row, box)
        ]

    def _cut(self, table: str, row: sqlite3.Row) -> None:
        """Leave of a span of views what lies before and after the scope, from stamp to stamp."""
        scope, columns = self._scope, dict(row)
        del columns["id"]
        known = [
            found[0]
            for found in self._store.rows(
                "SELECT k.stamp_ns FROM sightings s JOIN keyframes k ON k.id = s.keyframe "
                "WHERE s.stay = ? AND k.session = ? AND k.stamp_ns BETWEEN ? AND ?",
                *(row["stay"], row["session"], row["first_ns"], row["last_ns"]),
            )
            if table == "intervals"
        ]
        stamps = sorted({*known, row["first_ns"], row["last_ns"]})
        self._delete(table, [row["id"]])
        for part in (
            [stamp for stamp in stamps if stamp < scope.begin_ns],
            [stamp for stamp in stamps if stamp > scope.end_ns],
        ):
            if part:
                # Of so many views at least is known that they lie in it.
                columns |= {"first_ns": part[0], "last_ns": part[-1], "views": len(part)}
                self._store.insert(table, **columns)

    def _empty_stays(self, touched: dict[int, int]) -> tuple[int, int]:
        """Delete stays without any view left, and instances without any stay; how many."""
        bare = [
            stay
            for stay in touched
            if not self._ids("SELECT count(*) FROM intervals WHERE stay = ?", stay)[0]
        ]
        for table in ("absences", "sightings", "places"):
            self._delete(table, bare, "stay")
        stays = self._delete("stays", bare)
        for stay in touched:
            self._store.rows(
                "UPDATE stays SET first_ns = (SELECT min(first_ns) FROM intervals WHERE stay = ?), "
                "last_ns = (SELECT max(last_ns) FROM intervals WHERE stay = ?) WHERE id = ?",
                *(stay, stay, stay),
            )
        gone = 0
        for instance in set(touched.values()):
            first, last = self._store.rows(
                "SELECT min(first_ns), max(last_ns) FROM stays WHERE instance = ?", instance
            )[0]
            if first is None:
                self._drop_instance(instance)
                gone += 1
            else:
                self._store.update("instances", instance, first_ns=first, last_ns=last)
        return stays, gone

    def _drop_instance(self, row: int) -> None:
        """Delete an instance, and the rows of what turned out to be it."""
        for alias in self._ids("SELECT id FROM instances WHERE same_as = ?", row):
            self._drop_instance(alias)
        self._delete("labels", [row], "instance")
        self._delete("instances", [row])

    # Pictures.

    def _keyframes(self) -> list[int]:
        """Delete the kept views of the span that show the region, or may."""
        box, gone = self._scope.box, []
        for row in self._store.rows(
            "SELECT k.*, s.map FROM keyframes k JOIN sessions s ON s.id = k.session "
            "WHERE k.stamp_ns BETWEEN ? AND ?",
            self._scope.begin_ns,
            self._scope.end_ns,
        ):
            if box is None or (row["map"] == self._map and _shows(self._store, row, box)):
                gone.append(row["id"])
                self.files += [
                    (row[column], row[f"{column}_bytes"])
                    for column in ("picture", "depth")
                    if row[column]
                ]
        self._delete("sightings", gone, "keyframe")
        self._delete("keyframes", gone)
        return gone

    def _crops(self, touched: dict[int, int]) -> int:
        """Delete pictures of single things; how many.

        Behind a thing anything may show: a crop stays only where the view that it is of is kept.
        """
        box, gone = self._scope.box, []
        for row in self._store.rows(
            "SELECT c.*, i.map FROM crops c JOIN stays s ON s.id = c.stay "
            "JOIN instances i ON i.id = s.instance WHERE c.stamp_ns BETWEEN ? AND ?",
            self._scope.begin_ns,
            self._scope.end_ns,
        ):
            if box is not None and row["stay"] not in touched:
                views = "SELECT count(*) FROM keyframes WHERE camera = ? AND stamp_ns = ?"
                if row["map"] != self._map or self._ids(views, row["camera"], row["stamp_ns"])[0]:
                    continue
            gone.append(row["id"])
            self.files.append((row["picture"], row["picture_bytes"]))
        return self._delete("crops", gone)

    # All the rest.

    def _path(self) -> int:
        box = self._scope.box
        rows = self._store.rows(
            "SELECT p.*, s.map FROM path p JOIN sessions s ON s.id = p.session "
            "WHERE p.stamp_ns BETWEEN ? AND ?",
            self._scope.begin_ns,
            self._scope.end_ns,
        )
        if box is not None:
            # The floor of a region is where it was driven, whatever height it begins at.
            (x0, y0, _), (x1, y1, _) = box.tolist()
            rows = [
                row
                for row in rows
                if row["map"] == self._map and x0 <= row["x"] <= x1 and y0 <= row["y"] <= y1
            ]
        return self._delete("path", [row["id"] for row in rows])

    def _answers(self, touched: dict[int, int]) -> int:
        """Delete answers about what was touched, and those given in the span."""
        things = set(touched.values())
        gone = []
        for row in self._store.rows("SELECT id, asked_ns, evidence FROM answers"):
            about = set(json.loads(row["evidence"]).get("instances", ())) & things
            timely = self._scope.begin_ns <= row["asked_ns"] <= self._scope.end_ns
            if about or (timely and self._scope.box is None):
                gone.append(row["id"])
        self._delete("answers", gone)
        return len(gone)

    def _walls(self) -> None:
        box = self._scope.box
        if box is not None and not self._scope.timed:
            low, high = box.tolist()
            self._store.rows(
                "DELETE FROM walls WHERE map = ? AND x BETWEEN ? AND ? AND y BETWEEN ? AND ? "
                "AND z BETWEEN ? AND ?",
                *(self._map, low[0], high[0], low[1], high[1], low[2], high[2]),
            )

    def _sessions(self) -> None:
        """Delete sessions of which the span leaves nothing, and maps without sessions."""
        if self._scope.box is not None:
            return
        for row in self._ids(
            "SELECT id FROM sessions WHERE coalesce(first_ns, ?1) >= ?1 "
            "AND coalesce(done_ns, ?2) <= ?2",
            self._scope.begin_ns,
            self._scope.end_ns,
        ):
            tables = ("intervals", "absences", "keyframes", "path")
            counts = [f"(SELECT count(*) FROM {table} WHERE session = ?1)" for table in tables]
            if not self._ids(f"SELECT {' + '.join(counts)}", row)[0]:
                self._delete("sessions", [row])
        empty = "SELECT id FROM maps WHERE id NOT IN (SELECT map FROM sessions)"
        for row in self._ids(empty):
            if not self._ids("SELECT count(*) FROM instances WHERE map = ?", row)[0]:
                self._delete("walls", [row], "map")
                self._delete("maps", [row])

    def _kept(self, touched: dict[int, int]) -> list[str]:
        """What was measured within the scope and outside of it, in words."""
        said = []
        things = [
            row
            for row in set(touched.values())
            if self._ids("SELECT count(*) FROM instances WHERE id = ?", row)[0]
        ]
        if things:
            text = "things that were seen at other times or places, too"
            said.append(f"what {len(things)} {text}, look like and measure")
        walls = self._ids("SELECT count(*) FROM walls")[0] if self._scope.timed else 0
        if walls:
            said.append(f"{walls} points of walls, which have no stamp")
        return said

    def _warnings(self, kept: list[str]) -> tuple[Warning, ...]:
        text = f"kept: {'; '.join(kept)}"
        return (Warning("memory_kept_together", text),) if kept else ()


def _overlap(stay: sqlite3.Row, box: FloatArray) -> bool:
    """Whether the box of a stay and a region share anything."""
    centre = np.array([stay["x"], stay["y"], stay["z"]])
    half = np.array([stay["size_x"], stay["size_y"], stay["size_z"]]) / 2.0
    return bool((centre + half >= box[0]).all() and (centre - half <= box[1]).all())


def _shows(store: Erasable, keyframe: sqlite3.Row, box: FloatArray) -> bool:
    """Whether a kept view shows a surface of a region; True where that is not known."""
    if not keyframe["intrinsics"]:
        return True
    depth = _depth(store, keyframe)
    rays = _rays(keyframe["intrinsics"], None if depth is None else depth.shape)
    measured = np.zeros(len(rays)) if depth is None else depth.ravel()
    T = np.frombuffer(keyframe["pose"], "<f8").reshape(4, 4)
    near, far = _crossing(T, rays, box + np.array([[-MARGIN_M], [MARGIN_M]]))
    crosses = far >= np.maximum(near, 0.0)
    inside = (measured <= 0.0) | ((measured >= near) & (measured <= far))
    # A ray that the lens model does not give may go anywhere.
    return bool((crosses & inside).any() or np.isnan(rays).any())


def _crossing(T: FloatArray, rays: FloatArray, box: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n,) depths between which rays (n, 2) at z = 1 are within a box (2, 3); near > far: never.

    Slabs, as by Kay and Kajiya (1986), "Ray tracing complex scenes".
    """
    ahead = np.hstack([rays, np.ones((len(rays), 1))]) @ T[:3, :3].T
    ahead = np.where(ahead == 0.0, 1e-12, ahead)
    ends = (box[:, None, :] - T[:3, 3]) / ahead
    return ends.min(axis=0).max(axis=1), ends.max(axis=0).min(axis=1)


@functools.lru_cache(maxsize=8)
def _rays(text: str, shape: tuple[int, int] | None) -> FloatArray:
    """(n, 2) rays at z = 1 of a picture's pixels; without the shape of a depth image, of some."""
    intrinsics = intrinsics_of(text)
    assert intrinsics is not None
    step = RAY_STEP_PX if shape is None else 1
    height, width = shape or (intrinsics.height, intrinsics.width)
    v, u = np.mgrid[0:height:step, 0:width:step]
    uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64)
    return normalised_rays(scaled_to(intrinsics, height, width), uv)


def _depth(store: Erasable, keyframe: sqlite3.Row) -> FloatArray | None:
    """(h, w) metres, 0 unknown; None where none is kept."""
    if not keyframe["depth"]:
        return None
    steps = cv2.imread(str(store.folder / keyframe["depth"]), cv2.IMREAD_UNCHANGED)
    return None if steps is None else steps.astype(np.float64) * DEPTH_UNIT_M
