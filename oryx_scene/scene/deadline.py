"""Predicting a question's latency from rates that this machine showed; arithmetic only.

Encoding counts patches, prefill and decode count tokens. What an engine keeps from earlier
questions makes it faster than predicted, never slower.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from oryx_scene.model.api import Rates, Stride
from oryx_scene.model.sizes import PATCH
from oryx_scene.scene.budget import BudgetPlan

# Question, chat template, marks and facts of an ordinary question.
ORDINARY_TEXT_TOKENS = 200


def patches_of(plan: BudgetPlan) -> int:
    """Patches that the tower sees: the prepared pictures, at 1x their coarse views too."""
    sizes = [(place.height, place.width) for place in plan.placements]
    if plan.stride is Stride.IMAGE:
        sizes += list(plan.low_sizes)
    return sum(height * width // PATCH**2 for height, width in sizes)


def predicted_s(plan: BudgetPlan, rates: Rates, answer_tokens: int) -> float:
    """Seconds from the question to the end of an answer of ``answer_tokens``, nothing kept."""
    return (
        patches_of(plan) / rates.patches_per_s
        + (plan.visual_tokens + ORDINARY_TEXT_TOKENS) / rates.prefill_per_s
        + answer_tokens / rates.decode_per_s
    )


def counts_to_try(most: int) -> Iterator[int]:
    """Numbers of views from ``most`` down to 1, each a quarter smaller than the one before."""
    count = most
    while count >= 1:
        yield count
        count = min(count - 1, count * 3 // 4)


def with_deadline(plan: BudgetPlan, deadline_s: float, seconds: float, asked: int) -> BudgetPlan:
    """``plan`` with its prediction and a reason that tells what the deadline cost."""
    own = len(plan.placements)
    reason = plan.reason
    if own < asked:
        reason += f", {own} of {asked} views because of the deadline"
    reason += f"; predicted {seconds:.2f} s of {deadline_s:g} s"
    return dataclasses.replace(plan, deadline_s=deadline_s, predicted_s=seconds, reason=reason)
