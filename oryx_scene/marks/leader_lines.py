"""Where the number of a small thing goes: beside it, at the end of a short leader.

A disc on a thing that is no larger than the disc hides what it names. It then stands beside: off
the thing, over the centre of no other, as near as there is room, and preferably on nothing that
could be taken for what it names. Knows cut-outs and discs of one view; pixels are those of the
received picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oryx_scene.marks.label_placement import Cutout, Taken
from oryx_scene.records import FloatArray, Lattice

# Pixels between the thing and the rim of its disc; the rim is at most so many radii away.
GAP_PX = 1.0
FARTHEST = 3.0
# Standing wholly on another thing is as bad as standing so many radii farther away.
ON_ANOTHER = 3.0
# A leader keeps this far from the centres of other things, pixels.
CLEAR_PX = 2.0
# Cells of the picture of what is where.
CELL = 4
MOST_CELLS = 100


def occupancy(parts: Sequence[Cutout], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w) cells of ``CELL`` pixels, of a picture of (height, width), that show any thing."""
    out = np.zeros((size[0] // CELL + 1, size[1] // CELL + 1), dtype=bool)
    for part in parts:
        cells = _pixels(part) // CELL
        inside = (cells >= 0).all(axis=1) & (cells < (out.shape[1], out.shape[0])).all(axis=1)
        out[cells[inside, 1].astype(int), cells[inside, 0].astype(int)] = True
    return out


def find_beside(
    seen: Cutout,
    centre: tuple[float, float],
    size: tuple[int, int],
    radius: float,
    taken: Sequence[Taken],
    things: NDArray[np.bool_],
    lattice: Lattice | None = None,
) -> tuple[float, float] | None:
    """(u, v) of a disc beside a thing, None where there is no room.

    Args:
        seen: the thing in this view.
        centre: of the thing, where the leader ends.
        size: (height, width) of the received picture.
        radius: of the disc.
        taken: discs of this view, centres of other things as discs without extent.
        things: :func:`occupancy` of all things of the view.
        lattice: places to choose among; None chooses anywhere.
    """
    places = _candidates(seen, size, radius, lattice)
    places = places[_free(places, radius, taken)]
    own = _pixels(seen)
    own = own[:: max(1, len(own) // MOST_CELLS)]
    if not len(places):
        return None
    away = np.linalg.norm(places[:, None] - own[None], axis=2).min(axis=1) - radius - seen.step / 2
    fitting = (away >= GAP_PX) & (away <= FARTHEST * radius)
    places, away = places[fitting], away[fitting]
    cost = away / radius + ON_ANOTHER * _share_on(places, radius, things)
    for index in np.lexsort((places[:, 0], places[:, 1], np.round(cost, 6))):
        if _leader_is_clear(places[index], np.array(centre), taken):
            return float(places[index, 0]), float(places[index, 1])
    return None


def _pixels(part: Cutout) -> FloatArray:
    """(n, 2) u, v of the cells of a cut-out."""
    v, u = np.nonzero(part.mask)
    return np.column_stack([part.u0 + part.step * u, part.v0 + part.step * v]).astype(np.float64)


def _candidates(
    seen: Cutout, size: tuple[int, int], radius: float, lattice: Lattice | None
) -> FloatArray:
    """(n, 2) places around the thing at which the picture's border cuts no disc."""
    u0, v0, u1, v1 = seen.bbox
    reach = (FARTHEST + 1.0) * radius
    step = max(2.0, radius / 2.0)
    first_u, first_v, step_u, step_v = 0.0, 0.0, step, step
    if lattice is not None:
        first_u, first_v, step_u, step_v = (
            lattice.u0, lattice.v0, lattice.step_u, lattice.step_v
        )  # fmt: skip
    low_u, high_u = max(radius, u0 - reach), min(size[1] - 1 - radius, u1 + reach)
    low_v, high_v = max(radius, v0 - reach), min(size[0] - 1 - radius, v1 + reach)
    u = first_u + step_u * np.arange(
        np.ceil((low_u - first_u) / step_u), np.floor((high_u - first_u) / step_u) + 1
    )
    v = first_v + step_v * np.arange(
        np.ceil((low_v - first_v) / step_v), np.floor((high_v - first_v) / step_v) + 1
    )
    return np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)


def _free(places: FloatArray, radius: float, taken: Sequence[Taken]) -> NDArray[np.bool_]:
    free = np.ones(len(places), dtype=bool)
    for other in taken:
        away = np.hypot(places[:, 0] - other.u, places[:, 1] - other.v)
        free &= away > radius + other.radius + GAP_PX
    return free


def _share_on(places: FloatArray, radius: float, things: NDArray[np.bool_]) -> FloatArray:
    """(n,) share of a disc at each place that lies on things."""
    turn = np.arange(8) * np.pi / 4
    ring = np.column_stack([np.cos(turn), np.sin(turn)])
    points = np.concatenate([np.zeros((1, 2)), 0.5 * ring[::2], 0.95 * ring]) * radius
    cells = ((places[:, None] + points[None]) // CELL).astype(int)
    return np.asarray(things[cells[..., 1], cells[..., 0]].mean(axis=1))


def _leader_is_clear(place: FloatArray, centre: FloatArray, taken: Sequence[Taken]) -> bool:
    """Whether the line from ``place`` to ``centre`` keeps off other discs and centres."""
    along = centre - place
    length2 = float(along @ along)
    for other in taken:
        point = np.array([other.u, other.v]) - place
        t = min(1.0, max(0.0, float(point @ along) / max(length2, 1e-9)))
        if float(np.linalg.norm(point - t * along)) < max(other.radius, CLEAR_PX):
            return False
    return True
