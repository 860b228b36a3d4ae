"""The output folder of a batch: one replay folder per recording, a manifest, one Parquet file each.

Only the process that runs the command writes here. Answers of a chunk are appended with one flush;
keys that are on disk are skipped, so nothing is there twice, whatever was stopped when.

    DIR/batch.json                     what was asked, the runs, what was broken or set aside
    DIR/recordings/<name>-<hash>/      plan.json, and a replay folder (replay.journal)
    DIR/parquet/<name>-<hash>.parquet  the same answers as a table (batch.table)
"""

from __future__ import annotations

import fcntl
import json
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from oryx_scene.atomic_io import write_json
from oryx_scene.batch.task import RecordingPlan, TaskResult, plan_from_plain
from oryx_scene.errors import OutputError
from oryx_scene.replay.journal import ANSWERS, Journal, read_manifest
from oryx_scene.replay.plan import digest

SCHEMA = "oryx_scene/batch/1"
MANIFEST, RECORDINGS, PARQUET, PLAN = "batch.json", "recordings", "parquet", "plan.json"
# Journals that are kept open: chunks of few recordings come back at the same time.
_MOST_OPEN = 64


def is_batch_folder(path: Path) -> bool:
    """Whether ``path`` was written by a batch."""
    return (path / MANIFEST).is_file() and (path / RECORDINGS).is_dir()


def read_batch(folder: Path) -> dict[str, Any]:
    """The manifest of a batch's folder.

    Raises:
        SourceError: missing, damaged, or of another version.
    """
    return read_manifest(folder, MANIFEST, SCHEMA)


def read_plans(folder: Path) -> Iterator[RecordingPlan]:
    """The plans of all recordings in a batch's folder; one that was torn is left out."""
    for file in sorted((folder / RECORDINGS).glob(f"*/{PLAN}")):
        try:
            yield plan_from_plain(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it is read anew from the recording


def content_key(plan: RecordingPlan, asked: dict[str, str], at_ns: int, question_id: str) -> str:
    """What an answer depends on: recording, moment, question, settings and model, as one hash."""
    settings = {name: asked[name] for name in asked if name not in ("recording", "moments")}
    return digest([plan.sha256, at_ns, question_id, settings])


class BatchFolder:
    """Writes a batch's folder; use as a context manager.

    Args:
        folder: made if missing; continued if it holds the same questions and settings.
        asked: name -> digest of what decides the answers beside recording and model.

    Raises:
        OutputError: another batch's folder, not writable, or in use by another process.
    """

    def __init__(self, folder: Path, asked: dict[str, str]) -> None:
        self.folder = folder
        self._journals: OrderedDict[str, Journal] = OrderedDict()
        self._lock = self._open()
        try:
            self.manifest = self._same(asked)
            self.save()
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> BatchFolder:
        return self

    def __exit__(self, *_: object) -> None:
        for journal in self._journals.values():
            journal.__exit__()
        self._lock.close()

    def _open(self) -> IO[bytes]:
        try:
            (self.folder / RECORDINGS).mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("ab")
        except OSError as err:
            raise OutputError(self.folder, err.strerror or str(err)) from err
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            lock.close()
            raise OutputError(
                self.folder, "another batch is writing here.", hint="wait, or choose another --out"
            ) from err
        return lock

    def _same(self, asked: dict[str, str]) -> dict[str, Any]:
        if not (self.folder / MANIFEST).exists():
            return {"schema": SCHEMA, "asked": asked, "runs": [], "broken": [], "set_aside": []}
        kept = read_batch(self.folder)
        self._refuse({**kept["asked"], "model": ""}, {**asked, "model": ""})
        return kept

    def _refuse(self, before: dict[str, str], now: dict[str, str]) -> None:
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if names:
            raise OutputError(
                self.folder,
                f"it holds another batch (different: {', '.join(names)}).",
                hint="choose another --out, or repeat the first command to go on with it",
            )

    def use_model(self, model: str) -> None:
        """Say which model answers; the first one is kept.

        Raises:
            OutputError: another one has answered before.
        """
        asked = self.manifest["asked"]
        if "model" not in asked:
            self.manifest["asked"] = {**asked, "model": model}
            self.save()
        elif asked["model"] != model:
            self._refuse(asked, {**asked, "model": model})

    def save(self) -> None:
        """Write the manifest."""
        write_json(self.folder / MANIFEST, self.manifest)

    def keep_plan(self, plan: RecordingPlan) -> None:
        """Remember a recording, so that its index and hash need not be made again."""
        write_json(self.replay_folder(plan) / PLAN, plan.to_plain())

    def replay_folder(self, plan: RecordingPlan) -> Path:
        """Where the answers about a recording are."""
        return self.folder / RECORDINGS / plan.folder

    def journal(self, plan: RecordingPlan) -> Journal:
        """The journal of a recording; the model must have been said.

        Raises:
            OutputError: its folder holds something else, or cannot be written.
        """
        if plan.folder not in self._journals:
            asked = {**plan.asked, "model": self.manifest["asked"]["model"]}
            manifest = {"asked": asked, "recording": plan.recording}
            self._journals[plan.folder] = Journal(self.replay_folder(plan), manifest)
        self._journals.move_to_end(plan.folder)
        while len(self._journals) > _MOST_OPEN:
            self._journals.popitem(last=False)[1].__exit__()
        return self._journals[plan.folder]

    def done(self, plan: RecordingPlan) -> tuple[set[str], int]:
        """Keys of the answers about a recording that are on disk, and how many are errors.

        Raises:
            SourceError: the folder is damaged.
            OutputError: it holds something else.
        """
        if not (self.replay_folder(plan) / ANSWERS).exists():
            return set(), 0
        # Of an answered recording the model is known, even if the manifest was lost since.
        if "model" not in self.manifest["asked"]:
            self.use_model(read_manifest(self.replay_folder(plan))["asked"]["model"])
        journal = self.journal(plan)
        return set(journal.done), journal.errors

    def write(self, plan: RecordingPlan, result: TaskResult) -> list[dict[str, Any]]:
        """Keep what a chunk gave; returns the records that were new.

        Raises:
            OutputError: the disk is full, or the answers are of another model.
        """
        self.use_model(result.model)
        journal = self.journal(plan)
        new = [record for record in result.records if record["key"] not in journal.done]
        for scene in {record["scene"] for record in new if "scene" in record}:
            journal.write_scene_bytes(scene, result.scenes[scene])
        asked = self.manifest["asked"]
        for record in new:
            record["recording"] = plan.recording["name"]
            record["content_key"] = content_key(plan, asked, record["at_ns"], record["question_id"])
        journal.append(*new)
        return new
