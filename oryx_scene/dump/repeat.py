"""Repeating a dumped question: the same scene with the same marks is asked again, and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from oryx_scene import __version__
from oryx_scene.dump.compare import CUT_SHORT, Difference, first_difference
from oryx_scene.dump.folder import Dump, prompt_record
from oryx_scene.model.api import Answerer, Limits, ModelCard
from oryx_scene.qa.answer_json import answer_to_dict
from oryx_scene.qa.pipeline import ScenePipeline
from oryx_scene.records import MarkSet, SceneAnswer
from oryx_scene.scene.freeze import Scene

SCHEMA = "oryx_scene/repeat/1"


@dataclass(frozen=True, eq=False)
class Repeat:
    """A repeated answer and how it compares.

    Attributes:
        answer: the answer now.
        difference: the first one, None where everything is identical.
        notes: what was other and not compared, one sentence each.
    """

    answer: SceneAnswer
    difference: Difference | None
    notes: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether no difference was found."""
        return self.difference is None

    def as_dict(self) -> dict[str, Any]:
        """The documented JSON object (docs/dump.md)."""
        found = self.difference
        return {
            "schema": SCHEMA,
            "identical": self.identical,
            "first_difference": None if found is None else dataclasses.asdict(found),
            "notes": list(self.notes),
            "answer": answer_to_dict(self.answer),
        }


def pipeline_for(dump: Dump, answerer: Answerer) -> ScenePipeline:
    """A pipeline with the dump's settings that finds the dump's marks."""

    def recorded(*_: object) -> MarkSet:
        return dump.marks

    count = max(dump.config.views.count, len(dump.frames))
    views = dataclasses.replace(dump.config.views, count=count)
    config = dataclasses.replace(dump.config, views=views)
    return ScenePipeline(answerer, config, find_marks=recorded)


def scene_of(dump: Dump, pipeline: ScenePipeline) -> Scene:
    """Freeze the dumped scene again, with the marks as they were.

    Args:
        dump: as read.
        pipeline: from :func:`pipeline_for`.

    Raises:
        BudgetError: the views fit no compression of this pipeline's model.
    """
    scene = pipeline.freeze(
        dump.frames,
        dump.frozen_ns,
        question=dump.question.text,
        warnings=dump.scene_warnings,
        synthetic=dump.synthetic,
    )
    return dataclasses.replace(scene, choice=dict(dump.choice))


def repeat_dump(
    dump: Dump, answerer: Answerer, on_text: Callable[[str], None] | None = None
) -> Repeat:
    """Ask the dumped question again and compare.

    Raises:
        BudgetError: the views fit no compression of this model.
        EngineError: the model failed.
    """
    pipeline = pipeline_for(dump, answerer)
    scene = scene_of(dump, pipeline)
    prompt = prompt_record(pipeline.prompt_for(scene, dump.question), "")
    answer = pipeline.ask(scene, dump.question, _limits(dump), on_text)
    difference = first_difference(dump, scene, prompt, answerer.card, answer)
    return Repeat(answer, difference, tuple(_notes(dump, answerer.card)))


def _limits(dump: Dump) -> Limits:
    """As dumped, without the deadline; an answer cut short is repeated as far as it went."""
    limits = dataclasses.replace(dump.limits.limits(), deadline_s=None)
    if dump.answer.get("stop_reason") in CUT_SHORT:
        length = max(1, len(dump.answer.get("token_ids", ())))
        limits = dataclasses.replace(limits, max_new_tokens=min(length, limits.max_new_tokens))
    return limits


def _notes(dump: Dump, card: ModelCard) -> Sequence[str]:
    notes = []
    reason = dump.answer.get("stop_reason")
    if reason in CUT_SHORT:
        count = len(dump.answer.get("token_ids", ()))
        notes.append(
            f"the answer ended by {reason} after {count} tokens; only these, the evidence and the "
            "prompt were compared"
        )
    if card.device != dump.model.device:
        notes.append(f"answered on {dump.model.device}, repeated on {card.device}")
    if dump.software_version != __version__:
        notes.append(f"written by version {dump.software_version}, repeated by {__version__}")
    return notes
