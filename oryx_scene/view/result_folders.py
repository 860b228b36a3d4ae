"""Folders that `oryx-scene marks --out` and `oryx-scene ask --out` left, as steps to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oryx_scene.errors import SourceError
from oryx_scene.records import Mark
from oryx_scene.view.captions import Caption, warning_lines
from oryx_scene.view.snapshot_file import load_snapshot
from oryx_scene.view.step import Step, answer_step, read_mark, read_relation

SNAPSHOT, MARKS, ANSWERS = "scene.npz", "marks.json", "answers.json"


def is_kept_folder(path: Path) -> bool:
    """Whether a command's ``--out`` wrote ``path``."""
    return (path / SNAPSHOT).is_file() and (path / MARKS).is_file()


class KeptStory:
    """One step per answer of the folder; one without words where nothing was asked.

    Args:
        folder: of ``--out``.

    Raises:
        SourceError: a file is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._snapshot = load_snapshot(folder / SNAPSHOT)
        asked = (folder / ANSWERS).exists()
        self._answers: list[dict[str, Any]] = _read(folder / ANSWERS) if asked else []
        if not isinstance(self._answers, list):
            raise SourceError(folder / ANSWERS, "a list of answers was expected.")

    def __len__(self) -> int:
        return max(1, len(self._answers))

    def __getitem__(self, index: int) -> Step:
        if not self._answers:
            return _marks_step(self._folder, _read(self._folder / MARKS), self._snapshot)
        title = f"answer {index + 1} of {len(self._answers)}"
        return answer_step(title, self._answers[index], self._snapshot)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise SourceError(path, f"no readable JSON ({err}).") from err


def _marks_step(folder: Path, described: Any, snapshot: Any) -> Step:
    try:
        ages = ", ".join(f"{view['camera']} {view['age_s']:.2f} s" for view in described["views"])
        return Step(
            title=f"marks of {folder.name}",
            snapshot=snapshot,
            marks=marks_of_views(described),
            relations=tuple(read_relation(item) for item in described["relations"]),
            caption=Caption(
                details=(f"evidence ages: {ages}",), warnings=warning_lines(described["warnings"])
            ),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise SourceError(
            folder / MARKS, f"not of the documented form ({type(err).__name__}: {err})."
        ) from err


def marks_of_views(described: dict[str, Any]) -> tuple[Mark, ...]:
    """Marks from the JSON of `oryx-scene marks`, which lists them per view."""
    found: dict[int, dict[str, Any]] = {}
    for view, listed in enumerate(described["views"]):
        for item in listed["marks"]:
            mark = found.setdefault(
                item["number"], {**item, "frame_id": described["frame_id"], "observations": []}
            )
            mark["observations"].append({**item, "view": view})
    return tuple(read_mark(found[number]) for number in sorted(found))
