"""What changed between two frozen scenes, from geometry and colour alone; no model is asked.

A mark whose place nobody looked at again is neither gone nor there: it is counted under ``unknown``
with the reason. An object has disappeared only if its place was seen again and the camera now looks
through it (or sees another colour there), and has appeared only if its place was seen before and
was free. A pair of the two that look alike has moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from oryx_scene.errors import SceneMismatchError
from oryx_scene.marks.change.compared import (
    GONE_SHARE,
    LEAST_CHANGED,
    SHIFTED_SHARE,
    Compared,
    MovedMark,
    pair_changed,
    pair_still,
)
from oryx_scene.marks.depth.view_grid import usable
from oryx_scene.records import Mark, MarkSet, ViewSet
from oryx_scene.warning import Warning


@dataclass(frozen=True)
class SceneChanges:
    """What is different in the later scene.

    Attributes:
        appeared: marks of the later scene.
        disappeared: marks of the earlier scene.
        moved: objects found at another place.
        stayed: (number before, number after) of objects that did not change; 0 where the object is
            still there but has no number in that scene.
        unknown: reason -> number of marks about which nothing can be said.
        warnings: what prevents a comparison.
    """

    appeared: tuple[Mark, ...] = ()
    disappeared: tuple[Mark, ...] = ()
    moved: tuple[MovedMark, ...] = ()
    stayed: tuple[tuple[int, int], ...] = ()
    unknown: dict[str, int] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything is known to be different."""
        return bool(self.appeared or self.disappeared or self.moved)


def what_changed(
    before_views: ViewSet, before: MarkSet, after_views: ViewSet, after: MarkSet
) -> SceneChanges:
    """Compare two frozen scenes by their numbered objects.

    Args:
        before_views, before: the earlier scene.
        after_views, after: the later scene; places of both in the same fixed frame.

    Raises:
        SceneMismatchError: the scenes' places are in different coordinate frames.
    """
    _check_frames(before_views, after_views)
    if not _any_depth(before_views) or not _any_depth(after_views):
        text = "a scene without depth and poses cannot be compared: nothing is said about changes"
        count = len(before.marks) + len(after.marks)
        return SceneChanges(
            unknown={"no depth": count} if count else {},
            warnings=(Warning("comparison_without_depth", text),),
        )
    old = [Compared.of(mark, before_views, after_views) for mark in before.marks]
    new = [Compared.of(mark, after_views, before_views) for mark in after.marks]
    return _judge(old, new, before_views, after_views)


def _check_frames(before: ViewSet, after: ViewSet) -> None:
    names = [
        {frame.fixed_frame for frame in views.frames if frame.fixed_frame}
        for views in (before, after)
    ]
    if names[0] and names[1] and names[0] != names[1]:
        raise SceneMismatchError(
            f"the scenes are in different frames: {', '.join(sorted(names[0]))} and "
            f"{', '.join(sorted(names[1]))}.",
            hint="freeze both scenes with the same fixed frame",
        )


def _any_depth(views: ViewSet) -> bool:
    return any(usable(frame) for frame in views.frames)


def _judge(
    old: Sequence[Compared], new: Sequence[Compared], before: ViewSet, after: ViewSet
) -> SceneChanges:
    unknown: Counter[str] = Counter()
    gone = [item for item in old if not item.unseen and item.changed_share >= LEAST_CHANGED]
    come = [item for item in new if not item.unseen and item.changed_share >= LEAST_CHANGED]
    moved, paired, steady = pair_changed(gone, come, before, after)
    disappeared: list[Mark] = []
    appeared: list[Mark] = []
    for group, out in ((gone, disappeared), (come, appeared)):
        for item in group:
            if id(item) in paired:
                continue
            if item.changed_share >= GONE_SHARE:
                out.append(item.mark)
            elif item.changed_share >= SHIFTED_SHARE:
                unknown["only a part of its place changed"] += 1
    for item in (*old, *new):
        if item.unseen:
            unknown[item.unseen] += 1
    still, there = (
        [
            item
            for item in items
            if id(item) in steady
            or not (item.unseen or id(item) in paired or item.changed_share >= SHIFTED_SHARE)
        ]
        for items in (old, new)
    )
    return SceneChanges(
        appeared=tuple(sorted(appeared, key=lambda mark: mark.number)),
        disappeared=tuple(sorted(disappeared, key=lambda mark: mark.number)),
        moved=tuple(sorted(moved, key=lambda item: item.before.number)),
        stayed=pair_still(still, there),
        unknown=dict(sorted(unknown.items())),
    )
