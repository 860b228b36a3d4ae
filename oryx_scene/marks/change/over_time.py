"""What came and went while the views of one scene were taken, by geometry and colour alone.

A mark is gone if a view later than all that show it looks through its place (or sees another colour
there); it is new if an earlier view does. Where nobody looks, or something stands in front,
nothing is claimed.
"""

from __future__ import annotations

from oryx_scene.marks.change.compared import GONE_SHARE, SHIFTED_SHARE, Compared
from oryx_scene.marks.change.revisit import revisit, surface_of
from oryx_scene.marks.depth.reprojection_votes import SAME_TIME_NS
from oryx_scene.marks.depth.view_grid import usable
from oryx_scene.records import Changes, Mark, MarkSet, ViewSet


def changes_over_time(views: ViewSet, marks: MarkSet) -> Changes | None:
    """Which marks came or went between the views.

    Args:
        views: the frozen views; those without depth, calibration or pose tell nothing.
        marks: found in them, with places and sizes.

    Returns:
        None where nothing can be said: all views are of one time, or no mark was seen there at two
        times, nor its place seen again.
    """
    if views.newest_ns - views.oldest_ns <= SAME_TIME_NS:
        return None
    told = {mark.number: _told(mark, views) for mark in marks.marks}
    if not any(told.values()):
        return None
    return Changes(
        tuple(number for number, word in told.items() if word == "gone"),
        tuple(number for number, word in told.items() if word == "new"),
    )


def _told(mark: Mark, views: ViewSet) -> str:
    """ "gone", "new", "stays" or "" where nothing can be said."""
    stamps = [views.frames[seen.view].stamp_ns for seen in mark.observations]
    if not stamps:
        return ""
    first, last = min(stamps), max(stamps)
    posed = [frame for frame in views.frames if usable(frame)]
    later = tuple(f for f in posed if f.stamp_ns > last + SAME_TIME_NS)
    earlier = tuple(f for f in posed if f.stamp_ns < first - SAME_TIME_NS)
    surface = surface_of(mark, views) if later or earlier else None
    word = "stays" if last - first > SAME_TIME_NS else ""
    for changed, frames in (("gone", later), ("new", earlier)):
        if surface is None or not frames:
            continue
        found = Compared(mark, surface, revisit(surface, ViewSet(frames)))
        if found.unseen:
            continue
        if found.changed_share >= GONE_SHARE:
            return changed
        if found.changed_share < SHIFTED_SHARE:
            word = "stays"
    return word
