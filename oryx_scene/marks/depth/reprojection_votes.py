"""Votes: points of patches carried from every view into every other one.

A point that is hidden there says nothing; one that lies on the surface seen there, within a
tolerance that real poses need, votes for the patch it falls on; one that floats in front of it says
that nothing is there. What follows from the votes is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oryx_scene.geometry.camera import project
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.marks.depth.segments import BACKGROUND, Patches
from oryx_scene.marks.depth.view_grid import ViewGrid
from oryx_scene.records import FloatArray, Frame, Intrinsics

POINTS_PER_PATCH = 120
# How far a carried point may lie from the surface it votes for: real SLAM poses are this wrong.
TOLERANCE_M = 0.05
TOLERANCE_SHARE = 0.04
# Cosine between normals of one face in two views: 60 degrees allow for noise and for curvature.
MOST_TURNED = 0.5
# Views nearer in time than this are of one time: cameras are never exactly synchronous.
SAME_TIME_NS = 200_000_000


@dataclass(frozen=True, eq=False)
class Samples:
    """Points sampled from surfaces, each with an owner.

    Attributes:
        points: (n, 3) fixed frame.
        normals: (n, 3) unit, fixed frame, towards the camera that saw them; 0 where unknown.
        owner: (n,) patch, or whatever else they are sampled from, 0..count - 1.
        count: of owners.
    """

    points: FloatArray
    normals: FloatArray
    owner: NDArray[np.int64]
    count: int


@dataclass(frozen=True, eq=False)
class CutView:
    """One view, cut into patches; keeps no pixels.

    Attributes:
        height, width: of the received picture.
        intrinsics, T_fixed_camera, fixed_frame: as in the frame.
        grid, patches: of it.
        samples: of all patches.
        stamp_ns: capture time.
        pose_std: as in the frame.
    """

    height: int
    width: int
    intrinsics: Intrinsics
    T_fixed_camera: FloatArray
    fixed_frame: str
    grid: ViewGrid
    patches: Patches
    samples: Samples
    stamp_ns: int
    pose_std: tuple[float, float] | None = None


def sample_patches(frame: Frame, grid: ViewGrid, patches: Patches) -> CutView:
    """Up to ``POINTS_PER_PATCH`` points of every patch, evenly over its cells."""
    assert frame.T_fixed_camera is not None and frame.intrinsics is not None
    flat = patches.labels.ravel()
    cells = np.flatnonzero(flat >= 0)
    cells = cells[np.argsort(flat[cells], kind="stable")]
    owner = flat[cells].astype(np.int64)
    starts = np.searchsorted(owner, np.arange(patches.count + 1))
    few = [
        np.linspace(starts[i], starts[i + 1] - 1, min(POINTS_PER_PATCH, int(n))).astype(np.int64)
        for i, n in enumerate(patches.cells)
    ]
    chosen = np.concatenate([np.zeros(0, np.int64), *few])
    camera = grid.points.reshape(-1, 3)[cells[chosen]].astype(np.float64)
    normals = grid.normal.reshape(-1, 3)[cells[chosen]].astype(np.float64)
    samples = Samples(
        transform_points(frame.T_fixed_camera, camera),
        normals @ frame.T_fixed_camera[:3, :3].T,
        owner[chosen],
        patches.count,
    )
    return CutView(
        frame.height,
        frame.width,
        frame.intrinsics,
        frame.T_fixed_camera,
        frame.fixed_frame,
        grid,
        patches,
        samples,
        frame.stamp_ns,
        frame.pose_std,
    )


@dataclass(frozen=True, eq=False)
class ViewVotes:
    """How sampled points look from a view.

    Attributes:
        seen: (owners,) points where a patch, the backdrop or a surface further away is seen.
        onto: (owners, patches) votes for each patch of the view.
        backdrop: (owners,) votes for its backdrop.
        through: (owners,) points that the view looks through.
        cell, owner: (k,) flat cell and owner of every vote for a patch.
        gone: indices of the points that the view looks through.
    """

    seen: NDArray[np.int64]
    onto: NDArray[np.int64]
    backdrop: NDArray[np.int64]
    through: NDArray[np.int64]
    cell: NDArray[np.int64]
    owner: NDArray[np.int64]
    gone: NDArray[np.int64]


def carry(samples: Samples, view: CutView) -> ViewVotes:
    """Votes of sampled points for the patches of ``view``."""
    grid, owners, patches = view.grid, samples.count, view.patches.count
    camera = transform_points(invert(view.T_fixed_camera), samples.points)
    uv = project(view.intrinsics, camera)
    height, width = grid.z.shape
    cell = np.rint((uv - grid.half) / grid.step)
    with np.errstate(invalid="ignore"):
        inside = (cell >= 0).all(axis=1) & (cell[:, 0] < width) & (cell[:, 1] < height)
    inside = np.flatnonzero(inside)
    column, row = cell[inside].astype(np.int64).T
    z, owner, normals = camera[inside, 2], samples.owner[inside], samples.normals[inside]
    there = grid.z[row, column].astype(np.float64)
    label = view.patches.labels[row, column]
    tolerance = np.maximum(TOLERANCE_M, TOLERANCE_SHARE * z)
    on = (there > 0) & (np.abs(z - there) <= tolerance)
    facing = grid.normal[row, column] @ view.T_fixed_camera[:3, :3].T
    # Faces turned away from each other are not the same one; an unknown normal says nothing.
    turned = np.einsum("ij,ij->i", facing, normals) < MOST_TURNED
    on &= ~(turned & facing.any(axis=1) & normals.any(axis=1))
    # A camera looks through a point only if it does so all around it: outlines are a cell wrong.
    through = (there > 0) & (z < grid.nearest[row, column] - tolerance)
    hit = on & (label >= 0)
    onto = np.bincount(owner[hit] * patches + label[hit], minlength=owners * patches)
    onto = onto.reshape(owners, patches)
    back = np.bincount(owner[on & (label == BACKGROUND)], minlength=owners)
    gone = np.bincount(owner[through], minlength=owners)
    seen = onto.sum(axis=1) + back + gone
    cells = row[hit] * width + column[hit]
    return ViewVotes(seen, onto, back, gone, cells, owner[hit], inside[through])


@dataclass(frozen=True, eq=False)
class ReprojectionVotes:
    """All votes of a set of views; a node is one patch of one view.

    Attributes:
        views: the views.
        node_view, node_patch: (n,) where each node comes from.
        first: (views + 1,) first node of each view.
        own: (n,) points of each node.
        onto: (n, n) votes of a node's points for another node.
        seen, backdrop, through: (n, views) as in :class:`ViewVotes`.
        hits: (giver, taker) -> (k, 2) cell and node of every vote between two views.
    """

    views: tuple[CutView, ...]
    node_view: NDArray[np.int64]
    node_patch: NDArray[np.int64]
    first: NDArray[np.int64]
    own: NDArray[np.int64]
    onto: NDArray[np.int64]
    seen: NDArray[np.int64]
    backdrop: NDArray[np.int64]
    through: NDArray[np.int64]
    hits: dict[tuple[int, int], NDArray[np.int64]]

    def nodes_of(self, view: int) -> slice:
        """The nodes of one view."""
        return slice(int(self.first[view]), int(self.first[view + 1]))


def cast_votes(views: Sequence[CutView]) -> ReprojectionVotes:
    """Carry the points of every view into every other one."""
    counts = np.array([view.patches.count for view in views], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    total = int(first[-1])
    node_view = np.repeat(np.arange(len(views)), counts).astype(np.int64)
    own = np.zeros(total, np.int64)
    onto = np.zeros((total, total), np.int64)
    seen, backdrop, through = (np.zeros((total, len(views)), np.int64) for _ in range(3))
    hits = {}
    for i, a in enumerate(views):
        rows = slice(first[i], first[i + 1])
        own[rows] = np.bincount(a.samples.owner, minlength=counts[i])
        for j, b in enumerate(views):
            if i == j or not counts[i]:
                continue
            votes = carry(a.samples, b)
            onto[rows, first[j] : first[j + 1]] = votes.onto
            seen[rows, j], backdrop[rows, j] = votes.seen, votes.backdrop
            through[rows, j] = votes.through
            hits[i, j] = np.column_stack([votes.cell, votes.owner + first[i]])
    node_patch = np.arange(total) - first[node_view] if total else node_view
    return ReprojectionVotes(
        tuple(views), node_view, node_patch, first, own, onto, seen, backdrop, through, hits
    )
