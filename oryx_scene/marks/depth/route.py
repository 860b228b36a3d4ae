"""The depth route: views with depth and pose to objects, each with the pixels that show it.

Every view is cut into patches, patches of different views that lie on one another become one
object, and what stays doubtful is left out and counted. Numbers and discs are others' business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oryx_scene.config import MarksConfig
from oryx_scene.geometry.transforms import transform_points
from oryx_scene.marks.depth.linking import Link, doubt, group_patches, visible_shares
from oryx_scene.marks.depth.reprojection_votes import (
    TOLERANCE_M,
    TOLERANCE_SHARE,
    CutView,
    ReprojectionVotes,
    cast_votes,
    sample_patches,
)
from oryx_scene.marks.depth.segments import cut_patches
from oryx_scene.marks.depth.splitting import paint_groups
from oryx_scene.marks.depth.thin_parts import attach_limbs, parts
from oryx_scene.marks.depth.view_grid import Labels, Mask, jump_limit, make_grid
from oryx_scene.marks.label_placement import Cutout
from oryx_scene.marks.mark_selection import FoundObject, SeenIn
from oryx_scene.marks.places import (
    MeasuredPlace,
    as_covariance,
    assumed_noise,
    measured_place,
    pose_noise,
)
from oryx_scene.records import FloatArray, Frame

IntArray = NDArray[np.int64]
ELSEWHERE = "no view shows a surface at its place"
PART = "a part of a thing, seen apart in few views"

# A thing loses its rim, where cells mix it with what is behind: a thing of the least visible share
# of a picture keeps at least this share of its cells.
INNER_SHARE = 0.4
# Below this share of a picture a patch may be a scrap of something else: others must confirm it.
SURE_SHARE = 0.002
# Of a group's points that a view can judge, so many lie on a small part that belongs to it.
CONFIRMED_SHARE = 0.35
SMALL_HERE = "too small in this view"


@dataclass(frozen=True, eq=False)
class DepthObjects:
    """What was found and what was left out.

    Attributes:
        kept: the objects.
        nodes: (k,) nodes of ``ballot`` that each object consists of.
        ballot: the patches of all views.
        left_out: reason -> how many.
        by_view: (view, reason) -> how many objects it shows.
    """

    kept: tuple[FoundObject, ...]
    nodes: tuple[IntArray, ...]
    ballot: ReprojectionVotes
    left_out: Counter[str]
    by_view: Counter[tuple[int, str]]


def cut_view(frame: Frame, config: MarksConfig) -> CutView:
    """One view, cut into patches: all that the route needs of a frame."""
    grid = make_grid(frame, config.max_range_m)
    return sample_patches(frame, grid, cut_patches(grid))


def find_objects(
    cuts: Sequence[CutView],
    names: Sequence[int],
    config: MarksConfig,
    more_links: Callable[[ReprojectionVotes], Sequence[Link]] = lambda _: (),
) -> DepthObjects:
    """Objects of cut views.

    Args:
        cuts: views in an order that does not depend on who asks.
        names: index of each view in the caller's frames.
        config: limits.
        more_links: evidence beside that of the views themselves.
    """
    ballot = cast_votes(cuts)
    group = attach_limbs(ballot, group_patches(ballot, more_links(ballot)))
    pictures = paint_groups(ballot, group)
    left_out: Counter[str] = Counter()
    by_view: Counter[tuple[int, str]] = Counter()
    kept, kept_nodes = [], []
    unseen = [_unseen_outlines(cut, picture) for cut, picture in zip(cuts, pictures, strict=True)]
    for name in np.unique(group):
        nodes = np.flatnonzero(group == name)
        masks = {view: picture == name for view, picture in enumerate(pictures)}
        shares = [share[name] if name < len(share) else 1.0 for share in unseen]
        found, reason = _examine(ballot, nodes, masks, shares, names, config)
        if found is not None:
            kept.append(found)
            kept_nodes.append(nodes)
            reason = SMALL_HERE
        elif reason:
            left_out[reason] += 1
        shown = {part.view for part in found.views} if found else set()
        showing = [names[view] for view, mask in masks.items() if mask.any()]
        by_view.update((view, reason) for view in showing if reason and view not in shown)
    apart = parts(ballot, kept_nodes)
    left_out[PART] += len(apart)
    by_view.update((part.view, PART) for index in apart for part in kept[index].views)
    whole = [index for index in range(len(kept)) if index not in apart]
    return DepthObjects(
        tuple(kept[index] for index in whole),
        tuple(kept_nodes[index] for index in whole),
        ballot,
        +left_out,
        by_view,
    )


def _examine(
    ballot: ReprojectionVotes,
    nodes: IntArray,
    masks: dict[int, Mask],
    unseen: Sequence[float],
    names: Sequence[int],
    config: MarksConfig,
) -> tuple[FoundObject | None, str]:
    shares = {view: _area_share(ballot.views[view], mask) for view, mask in masks.items()}
    large = [
        view
        for view, share in shares.items()
        if share >= SURE_SHARE
        or (share >= INNER_SHARE * config.min_area_share and _confirmed(ballot, nodes, view))
    ]
    if not large:
        return None, "too small in every view"
    reason = doubt(ballot, nodes)
    if reason:
        return None, reason
    points = np.concatenate([_points(ballot, node) for node in nodes])
    low, high = np.percentile(points, (2, 98), axis=0)
    if (high - low).max() < config.min_size_m:
        return None, ""
    if (high - low).max() > config.max_size_m:
        return None, "too large to be one object"
    showing = [ballot.views[view] for view in np.unique(ballot.node_view[nodes])]
    place = measured_place(
        points,
        np.stack([cut.T_fixed_camera[:3, 3] for cut in showing]),
        [pose_noise(cut.pose_std, assumed_noise(config)) for cut in showing],
        min(unseen[view] for view in large),
    )
    on_it = {view: _on_thing(ballot.views[view], masks[view], place) for view in large}
    large = [view for view in large if 2 * on_it[view].sum() >= masks[view].sum()]
    if not large:
        return None, ELSEWHERE
    visible = dict(zip(ballot.node_view[nodes], visible_shares(ballot, nodes), strict=True))
    seen = tuple(
        _seen_in(ballot.views[view], names[view], on_it[view], float(visible.get(view, np.nan)))
        for view in large
    )
    (x, y, z), (dx, dy, dz) = place.middle.tolist(), place.size.tolist()
    return (
        FoundObject(
            tuple(sorted(seen, key=lambda part: part.view)),
            position=(x, y, z),
            size=(dx, dy, dz),
            covariance=as_covariance(place.covariance),
            frame_id=ballot.views[0].fixed_frame,
        ),
        "",
    )


def _unseen_outlines(cut: CutView, picture: Labels) -> FloatArray:
    """Per group, the share of its outline in a view behind which it may go on.

    There something in front of it, or the picture's border, ends what is seen of it.
    """
    z, limit, count = cut.grid.z, jump_limit(cut.grid.z), int(picture.max(initial=-1)) + 1
    ends = [
        *((picture[row], np.ones(picture.shape[1], dtype=bool)) for row in (0, -1)),
        *((picture[:, column], np.ones(picture.shape[0], dtype=bool)) for column in (0, -1)),
    ]
    for axis in (0, 1):
        near = tuple(slice(1, None) if i == axis else slice(None) for i in (0, 1))
        far = tuple(slice(None, -1) if i == axis else slice(None) for i in (0, 1))
        for own, other in ((near, far), (far, near)):
            edge = (picture[own] >= 0) & (picture[own] != picture[other])
            hides = (z[other] > 0) & (z[other] < z[own] - limit[own])
            ends.append((picture[own][edge], hides[edge]))
    names = np.concatenate([name[name >= 0] for name, _ in ends])
    hidden = np.concatenate([hides[name >= 0] for name, hides in ends])
    outline = np.bincount(names, minlength=count)
    return np.asarray(np.bincount(names, hidden, minlength=count) / np.maximum(outline, 1))


def _confirmed(ballot: ReprojectionVotes, nodes: IntArray, view: int) -> bool:
    """Whether what other views show of a group lies on its own patches in ``view``.

    A small part cut off another group's patch is not sure to a cell: it is not confirmed.
    """
    own = nodes[ballot.node_view[nodes] == view]
    others = nodes[ballot.node_view[nodes] != view]
    judged = int(ballot.seen[others, view].sum())
    on_it = int(ballot.onto[np.ix_(others, own)].sum())
    return on_it > 0 and on_it >= CONFIRMED_SHARE * judged


def _on_thing(cut: CutView, mask: Mask, place: MeasuredPlace) -> Mask:
    """Cells of a mask whose surface lies on the thing; of those without depth nothing is known.

    A number stands on one of them: on the thing's own surface, not on what is before or behind it.
    """
    rows, columns = np.nonzero(mask)
    z = cut.grid.z[rows, columns].astype(np.float64)
    local = np.column_stack([cut.grid.rays[rows, columns] * z[:, None], z])
    off = np.abs(transform_points(cut.T_fixed_camera, local) - place.middle)
    reach = place.size / 2.0 + 2.0 * np.sqrt(np.diag(place.covariance))
    wrong = np.maximum(TOLERANCE_M, TOLERANCE_SHARE * z)
    out = mask.copy()
    out[rows, columns] = (z <= 0) | (off <= reach + wrong[:, None]).all(axis=1)
    return out


def _area_share(cut: CutView, mask: Mask) -> float:
    return int(mask.sum()) * cut.grid.step**2 / (cut.height * cut.width)


def _points(ballot: ReprojectionVotes, node: int) -> FloatArray:
    cut = ballot.views[ballot.node_view[node]]
    own: FloatArray = cut.samples.points[cut.samples.owner == ballot.node_patch[node]]
    return own


def _seen_in(cut: CutView, name: int, mask: Mask, visible: float) -> SeenIn:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    step, half = cut.grid.step, cut.grid.half
    z = cut.grid.z[box].astype(np.float64)
    return SeenIn(
        name,
        Cutout(mask[box], int(columns[0]) * step + half, int(rows[0]) * step + half, step),
        visible,
        np.where(z > 0, z, np.nan),
    )
