"""Number and sizes of views -> compression, prepared sizes and the exact count of visual tokens.

Integers only. The published model was trained on 1x for a few pictures, 4x for up to about 64
frames and 16x beyond; within that the tokens decide. The decision is a plain record that travels
with the answer. The table is explained in docs/budget.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oryx_scene.config import BudgetConfig
from oryx_scene.errors import BudgetError
from oryx_scene.model.api import Stride
from oryx_scene.model.sizes import (
    PATCH,
    ResizeSettings,
    image_sizes,
    image_tokens,
    low_size,
    video_size,
    video_tokens,
)
from oryx_scene.scene.placement import Placement, place
from oryx_scene.scene.prompt_text import SEQUENCE_VIEWS

# Below these areas the reference code enlarges; a budget never shrinks a picture further.
MIN_SIDE = {Stride.IMAGE: 384, Stride.VIDEO: 288, Stride.VIDEO_LONG: 288}
# Frames of a sequence at 16x: 1,600 of 128x192 px are 14,400 visual tokens.
SEQUENCE_MIN_SIDE = 128
SHRINK_STEPS = 6


@dataclass(frozen=True)
class BudgetPlan:
    """What the model will be shown.

    Attributes:
        stride: pooling of the compressor.
        placements: one per view, in the order of the views.
        low_sizes: (height, width) of the second view of each picture at 1x, else empty.
        groups: consecutive views that share one image slot (one view each at 1x).
        visual_tokens: exact count over all slots.
        token_budget: the limit that was kept.
        max_side: side of the square that bounded the area, pixels.
        reason: why this row of the table was taken.
        deadline_s, predicted_s: of a plan that was made for a deadline, else 0.
    """

    stride: Stride
    placements: tuple[Placement, ...]
    low_sizes: tuple[tuple[int, int], ...]
    groups: tuple[tuple[int, ...], ...]
    visual_tokens: int
    token_budget: int
    max_side: int
    reason: str
    deadline_s: float = 0.0
    predicted_s: float = 0.0

    def as_dict(self) -> dict[str, int | float | str]:
        """The decision for the answer's JSON."""
        sizes = sorted({placement.describe() for placement in self.placements})
        timed: dict[str, int | float | str] = {}
        if self.deadline_s > 0.0:
            timed = {"deadline_s": self.deadline_s, "predicted_s": round(self.predicted_s, 3)}
        return {
            **timed,
            "compression": self.stride.compression,
            "views": len(self.placements),
            "visual_tokens": self.visual_tokens,
            "token_budget": self.token_budget,
            "max_side_px": self.max_side,
            "resize": "; ".join(sizes),
            "reason": self.reason,
        }


def _place_all(
    sizes: Sequence[tuple[int, int]], stride: Stride, side: int, config: BudgetConfig
) -> tuple[Placement, ...]:
    if config.resize == "fit":
        # 32 px is also the multiple that 1x pictures were trained with.
        multiple = max(32, PATCH * int(stride))
        return tuple(place(h, w, multiple=multiple, max_area=side * side) for h, w in sizes)
    return tuple(_place_as_reference(h, w, stride) for h, w in sizes)


def _place_as_reference(height: int, width: int, stride: Stride) -> Placement:
    settings = ResizeSettings()
    if stride is Stride.IMAGE:
        size, _ = image_sizes(height, width, settings)
    else:
        size = video_size(height, width, stride, settings)
    return Placement(height, width, *size, *size)


def _group(placements: Sequence[Placement], stride: Stride) -> tuple[tuple[int, ...], ...]:
    """Consecutive views of equal prepared size share a slot; at 1x each view has its own.

    A sequence is cut into slots of at most ``SEQUENCE_VIEWS`` frames, told and read one by one.
    """
    groups: list[list[int]] = []
    for index, placement in enumerate(placements):
        size = (placement.height, placement.width)
        before = placements[groups[-1][-1]] if groups else None
        same = before is not None and (before.height, before.width) == size
        if same and stride is not Stride.IMAGE and len(groups[-1]) < SEQUENCE_VIEWS:
            groups[-1].append(index)
        else:
            groups.append([index])
    return tuple(tuple(group) for group in groups)


