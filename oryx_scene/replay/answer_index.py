"""Where each record of a replay lies in its file: any number of answers in little memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oryx_scene.errors import SourceError
from oryx_scene.replay.journal import ANSWERS


@dataclass(frozen=True)
class RecordPlace:
    """One record of ``answers.jsonl``.

    Attributes:
        at_ns, question_id: moment and question.
        failed: it holds an error.
        offset, length: bytes of its line.
    """

    at_ns: int
    question_id: str
    failed: bool
    offset: int
    length: int


class AnswerIndex:
    """All records of a replay's folder in time order, read one at a time.

    Args:
        folder: of a replay.

    Raises:
        SourceError: no such file, or damaged before its last line.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ANSWERS
        try:
            places = list(self._scan())
        except OSError as err:
            raise SourceError(self._path, err.strerror or str(err)) from err
        self.places = sorted(places, key=lambda place: (place.at_ns, place.question_id))

    def _scan(self) -> Iterator[RecordPlace]:
        offset = 0
        with self._path.open("rb") as file:
            for line in file:
                place = _place(line, offset)
                if place is None:
                    if file.read(1):
                        raise SourceError(self._path, f"line at byte {offset} is damaged.")
                    return  # the last line: torn by an interruption
                yield place
                offset += len(line)

    def read(self, place: RecordPlace) -> dict[str, Any]:
        """The record that lies there.

        Raises:
            SourceError: the file has changed since.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(place.offset)
                record: dict[str, Any] = json.loads(file.read(place.length))
        except (OSError, ValueError) as err:
            raise SourceError(self._path, f"cannot be read any more ({err}).") from err
        return record


def _place(line: bytes, offset: int) -> RecordPlace | None:
    """The place of a whole line; None of a torn or damaged one."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
        return RecordPlace(
            int(record["at_ns"]),
            str(record["question_id"]),
            "error" in record,
            offset,
            len(line),
        )
    except (ValueError, KeyError, TypeError):
        return None
