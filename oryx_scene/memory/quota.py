"""Keeping a memory within its bytes: pictures go first, then crops, then rows that can be spared.

Of the pictures those go first whose instances many kept pictures show, and of these the oldest.
Rows of instances and stays, and the last interval and absence of every stay, are never dropped:
where they alone fill the quota, writing ends with an error that says so.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Protocol

from oryx_scene.errors import MemoryStoreError

FOLDERS = ("pictures", "depth", "crops")
# (table, column) of all names of files; the size stands in column + "_bytes".
FILES = (("keyframes", "picture"), ("keyframes", "depth"), ("crops", "picture"))
# What one transaction may add to the database and its log, at least; a share of the quota.
LEAST_RESERVE, RESERVE_SHARE, MOST_RESERVE = 1_200_000, 0.02, 8_000_000
# So much more than is needed is freed at a time, as a share of the quota.
SPARE_SHARE = 0.01
BATCH = 64

# Kept pictures that show the least shown of a keyframe's instances; none shown: none is lost.
_BEST_COVERED = """
WITH shown AS (
    SELECT s.stay AS stay, count(*) AS n FROM sightings s JOIN keyframes k ON k.id = s.keyframe
    WHERE k.picture NOT NULL GROUP BY s.stay)
SELECT k.id AS id, k.picture AS picture, k.picture_bytes AS picture_bytes,
    k.depth AS depth, k.depth_bytes AS depth_bytes,
    coalesce((SELECT min(shown.n) FROM sightings s JOIN shown ON shown.stay = s.stay
              WHERE s.keyframe = k.id), 1000000000) AS cover
FROM keyframes k WHERE k.picture NOT NULL ORDER BY cover DESC, k.stamp_ns LIMIT ?
"""
# Rows that only say more exactly what others say too, the least useful first.
_SPARE_ROWS = (
    "DELETE FROM keyframes WHERE id IN (SELECT k.id FROM keyframes k WHERE k.picture IS NULL AND "
    "NOT EXISTS (SELECT 1 FROM sightings s WHERE s.keyframe = k.id) ORDER BY k.stamp_ns LIMIT ?)",
    "DELETE FROM sightings WHERE id IN (SELECT s.id FROM sightings s JOIN keyframes k ON "
    "k.id = s.keyframe WHERE k.picture IS NULL AND EXISTS (SELECT 1 FROM sightings o WHERE "
    "o.stay = s.stay AND o.id > s.id) ORDER BY s.id LIMIT ?)",
    "DELETE FROM path WHERE id IN (SELECT id FROM path WHERE id % 2 ORDER BY stamp_ns LIMIT ?)",
    "DELETE FROM answers WHERE id IN (SELECT id FROM answers ORDER BY asked_ns LIMIT ?)",
    "DELETE FROM absences WHERE id IN (SELECT a.id FROM absences a WHERE EXISTS (SELECT 1 FROM "
    "absences o WHERE o.stay = a.stay AND o.id > a.id) ORDER BY a.last_ns LIMIT ?)",
    "DELETE FROM intervals WHERE id IN (SELECT i.id FROM intervals i WHERE EXISTS (SELECT 1 FROM "
    "intervals o WHERE o.stay = i.stay AND o.id > i.id) ORDER BY i.last_ns LIMIT ?)",
)


class Quoted(Protocol):
    """What is needed of a store."""

    folder: Path
    quota_bytes: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""

    @property
    def database_bytes(self) -> int:
        """Bytes of the database and its log."""

    @property
    def changes(self) -> int:
        """Rows changed so far."""

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows that a statement gives."""

    def update(self, table: str, row: int, **values: Any) -> None:
        """Change a row."""

    def drop_file(self, name: str, size: int) -> None:
        """Remove a picture file."""

    def fold_log(self) -> None:
        """Put the log back into the database."""


def reserve(store: Quoted) -> int:
    """Bytes that are kept free for the rows of one transaction."""
    share = round(RESERVE_SHARE * store.quota_bytes)
    return min(max(LEAST_RESERVE, share), MOST_RESERVE)


def most_pages(store: Quoted) -> int:
    """Pages that the database may have: SQLite itself then refuses to grow over the quota."""
    (size,) = store.rows("PRAGMA page_size")[0]
    pictures = store.size_bytes - store.database_bytes
    return max(1, (store.quota_bytes - pictures - reserve(store) // 2) // int(size))


def picture_bytes(store: Quoted) -> list[int]:
    """Bytes of picture files by the columns of :data:`FILES`, from their rows."""
    return [
        int(store.rows(f"SELECT coalesce(sum({column}_bytes), 0) FROM {table}")[0][0])
        for table, column in FILES
    ]


def make_room(store: Quoted, needed: int) -> None:
    """Drop what can be spared until ``needed`` bytes fit; outside a transaction.

    Raises:
        MemoryStoreError: they do not fit.
    """
    if store.size_bytes + needed <= store.quota_bytes:
        return
    store.fold_log()
    drop_pictures(store, needed)
    goal = _goal(store, needed)
    while store.size_bytes > goal and _drop_rows(store):
        pass
    if store.size_bytes + needed > store.quota_bytes:
        raise MemoryStoreError(
            store.folder,
            f"its quota of {store.quota_bytes / 1e6:.1f} MB is used up by rows of instances.",
            hint="raise --quota: rows of instances are never dropped",
        )


def drop_pictures(store: Quoted, needed: int) -> None:
    """Drop pictures, then crops, until ``needed`` bytes fit or none is left."""
    if store.size_bytes + needed <= store.quota_bytes:
        return
    goal = _goal(store, needed)
    for drop in (_drop_keyframes, _drop_crops):
        while store.size_bytes > goal and drop(store, store.size_bytes - goal):
            pass


def _goal(store: Quoted, needed: int) -> int:
    return store.quota_bytes - needed - round(SPARE_SHARE * store.quota_bytes)


def _drop_keyframes(store: Quoted, excess: int) -> bool:
    """Drop pictures of up to a batch of keyframes; False where there was none."""
    found = store.rows(_BEST_COVERED, BATCH)
    for row in found:
        if excess <= 0:
            break
        # The row first: a file that no row names is removed when a writer opens the folder.
        store.update(
            "keyframes", row["id"], picture=None, picture_bytes=0, depth=None, depth_bytes=0
        )
        for column in ("picture", "depth"):
            if row[column]:
                store.drop_file(row[column], row[f"{column}_bytes"])
                excess -= row[f"{column}_bytes"]
    return bool(found)


def _drop_crops(store: Quoted, excess: int) -> bool:
    """Drop the oldest crops; False where there was none."""
    found = store.rows(
        "SELECT id, picture, picture_bytes FROM crops ORDER BY stamp_ns LIMIT ?", BATCH
    )
    for row in found:
        if excess <= 0:
            break
        store.rows("DELETE FROM crops WHERE id = ?", row["id"])
        store.drop_file(row["picture"], row["picture_bytes"])
        excess -= row["picture_bytes"]
    return bool(found)


def _drop_rows(store: Quoted) -> bool:
    """Delete a batch of the rows that can best be spared; False where there was none."""
    for sql in _SPARE_ROWS:
        before = store.changes
        store.rows("BEGIN IMMEDIATE")
        store.rows(sql, BATCH)
        store.rows("COMMIT")
        if store.changes > before:
            store.rows("PRAGMA incremental_vacuum")
            store.fold_log()
            return True
    return False
