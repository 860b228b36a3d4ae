"""Which patches of different views are one object.

Patches are grouped by the votes of their points, strongest link first; never two patches of one
view, unless other views see them as one. Two objects must not get one number: what stays doubtful
is said so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oryx_scene.marks.depth.reprojection_votes import SAME_TIME_NS, ReprojectionVotes
from oryx_scene.marks.surface_colour import LEAST_RATIO, SAME_COLOUR, compare_colours
from oryx_scene.records import FloatArray

# Least votes, and least share of the seen points, that make a link.
LEAST_VOTES = 5
LEAST_SHARE = 0.3
# Angle between the colours of one object in two views: light and exposure differ.
ACROSS_VIEWS = 0.12
BACKGROUND_THERE = "other views see background there"
NOTHING_THERE = "other views see nothing there"
NOT_APART = "other views see it as part of something else"


@dataclass(frozen=True)
class Link:
    """Two patches of different views that may be one object; nodes count over all views."""

    first: int
    second: int
    weight: float


def group_patches(ballot: ReprojectionVotes, more: Sequence[Link] = ()) -> NDArray[np.int64]:
    """(n,) group of every node: the least of its nodes.

    Args:
        ballot: votes.
        more: links beside those that follow from the votes.
    """
    groups = _Groups(ballot)
    links = [*find_links(ballot), *more]
    for item in sorted(links, key=lambda item: (-item.weight, item.first, item.second)):
        groups.join(item)
    return groups.of


def find_links(ballot: ReprojectionVotes) -> list[Link]:
    """Links that follow from the votes."""
    seen = ballot.seen[:, ballot.node_view]
    share = ballot.onto / np.maximum(seen, 1)
    # Of two directions, one that sees next to nothing of the other patch has no say.
    told = seen >= LEAST_VOTES
    weight = (share * told + (share * told).T) / np.maximum(told.astype(int) + told.T, 1)
    strong = (np.maximum(ballot.onto, ballot.onto.T) >= LEAST_VOTES) & (weight >= LEAST_SHARE)
    return [
        Link(int(i), int(j), round(float(weight[i, j]), 6))
        for i, j in zip(*np.nonzero(np.triu(strong, 1)), strict=True)
    ]


class _Groups:
    """Patches in groups; joins two groups unless they hold different objects of one view."""

    def __init__(self, ballot: ReprojectionVotes) -> None:
        self._ballot = ballot
        empty = np.zeros((0, 3), np.float32)
        self._rgb = np.concatenate([empty, *(view.patches.rgb for view in ballot.views)])
        self.of = np.arange(len(ballot.own))
        self._members = {node: [node] for node in range(len(ballot.own))}

    def join(self, item: Link) -> None:
        """Join the groups of a link's ends, unless something speaks against."""
        a, b = int(self.of[item.first]), int(self.of[item.second])
        if a == b or not self._alike(item.first, item.second, ACROSS_VIEWS):
            return
        view = self._ballot.node_view
        for p in self._members[a]:
            for q in self._members[b]:
                if view[p] == view[q] and not self._one(p, q):
                    return
        low, high = min(a, b), max(a, b)
        moved = self._members.pop(high)
        self._members[low] += moved
        self.of[moved] = low

    def _alike(self, p: int, q: int, angle_limit: float) -> bool:
        angle, ratio = compare_colours(self._rgb[[p]], self._rgb[[q]])
        return bool(angle[0] < angle_limit and ratio[0] > LEAST_RATIO)

    def _one(self, p: int, q: int) -> bool:
        """Whether two patches of one view are one object: no crease between, and views say so."""
        ballot = self._ballot
        view = int(ballot.node_view[p])
        first = int(ballot.first[view])
        if ballot.views[view].patches.creased[p - first, q - first]:
            return False
        if not self._alike(p, q, SAME_COLOUR):
            return False
        together = apart = 0
        for other in range(len(ballot.views)):
            nodes = ballot.nodes_of(other)
            if other == view or nodes.start == nodes.stop:
                continue
            rows = ballot.onto[[p, q], nodes]
            if rows.max(axis=1).min() < LEAST_VOTES:
                continue
            same = rows[0].argmax() == rows[1].argmax()
            together, apart = together + int(same), apart + int(not same)
        return together > apart


def doubt(ballot: ReprojectionVotes, nodes: NDArray[np.int64]) -> str:
    """Why a group is not trusted, "" where it is."""
    seen = int(ballot.seen[nodes].sum())
    if seen < LEAST_VOTES:
        return ""
    if int(ballot.backdrop[nodes].sum()) > 0.5 * seen:
        return BACKGROUND_THERE
    through = ballot.through[nodes].sum(axis=0)
    silent = int(through[_showing(ballot, nodes) | _other_times(ballot, nodes)].sum())
    if int(through.sum()) - silent > 0.5 * (seen - silent):
        return NOTHING_THERE
    # A piece that one view alone shows apart, while others see something larger there.
    if len(np.unique(ballot.node_view[nodes])) == 1:
        outside = int(ballot.onto[nodes].sum()) - int(ballot.onto[np.ix_(nodes, nodes)].sum())
        if outside > 0.5 * seen:
            return NOT_APART
    return ""


def _showing(ballot: ReprojectionVotes, nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Views that show a group, where several do: what they look through, wrong poses shifted."""
    shown = np.zeros(len(ballot.views), dtype=bool)
    shown[ballot.node_view[nodes]] = True
    return shown if int(shown.sum()) > 1 else np.zeros_like(shown)


def _other_times(ballot: ReprojectionVotes, nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Views before or after all that show a group: it may have come or gone.

    What one view alone shows is not believed against views of other times.
    """
    stamps = np.array([view.stamp_ns for view in ballot.views], dtype=np.int64)
    shown = stamps[np.unique(ballot.node_view[nodes])]
    if len(shown) < 2:
        return np.zeros(len(stamps), dtype=bool)
    return np.asarray((stamps < shown.min() - SAME_TIME_NS) | (stamps > shown.max() + SAME_TIME_NS))


def visible_shares(ballot: ReprojectionVotes, nodes: NDArray[np.int64]) -> FloatArray:
    """Per node of a group, the share of the group's sampled points that its view shows."""
    within = ballot.onto[np.ix_(nodes, nodes)].sum(axis=0)
    shares: FloatArray = (ballot.own[nodes] + within) / max(1, int(ballot.own[nodes].sum()))
    return np.minimum(shares, 1.0)
