"""Questions that the memory answers: which they are, and their answers in words. No rclpy here.

Place, time and "ago" are those of rows of the memory; the model is not asked.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from oryx_scene.memory.where import WhereAnswer, where_to_dict
from oryx_scene.records import Question, SceneAnswer
from oryx_scene.warning import Warning
from oryx_scene_ros.intake.memory_writer import MemoryWriter
from oryx_scene_ros.queries.requests import Request

# "Where did you last see ...", "when have you seen ...", "is the ... still there?", "where was ...
# last seen?". What is now is asked of the cameras: "where is the red box?".
_KINDS = (
    r"(where|when) (did|have|had) (you|we|i|the robot) (\w+ )?(last )?(see|seen|notice|noticed)\b",
    r"(where|when) (was|were|is|are|has|have) .*\blast( been)? (seen|noticed)\b",
    r"(is|are) .*\bstill (there|here|where|in|on|at|around|present)\b",
    r"have you (ever|recently|lately|already) seen\b",
)
_MEMORY = re.compile("|".join(f"(?:{kind})" for kind in _KINDS), re.IGNORECASE)
# What an answer names as its model where none was asked.
MODEL = "memory"
_PLACE = "{:.2f}, {:.2f}, {:.2f}"


@dataclass(frozen=True)
class Recalled:
    """An answer of the memory, and the same in words."""

    answer: WhereAnswer
    text: str

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """Those of the answer, and the note that the model was not asked."""
        rows = ", ".join(f"{row.table} {row.row}" for row in self.answer.evidence)
        text = f"rows of the memory: {rows or 'none fits'}; the model was not asked"
        return (Warning("answered_from_memory", text), *self.answer.warnings)

    def record(self, question: Question) -> SceneAnswer:
        """The same as the answer to a question in words; its JSON is ``oryx_scene/where/1``."""
        return SceneAnswer(
            question,
            self.text,
            confidence=self.answer.confidence,
            json=json.dumps(where_to_dict(self.answer)),
            frame_id=self.answer.frame_id,
            provenance={"model": MODEL},
            warnings=self.warnings,
        )


def asks_memory(request: Request) -> bool:
    """Whether a question is one that the memory answers; those about a frozen scene are not."""
    free = request.question.format == "text" and not request.scene_id
    return free and _MEMORY.search(" ".join(request.question.text.split())) is not None


def recall(memory: MemoryWriter, text: str, at_ns: int) -> Recalled:
    """Ask the memory.

    Raises:
        QuestionError, MemoryStoreError: no text, or the memory cannot be read.
    """
    answer = memory.where(text, at_ns)
    return Recalled(answer, in_words(answer))


def in_words(answer: WhereAnswer) -> str:
    """One or two sentences; every number is one of the answer."""
    names = [item.described for item in answer.candidates]
    if answer.status == "never":
        return "Nothing that fits was ever seen."
    if answer.status == "unsure":
        unknown = (answer.understood or {}).get("unknown", ())
        why = f" The memory does not know the words: {', '.join(unknown)}." if unknown else ""
        return f"Not sure.{why}"
    if answer.status == "several":
        return f"Several things fit: {'; '.join(map(_last, answer.candidates))}."
    assert answer.position is not None and answer.ago_s is not None
    said = f"The {names[0]} was last seen {ago(answer.ago_s)} ago at ({_at(answer.position)}) m "
    said += f"in '{answer.frame_id}'."
    if answer.status == "seen":
        return f"{said} Its place was not seen empty since."
    assert answer.first_missed_ns is not None
    missed_s = (answer.asked_ns - answer.first_missed_ns) / 1e9
    return f"{said} It is gone: its place was seen empty {ago(missed_s)} ago."


def _last(item: object) -> str:
    at = _at(getattr(item, "position"))  # noqa: B009
    return f"{getattr(item, 'described')} at ({at}) m"  # noqa: B009


def _at(position: tuple[float, float, float]) -> str:
    return _PLACE.format(*position)


def ago(seconds: float) -> str:
    """A span of time for people: two units at most."""
    whole = round(max(0.0, seconds))
    for unit, size, part, small in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole} s"
