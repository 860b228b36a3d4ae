"""The folder of a memory: one SQLite database and picture files beside it, within a quota.

One writer and any number of readers, also of other processes. The writer's rows appear together
or not at all, a picture file is whole before a row names it, and what a writer that was killed left
half done is removed when the next one opens the folder.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oryx_scene.errors import MemoryStoreError
from oryx_scene.files import write_bytes
from oryx_scene.memory import schema

DATABASE = "memory.sqlite3"
LOCK = "writer.lock"
FOLDERS = ("pictures", "depth", "crops")
DEFAULT_QUOTA = 2_000_000_000
LEAST_QUOTA = 2_000_000
# A reader or a second connection waits this long for the other one.
BUSY_S = 5.0
PICTURES_PER_FOLDER = 1000


class MemoryStore:
    """An open memory; made by :func:`open_memory`. Use as a context manager.

    Attributes:
        folder: of the memory.
        writable: whether this is the writer.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: sqlite3.Connection | None):
        self.folder = folder
        self.connection = connection
        self._lock = lock
        self._begun_s = 0.0

    @property
    def writable(self) -> bool:
        """Whether this is the writer."""
        return self._lock is not None

    def __enter__(self) -> MemoryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is open and let go of the folder."""
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
        self.connection.close()
        if self._lock is not None:
            self._lock.close()

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a question in SQL."""
        return self.connection.execute(sql, values).fetchall()

    def picture(self, name: str) -> Path:
        """Path of a picture file by the name in its row."""
        return self.folder / name


def open_memory(folder: str | Path, *, write: bool = False, quota_bytes: int | None = None) -> MemoryStore:
    """Open a memory.

    Args:
        folder: made where it is missing and ``write`` is set.
        write: as its one writer; else for reading, beside a writer or without one.
        quota_bytes: bytes that all its files together may take; kept in the memory, and changed
            where a writer says another number. None keeps what was said (2 GB at first).

    Raises:
        MemoryStoreError: nothing there, another kind of file, a version from the future, damaged,
            or another writer is at work.
    """
    raise NotImplementedError
