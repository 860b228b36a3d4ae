"""Writing a database anew, so that what was deleted leaves no byte in it or in its log."""

from __future__ import annotations

from typing import Any, Protocol

from oryx_scene.memory.quota import Quoted

# Set together with the deletion of rows, until no byte of them is left.
UNDER_WAY = "erasure_under_way"


class Erasable(Quoted, Protocol):
    """What is needed of a store that is open for writing."""

    def insert(self, table: str, **values: Any) -> int:
        """Write a new row."""

    def setting(self, key: str, otherwise: str = "") -> str:
        """A setting kept in the memory."""


def overwrite_deleted(store: Erasable) -> bool:
    """Overwrite what an erasure deleted, where that is still to be done.

    Returns:
        False where a reader of another moment holds the old log; it is done when the memory is next
        opened for writing.

    Raises:
        MemoryStoreError: the disk is full.
    """
    if not store.setting(UNDER_WAY):
        return True
    store.rows("PRAGMA secure_delete = ON")
    # The quota's bound on pages is one of transactions.
    store.rows("PRAGMA max_page_count = 4294967294")
    _renew_indices(store)
    store.rows("VACUUM")
    if store.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
        return False
    store.rows("DELETE FROM settings WHERE key = ?", UNDER_WAY)
    return True


def _renew_indices(store: Erasable) -> None:
    """Nodes of the R*Tree and of the index of words keep bytes of entries that were deleted."""
    store.rows("BEGIN IMMEDIATE")
    try:
        (sql,) = store.rows("SELECT sql FROM sqlite_master WHERE name = 'places'")[0]
        kept = store.rows("SELECT * FROM places")
        store.rows("DROP TABLE places")
        store.rows(sql)
        for row in kept:
            store.rows("INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
        store.rows("INSERT INTO answer_words (answer_words) VALUES ('rebuild')")
    except BaseException:
        store.rows("ROLLBACK")
        raise
    store.rows("COMMIT")
