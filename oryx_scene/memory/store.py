"""The folder of a memory: one SQLite database and picture files beside it, within a quota.

One writer and any number of readers, also of other processes. The writer's rows appear together
or not at all, a picture file is whole before a row names it, and what a writer that was killed left
half done is removed when the next one opens the folder.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oryx_scene.atomic_io import write_bytes
from oryx_scene.errors import MemoryStoreError
from oryx_scene.memory import quota, schema
from oryx_scene.memory.vacuum import overwrite_deleted

DATABASE = "memory.sqlite3"
LOCK = "writer.lock"
DEFAULT_QUOTA = 2_000_000_000
LEAST_QUOTA = 4_000_000
# A connection waits this long for another one's lock.
BUSY_S = 5.0
# The log of committed pages is put back into the database when it is larger than this.
LOG_BYTES = 256_000
FILES_PER_FOLDER = 1000


class MemoryStore:
    """An open memory; made by :func:`open_memory`. Use as a context manager.

    Attributes:
        folder: of the memory.
        quota_bytes: that all files together may take.
        missing: picture files that a row named but that were not there when the writer opened.
    """

    def __init__(
        self, folder: Path, connection: sqlite3.Connection, lock: sqlite3.Connection | None
    ) -> None:
        self.folder = folder
        self._connection, self._lock = connection, lock
        self.quota_bytes = int(self.setting("quota_bytes", str(DEFAULT_QUOTA)))
        self.missing = 0
        self._pictures = 0
        if lock is not None:
            # What a process that was killed had begun to forget.
            overwrite_deleted(self)
            with self.transaction():
                self.missing = _reconcile(self)
            self._pictures = sum(quota.picture_bytes(self))

    def __enter__(self) -> MemoryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder; a transaction that is open is undone."""
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows that a statement gives."""
        with self._named():
            return self._connection.execute(sql, values).fetchall()

    def insert(self, table: str, **values: Any) -> int:
        """Write a new row and return its id."""
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
        with self._named():
            return int(self._connection.execute(sql, tuple(values.values())).lastrowid or 0)

    def update(self, table: str, row: int, **values: Any) -> None:
        """Change a row."""
        sets = ", ".join(f"{name} = ?" for name in values)
        self.rows(f"UPDATE {table} SET {sets} WHERE id = ?", *values.values(), row)

    def setting(self, key: str, otherwise: str = "") -> str:
        """A setting kept in the memory."""
        found = self.rows("SELECT value FROM settings WHERE key = ?", key)
        return str(found[0][0]) if found else otherwise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All rows that are written inside appear together, or none where it raises.

        Room for them is made before, so that the quota holds after.
        """
        quota.make_room(self, quota.reserve(self))
        self.rows(f"PRAGMA max_page_count = {quota.most_pages(self)}")
        self.rows("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._pictures = sum(quota.picture_bytes(self))
            raise
        self.rows("COMMIT")
        if _size(self.folder / f"{DATABASE}-wal") > LOG_BYTES:
            self.fold_log()

    def fold_log(self) -> None:
        """Put the log of committed pages back into the database, as far as no reader needs it."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def size_bytes(self) -> int:
        """Bytes of all files of the memory now; for the writer."""
        return self._pictures + self.database_bytes

    @property
    def changes(self) -> int:
        """Rows changed since the memory was opened."""
        return self._connection.total_changes

    @property
    def database_bytes(self) -> int:
        """Bytes of the database, its log and the lock."""
        ends = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", LOCK, f"{LOCK}-journal")
        return sum(_size(self.folder / end) for end in ends)

    def put_file(self, kind: str, row: int, suffix: str, data: bytes) -> str | None:
        """Write a picture file; returns its name, or None where the quota has no room for it.

        Args:
            kind: "pictures", "depth" or "crops".
            row: number of the row that will name it.
        """
        quota.drop_pictures(self, len(data) + quota.reserve(self))
        if self.size_bytes + len(data) + quota.reserve(self) > self.quota_bytes:
            return None
        name = f"{kind}/{row // FILES_PER_FOLDER:05d}/{row:08d}{suffix}"
        write_bytes(self.folder / name, data)
        self._pictures += len(data)
        return name

    def drop_file(self, name: str, size: int) -> None:
        """Remove a picture file that no row names any more."""
        (self.folder / name).unlink(missing_ok=True)
        self._pictures -= size

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as err:
            raise _as_ours(self.folder, err) from err


def _as_ours(folder: Path, err: sqlite3.Error) -> MemoryStoreError:
    text = str(err)
    if "full" in text:
        hint = "raise --quota: rows of instances are never dropped"
    elif "locked" in text:
        hint = "another program holds the memory; try again"
    elif "malformed" in text or "not a database" in text:
        hint = "the database file is damaged: restore it from a copy"
    else:
        hint = "check the folder and the disk"
    return MemoryStoreError(folder, f"{text}.", hint=hint)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def open_memory(
    folder: str | Path, *, write: bool = False, quota_bytes: int | None = None
) -> MemoryStore:
    """Open a memory.

    Args:
        folder: made where it is missing and ``write`` is set.
        write: as its one writer; else for reading, beside a writer or without one.
        quota_bytes: bytes that all its files together may take; kept in the memory, and changed
            where a writer says another number. None keeps what was said (2 GB at first).

    Raises:
        MemoryStoreError: nothing there, another kind of file, a version from the future, damaged,
            another writer is at work, or a quota that is too small.
    """
    folder = Path(folder)
    if quota_bytes is not None and quota_bytes < LEAST_QUOTA:
        raise MemoryStoreError(
            folder, f"a quota of at least {LEAST_QUOTA / 1e6:.0f} MB is needed, got {quota_bytes}."
        )
    try:
        return _open_writer(folder, quota_bytes) if write else _open_reader(folder)
    except sqlite3.Error as err:
        raise _as_ours(folder, err) from err


def _open_writer(folder: Path, quota_bytes: int | None) -> MemoryStore:
    _check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise MemoryStoreError(folder, f"cannot be made: {err.strerror}.") from err
    lock = _lock(folder)
    try:
        connection = _connected(f"{(folder / DATABASE).resolve().as_uri()}?mode=rwc")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            schema.create(connection)
        schema.migrate(connection, str(folder))
        connection.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing that was committed; a lost mains supply may lose the last
        # transactions, and leaves those before them whole.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA foreign_keys = ON")
        if quota_bytes is not None:
            connection.execute(
                "INSERT OR REPLACE INTO settings VALUES ('quota_bytes', ?)", (str(quota_bytes),)
            )
        return MemoryStore(folder, connection, lock)
    except BaseException:
        lock.close()
        raise


def _check_folder(folder: Path) -> None:
    """Never writes into a folder that holds something else."""
    if folder.exists() and not folder.is_dir():
        raise MemoryStoreError(folder, "is a file; a folder is expected.")
    if folder.is_dir() and not (folder / DATABASE).exists():
        strange = [item.name for item in folder.iterdir() if item.name != LOCK]
        if strange:
            raise MemoryStoreError(
                folder,
                f"holds other files ('{min(strange)}') and no memory.",
                hint="choose a new folder",
            )


def _lock(folder: Path) -> sqlite3.Connection:
    """A lock that ends with the process, whatever ends it."""
    # Closed by whichever thread closes the memory.
    lock = sqlite3.connect(
        folder / LOCK, timeout=0.0, isolation_level=None, check_same_thread=False
    )
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as err:
        lock.close()
        raise MemoryStoreError(
            folder, "another program is writing it.", hint="one memory has one writer"
        ) from err
    return lock


def _open_reader(folder: Path) -> MemoryStore:
    path = folder / DATABASE
    if not path.is_file():
        raise MemoryStoreError(
            folder,
            "there is no memory here.",
            hint="make one with `oryx-scene remember SOURCE --into DIR`",
        )
    uri = path.resolve().as_uri()
    try:
        connection = _connected(f"{uri}?mode=ro")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # On a medium that cannot be written the log's index cannot be made.
        if _size(folder / f"{DATABASE}-wal"):
            raise
        connection = _connected(f"{uri}?mode=ro&immutable=1")
    version = schema.version_of(connection, str(folder))
    if version < schema.VERSION:
        raise MemoryStoreError(
            folder,
            f"has the older version {version}.",
            hint="bring it up to date with `oryx-scene remember --into DIR`",
        )
    return MemoryStore(folder, connection, None)


def _connected(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    return connection


def _reconcile(store: MemoryStore) -> int:
    """Remove files that no row names, and names whose files are missing; returns how many."""
    missing = 0
    named: set[str] = set()
    for table, column in quota.FILES:
        for row, name in store.rows(f"SELECT id, {column} FROM {table} WHERE {column} NOT NULL"):
            if (store.folder / name).is_file():
                named.add(name)
                continue
            missing += 1
            if table == "crops":
                store.rows("DELETE FROM crops WHERE id = ?", row)
            else:
                store.update(table, row, **{column: None, f"{column}_bytes": 0})
    for kind in quota.FOLDERS:
        for path in (store.folder / kind).glob("*/*"):
            if path.relative_to(store.folder).as_posix() not in named:
                path.unlink()
    return missing
