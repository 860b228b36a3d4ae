"""Finds the recordings that a user names, fetches those that lie elsewhere, tells them apart.

A recording is named by a path, a folder of recordings, a glob, a text file of such lines, or a URL
of any file system that fsspec knows. Its identity is the content of its files, not its name.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from oryx_scene.errors import MissingExtraError, SourceError
from oryx_scene.sources import pictures
from oryx_scene.sources.bags import source
from oryx_scene.sources.bags.recording_files import BAG_SUFFIXES, METADATA
from oryx_scene.sources.registry import KINDS

LIST_SUFFIXES = (".txt", ".list")
_MAGIC = frozenset("*?[")
_BLOCK = 2**20


def is_url(location: str) -> bool:
    """Whether a location is on a file system that fsspec opens."""
    return "://" in location


def location_name(location: str) -> str:
    """What people call the recording."""
    return location.rstrip("/").rpartition("/")[2] or location


def find_recordings(words: Sequence[str]) -> list[str]:
    """Every recording that ``words`` mean, each once, in the order given.

    Of a folder: with metadata.yaml, or of a layout of posed frames, it is one recording; else every
    bag file, video and recording below it is one; else a folder of pictures is one.

    Raises:
        SourceError: a word that means no recording at all.
        MissingExtraError: a URL, and fsspec is not installed.
    """
    found: dict[str, None] = {}
    for word in words:
        here = list(_of_word(word))
        if not here:
            raise SourceError(
                word, "no recording there.", hint="see docs/fleet.md for what can be named"
            )
        found |= dict.fromkeys(here)
    return list(found)


def _of_word(word: str) -> Iterator[str]:
    if is_url(word):
        yield from _of_url(word)
        return
    path = Path(word)
    if path.is_file() and path.suffix in LIST_SUFFIXES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield from _of_word(line.strip())
    elif path.is_dir():
        below = [str(item.resolve()) for item in _below(path)]
        # What cannot be told from outside is a recording until opening it says otherwise.
        yield from below or ([str(path.resolve())] if any(path.iterdir()) else [])
    elif path.exists():
        yield str(path.resolve())
    elif _MAGIC & set(word):
        for match in sorted(glob.glob(word, recursive=True)):  # noqa: PTH207  absolute too
            yield from _of_word(match)
    else:
        raise SourceError(word, "no such file or folder.", hint="check the path")


def _below(folder: Path) -> Iterator[Path]:
    """Recordings in a folder, itself included."""
    posed = (kind for kind in KINDS if kind not in (source.KIND, pictures.KIND))
    if (folder / METADATA).is_file() or any(kind.recognises(folder) for kind in posed):
        yield folder
        return
    inside = []
    for item in sorted(folder.iterdir()):
        if item.name.startswith("."):
            continue
        if item.is_dir():
            inside += [found for found in _below(item) if not pictures.KIND.recognises(found)]
        elif any(kind.recognises(item) for kind in KINDS if kind is not pictures.KIND):
            inside.append(item)
    if inside:
        yield from inside
    elif pictures.KIND.recognises(folder):
        yield folder
    else:
        for item in sorted(folder.iterdir()):
            if item.is_dir() and not item.name.startswith("."):
                yield from _below(item)


# -- other file systems ----------------------------------------------------------------------------


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it.

    Raises:
        MissingExtraError: fsspec, or what it needs for this kind of URL, is not installed.
        SourceError: no such kind.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as err:
        raise MissingExtraError(
            "fsspec", "batch", needed_for=f"reading {url}", cause=str(err)
        ) from err
    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as err:
        raise SourceError(
            url, f"fsspec cannot open it ({err}).", hint="e.g. pip install s3fs"
        ) from err
    return system, str(path)


def _of_url(url: str) -> Iterator[str]:
    system, path = _file_system(url)
    try:
        paths = sorted(system.glob(path)) if _MAGIC & set(path) else [path]
        for item in paths:
            yield from (system.unstrip_protocol(found) for found in _below_url(system, str(item)))
    except OSError as err:
        raise SourceError(
            url, f"cannot be listed ({err}).", hint="check the URL and its access"
        ) from err


def _below_url(system: Any, path: str) -> list[str]:
    if system.isfile(path):
        return [path]
    files = sorted(system.find(path))
    if not files:
        return []
    folders = {item.rpartition("/")[0] for item in files if item.endswith(f"/{METADATA}")}
    bags = [
        item
        for item in files
        if item.endswith(BAG_SUFFIXES) and item.rpartition("/")[0] not in folders
    ]
    return sorted([*folders, *bags]) or [path]


def fetch(url: str, folder: Path) -> Path:
    """Copy a recording to a local folder; returns its path there.

    Raises:
        SourceError: it cannot be read.
    """
    system, path = _file_system(url)
    target = folder / location_name(path)
    try:
        system.get(path, str(target), recursive=system.isdir(path))
    except OSError as err:
        raise SourceError(
            url, f"cannot be fetched ({err}).", hint="check the URL and its access"
        ) from err
    return target


# -- identity --------------------------------------------------------------------------------------


def fingerprint(location: str) -> str:
    """Changes when a recording's files do: names, sizes and times, nothing read.

    Raises:
        SourceError: it cannot be looked at.
    """
    try:
        if is_url(location):
            system, path = _file_system(location)
            names = sorted(system.find(path)) if system.isdir(path) else [path]
            known = [(name, system.ukey(name)) for name in names]
        else:
            known = [
                (name, f"{file.stat().st_size} {file.stat().st_mtime_ns}")
                for name, file in _files(Path(location))
            ]
    except OSError as err:
        raise SourceError(location, f"cannot be read ({err}).") from err
    return hashlib.sha256(json.dumps(known).encode("utf-8")).hexdigest()


def content_sha256(path: Path) -> str:
    """Hash of all that a recording holds: of a file's bytes; of a folder's names and bytes.

    Raises:
        SourceError: a file cannot be read.
    """
    whole = hashlib.sha256()
    try:
        for name, file in _files(path):
            digest = hashlib.sha256()
            with file.open("rb") as data:
                while block := data.read(_BLOCK):
                    digest.update(block)
            if not path.is_dir():
                return digest.hexdigest()
            whole.update(f"{name}\0{digest.hexdigest()}\n".encode())
    except OSError as err:
        raise SourceError(path, f"cannot be read ({err}).") from err
    return whole.hexdigest()


def _files(path: Path) -> list[tuple[str, Path]]:
    """(name within the recording, file) in a fixed order."""
    if not path.is_dir():
        return [("", path)]
    files = (item for item in path.rglob("*") if item.is_file())
    return sorted((item.relative_to(path).as_posix(), item) for item in files)
