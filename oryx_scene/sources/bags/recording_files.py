"""Which files belong to a recording: the data files of a folder, whatever metadata.yaml says.

What lies in the folder decides: a file that is listed and missing, or lies there unlisted, is
named; a broken metadata.yaml beside whole data is to blame itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePath

from oryx_scene.errors import SourceError
from oryx_scene.file_kind import FileKind, file_kind
from oryx_scene.warning import Warning

BAG_SUFFIXES = (".mcap", ".db3", ".bag", ".active")
METADATA = "metadata.yaml"
# Of a folder with several formats the commonest is read; of equally common ones the first here.
FORMATS = ("mcap", "sqlite3", "rosbag1")


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


@dataclass
class Parts:
    """The data files of a recording.

    Attributes:
        files: that belong to it, in no order; some may turn out to be of no use.
        metadata: what metadata.yaml says.
        warnings: what does not fit together.
        complete: no file is known to be missing.
    """

    files: list[Path]
    metadata: Metadata = field(default_factory=Metadata)
    warnings: list[Warning] = field(default_factory=list)
    complete: bool = True

    def say(self, code: str, what: str, name: str = "") -> None:
        """Remember a warning about a file."""
        self.warnings.append(Warning(code, what, topic=name))


def find_parts(path: Path) -> Parts:
    """The data files of a bag folder or file."""
    return _parts_of_folder(path) if path.is_dir() else _single_file(path)


def _single_file(path: Path) -> Parts:
    parts = Parts([path])
    beside = read_metadata(path.parent).files
    if path.name in beside and len(beside) > 1:
        what = f"one of the {len(beside)} files that metadata.yaml beside it lists"
        parts.say("part_of_recording", what, path.name)
    return parts


def _parts_of_folder(path: Path) -> Parts:
    present = {item.name: item for item in sorted(path.iterdir()) if _is_part(item)}
    parts = Parts(list(present.values()), read_metadata(path))
    _compare_with_list(parts, present)
    if parts.metadata.fault:
        _blame_metadata(parts, parts.metadata.fault)
    _find_orphans(parts, path)
    _keep_one_format(parts)
    return parts


def _compare_with_list(parts: Parts, present: dict[str, Path]) -> None:
    listed = parts.metadata.files
    # Some releases list a compressed file without its suffix.
    names = [name if name in present else f"{name}.zstd" for name in listed]
    missing = [old for old, name in zip(listed, names, strict=True) if name not in present]
    extra = [name for name in present if name not in names]
    parts.complete = not missing
    if missing and len(extra) < len(missing):
        parts.say("recording_file_missing", f"{METADATA} lists {', '.join(missing)}")
    elif missing:
        _blame_metadata(parts, f"it lists {', '.join(missing)}, which is not there")
    elif extra and (listed or parts.metadata.counts):
        _blame_metadata(parts, f"it does not list {', '.join(extra)}")


def _blame_metadata(parts: Parts, why: str) -> None:
    parts.say("metadata_wrong", f"{why}; the data files were read", METADATA)


def _find_orphans(parts: Parts, path: Path) -> None:
    """Journals whose database has another name now hold messages that nobody will read."""
    for item in sorted(path.iterdir()):
        database, dash, word = item.name.rpartition("-")
        if dash and word in ("wal", "journal") and item.is_file() and item.stat().st_size:
            if (path / database).exists() or part_kind(item).name != "sqlite3 journal":
                continue
            what = f"left out: the journal of '{database}', which is not there"
            parts.say("recording_file_left_out", what, item.name)


def _keep_one_format(parts: Parts) -> None:
    """Files of another format than most are a second copy, or something else."""
    kinds = [part_kind(file) for file in parts.files]
    formats = [kind.name.removeprefix("unfinished ") for kind in kinds]
    known = [name for name in formats if name in FORMATS]
    if not known or parts.metadata.compressed:
        return
    chosen = max(FORMATS, key=known.count)
    for file, kind, name in zip(parts.files, kinds, formats, strict=True):
        if name in FORMATS and name != chosen:
            what = f"left out: {kind.description}, the others are not"
            parts.say("recording_file_left_out", what, file.name)
    parts.files = [
        file
        for file, name in zip(parts.files, formats, strict=True)
        if name == chosen or name not in FORMATS
    ]


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


def part_kind(file: Path) -> FileKind:
    """The kind of a data file; an empty database may lie in its journal still."""
    kind = file_kind(file)
    log = Path(f"{file.resolve()}-wal")
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