def _plan(
    sizes: Sequence[tuple[int, int]],
    stride: Stride,
    side: int,
    config: BudgetConfig,
    token_budget: int,
) -> BudgetPlan:
    placements = _place_all(sizes, stride, side, config)
    groups = _group(placements, stride)
    lows: tuple[tuple[int, int], ...] = ()
    if stride is Stride.IMAGE:
        settings = ResizeSettings()
        lows = tuple(low_size(p.height, p.width, settings) for p in placements)
        tokens = sum(
            image_tokens((p.height, p.width), low) for p, low in zip(placements, lows, strict=True)
        )
    else:
        tokens = sum(
            video_tokens(
                len(group), placements[group[0]].height, placements[group[0]].width, stride
            )
            for group in groups
        )
    return BudgetPlan(stride, placements, lows, groups, tokens, token_budget, side, "")


def _strides(count: int, config: BudgetConfig) -> tuple[Stride, ...]:
    if config.compression != "auto":
        wanted = int(config.compression)
        return tuple(stride for stride in Stride if stride.compression == wanted)
    if count <= config.image_views_max:
        return (Stride.IMAGE, Stride.VIDEO, Stride.VIDEO_LONG)
    return (Stride.VIDEO, Stride.VIDEO_LONG)


def _sides(stride: Stride, config: BudgetConfig, count: int) -> tuple[int, ...]:
    """Bounds to try, from the largest down to the smallest that still shows something."""
    top = config.image_max_side if stride is Stride.IMAGE else config.video_max_side
    if config.resize == "reference":
        return (top,)
    long = stride is Stride.VIDEO_LONG and count > SEQUENCE_VIEWS
    low = min(top, SEQUENCE_MIN_SIDE if long else MIN_SIDE[stride])
    steps = {round(top - (top - low) * step / SHRINK_STEPS) for step in range(SHRINK_STEPS + 1)}
    return tuple(sorted(steps, reverse=True))


def plan_budget(
    sizes: Sequence[tuple[int, int]],
    config: BudgetConfig,
    *,
    context_length: int,
    reserved_tokens: int,
    accept: Callable[[BudgetPlan], bool] = lambda plan: True,
) -> BudgetPlan:
    """Choose compression and sizes for views of the given (height, width).

    Args:
        sizes: (height, width) of each received picture, in the order of the views.
        config: limits and wishes.
        context_length: of the language model, tokens.
        reserved_tokens: for text and answer, tokens.
        accept: refuses plans for other reasons than their tokens, e.g. a deadline.

    Raises:
        BudgetError: no views, or none of the allowed compressions fits.
    """
    if not sizes:
        raise BudgetError("there is no view to plan for.")
    budget = min(config.max_visual_tokens, context_length - reserved_tokens)
    smallest: BudgetPlan | None = None
    for stride in _strides(len(sizes), config):
        for side in _sides(stride, config, len(sizes)):
            plan = _plan(sizes, stride, side, config, budget)
            if plan.visual_tokens <= budget and accept(plan):
                return _with_reason(plan, config, len(sizes))
            if smallest is None or plan.visual_tokens < smallest.visual_tokens:
                smallest = plan
    assert smallest is not None
    raise BudgetError(
        f"{len(sizes)} views take at least {smallest.visual_tokens} visual tokens "
        f"({smallest.stride.compression}x, {smallest.max_side} px); {max(budget, 0)} are left of a "
        f"budget of {config.max_visual_tokens} and a context of {context_length}.",
        hint="ask with fewer views, or allow a stronger compression or more tokens",
    )


def _with_reason(plan: BudgetPlan, config: BudgetConfig, count: int) -> BudgetPlan:
    if config.compression != "auto":
        reason = f"compression {config.compression}x was asked for"
    elif plan.stride is Stride.IMAGE:
        reason = f"{count} of at most {config.image_views_max} views fit at 1x"
    elif plan.stride is Stride.VIDEO:
        reason = f"{count} views fit at 4x"
    else:
        reason = f"{count} views fit only at 16x"
    top = _sides(plan.stride, config, count)[0]
    if plan.max_side < top:
        reason += f", pictures bounded at {plan.max_side} instead of {top} px"
    return dataclasses.replace(plan, reason=reason)
