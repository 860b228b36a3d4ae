"""One thing to look at: a snapshot with its marks, relations, question and answer.

Windows, pictures, reports and rerun logs all show steps. Where steps come from (a recording, a
replay's folder, a dumped query) is known to the stories only: ``recording``, ``result_folders``,
``dump_folders``, ``replay.steps``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from oryx_scene.errors import SourceError
from oryx_scene.marks.drawing import Disc, disc_radius, draw_marks
from oryx_scene.records import Mark, MarkObservation, Predicate, Relation, RgbImage
from oryx_scene.view.captions import Caption, warning_lines
from oryx_scene.view.shapes import SceneGeometry, build_geometry
from oryx_scene.view.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Step:
    """One view set and what was asked about it.

    Attributes:
        title: e.g. "answer 3 of 12, at 4.00 s".
        snapshot: places and pictures.
        marks: of the scene, views numbered as in ``snapshot.cameras``.
        relations: measured, and stated by the model.
        named: marks that the answer names.
        caption: question, answer, ages and warnings in words.
        answer: the JSON object of the answer (docs/answer_json.md), {} where nothing was asked.
    """

    title: str
    snapshot: Snapshot
    marks: tuple[Mark, ...] = ()
    relations: tuple[Relation, ...] = ()
    named: tuple[int, ...] = ()
    caption: Caption = field(default_factory=Caption)
    answer: dict[str, Any] = field(default_factory=dict)

    def geometry(self) -> SceneGeometry:
        """What to draw."""
        return build_geometry(self.snapshot, self.marks, self.relations, named=self.named)


class StepSequence(Protocol):
    """Steps in order; a step may be computed when it is asked for."""

    def __len__(self) -> int:
        """How many steps."""
        ...

    def __getitem__(self, index: int, /) -> Step:
        """The step at ``index``."""
        ...


def marked_picture(step: Step, view: int) -> RgbImage:
    """The picture of view ``view`` with its marks, at the snapshot's size (h, w, 3)."""
    camera = step.snapshot.cameras[view]
    height, width = camera.picture.shape[:2]
    scale_u, scale_v = width / camera.width, height / camera.height
    discs = []
    for mark in step.marks:
        for seen in mark.observations:
            if seen.view != view:
                continue
            radius = seen.radius_px * min(scale_u, scale_v) or disc_radius(width, 1, 1.0)
            # Pixel centres are integers, so scaling is about the corner at (-0.5, -0.5).
            (u, v), on = (
                ((at[0] + 0.5) * scale_u - 0.5, (at[1] + 0.5) * scale_v - 0.5)
                for at in (seen.disc, (seen.u, seen.v))
            )
            discs.append(Disc(mark.number, u, v, radius, on if seen.beside else None))
    return draw_marks(camera.picture, discs)


def _record(kind: type[Any], values: dict[str, Any], **replaced: Any) -> Any:
    """A record from the JSON object that ``to_plain`` made of it; null becomes NaN for numbers."""
    arguments: dict[str, Any] = {}
    for item in dataclasses.fields(kind):
        if item.name in replaced:
            arguments[item.name] = replaced[item.name]
        elif item.name in values:
            value = values[item.name]
            value = tuple(value) if isinstance(value, list) else value
            unknown_number = value is None and item.type == "float"
            arguments[item.name] = float("nan") if unknown_number else value
    return kind(**arguments)


def read_mark(values: dict[str, Any]) -> Mark:
    """A mark from its JSON object."""
    seen = tuple(_record(MarkObservation, item) for item in values["observations"])
    mark = _record(Mark, values, observations=seen)
    assert isinstance(mark, Mark)
    return mark


def read_relation(values: dict[str, Any]) -> Relation:
    """A relation from its JSON object."""
    relation = _record(Relation, values, predicate=Predicate(values["predicate"]))
    assert isinstance(relation, Relation)
    return relation


def answer_caption(answer: dict[str, Any]) -> Caption:
    """Question, answer, ages and cost in words."""
    ages = ", ".join(f"{e['camera']} {e['age_s']:.2f} s" for e in answer["evidence"])
    seconds = answer["timings_s"].get("ask")
    model = answer["provenance"].get("model", "?")
    names = [item["camera"] for item in answer["evidence"]]
    left_out = left_out_line(names, answer.get("left_out_by_view", ()))
    took = "" if seconds is None else f" in {seconds:.2f} s"
    return Caption(
        question=answer["question"]["text"],
        answer=answer["text"] or "(no words)",
        details=(
            *_verdicts(answer),
            f"evidence ages: {ages}",
            *([left_out] if left_out else []),
            f"model {model}{took}, {answer['stop_reason']}",
        ),
        warnings=warning_lines(answer["warnings"]),
    )


def left_out_line(cameras: Sequence[str], by_view: Sequence[Mapping[str, int]]) -> str:
    """How many objects each view shows without a number, and why; "" where there are none."""
    said = [
        f"{camera}: " + ", ".join(f"{count} {why}" for why, count in reasons.items())
        for camera, reasons in zip(cameras, by_view, strict=False)
        if reasons
    ]
    return f"without a number: {'; '.join(said)}" if said else ""


def _verdicts(answer: dict[str, Any]) -> list[str]:
    """What was read from the words: a verdict, a choice, how sure."""
    found = [f"verdict: {answer['verdict']}"] if answer["verdict"] else []
    if answer["choice"] >= 0:
        found.append(f"choice: {answer['question']['choices'][answer['choice']]}")
    if found and answer["confidence"] is not None:
        found[-1] += f", confidence {answer['confidence']:.2f}"
    return found


def answer_step(title: str, answer: dict[str, Any], snapshot: Snapshot) -> Step:
    """A step from the JSON object of an answer.

    Raises:
        SourceError: the object is not of the documented form.
    """
    try:
        return Step(
            title=title,
            snapshot=snapshot,
            marks=tuple(read_mark(item) for item in answer["scene"]),
            relations=tuple(read_relation(item) for item in answer["relations"]),
            named=tuple(int(item["number"]) for item in answer["marks"]),
            caption=answer_caption(answer),
            answer=answer,
        )
    except (KeyError, TypeError, ValueError) as err:
        raise SourceError(title, f"no answer in the documented form ({err}).") from err


def picture_steps(step: Step) -> Sequence[RgbImage]:
    """All marked pictures of a step, in the order in which the model saw the views."""
    return [marked_picture(step, view) for view in range(len(step.snapshot.cameras))]
