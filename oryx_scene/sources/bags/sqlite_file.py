"""SQLite databases of rosbag2: messages are rows, found again by their id.

Nothing is written beside a recording. What a killed recorder left in a write-ahead log is read
through SQLite's own recovery, with the log's index in memory and without a lock (a recording is
not written while it is read); a rollback journal is played back on a copy.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oryx_scene.errors import SourceError
from oryx_scene.sources.bags.data_file import Channel, DataFile, Place
from oryx_scene.warning import Warning

# By id, which is the order on disk: by time each row would be looked up on its own.
_ROWS = "select id, topic_id, timestamp, length(data) from messages where id > ? order by id"
_LOG_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_JOURNAL_MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"


class SqliteFile(DataFile):
    """One database of a rosbag2 recording.

    Raises:
        SourceError: it is no database of rosbag2, or damaged at its beginning.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        import apsw

        self._error = apsw.Error
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._blob: Any = None
        self._said: list[Warning] = []
        try:
            self._database: Any = self._connect(apsw)
            self._channels = self._read_channels()
        except apsw.Error as err:
            raise SourceError(
                path,
                f"the database cannot be read ({err}).",
                hint="what it still holds can be saved with `sqlite3 IN .recover | sqlite3 OUT`",
            ) from err

    def _connect(self, apsw: Any) -> Any:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        # Journals lie beside the file itself, not beside a link to it.
        file = self.path.resolve()
        log, journal = (Path(f"{file}-{word}") for word in ("wal", "journal"))
        if _begins(journal, _JOURNAL_MAGIC):
            self._say(journal, "was played back on a copy: the last transaction was not finished")
            self._copy = tempfile.TemporaryDirectory(prefix="oryx_scene_bag_")
            for item in (file, journal):
                shutil.copy(item, self._copy.name)
            return apsw.Connection(str(Path(self._copy.name) / file.name))
        name = file.as_posix().replace("%", "%25").replace("?", "%3f")
        name = name.replace("#", "%23")
        if not (log.exists() and log.stat().st_size):
            return apsw.Connection(f"file:{name}?immutable=1", flags=flags)
        self._say(log, "was read too: the recorder was killed before it closed the database")
        loss = _log_damage(log)
        if loss:
            self._said.append(Warning("recording_cut_off", loss, topic=log.name))
        database = apsw.Connection(f"file:{name}?mode=ro&vfs=unix-none", flags=flags)
        database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        # In this mode the index of the log is kept in memory, not in a file beside it.
        database.execute("pragma locking_mode=exclusive")
        return database

    def _say(self, file: Path, what: str) -> None:
        self._said.append(Warning("journal_read", what, topic=file.name))

    def _read_channels(self) -> dict[int, Channel]:
        tables = {row[0] for row in self._database.execute("select name from sqlite_master")}
        if not tables:
            raise SourceError(
                self.path, "the database is empty: it holds no tables.", hint="copy it again"
            )
        if not {"topics", "messages"} <= tables:
            raise SourceError(
                self.path,
                "an SQLite database, but not of a bag: it has no tables 'topics' and 'messages'.",
                hint="see docs/sources.md for what can be read",
            )
        definitions = {}
        if "message_definitions" in tables:
            columns = "topic_type, encoded_message_definition, encoding"
            rows = self._database.execute(f"select {columns} from message_definitions")
            definitions = {str(row[0]): (str(row[1]), str(row[2])) for row in rows}
        rows = self._database.execute("select id, name, type, serialization_format from topics")
        return {
            int(key): Channel(
                str(topic), str(msgtype), str(form or "cdr"), *definitions.get(msgtype, ("", ""))
            )
            for key, topic, msgtype, form in rows
        }

    def start_ns(self) -> int:
        """As :meth:`DataFile.start_ns`."""
        try:
            found = self._database.execute("select min(timestamp) from messages").fetchall()
        except self._error:
            return 2**63
        return int(found[0][0]) if found and found[0][0] is not None else 2**63

    def scan(self) -> Iterator[tuple[Channel, int, Place]]:
        """As :meth:`DataFile.scan`."""
        self.problems[:] = self._said
        last, end, said, count = -(2**63), self._last_id(), "", 0
        failed, step = -(2**63), 1
        while last < end:
            try:
                for key, topic, log_ns, size in self._database.execute(_ROWS, (last,)):
                    last = key
                    count += 1
                    channel = self._channels.get(topic)
                    if channel is not None:
                        yield channel, int(log_ns), (key, size or 0)
                break
            except self._error as err:
                # Rows behind a damaged page are found by their ids; ids may be damaged, too.
                said = said or f"rows after {max(last, 0)} cannot all be read ({err})"
                step = 1 if last > failed else 2 * step
                failed = last = max(last, 0) + step
        if said or count < self._rows_by_index():
            self.damaged(said or f"{count} rows were read, the database's index knows more")

    def _rows_by_index(self) -> int:
        """How many messages the index over time lists: a leaf of the table may be gone silently."""
        try:
            return int(self._database.execute("select count(*) from messages").fetchall()[0][0])
        except self._error:
            return 0

    def _last_id(self) -> int:
        try:
            return int(self._database.execute("select max(id) from messages").fetchall()[0][0] or 0)
        except self._error as err:
            self.damaged(f"no row can be read ({err})")
            return -(2**63)

    def read(self, place: Place, size: int | None = None) -> bytes:
        """As :meth:`DataFile.read`."""
        key, length = place
        try:
            if size is not None:
                return self._piece(key, 0, min(size, length))
            rows = self._database.execute("select data from messages where id = ?", (key,))
            data = rows.fetchall()[0][0]
        except (self._error, IndexError) as err:
            self._blob = None
            raise ValueError(f"row {key} of {self.path.name} cannot be read ({err})") from err
        if not isinstance(data, bytes):
            raise ValueError(f"row {key} of {self.path.name} holds no bytes")
        return data

    def tail(self, place: Place, size: int) -> bytes:
        """As :meth:`DataFile.tail`."""
        key, length = place
        wanted = min(size, length)
        try:
            return self._piece(key, length - wanted, wanted)
        except self._error as err:
            self._blob = None
            raise ValueError(f"row {key} of {self.path.name} cannot be read ({err})") from err

    def _piece(self, key: int, at: int, size: int) -> bytes:
        """Bytes of a row, without the pages that the rest of it fills."""
        if self._blob is None:
            self._blob = self._database.blob_open("main", "messages", "data", key, False)
        else:
            self._blob.reopen(key)
        self._blob.seek(at)
        return bytes(self._blob.read(size))

    def close(self) -> None:
        """As :meth:`DataFile.close`."""
        if self._blob is not None:
            self._blob.close()
        self._database.close()
        if self._copy is not None:
            self._copy.cleanup()


def _begins(file: Path, magic: bytes) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(magic)) == magic


def _log_damage(log: Path) -> str:
    """What a write-ahead log lost, "" if it is whole (https://sqlite.org/walformat.html).

    SQLite takes what was committed and leaves out the rest without a word.
    """
    with log.open("rb") as file:
        header = file.read(32)
        if header[:4] not in _LOG_MAGIC or len(header) < 32:
            return "it is no write-ahead log: what it held is lost"
        frame, salts = 24 + int.from_bytes(header[8:12], "big"), header[16:24]
        size, at, committed = log.stat().st_size, 32, True
        while at + 24 <= size:
            file.seek(at)
            head = file.read(24)
            if head[8:16] != salts:
                break  # left over from before the last checkpoint
            whole = at + frame <= size
            committed = whole and head[4:8] != b"\0\0\0\0"
            at += frame
    return "" if committed else "its last transaction is not finished: those messages are lost"
