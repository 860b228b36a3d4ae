"""Measuring the mark finder over many synthetic scenes: counts per condition, and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from oryx_scene.config import MarksConfig
from oryx_scene.lab.evaluation.mark_counts import MarkCounts
from oryx_scene.lab.evaluation.mark_scores import score_marks
from oryx_scene.lab.evaluation.mark_worlds import MarkCondition, MarkScene, make_scene
from oryx_scene.marks.finder import find_marks
from oryx_scene.records import MarkSet, ViewSet

Finder = Callable[[ViewSet, MarksConfig], MarkSet]
OnScene = Callable[[int, MarkScene], None]
# K large enough that it never decides: what the association alone reaches.
UNLIMITED = 64


@dataclass
class ConditionResult:
    """What was measured under one condition.

    Attributes:
        condition: which.
        counts: sums over its scenes.
        by_views: the same by number of views.
        by_rig: the same by kind of rig.
        reversed_alike: scenes whose marks are the same with the views in reverse order.
        seconds: of the finder alone, all scenes.
    """

    condition: MarkCondition
    counts: MarkCounts = field(default_factory=MarkCounts)
    by_views: dict[int, MarkCounts] = field(default_factory=dict)
    by_rig: dict[str, MarkCounts] = field(default_factory=dict)
    reversed_alike: int = 0
    seconds: float = 0.0

    def missed_goals(self) -> list[str]:
        """Goals that were not reached, in words."""
        found, goals = self.counts.summary(), self.condition.goals
        wanted = {
            "pair_precision": goals.precision,
            "pair_recall": goals.recall,
            "mark_on_object": goals.on_object,
        }
        return [
            f"{self.condition.name}: {name} {found[name]:.4f} < {least}"
            for name, least in wanted.items()
            if not found[name] >= least
        ]

    def as_dict(self) -> dict[str, Any]:
        """For the JSON report."""
        return {
            "condition": self.condition.name,
            **self.counts.summary(),
            "reversed_order_alike": self.reversed_alike / max(1, self.counts.scenes),
            "finder_ms_per_view": 1000 * self.seconds / max(1, self.counts.views),
            "left_out": dict(sorted(self.counts.left_out.items())),
            "by_baseline": self.counts.curve(),
            "by_views": {str(n): c.summary() for n, c in sorted(self.by_views.items())},
            "by_rig": {name: c.summary() for name, c in sorted(self.by_rig.items())},
            "goals_missed": self.missed_goals(),
        }


def find_alone(views: ViewSet, config: MarksConfig) -> MarkSet:
    """The finder as `oryx-scene marks` runs it."""
    return find_marks(views, config)


def run_condition(
    condition: MarkCondition,
    scenes: Sequence[int],
    *,
    max_marks: int = MarksConfig.max_marks,
    size: tuple[int, int] = (240, 320),
    finder: Finder = find_alone,
    check_order: bool = True,
    on_scene: OnScene | None = None,
) -> ConditionResult:
    """Find and judge the marks of many scenes.

    Args:
        condition: what scenes look like.
        scenes: their indices.
        max_marks: K.
        size: (height, width) of the pictures.
        finder: what is measured.
        check_order: find them once more with the views in reverse order.
        on_scene: called with each index and scene when it is done.
    """
    result = ConditionResult(condition)
    config = MarksConfig(max_marks=max_marks)
    for index in scenes:
        scene = make_scene(condition, index, size)
        started = time.process_time()
        marks = finder(scene.views, config)
        result.seconds += time.process_time() - started
        counts = _judge(scene, marks, condition.visible_share)
        result.counts.add(counts)
        count = len(scene.views.frames)
        result.by_views.setdefault(count, MarkCounts()).add(counts)
        result.by_rig.setdefault(scene.rig, MarkCounts()).add(counts)
        if check_order:
            backwards = finder(ViewSet(scene.views.frames[::-1]), config)
            result.reversed_alike += _drawn(marks, count, False) == _drawn(backwards, count, True)
        if on_scene is not None:
            on_scene(index, scene)
    return result


def _judge(scene: MarkScene, marks: MarkSet, visible_share: float) -> MarkCounts:
    return score_marks(
        scene.views,
        marks,
        true_views=scene.true_views,
        places=scene.places,
        visible_share=visible_share,
        fittings=scene.fittings,
    )


def _drawn(marks: MarkSet, views: int, backwards: bool) -> set[tuple[int, int, float, float]]:
    """Number, view and place of every disc."""
    return {
        (mark.number, views - 1 - o.view if backwards else o.view, o.u, o.v)
        for mark in marks.marks
        for o in mark.observations
    }
