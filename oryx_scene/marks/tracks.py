"""The RGB-only route: pieces of pictures joined over views, for cameras without depth.

Each view falls into pieces of one paint. Two pieces of two views are one object where they are each
other's clearly best partner: by matched feature points that pass the epipolar check and, with known
poses, by paint, tangent planes and size. Joined pieces must then agree on one place in space. Where
that fails there is no correspondence: a piece that only one view shows gets no number.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oryx_scene.frames import FloatArray, Frame
from oryx_scene.marks.choice import FoundObject, SeenIn
from oryx_scene.marks.config import MarksConfig
from oryx_scene.marks.features import Features, find_features, match, posed
from oryx_scene.marks.regions import RegionMap, find_regions
from oryx_scene.marks.sightings import ANGLE_STD, Sighting, meet, mismatch, sighting_of

# Mismatch of two posed sightings: at most this, and the runner-up worse by the margin.
MOST_MISMATCH = 12.0
MARGIN = 5.0
# Feature matches: each makes a pair this much likelier, up to a limit; without poses this many are
# needed, and twice the runner-up's.
MATCH_BONUS, MOST_BONUS = 1.0, 6.0
LEAST_MATCHES = 4
PAINT_LIMIT = 16.0
# A place less certain than this is not stated.
LEAST_CERTAIN_M = 0.4
LARGE = "too large to be one object"
ALONE = "seen in one view only: no correspondence"
DISAGREE = "views disagree where it is"

Node = tuple[int, int]


@dataclass(frozen=True)
class _Link:
    """Two pieces, (view, region) each, that are one object; lower cost is surer."""

    a: Node
    b: Node
    cost: float


@dataclass(frozen=True)
class TracksFound:
    """Objects over views, and pieces left out by reason."""

    objects: tuple[FoundObject, ...]
    left_out: Counter[str]


def find_by_tracks(
    frames: Sequence[Frame], config: MarksConfig, maps: Sequence[RegionMap] | None = None
) -> TracksFound:
    """Objects that at least two views show.

    Args:
        frames: views with or without poses; depth is not looked at.
        config: ``min_area_share`` and ``max_size_m``.
        maps: pieces of every view where a detector found them; None cuts the pictures by colour.
    """
    if maps is None:
        maps = [find_regions(frame.rgb, config.min_area_share) for frame in frames]
    features = [find_features(frame) for frame in frames]
    sightings = [
        [sighting_of(region, frame) for region in found.regions] if posed(frame) else []
        for found, frame in zip(maps, frames, strict=True)
    ]
    links: list[_Link] = []
    for i, j in itertools.combinations(range(len(frames)), 2):
        votes = _votes(i, j, maps, features, frames)
        if posed(frames[i]) and posed(frames[j]):
            links += _posed_links(i, j, sightings, votes, _one_label(maps[i], maps[j]))
        else:
            links += _voted_links(i, j, maps, votes)
    groups, torn = _join(links)
    left_out: Counter[str] = Counter()
    objects = []
    for group in groups:
        found = _object(group, maps, sightings, frames)
        if found is None:
            left_out[DISAGREE] += 1
        elif found.size is not None and max(found.size) > config.max_size_m:
            left_out[LARGE] += 1
        else:
            objects.append(found)
    joined = {node for group in groups for node in group}
    left_out[ALONE] += sum(len(item.regions) for item in maps) - len(joined)
    left_out[DISAGREE] += torn
    return TracksFound(tuple(objects), +left_out)


def _votes(
    i: int, j: int, maps: Sequence[RegionMap], features: list[Features], frames: Sequence[Frame]
) -> FloatArray:
    """(regions of i, regions of j) checked feature matches between them."""
    found = match(features[i], features[j], (frames[i], frames[j]))
    votes = np.zeros((len(maps[i].regions), len(maps[j].regions)))
    a, b = _region_at(maps[i], found.uv_a), _region_at(maps[j], found.uv_b)
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


def _posed_links(
    i: int, j: int, sightings: list[list[Sighting]], votes: FloatArray, alike: NDArray[np.bool_]
) -> list[_Link]:
    """Mutually best pairs of two posed views, where the runner-up is clearly worse."""
    if not votes.size:
        return []
    cost = np.array([[mismatch(a, b) for b in sightings[j]] for a in sightings[i]])
    cost = np.where(alike, cost - np.minimum(MATCH_BONUS * votes, MOST_BONUS), np.inf)
    return _mutual(i, j, cost, MOST_MISMATCH, MARGIN)


def _one_label(a: RegionMap, b: RegionMap) -> NDArray[np.bool_]:
    """(regions of a, regions of b) which pairs no detector calls by two names."""
    names_a = np.array([region.label.lower() for region in a.regions], dtype=object)[:, None]
    names_b = np.array([region.label.lower() for region in b.regions], dtype=object)[None, :]
    return np.asarray((names_a == names_b) | (names_a == "") | (names_b == ""), dtype=bool)


def _mutual(i: int, j: int, cost: FloatArray, most: float, margin: float) -> list[_Link]:
    links = []
    for a, b in np.argwhere(cost <= most):
        others = np.concatenate([np.delete(cost[a], b), np.delete(cost[:, b], a)])
        if not len(others) or others.min() >= cost[a, b] + margin:
            links.append(_Link((i, int(a)), (j, int(b)), float(cost[a, b])))
    return links


def _voted_links(i: int, j: int, maps: Sequence[RegionMap], votes: FloatArray) -> list[_Link]:
    """Pairs of two views without poses: by matches alone, and of one paint."""
    links = []
    votes = np.where(_one_label(maps[i], maps[j]), votes, 0.0)
    for a, b in np.argwhere(votes >= LEAST_MATCHES):
        apart = np.linalg.norm(maps[i].regions[a].paint - maps[j].regions[b].paint)
        others = np.concatenate([np.delete(votes[a], b), np.delete(votes[:, b], a)])
        if apart < PAINT_LIMIT and votes[a, b] >= 2 * others.max(initial=0.0):
            links.append(_Link((i, int(a)), (j, int(b)), -float(votes[a, b])))
    return links


def _join(links: Sequence[_Link]) -> tuple[list[list[Node]], int]:
    """Groups of pieces, at most one of each view; and how many joins were refused for that."""
    group_of: dict[Node, set[Node]] = {}
    torn = 0
    for link in sorted(links, key=lambda item: (item.cost, item.a, item.b)):
        a = group_of.setdefault(link.a, {link.a})
        b = group_of.setdefault(link.b, {link.b})
        if a is b:
            continue
        if {view for view, _ in a} & {view for view, _ in b}:
            torn += 1
            continue
        a |= b
        for node in b:
            group_of[node] = a
    groups = {id(group): sorted(group) for group in group_of.values() if len(group) > 1}
    return sorted(groups.values()), torn


def _object(
    group: list[Node],
    maps: Sequence[RegionMap],
    sightings: list[list[Sighting]],
    frames: Sequence[Frame],
) -> FoundObject | None:
    """The object of a group; None where its views do not agree on one place."""
    seen = [(view, index) for view, index in group if sightings[view]]
    place: tuple[float, float, float] | None = None
    size: tuple[float, float, float] | None = None
    std, frame_id = float("nan"), ""
    if len(seen) >= 2:
        fitted = _place([sightings[view][index] for view, index in seen])
        if fitted is None:
            return None
        point, width, std, kept = fitted
        dropped = {seen[k] for k in range(len(seen)) if k not in kept}
        group = [node for node in group if node not in dropped]
        if std > LEAST_CERTAIN_M:
            std = float("nan")
        else:
            place = (float(point[0]), float(point[1]), float(point[2]))
            size = (width, width, width)
            frame_id = frames[seen[0][0]].fixed_frame
    views = tuple(SeenIn(view, maps[view].regions[index].seen) for view, index in group)
    return FoundObject(
        views,
        position=place,
        size=size,
        position_std=std,
        frame_id=frame_id,
        score=float(1.0 - 0.5 ** (len(views) - 1)),
    )


def _place(seen: list[Sighting]) -> tuple[FloatArray, float, float, list[int]] | None:
    """(place, width in metres, standard deviation, which sightings agree), None if fewer than two.

    The standard deviation is that of the least certain direction, from rays that are ``ANGLE_STD``
    off and the fact that centroids of two sides of a thing are not one point; infinite without
    parallax.
    """
    kept = list(range(len(seen)))
    while len(kept) >= 2:
        origins = np.stack([seen[k].origin for k in kept])
        rays = np.stack([seen[k].middle for k in kept])
        point, along = meet(origins, rays)
        off = np.linalg.norm(np.cross(point - origins, rays), axis=1) / np.maximum(along, 1e-6)
        allowed = np.array([0.5 * seen[k].half_angle + 3 * ANGLE_STD for k in kept])
        if along.min() > 0 and (off <= allowed).all():
            radii = [seen[k].half_angle * d for k, d in zip(kept, along, strict=True)]
            spread = np.hypot(ANGLE_STD * along, 0.3 * np.array(radii))
            across = np.eye(3)[None] - rays[:, :, None] * rays[:, None, :]
            information = (across / spread[:, None, None] ** 2).sum(axis=0)
            least = float(np.linalg.eigvalsh(information)[0])
            std = 1.0 / np.sqrt(least) if least > 1e-6 else np.inf
            return point, 2.0 * float(np.median(radii)), float(std), kept
        worst = int(np.argmax(np.where(along > 0, off / allowed, np.inf)))
        if len(kept) == 2:
            return None
        kept.pop(worst)
    return None
