"""A recording: the files that belong to it, in the order of time, and all of their messages.

What lies in the folder decides, not what metadata.yaml says of it: a file that is listed and
missing, or lies there unlisted, is named; a broken metadata.yaml beside whole data is to blame
itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from oryx_scene.bags.compression import decompress_file, message_bytes
from oryx_scene.bags.data_file import Channel, DataFile, Place
from oryx_scene.bags.mcap_file import McapFile
from oryx_scene.bags.message_types import MessageTypes
from oryx_scene.bags.rosbag1_file import Rosbag1File
from oryx_scene.bags.sqlite_file import SqliteFile
from oryx_scene.errors import SourceError
from oryx_scene.file_kind import ZSTD_MAGIC, FileKind, file_kind, refusal
from oryx_scene.warning import Warning

BAG_SUFFIXES = (".mcap", ".db3", ".bag", ".active")
METADATA = "metadata.yaml"
_READERS: dict[str, type[DataFile]] = {
    "mcap": McapFile,
    "sqlite3": SqliteFile,
    "rosbag1": Rosbag1File,
    "unfinished rosbag1": Rosbag1File,
}


@dataclass
class Metadata:
    """What metadata.yaml says; nothing where there is none or it is broken.

    Attributes:
        files: names of the data files.
        counts: (topic, message type) -> messages.
        compressed: the data files are compressed as a whole.
        fault: why it is of no use, "" if it is.
    """

    files: tuple[str, ...] = ()
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    compressed: bool = False
    fault: str = ""


class Message(NamedTuple):
    """One message: ``place`` (number of the file, place in it) finds its bytes again."""

    channel: Channel
    log_ns: int
    place: tuple[int, Place]

    @property
    def size(self) -> int:
        """Bytes as they lie in the file."""
        return self.place[1][-1]


def is_recording(path: Path) -> bool:
    """Whether a path is a bag file, or a folder that holds one."""
    try:
        if path.is_file():
            return _is_part(path)
        metadata = path / METADATA
        if metadata.is_file() and b"rosbag2" in metadata.read_bytes()[:4096]:
            return True
        return any(_is_part(item) for item in path.iterdir())
    except OSError:
        return False


def _role(path: Path) -> str:
    try:
        return file_kind(path).role
    except SourceError:
        return ""


def _is_part(item: Path) -> bool:
    """Whether a file of a folder is, or should be, a data file of a recording."""
    if not item.is_file() or item.name.startswith("."):
        return False
    stem = item.name.removesuffix(".zstd")
    return stem.endswith(BAG_SUFFIXES) or _role(item) == "bag"


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
        self.warnings: list[Warning] = []
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._types = MessageTypes()
        self._files: list[DataFile] = []
        self.metadata = read_metadata(path) if path.is_dir() else Metadata()
        self._complete = True
        try:
            parts = self._parts_of_folder() if path.is_dir() else self._single_file()
            self._open(parts)
        except BaseException:
            self.close()
            raise

    # -- files ---------------------------------------------------------------------------------

    def _single_file(self) -> list[Path]:
        beside = read_metadata(self.path.parent)
        if self.path.name in beside.files and len(beside.files) > 1:
            what = f"one of the {len(beside.files)} files that metadata.yaml beside it lists"
            self._say("part_of_recording", what, self.path)
        return [self.path]

    def _say(self, code: str, what: str, file: Path | None = None) -> None:
        self.warnings.append(Warning(code, what, topic=file.name if file else ""))

    def _parts_of_folder(self) -> list[Path]:
        """The data files of a folder; what does not fit together is said."""
        present = {item.name: item for item in sorted(self.path.iterdir()) if _is_part(item)}
        listed = self.metadata.files
        if not listed:
            return self._one_kind(list(present.values()))
        # Some releases list a compressed file without its suffix.
        names = [name if name in present else f"{name}.zstd" for name in listed]
        missing = [old for old, name in zip(listed, names, strict=True) if name not in present]
        extra = [item for name, item in present.items() if name not in names]
        chosen = [present[name] for name in names if name in present]
        self._complete = not missing
        if missing and len(extra) < len(missing):
            self._say("recording_file_missing", f"{METADATA} lists {', '.join(missing)}")
        elif missing:
            self._blame_metadata(f"it lists {', '.join(missing)}, which is not there")
        elif extra:
            self._blame_metadata(f"it does not list {', '.join(item.name for item in extra)}")
        return self._one_kind([*chosen, *extra])

    def _blame_metadata(self, why: str) -> None:
        self._say("metadata_wrong", f"{why}; the data files were read", self.path / METADATA)

    def _one_kind(self, files: list[Path]) -> list[Path]:
        """Files of the commonest format; those of another are a second copy, or something else."""
        if self.metadata.fault:
            self._blame_metadata(self.metadata.fault)
        kinds = [_part_kind(file).name.removeprefix("unfinished ") for file in files]
        formats = [kind for kind in kinds if kind in _READERS]
        if not formats or self.metadata.compressed:
            return files
        chosen = max(("mcap", "sqlite3", "rosbag1"), key=formats.count)
        for file, kind in zip(files, kinds, strict=True):
            if kind in _READERS and kind != chosen:
                what = f"left out: {_part_kind(file).description}, the others are not"
                self._say("recording_file_left_out", what, file)
        return [
            file
            for file, kind in zip(files, kinds, strict=True)
            if kind == chosen or kind not in _READERS
        ]

    def _open(self, parts: list[Path]) -> None:
        refused: list[SourceError] = []
        for part in parts:
            try:
                self._files.append(self._open_one(part))
            except SourceError as err:
                refused.append(err)
        if not self._files:
            raise self._nothing(parts, refused)
        self._complete = self._complete and not refused
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
            self._say("metadata_missing", f"all data files were read in the order of time: {names}")

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
        kind = _part_kind(part)
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
            return self.metadata.counts if self._complete else {}
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


def _part_kind(file: Path) -> FileKind:
    kind = file_kind(file)
    log = file.with_name(f"{file.name}-wal")
    if kind.name == "empty" and log.is_file() and log.stat().st_size:
        # All of it is in the journal still.
        return FileKind("sqlite3", "bag", "an SQLite database")
    return kind


def read_metadata(folder: Path) -> Metadata:
    """What a folder's metadata.yaml says; its ``fault`` where that is not to be understood."""
    import yaml

    file = folder / METADATA
    if not file.is_file():
        return Metadata()
    try:
        described = yaml.safe_load(file.read_text(encoding="utf-8"))
        described = described["rosbag2_bagfile_information"]
        names = tuple(PurePath(str(name)).name for name in described["relative_file_paths"])
    except (OSError, ValueError, yaml.YAMLError) as err:
        return Metadata(fault=f"it cannot be read ({' '.join(str(err).split())[:80]})")
    except (KeyError, TypeError):
        return Metadata(fault="it is empty or cut off")
    storage = described.get("storage_identifier")
    fault = "" if storage in ("mcap", "sqlite3") else f"its storage is '{storage or ''}'"
    counts: dict[tuple[str, str], int] = {}
    try:
        for item in described.get("topics_with_message_count") or []:
            about = item["topic_metadata"]
            name = (str(about["name"]), str(about["type"]))
            counts[name] = counts.get(name, 0) + int(item["message_count"])
    except (KeyError, TypeError, ValueError):
        counts, fault = {}, "its list of topics is damaged"
    compressed = str(described.get("compression_mode") or "").lower() == "file"
    return Metadata(names, counts, compressed, fault)
