"""Freezing a scene: frames -> views, budget, marks, prepared pictures and the prompt's scene part.

A frozen scene never changes; any number of questions can be asked about it. Nothing here knows the
model but its card, and nothing reads the source's clock: "now" is handed in.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from oryx_scene.config import MarksConfig, PipelineConfig
from oryx_scene.marks.change.over_time import changes_over_time
from oryx_scene.marks.drawing import PATCH, Disc, disc_radius, draw_marks, snapped
from oryx_scene.marks.finder import find_marks
from oryx_scene.model.api import ModelCard, Stride, VisualItem
from oryx_scene.records import DiscLayout, Evidence, Frame, Lattice, MarkSet, RgbImage, ViewSet
from oryx_scene.scene.budget import BudgetPlan
from oryx_scene.scene.measurements import Measurements
from oryx_scene.scene.placement import Placement
from oryx_scene.scene.prepare import PADDING_VALUE, content_key, move_to_placement
from oryx_scene.scene.prompt_text import SEQUENCE_VIEWS, chunk_text, marks_text, views_text
from oryx_scene.scene.view_plan import lateness, plan_views
from oryx_scene.scene.view_selection import CoverageReport
from oryx_scene.warning import Warning

# (views, marks configuration, question) -> marks. The node and tests hand in their own, e.g. one
# that keeps numbers stable from scene to scene.
MarkFinder = Callable[[ViewSet, MarksConfig, str], MarkSet]


def find_marks_fresh(views: ViewSet, config: MarksConfig, question: str) -> MarkSet:
    """Marks of one view set, knowing nothing of earlier ones; none of a sequence, which is said."""
    if len(views.frames) > SEQUENCE_VIEWS:
        text = f"no objects are numbered in more than {SEQUENCE_VIEWS} views"
        return MarkSet(warnings=(Warning("sequence_without_marks", text),))
    return find_marks(views, config, question=question)


@dataclass(frozen=True, eq=False)
class Scene:
    """A frozen scene, ready for questions.

    Attributes:
        scene_id: hash of evidence, marks and settings: equal scenes have equal ids.
        views: the frames, in the order the model sees them.
        frozen_ns: "now" of the source when the scene was frozen.
        marks: numbers, places and measured relations.
        plan: compression, sizes and token count.
        prepared: the pictures that the model sees, marks drawn.
        discs: per view, the discs drawn, prepared pixels.
        prompt: the scene part of the prompt.
        timings_s: "views", "marks", "prepare" on the steady clock.
        warnings: what is missing, doubtful or degraded.
        synthetic: the frames come from a synthetic world.
        choice: how the views were chosen: "method", "candidates", "skew_s" and voxel counts.
    """

    scene_id: str
    views: ViewSet
    frozen_ns: int
    marks: MarkSet
    plan: BudgetPlan
    prepared: tuple[RgbImage, ...]
    discs: tuple[tuple[Disc, ...], ...]
    prompt: tuple[str | VisualItem, ...]
    timings_s: dict[str, float] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()
    synthetic: bool = False
    choice: dict[str, int | float | str] = field(default_factory=dict)

    # Computed where they are first asked for, and kept for every question.

    @functools.cached_property
    def frame_id(self) -> str:
        """Coordinate frame of all places, "" without poses."""
        return next((frame.fixed_frame for frame in self.views.frames if frame.fixed_frame), "")

    @functools.cached_property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of all marks."""
        return tuple(mark.number for mark in self.marks.marks)

    @functools.cached_property
    def evidence(self) -> tuple[Evidence, ...]:
        """The frames without their pixels."""
        return tuple(_evidence(frame, self.frozen_ns) for frame in self.views.frames)

    @functools.cached_property
    def compression(self) -> int:
        """1, 4 or 16."""
        return self.plan.stride.compression

    @functools.cached_property
    def budget(self) -> dict[str, int | float | str]:
        """The row of the decision table, as answers hold it."""
        return self.plan.as_dict()

    @functools.cached_property
    def measured(self) -> Measurements:
        """Points, directions and relations of the marks, from every view."""
        return Measurements(self.views, self.marks)


def _evidence(frame: Frame, frozen_ns: int) -> Evidence:
    pose = frame.T_fixed_camera
    return Evidence(
        camera=frame.camera,
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
        topic=frame.topic,
        encoding=frame.encoding,
        height=frame.height,
        width=frame.width,
        sha256=frame.sha256,
        depth_sha256=frame.depth_sha256,
        age_s=(frozen_ns - frame.stamp_ns) / 1e9,
        T_answer_camera=None if pose is None else tuple(tuple(map(float, row)) for row in pose),
    )


