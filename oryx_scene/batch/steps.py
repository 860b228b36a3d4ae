"""The answers of a batch as steps to look at: one recording after the other, read one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from oryx_scene.batch.folder import RECORDINGS, read_batch, read_plans
from oryx_scene.batch.task import RecordingPlan
from oryx_scene.errors import SourceError
from oryx_scene.replay.answer_index import AnswerIndex, RecordPlace
from oryx_scene.replay.journal import ANSWERS, read_scene
from oryx_scene.view.step import Step, answer_step

_Place = tuple[int, RecordPlace]


class BatchStory:
    """A ``view.report.ReportStory`` over the recordings of a batch.

    Moments count on from recording to recording, so that a report's timeline shows them in a row.

    Args:
        folder: written by `oryx-scene batch --out`.
        most: answers at most, chosen evenly; 0 for all.

    Raises:
        SourceError: damaged, or without any answer.
    """

    def __init__(self, folder: Path, most: int = 0) -> None:
        batch = read_batch(folder)
        self._folder = folder
        plans = list(read_plans(folder))
        answered = [plan for plan in plans if (self._replay(plan) / ANSWERS).exists()]
        self._plans = sorted(answered, key=lambda plan: plan.folder)
        self._indexes = [AnswerIndex(self._replay(plan)) for plan in self._plans]
        places = [(n, place) for n, index in enumerate(self._indexes) for place in index.places]
        if not places:
            raise SourceError(folder, "the batch has no answer yet.")
        whole = [item for item in places if not item[1].failed]
        self.total = len(whole)
        self._places = _evenly(whole, most)
        self.records = _Records(self, self._places)
        failed = [item for item in places if item[1].failed]
        self.errors = list(_Records(self, _evenly(failed, most)))
        self._starts = self._row()
        self.manifest = self._about(batch)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Step:
        number, _ = self._places[index]
        plan, record = self._plans[number], self.records[index]
        at_s = (int(record["at_ns"]) - int(plan.recording["first_ns"])) / 1e9
        name = plan.recording["name"]
        title = f"{name}: answer {index + 1} of {len(self)}, at {at_s:.2f} s"
        snapshot = read_scene(self._replay(plan), record["scene"])
        return answer_step(title, record["answer"], snapshot)

    def read(self, item: _Place) -> dict[str, Any]:
        """The record at a place; its number in ``batch_recording``."""
        number, place = item
        return {**self._indexes[number].read(place), "batch_recording": number}

    def seconds(self, record: dict[str, Any]) -> float:
        """Seconds of a record after the first frame of the first recording in the row."""
        number = int(record["batch_recording"])
        first_ns = int(self._plans[number].recording["first_ns"])
        return float(self._starts[number]) + (int(record["at_ns"]) - first_ns) / 1e9

    def _replay(self, plan: RecordingPlan) -> Path:
        return self._folder / RECORDINGS / plan.folder

    def _row(self) -> list[float]:
        starts, end = [], 0.0
        for plan in self._plans:
            starts.append(end)
            end += _length_s(plan)
        return starts

    def _about(self, batch: dict[str, Any]) -> dict[str, Any]:
        recordings = [plan.recording for plan in self._plans]
        shown = f", {len(self)} of {self.total} answers" if len(self) < self.total else ""
        length_s = sum(_length_s(plan) for plan in self._plans)
        return {
            "recording": {
                "name": f"{len(recordings)} recordings{shown}",
                "first_ns": 0,
                "last_ns": round(length_s * 1e9),
                "frames": sum(item["frames"] for item in recordings),
                "cameras": sorted({name for item in recordings for name in item["cameras"]}),
                "synthetic": all(item["synthetic"] for item in recordings),
            },
            "asked": batch["asked"],
        }


class _Records(Sequence[dict[str, Any]]):
    """Records that are read when they are asked for."""

    def __init__(self, story: BatchStory, places: list[_Place]) -> None:
        self._story = story
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._story.read(item) for item in self._places[index]]
        return self._story.read(self._places[index])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._story.read(item) for item in self._places)


def _length_s(plan: RecordingPlan) -> float:
    return (int(plan.recording["last_ns"]) - int(plan.recording["first_ns"])) / 1e9


def _evenly(places: list[_Place], most: int) -> list[_Place]:
    if not most or len(places) <= most:
        return places
    return [places[round(n * (len(places) - 1) / max(1, most - 1))] for n in range(most)]
