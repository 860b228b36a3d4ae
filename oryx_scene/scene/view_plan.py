"""Which views a scene shows and how strongly they are compressed, by the budget and a deadline.

Chooses frames, orders them and plans sizes; touches no pixel. Rates come with the model's card.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from oryx_scene.config import PipelineConfig
from oryx_scene.errors import BudgetError, NoFramesError
from oryx_scene.model.api import ModelCard
from oryx_scene.records import Frame, ViewSet
from oryx_scene.scene.budget import BudgetPlan, plan_budget
from oryx_scene.scene.deadline import counts_to_try, predicted_s, with_deadline
from oryx_scene.scene.prompt_text import SEQUENCE_VIEWS
from oryx_scene.scene.view_selection import CoverageReport, choose_views_reported
from oryx_scene.warning import Warning

# Room for system text, chat template, marks and facts, besides the answer itself.
TEXT_TOKENS = 1024
# And for the numbers and times of each chunk of a sequence.
CHUNK_TOKENS = 32


def order_views(
    frames: Sequence[Frame], count: int, earlier: Sequence[Frame] = ()
) -> tuple[ViewSet, CoverageReport]:
    """Choose at most ``count`` frames and order them by camera, then stamp.

    The order does not depend on which camera was a millisecond earlier, so that the same views
    give the same prompt. Frames among ``earlier`` stand first, in the order they had there.

    Raises:
        NoFramesError: no frame at all.
    """
    if not frames:
        raise NoFramesError(
            "there is no frame to look at.", hint="check the cameras with `oryx-scene check`"
        )
    indices, report = choose_views_reported(frames, count)
    chosen = [frames[index] for index in indices]
    places = {(frame.camera, frame.stamp_ns): place for place, frame in enumerate(earlier)}
    chosen.sort(
        key=lambda frame: (
            places.get((frame.camera, frame.stamp_ns), len(places)),
            frame.camera,
            frame.stamp_ns,
        )
    )
    newest = {frame.camera: frame.stamp_ns for frame in chosen}
    skew_s = (max(newest.values()) - min(newest.values())) / 1e9
    warnings = tuple(
        dataclasses.replace(item, camera=frame.camera, stamp_ns=frame.stamp_ns)
        for frame in chosen
        for item in frame.warnings
    )
    return _with_own_frame(ViewSet(tuple(chosen), skew_s=skew_s, warnings=warnings)), report


def _with_own_frame(views: ViewSet) -> ViewSet:
    """One view with depth and no pose still has places: in its own optical frame."""
    frame = views.frames[0]
    posed = frame.T_fixed_camera is not None
    if len(views.frames) > 1 or posed or frame.depth is None or frame.intrinsics is None:
        return views
    own = dataclasses.replace(frame, T_fixed_camera=np.eye(4), fixed_frame=frame.frame_id)
    text = f"no pose: places are given in the camera's own frame '{frame.frame_id}'"
    warning = Warning("places_in_camera_frame", text, camera=frame.camera)
    return dataclasses.replace(views, frames=(own,), warnings=(*views.warnings, warning))


def plan_views(
    frames: Sequence[Frame],
    config: PipelineConfig,
    card: ModelCard,
    earlier: Sequence[Frame],
) -> tuple[ViewSet, CoverageReport, BudgetPlan]:
    """Views and plan; with a deadline the most views, then the weakest compression, that keep it.

    Where nothing keeps it, one view at the strongest allowed compression is shown.

    Args:
        frames: to choose from.
        config: views, budget and deadline.
        card: context length and rates of the model; without rates no deadline is planned for.
        earlier: frames of a scene before; those among them stand first, in their old order.

    Raises:
        NoFramesError: no frame at all.
        BudgetError: the views fit at no allowed compression.
    """
    deadline, rates, count = config.budget.deadline_s, card.rates, config.views.count
    if deadline <= 0.0 or rates is None:
        views, report = order_views(frames, count, earlier)
        return views, report, _plan(views, config, card)
    asked = min(count, max(len(frames), 1))

    def seconds(plan: BudgetPlan) -> float:
        return predicted_s(plan, rates, config.budget.answer_tokens)

    for number in counts_to_try(asked):
        views, report = order_views(frames, number, earlier)
        try:
            plan = _plan(views, config, card, lambda plan: seconds(plan) <= deadline)
        except BudgetError:
            continue
        return views, report, with_deadline(plan, deadline, seconds(plan), asked)
    views, report = order_views(frames, 1, earlier)
    budget = config.budget
    if budget.compression == "auto":
        budget = dataclasses.replace(budget, compression="16")
    least = dataclasses.replace(budget, image_max_side=64, video_max_side=64)
    plan = _plan(views, dataclasses.replace(config, budget=least), card)
    return views, report, with_deadline(plan, deadline, seconds(plan), asked)


def lateness(plan: BudgetPlan, config: PipelineConfig, card: ModelCard) -> tuple[Warning, ...]:
    """What must be said about a deadline that was asked for."""
    deadline = config.budget.deadline_s
    if deadline > 0.0 and card.rates is None:
        text = (
            f"no rates of this model were measured: the deadline of {deadline:g} s was not "
            "planned for"
        )
        return (Warning("deadline_not_planned", text),)
    if plan.predicted_s > plan.deadline_s:
        text = (
            f"the deadline of {deadline:g} s cannot be kept: even one view at "
            f"{plan.stride.compression}x is predicted to take {plan.predicted_s:.2f} s"
        )
        return (Warning("deadline_missed", text),)
    return ()


def _plan(
    views: ViewSet,
    config: PipelineConfig,
    card: ModelCard,
    accept: Callable[[BudgetPlan], bool] = lambda plan: True,
) -> BudgetPlan:
    count = len(views.frames)
    chunks = -(-count // SEQUENCE_VIEWS) if count > SEQUENCE_VIEWS else 0
    return plan_budget(
        [(frame.height, frame.width) for frame in views.frames],
        config.budget,
        context_length=card.context_length,
        reserved_tokens=TEXT_TOKENS + CHUNK_TOKENS * chunks,
        accept=accept,
    )