def place_discs(
    marks: MarkSet, plan: BudgetPlan, largest_share: float
) -> tuple[tuple[Disc, ...], ...]:
    """Discs of every view in prepared pixels; ``largest_share`` as in :func:`disc_radius`."""
    discs: list[tuple[Disc, ...]] = []
    for index, placement in enumerate(plan.placements):
        radius = disc_radius(placement.width, int(plan.stride), largest_share)
        seen = [
            (mark.number, observation)
            for mark in marks.marks
            for observation in mark.observations
            if observation.view == index
        ]
        placed = [
            (number, placement.to_prepared(*item.disc), placement.to_prepared(item.u, item.v), item)
            for number, item in seen
        ]
        discs.append(
            tuple(
                Disc(number, snapped(u), snapped(v), radius, on if item.beside else None)
                for number, (u, v), on, item in placed
            )
        )
    return tuple(discs)


def scene_prompt(
    views: ViewSet, marks: MarkSet, plan: BudgetPlan, pictures: Sequence[RgbImage]
) -> tuple[str | VisualItem, ...]:
    """The part of the prompt that all questions of the scene share: pictures first, then words."""
    parts: list[str | VisualItem] = []
    for group in plan.groups:
        images = tuple(pictures[index] for index in group)
        low = plan.low_sizes[group[0]] if plan.stride is Stride.IMAGE else None
        keys = tuple(content_key(image) for image in images)
        if told := chunk_text(views.frames, group):
            parts.append(told)
        parts.append(VisualItem(images, plan.stride, low, keys))
        parts.append("\n")
    cameras = [frame.camera for frame in views.frames]
    lines = [views_text(cameras), marks_text(marks.marks)]
    parts.append("".join(f"{line}\n" for line in lines if line))
    return tuple(parts)


NO_MODEL = ModelCard("none", "", "", "", context_length=32768)


def freeze_scene(
    frames: Sequence[Frame],
    now_ns: int,
    config: PipelineConfig,
    card: ModelCard,
    *,
    find_marks: MarkFinder = find_marks_fresh,
    question: str = "",
    warnings: Sequence[Warning] = (),
    synthetic: bool = False,
    choice: CoverageReport | None = None,
    after: Scene | None = None,
) -> Scene:
    """Freeze a scene; arguments and errors as in :meth:`ScenePipeline.freeze`."""
    clock = StageTimer()
    earlier = () if after is None else after.views.frames
    views, report, plan = plan_views(frames, config, card, earlier)
    clock.lap("views")
    marks = MarkSet()
    if config.marks.enabled:
        marks = find_marks(views, _marks_config(plan, config, card), question)
        marks = dataclasses.replace(marks, changes=changes_over_time(views, marks))
    clock.lap("marks")
    discs = place_discs(marks, plan, card.learnt.largest_disc_share)
    prepared = tuple(
        _prepare(frame.rgb, placement, own, config)
        for frame, placement, own in zip(views.frames, plan.placements, discs, strict=True)
    )
    prompt = scene_prompt(views, marks, plan, prepared)
    clock.lap("prepare")
    return Scene(
        scene_id=_scene_id(views, prepared, prompt),
        views=views,
        frozen_ns=now_ns,
        marks=marks,
        plan=plan,
        prepared=prepared,
        discs=discs,
        prompt=prompt,
        timings_s=clock.seconds,
        warnings=tuple(
            dict.fromkeys(
                (*warnings, *views.warnings, *marks.warnings, *lateness(plan, config, card))
            )
        ),
        synthetic=synthetic,
        choice={**(choice or report).as_dict(), "skew_s": views.skew_s},
    )


class StageTimer:
    """Seconds between stages on the steady clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """A stage of this name has ended."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


def _marks_config(plan: BudgetPlan, config: PipelineConfig, card: ModelCard) -> MarksConfig:
    """Settings of the mark finder; discs as large as they will be drawn, in received pixels."""
    share = card.learnt.largest_disc_share
    radii = tuple(
        disc_radius(placement.width, int(plan.stride), share)
        / min(placement.scale_u, placement.scale_v)
        for placement in plan.placements
    )
    lattices = tuple(_patch_middles(placement) for placement in plan.placements)
    return dataclasses.replace(
        config.marks, discs=DiscLayout(radii, lattices, card.learnt.most_hidden)
    )


def _patch_middles(placement: Placement) -> Lattice:
    """Middles of the model's patches in received pixels."""
    first = placement.to_received((PATCH - 1) / 2, (PATCH - 1) / 2)
    return Lattice(*first, PATCH / placement.scale_u, PATCH / placement.scale_v)


def _prepare(
    rgb: RgbImage, placement: Placement, discs: Sequence[Disc], config: PipelineConfig
) -> RgbImage:
    picture = move_to_placement(rgb, placement)
    if not config.pictures:
        picture = np.full_like(picture, PADDING_VALUE)
    return draw_marks(picture, discs)


def _scene_id(
    views: ViewSet, prepared: Sequence[RgbImage], prompt: Sequence[str | VisualItem]
) -> str:
    digest = hashlib.sha256()
    for frame in views.frames:
        digest.update(f"{frame.camera}/{frame.stamp_ns}/{frame.sha256}".encode())
    for part in prompt:
        digest.update((part if isinstance(part, str) else "|".join(part.keys)).encode())
    return digest.hexdigest()[:16]
