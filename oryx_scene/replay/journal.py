"""The folder of a replay: a manifest, one JSON line per answer, one snapshot per scene.

A line is on disk before the next question is asked, and a torn last line is cut off, so that a
replay that was stopped at any moment goes on without losing or repeating an answer. Two processes
cannot write one folder.

    DIR/replay.json          what was asked of what, with which model
    DIR/answers.jsonl        {"key", "at_ns", "question_id", "scene", "answer" or "error"} a line
    DIR/scenes/<scene>.npz   what the scene looked like
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from oryx_scene.atomic_io import write_bytes, write_json
from oryx_scene.errors import OutputError, SourceError
from oryx_scene.view.snapshot import Snapshot
from oryx_scene.view.snapshot_file import load_snapshot, snapshot_bytes

SCHEMA = "oryx_scene/replay/1"
MANIFEST, ANSWERS, SCENES = "replay.json", "answers.jsonl", "scenes"


def is_replay_folder(path: Path) -> bool:
    """Whether ``path`` was written by a replay."""
    return (path / MANIFEST).is_file() and (path / ANSWERS).is_file()


def answer_key(at_ns: int, question_id: str) -> str:
    """What makes an answer one that has been given already."""
    return f"{at_ns}/{question_id}"


def read_manifest(folder: Path, name: str = MANIFEST, schema: str = SCHEMA) -> dict[str, Any]:
    """The manifest of a replay's folder, or of another kind of folder by its file and version.

    Raises:
        SourceError: missing, damaged, or of another version.
    """
    try:
        manifest = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise SourceError(folder, f"no readable {name} ({err}).") from err
    if not isinstance(manifest, dict) or manifest.get("schema") != schema:
        raise SourceError(folder, f"{name} is not of version {schema}.")
    return manifest


def record_line(record: dict[str, Any]) -> bytes:
    """A record as its line of JSON."""
    text = json.dumps(record, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8") + b"\n"


def _whole_lines(data: bytes, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(offset behind the line, record) of each line; stops before a torn last one."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        try:
            record = json.loads(data[start:end])
            record["key"]
        except (ValueError, KeyError, TypeError) as err:
            if data.find(b"\n", end + 1) < 0:
                return  # the last line: torn by the interruption
            raise SourceError(
                path,
                f"line at byte {start} is damaged.",
                hint="choose another --out; this folder was changed by something else",
            ) from err
        start = end + 1
        yield start, record


def read_answers(folder: Path) -> list[dict[str, Any]]:
    """All records of a replay's folder, in the order in which they were written.

    Raises:
        SourceError: no such file, or damaged before its last line.
    """
    path = folder / ANSWERS
    try:
        data = path.read_bytes()
    except OSError as err:
        raise SourceError(path, err.strerror or str(err)) from err
    return [record for _, record in _whole_lines(data, path)]


def read_scene(folder: Path, scene: str) -> Snapshot:
    """The snapshot of one scene.

    Raises:
        SourceError: missing or damaged.
    """
    return load_snapshot(folder / SCENES / f"{scene}.npz")


class Journal:
    """Writes a replay's folder; use as a context manager.

    ``done`` holds the keys of all records on disk, ``errors`` counts those that are errors.

    Args:
        folder: made if missing; continued if it holds the same replay.
        manifest: plain values; those under "asked" decide whether a replay is the same.

    Raises:
        OutputError: another replay's folder, not writable, or in use by another process.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self._file = self._open()
        try:
            self._lock()
            before = self._check_same(manifest)
            self.done: set[str] = set()
            self.errors = 0
            self._repair()
            self.manifest = {"schema": SCHEMA, **manifest}
            if "summary" in before:
                self.manifest["summary"] = before["summary"]
            write_json(folder / MANIFEST, self.manifest)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _open(self) -> IO[bytes]:
        try:
            (self.folder / SCENES).mkdir(parents=True, exist_ok=True)
            return (self.folder / ANSWERS).open("a+b")
        except OSError as err:
            raise OutputError(self.folder, err.strerror or str(err)) from err

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise OutputError(
                self.folder, "another replay is writing here.", hint="wait, or choose another --out"
            ) from err

    def _check_same(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The manifest that is there, {} in a new folder."""
        if not (self.folder / MANIFEST).exists():
            return {}
        kept = read_manifest(self.folder)
        before, asked = kept.get("asked", {}), manifest["asked"]
        differing = sorted(
            name for name in {*before, *asked} if before.get(name) != asked.get(name)
        )
        if differing:
            raise OutputError(
                self.folder,
                f"it holds another replay (different: {', '.join(differing)}).",
                hint="choose another --out, or repeat the first command to go on with it",
            )
        return kept

    def _repair(self) -> None:
        self._file.seek(0)
        whole = 0
        for end, record in _whole_lines(self._file.read(), self.folder / ANSWERS):
            self._count(record)
            whole = end
        self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)

    def _count(self, record: dict[str, Any]) -> None:
        self.done.add(record["key"])
        self.errors += "error" in record

    def write_scene(self, scene: str, snapshot: Snapshot) -> None:
        """Keep what a scene looked like; must come before its answers."""
        self.write_scene_bytes(scene, snapshot_bytes(snapshot))

    def write_scene_bytes(self, scene: str, data: bytes) -> None:
        """The same, from the bytes of a snapshot's file."""
        write_bytes(self.folder / SCENES / f"{scene}.npz", data)

    def append(self, *records: dict[str, Any]) -> None:
        """Write records; they are on disk when this returns.

        Raises:
            OutputError: the disk is full or the folder is gone.
        """
        try:
            self._file.write(b"".join(record_line(record) for record in records))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as err:
            full = err.errno in (errno.ENOSPC, errno.EDQUOT)
            hint = "free some space and repeat the command: it goes on here" if full else ""
            raise OutputError(self.folder, err.strerror or str(err), hint=hint) from err
        for record in records:
            self._count(record)

    def finish(self, summary: dict[str, Any]) -> None:
        """Add the figures of the finished run to the manifest."""
        self.manifest = {**self.manifest, "summary": summary}
        write_json(self.folder / MANIFEST, self.manifest)
