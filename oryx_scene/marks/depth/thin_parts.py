"""Thin groups, such as the legs of a table, that belong to the thing of their colour they touch.

From most places a leg looks apart from what it carries, because an edge hides where they meet.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from oryx_scene.marks.depth.reprojection_votes import ReprojectionVotes
from oryx_scene.marks.surface_colour import LEAST_RATIO, compare_colours
from oryx_scene.records import FloatArray

IntArray = NDArray[np.int64]

# A group is a limb if it is thinner than this across its length, metres.
LIMB_M = 0.12
TOUCHING_M = 0.1
SAME_COLOUR = 0.12
# Of a limb's patches, this share may have a crease towards the other group.
MOST_CREASED = 0.3
# Of the views of a thing, a part that is seen apart is shown by at most this share.
PART_VIEWS = 0.25


def attach_limbs(ballot: ReprojectionVotes, group: IntArray) -> IntArray:
    """Groups with limbs joined to what they belong to."""
    out = group.copy()
    names = np.unique(group)
    points = {int(name): _points(ballot, np.flatnonzero(group == name)) for name in names}
    limbs = {name for name, own in points.items() if _is_limb(own)}
    for limb in sorted(limbs):
        best, nearest = -1, TOUCHING_M
        for other in sorted(set(points) - limbs):
            if not _may_join(ballot, group, limb, other):
                continue
            away, _ = cKDTree(points[other]).query(points[limb], distance_upper_bound=nearest)
            if away.min() < nearest:
                best, nearest = other, float(away.min())
        if best >= 0:
            out[group == limb] = best
    return out


def parts(ballot: ReprojectionVotes, objects: Sequence[IntArray]) -> set[int]:
    """Which objects (their nodes) are parts of others: something hid the rest in the few views.

    An object that no more than a quarter of the views of another one show, and that touches it in
    its colour, is a part of it that was seen apart. It gets no number: it would be a second one.
    """
    views = [set(ballot.node_view[nodes].tolist()) for nodes in objects]
    points = [_points(ballot, nodes) for nodes in objects]
    colours = [_colour(ballot, nodes)[None] for nodes in objects]
    found = set()
    for part, whole in itertools.permutations(range(len(objects)), 2):
        if part in found or len(views[part]) > PART_VIEWS * len(views[whole]):
            continue
        angle, ratio = compare_colours(colours[part], colours[whole])
        if angle[0] > SAME_COLOUR or ratio[0] < LEAST_RATIO:
            continue
        away, _ = cKDTree(points[whole]).query(points[part], distance_upper_bound=TOUCHING_M)
        if away.min() < TOUCHING_M:
            found.add(part)
    return found


def _points(ballot: ReprojectionVotes, nodes: IntArray) -> FloatArray:
    parts = []
    for node in nodes:
        cut = ballot.views[ballot.node_view[node]]
        parts.append(cut.samples.points[cut.samples.owner == ballot.node_patch[node]])
    return np.concatenate(parts)


def _is_limb(points: FloatArray) -> bool:
    """Whether the points fill a thin rod; a rod of width w has a spread of w / sqrt(12)."""
    if len(points) < 8:
        return False
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T)), 0.0)) * np.sqrt(12.0)
    return bool(spread[1] < LIMB_M and spread[2] > 2.0 * spread[1])


def _may_join(ballot: ReprojectionVotes, group: IntArray, limb: int, other: int) -> bool:
    """Same colour, and hardly ever a crease between."""
    a, b = np.flatnonzero(group == limb), np.flatnonzero(group == other)
    angle, ratio = compare_colours(_colour(ballot, a)[None], _colour(ballot, b)[None])
    if angle[0] > SAME_COLOUR or ratio[0] < LEAST_RATIO:
        return False
    creased = beside = 0
    for p in a:
        view = int(ballot.node_view[p])
        for q in b[ballot.node_view[b] == view]:
            beside += 1
            first = int(ballot.first[view])
            creased += bool(ballot.views[view].patches.creased[p - first, q - first])
    return beside > 0 and creased <= MOST_CREASED * beside


def _colour(ballot: ReprojectionVotes, nodes: IntArray) -> NDArray[np.float32]:
    """Mean colour of a group over its cells."""
    cells, total = 0.0, np.zeros(3)
    for node in nodes:
        patches = ballot.views[ballot.node_view[node]].patches
        weight = float(patches.cells[ballot.node_patch[node]])
        total += weight * patches.rgb[ballot.node_patch[node]]
        cells += weight
    return (total / max(cells, 1.0)).astype(np.float32)
