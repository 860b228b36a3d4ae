"""Pieces of two pictures that are one object: three kinds of evidence, each with its own rule.

With known poses paint, tangent planes and size together; without, matched points alone, and between
pictures that one camera took soon after each other a colour that only one piece of each has. Where
two pieces are about as good partners, there is no link.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oryx_scene.marks.rgb.features import LEAST_INLIERS, Matches
from oryx_scene.marks.rgb.regions import Region, RegionMap
from oryx_scene.marks.viewing_rays import Sighting, mismatch
from oryx_scene.records import FloatArray, Frame

# Mismatch of two posed sightings: at most this, and the runner-up worse by the margin.
MOST_MISMATCH = 12.0
MARGIN = 5.0
# Feature matches: each makes a pair this much likelier, up to a limit; without poses this many are
# needed, and twice the runner-up's.
MATCH_BONUS, MOST_BONUS = 1.0, 6.0
LEAST_MATCHES = 4
PAINT_LIMIT = 16.0
# Pieces without matches, of one camera's pictures at most so far apart in time: paint that differs
# by this at most, of the runner-up by this factor and as much again; of about one size, and shifted
# from where the picture as a whole went by no more than this share of its width.
SOON_S = 4.5
SAME_PAINT, PAINT_FACTOR = 8.0, 2.0
SIZE_LOG, MOST_SHIFT = 0.5, 0.35

Node = tuple[int, int]


@dataclass(frozen=True)
class PieceLink:
    """Two pieces, (view, region) each, that are one object; lower cost is surer."""

    a: Node
    b: Node
    cost: float


def count_votes(found: Matches, a_map: RegionMap, b_map: RegionMap) -> FloatArray:
    """(regions of a, regions of b) checked feature matches between them."""
    votes = np.zeros((len(a_map.regions), len(b_map.regions)))
    a, b = _region_at(a_map, found.uv_a), _region_at(b_map, found.uv_b)
    both = (a >= 0) & (b >= 0)
    np.add.at(votes, (a[both], b[both]), 1.0)
    return votes


def _region_at(found: RegionMap, uv: FloatArray) -> np.ndarray:
    """(n,) region under points (n, 2), -1 for none; at an outline the piece inside it."""
    height, width = found.labels.shape
    best = np.full(len(uv), -1)
    # Corners are found a pixel outside their thing as often as inside.
    for dv, du in itertools.product((0, -2, 2), (0, -2, 2)):
        u = np.clip(np.rint(uv[:, 0] / found.step).astype(int) + du, 0, width - 1)
        v = np.clip(np.rint(uv[:, 1] / found.step).astype(int) + dv, 0, height - 1)
        best = np.where(best < 0, found.labels[v, u], best)
    return best


def posed_links(
    i: int,
    j: int,
    sightings: list[list[Sighting | None]],
    votes: FloatArray,
    alike: NDArray[np.bool_],
) -> list[PieceLink]:
    """Mutually best pairs of two posed views, where the runner-up is clearly worse."""
    if not votes.size:
        return []
    cost = np.array([[mismatch(a, b) for b in sightings[j]] for a in sightings[i]])
    cost = np.where(alike, cost - np.minimum(MATCH_BONUS * votes, MOST_BONUS), np.inf)
    return _mutual(i, j, cost, MOST_MISMATCH, MARGIN)


def one_label(a: RegionMap, b: RegionMap) -> NDArray[np.bool_]:
    """(regions of a, regions of b) which pairs no detector calls by two names."""
    names_a = np.array([region.label.lower() for region in a.regions], dtype=object)[:, None]
    names_b = np.array([region.label.lower() for region in b.regions], dtype=object)[None, :]
    return np.asarray((names_a == names_b) | (names_a == "") | (names_b == ""), dtype=bool)


def _mutual(i: int, j: int, cost: FloatArray, most: float, margin: float) -> list[PieceLink]:
    links = []
    for a, b in np.argwhere(cost <= most):
        others = np.concatenate([np.delete(cost[a], b), np.delete(cost[:, b], a)])
        if not len(others) or others.min() >= cost[a, b] + margin:
            links.append(PieceLink((i, int(a)), (j, int(b)), float(cost[a, b])))
    return links


def voted_links(i: int, j: int, maps: Sequence[RegionMap], votes: FloatArray) -> list[PieceLink]:
    """Pairs of two views without poses: by matches alone, and of one paint."""
    links = []
    votes = np.where(one_label(maps[i], maps[j]), votes, 0.0)
    for a, b in np.argwhere(votes >= LEAST_MATCHES):
        apart = np.linalg.norm(maps[i].regions[a].paint - maps[j].regions[b].paint)
        others = np.concatenate([np.delete(votes[a], b), np.delete(votes[:, b], a)])
        if apart < PAINT_LIMIT and votes[a, b] >= 2 * others.max(initial=0.0):
            links.append(PieceLink((i, int(a)), (j, int(b)), -float(votes[a, b])))
    return links


def coloured_links(
    i: int, j: int, maps: Sequence[RegionMap], found: Matches, frames: Sequence[Frame]
) -> list[PieceLink]:
    """Pairs of two views without poses that no other piece of either view could be, by paint."""
    a_view, b_view = maps[i].regions, maps[j].regions
    if not (a_view and b_view and _soon(frames[i], frames[j])):
        return []
    if len(found.uv_a) < LEAST_INLIERS:
        return []
    flow = np.median(found.uv_b - found.uv_a, axis=0)
    apart = np.array([[np.linalg.norm(a.paint - b.paint) for b in b_view] for a in a_view])
    apart = np.where(one_label(maps[i], maps[j]), apart, np.inf)
    links = []
    for a, b in np.argwhere(apart <= SAME_PAINT):
        others = np.concatenate([np.delete(apart[a], b), np.delete(apart[:, b], a)])
        least = max(SAME_PAINT, PAINT_FACTOR * apart[a, b]) + SAME_PAINT
        if others.min(initial=np.inf) < least:
            continue
        one, other = a_view[a], b_view[b]
        shift = np.hypot(*(_middle(other) - _middle(one) - flow))
        size = abs(np.log(one.seen.area_px / other.seen.area_px))
        if size <= SIZE_LOG and shift <= MOST_SHIFT * frames[i].width:
            links.append(PieceLink((i, int(a)), (j, int(b)), float(apart[a, b])))
    return links


def _soon(a: Frame, b: Frame) -> bool:
    return a.camera == b.camera and abs(a.stamp_ns - b.stamp_ns) <= SOON_S * 1e9


def _middle(region: Region) -> FloatArray:
    """(2,) centroid, received pixels."""
    rows, columns = np.nonzero(region.seen.mask)
    seen = region.seen
    return np.array([seen.u0 + columns.mean() * seen.step, seen.v0 + rows.mean() * seen.step])
