"""A recording: all messages of the files that belong to it, in the order of time.

One file that cannot be read is named, and the others are read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from oryx_scene.errors import SourceError
from oryx_scene.file_kind import ZSTD_MAGIC, file_kind, refusal
from oryx_scene.sources.bags.compression import decompress_file, message_bytes
from oryx_scene.sources.bags.data_file import Channel, DataFile, Place
from oryx_scene.sources.bags.mcap_file import McapFile
from oryx_scene.sources.bags.message_types import MessageTypes
from oryx_scene.sources.bags.recording_files import METADATA, find_parts, part_kind
from oryx_scene.sources.bags.rosbag1_file import Rosbag1File
from oryx_scene.sources.bags.sqlite_file import SqliteFile
from oryx_scene.warning import Warning

_READERS: dict[str, type[DataFile]] = {
    "mcap": McapFile,
    "sqlite3": SqliteFile,
    "rosbag1": Rosbag1File,
    "unfinished rosbag1": Rosbag1File,
}


class Message(NamedTuple):
    """One message: ``place`` (number of the file, place in it) finds its bytes again."""

    channel: Channel
    log_ns: int
    place: tuple[int, Place]

    @property
    def size(self) -> int:
        """Bytes as they lie in the file."""
        return self.place[1][-1]


class Recording:
    """All messages of a bag folder or file.

    Args:
        path: what the user gave.

    Attributes:
        warnings: what is wrong with the files; complete after a scan.
        counts: (topic, message type) -> messages, as stated by the files, else by metadata.yaml.

    Raises:
        SourceError: no bag, or no file of it can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = find_parts(path)
        self.warnings = self._parts.warnings
        self.metadata = self._parts.metadata
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._types = MessageTypes()
        self._files: list[DataFile] = []
        try:
            self._open(self._parts.files)
        except BaseException:
            self.close()
            raise

    # -- files ---------------------------------------------------------------------------------

    def _open(self, parts: list[Path]) -> None:
        refused: list[SourceError] = []
        for part in parts:
            try:
                self._files.append(self._open_one(part))
            except SourceError as err:
                refused.append(err)
        if not self._files:
            raise self._nothing(parts, refused)
        self._parts.complete = self._parts.complete and not refused
        for error in refused:
            name = Path(error.source).name
            text = error.message.removeprefix(f"{error.source}: ")
            self.warnings.append(
                Warning("recording_file_unreadable", text, topic=name, advice=error.hint)
            )
        self._files.sort(key=lambda file: file.start_ns())
        # ROS 1 never had such a file; one data file is whole without it.
        several = len(parts) > 1 and not isinstance(self._files[0], Rosbag1File)
        if several and self.path.is_dir() and not (self.path / METADATA).exists():
            names = ", ".join(file.path.name for file in self._files)
            what = f"all data files were read in the order of time: {names}"
            self._parts.say("metadata_missing", what)

    def _nothing(self, parts: list[Path], refused: list[SourceError]) -> SourceError:
        if len(refused) == 1 or (refused and not self.path.is_dir()):
            return refused[0]
        if refused:
            first = refused[0]
            what = f"none of its {len(parts)} data files can be read: {first.message}"
            return SourceError(self.path, what, hint=first.hint)
        if self.metadata.fault or self.metadata.files:
            why = self.metadata.fault or f"it lists {', '.join(self.metadata.files)}"
            what = f"there is a {METADATA} ({why}), but no data file."
            return SourceError(self.path, what, hint="copy the data files (.mcap, .db3) too")
        return SourceError(self.path, "there is no bag in it.", hint="check the path")

    def _open_one(self, part: Path) -> DataFile:
        kind = part_kind(part)
        try:
            if kind.name == "zstd" and self.metadata.compressed:
                part = self._decompressed(part)
                kind = file_kind(part)
            reader = _READERS.get(kind.name)
            if reader is None:
                raise refusal(part, kind)
            return reader(part)
        except (OSError, ValueError) as err:
            raise SourceError(part, f"cannot be read: {err}.", hint="copy it again") from err

    def _decompressed(self, part: Path) -> Path:
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="oryx_scene_bag_")
        target = Path(self._scratch.name) / part.name.removesuffix(".zstd")
        decompress_file(part, target)
        return target

    # -- messages ------------------------------------------------------------------------------

    def scan(self) -> Iterator[Message]:
        """All messages, file after file; damage is said in :attr:`warnings` at the end."""
        for number, file in enumerate(self._files):
            for channel, log_ns, place in file.scan():
                yield Message(channel, log_ns, (number, place))
            self.warnings += file.problems

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """Messages per (topic, type) as stated; nothing where a part is known to be missing."""
        stated = [file.counts for file in self._files]
        if any(counts is None for counts in stated):
            return self.metadata.counts if self._parts.complete else {}
        total: dict[tuple[str, str], int] = {}
        for counts in stated:
            for name, number in (counts or {}).items():
                total[name] = total.get(name, 0) + number
        return total

    def read(self, place: tuple[int, Place], size: int | None = None) -> bytes:
        """The bytes of a message, or its first ``size`` (at least) where that is cheaper.

        Raises:
            ValueError, OSError: they cannot be read.
        """
        number, where = place
        found = self._files[number].read(where, size)
        if found.startswith(ZSTD_MAGIC):
            return message_bytes(self._files[number].read(where))
        return found

    def tail(self, place: tuple[int, Place], size: int) -> bytes:
        """The last bytes of a message as they lie in the file, maybe compressed.

        Raises:
            ValueError, OSError: they cannot be read.
        """
        number, where = place
        return self._files[number].tail(where, size)

    def messages(self, wanted: Callable[[Channel], bool]) -> Iterator[tuple[Channel, int, bytes]]:
        """Messages of the wanted channels in the order of recording; damaged ones are left out."""
        found = [item for item in self.scan() if wanted(item.channel)]
        for channel, log_ns, place in sorted(found, key=lambda item: item.log_ns):
            try:
                yield channel, log_ns, self.read(place)
            except (ValueError, OSError) as err:
                text = f"a message was left out: {err}"
                self.warnings.append(Warning("message_damaged", text, topic=channel.topic))

    def deserialize(self, data: bytes, channel: Channel) -> Any:
        """The message of serialised ``data``.

        Raises:
            ValueError: damaged, or of an unknown type.
        """
        return self._types.deserialize(data, channel)

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()
        self._files.clear()
        if self._scratch is not None:
            self._scratch.cleanup()
