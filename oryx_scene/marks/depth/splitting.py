"""Patches that hold two objects, cut apart by what other views know.

Where one view could not tell two things apart and others could, the points of both that are carried
into it say which cell is whose.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import cv2
import numpy as np
from numpy.typing import NDArray

from oryx_scene.marks.depth.linking import LEAST_SHARE, LEAST_VOTES
from oryx_scene.marks.depth.reprojection_votes import ReprojectionVotes
from oryx_scene.marks.depth.view_grid import Labels

IntArray = NDArray[np.int64]

# So many views must claim a part: one of them may have a wrong pose.
LEAST_CLAIMS = 2


def paint_groups(ballot: ReprojectionVotes, group: IntArray) -> list[Labels]:
    """Per view, the group of every cell, -1 none; contested patches are cut apart."""
    pictures = []
    seen_in: dict[int, set[int]] = defaultdict(set)
    for node, name in enumerate(group):
        seen_in[int(name)].add(int(ballot.node_view[node]))
    for view, cut in enumerate(ballot.views):
        nodes = ballot.nodes_of(view)
        lookup = np.append(group[nodes], -1).astype(np.int32)
        labels = cut.patches.labels
        picture = lookup[np.where(labels >= 0, labels, len(lookup) - 1)]
        for node in range(nodes.start, nodes.stop):
            rivals = _rivals(ballot, group, seen_in, node)
            if rivals:
                mask = labels == ballot.node_patch[node]
                _cut(ballot, group, node, [int(group[node]), *rivals], mask, picture)
        pictures.append(picture)
    return pictures


def _rivals(
    ballot: ReprojectionVotes, group: IntArray, seen_in: dict[int, set[int]], node: int
) -> list[int]:
    """Groups that the view of ``node`` does not show, but whose points fall on ``node``.

    Only groups that some view shows beside the node's own are known to be another object.
    """
    view, own = int(ballot.node_view[node]), int(group[node])
    nodes = ballot.nodes_of(view)
    votes = ballot.onto[:, nodes]
    here = votes[:, node - nodes.start]
    share = here / np.maximum(ballot.seen[:, view], 1)
    for_me = (here >= LEAST_VOTES) & (share >= LEAST_SHARE) & (here == votes.max(axis=1))
    claims = Counter(int(name) for name in group[for_me])
    return sorted(
        name
        for name, times in claims.items()
        if name != own
        and times >= LEAST_CLAIMS
        and view not in seen_in[name]
        and seen_in[name] & seen_in[own]
    )


def _cut(
    ballot: ReprojectionVotes,
    group: IntArray,
    node: int,
    names: list[int],
    mask: NDArray[np.bool_],
    picture: Labels,
) -> None:
    """Give every cell of ``mask`` to the group with the nearest carried point."""
    view = int(ballot.node_view[node])
    flat = mask.ravel()
    away = []
    for name in names:
        free = np.ones(mask.size, np.uint8)
        for giver in range(len(ballot.views)):
            found = ballot.hits.get((giver, view))
            if found is not None and len(found):
                free[found[group[found[:, 1]] == name, 0]] = 0
        free[~flat] = 1
        away.append(cv2.distanceTransform(free.reshape(mask.shape), cv2.DIST_L2, 3))
    owner = np.array(names, np.int32)[np.argmin(np.stack(away), axis=0)]
    picture[mask] = owner[mask]
