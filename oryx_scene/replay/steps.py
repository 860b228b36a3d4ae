"""A replay's folder as steps to look at, read one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oryx_scene.errors import SourceError
from oryx_scene.replay.journal import read_answers, read_manifest, read_scene
from oryx_scene.view.snapshot import Snapshot
from oryx_scene.view.step import Step, answer_step


class ReplayStory:
    """The answers of a replay in time order (a ``view.step.Story``).

    Args:
        folder: written by `oryx-scene replay --out`.

    Raises:
        SourceError: damaged, or without any answer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        records = sorted(read_answers(folder), key=lambda record: int(record["at_ns"]))
        self.records = [record for record in records if "answer" in record]
        self.errors = [record for record in records if "answer" not in record]
        if not records:
            raise SourceError(folder, "the replay has no answer yet.")
        self._last: tuple[str, Snapshot] | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Step:
        record = self.records[index]
        title = f"answer {index + 1} of {len(self.records)}, at {self.seconds(record):.2f} s"
        return answer_step(title, record["answer"], self._snapshot(record["scene"]))

    def seconds(self, record: dict[str, Any]) -> float:
        """Moment of a record, seconds after the first frame of the recording."""
        return (int(record["at_ns"]) - int(self.manifest["recording"]["first_ns"])) / 1e9

    def _snapshot(self, scene: str) -> Snapshot:
        if self._last is None or self._last[0] != scene:
            self._last = (scene, read_scene(self.folder, scene))
        return self._last[1]
