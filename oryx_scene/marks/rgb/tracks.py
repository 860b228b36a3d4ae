"""The RGB-only route: pieces of pictures joined over views, for cameras without depth.

Each view falls into pieces of one paint. Two pieces of two views are one object where they are each
other's clearly best partner (`segment_links`): by matched feature points that pass the epipolar
check and, with known poses, by paint, tangent planes and size; without poses by a colour of their
own. Joined pieces must then agree on one place in space. Where that fails there is no
correspondence: a piece that only one view shows gets no number.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oryx_scene.config import MarksConfig
from oryx_scene.marks.mark_selection import FoundObject, SeenIn
from oryx_scene.marks.places import PoseNoise, as_covariance, assumed_noise, pose_noise, triangulate
from oryx_scene.marks.rgb.features import check, find_features, match, posed
from oryx_scene.marks.rgb.regions import RegionMap, find_regions
from oryx_scene.marks.rgb.segment_links import (
    Node,
    PieceLink,
    coloured_links,
    count_votes,
    one_label,
    posed_links,
    voted_links,
)
from oryx_scene.marks.viewing_rays import ANGLE_STD, Sighting, sighting_of
from oryx_scene.records import FloatArray, Frame

# The middle of a piece is found to this many pixels and this share of its half width; seen from
# another side it is another middle, by a share that grows with the sine of the angle between.
MIDDLE_PX, MIDDLE_SHARE, TURNED_SHARE = 1.0, 0.02, 0.5
# Of a piece's width: by so much its middle is off from that of the thing in all views alike, and
# where a border cuts it.
COMMON_SHARE, CUT_SHARE = 0.3, 0.5
LARGE = "too large to be one object"
ALONE = "seen in one view only: no correspondence"
DISAGREE = "views disagree where it is"
NO_RAYS = "beyond the end of the lens model: its rays are not known"


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
    noise = [pose_noise(frame.pose_std, assumed_noise(config)) for frame in frames]
    # Knowing poses loses nothing of what pictures alone tell.
    free: list[PieceLink] = []
    links: list[PieceLink] = []
    for i, j in itertools.combinations(range(len(frames)), 2):
        candidates = match(features[i], features[j])
        matches = check(candidates)
        free += voted_links(i, j, maps, count_votes(matches, maps[i], maps[j]))
        free += coloured_links(i, j, maps, matches, frames)
        if posed(frames[i]) and posed(frames[j]):
            votes = count_votes(check(candidates, (frames[i], frames[j])), maps[i], maps[j])
            links += posed_links(i, j, sightings, votes, one_label(maps[i], maps[j]))
    groups, torn = _join(links, free)
    told = {frozenset((link.a, link.b)) for link in free if _cut(link, maps)}
    left_out: Counter[str] = Counter()
    objects = []
    for group in groups:
        found = _object(group, told, maps, sightings, frames, noise)
        if found is None:
            left_out[DISAGREE] += 1
        elif found.size is not None and max(found.size) > config.max_size_m:
            left_out[LARGE] += 1
        else:
            objects.append(found)
    joined = {node for group in groups for node in group}
    unknown = {
        (view, index)
        for view, seen in enumerate(sightings)
        for index, sighting in enumerate(seen)
        if sighting is None
    } - joined
    left_out[NO_RAYS] += len(unknown)
    left_out[ALONE] += sum(len(item.regions) for item in maps) - len(joined) - len(unknown)
    left_out[DISAGREE] += torn
    return TracksFound(tuple(objects), +left_out)


def _cut(link: PieceLink, maps: Sequence[RegionMap]) -> bool:
    """Whether a picture's border cuts a piece: its ray is not that of the thing's middle."""
    return any(maps[view].regions[index].cut for view, index in (link.a, link.b))


def _join(*kinds: Sequence[PieceLink]) -> tuple[list[list[Node]], int]:
    """Groups of pieces, at most one of each view; and how many joins were refused for that.

    All links of one kind come before those of the next.
    """
    group_of: dict[Node, set[Node]] = {}
    torn = 0
    ordered = [sorted(links, key=lambda item: (item.cost, item.a, item.b)) for links in kinds]
    for link in itertools.chain(*ordered):
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
    told: set[frozenset[Node]],
    maps: Sequence[RegionMap],
    sightings: list[list[Sighting | None]],
    frames: Sequence[Frame],
    noise: Sequence[PoseNoise],
) -> FoundObject | None:
    """The object of a group; None where its views do not agree on one place.

    Pieces that the pictures alone tell to be one (``told``) stay together whatever rays say, if
    need be without a place.
    """
    known = {
        (view, index): sighting
        for view, index in group
        if sightings[view] and (sighting := sightings[view][index]) is not None
    }
    seen = list(known)
    place: tuple[float, float, float] | None = None
    size: tuple[float, float, float] | None = None
    covariance, frame_id = None, ""
    if len(seen) >= 2:
        fitted = _place(list(known.values()), [noise[view] for view, _ in seen])
        kept = set() if fitted is None else {seen[k] for k in fitted.kept}
        group = _told_with(kept | set(group) - set(seen), group, told)
        if len(group) < 2:
            return None
        if fitted is not None and fitted.covariance is not None:
            x, y, z = (float(value) for value in fitted.point)
            place, size = (x, y, z), (fitted.width, fitted.width, fitted.width)
            covariance = as_covariance(fitted.covariance)
            frame_id = frames[seen[0][0]].fixed_frame
    views = tuple(SeenIn(view, maps[view].regions[index].seen) for view, index in group)
    return FoundObject(
        views,
        position=place,
        size=size,
        covariance=covariance,
        frame_id=frame_id,
        score=float(1.0 - 0.5 ** (len(views) - 1)),
    )


def _told_with(kept: set[Node], group: list[Node], told: set[frozenset[Node]]) -> list[Node]:
    """Pieces of a group that agree on a place, and those that are told to be one with them.

    Where none agree, the most that are told to be one.
    """
    starts = [kept] if kept else [{node} for node in group]
    best: set[Node] = set()
    for start in starts:
        reached, fresh = set(start), set(start)
        while fresh:
            fresh = {
                node for node in group for near in fresh if frozenset((node, near)) in told
            } - reached
            reached |= fresh
        best = max(best, reached, key=len)
    return [node for node in group if node in best]


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Where sightings meet: place, width (m), which agree; no covariance without parallax."""

    point: FloatArray
    width: float
    kept: list[int]
    covariance: FloatArray | None


def _place(seen: list[Sighting], noise: list[PoseNoise]) -> _Fitted | None:
    """Where the sightings meet; None if fewer than two do.

    A ray is off by its pixels and by the share of the outline that a view does not show; the middle
    of what is seen is off from that of the thing by a share of its width in all views alike.
    """
    kept = list(range(len(seen)))
    while len(kept) >= 2:
        own = [seen[k] for k in kept]
        half = np.array([item.half_angle for item in own])
        rays = np.stack([item.middle for item in own])
        mean = rays.mean(axis=0) / np.linalg.norm(rays.mean(axis=0))
        turned = np.linalg.norm(np.cross(rays, mean), axis=1)
        pixels = MIDDLE_PX * np.array([item.pixel_angle for item in own])
        within = np.hypot(pixels, (MIDDLE_SHARE + TURNED_SHARE * turned) * half)
        origins = np.stack([item.origin for item in own])
        found = triangulate(origins, rays, within, [noise[k] for k in kept])
        allowed = 0.5 * half + 3 * ANGLE_STD
        if found.along.min() > 0 and (found.off <= allowed).all():
            radii = half * found.along
            width = 2.0 * float(np.median(radii))
            if not found.known:
                return _Fitted(found.point, width, kept, None)
            # Rays that miss by more than their noise explains are wrong in ways it does not know.
            scale = max(1.0, float(found.misfit.sum()) / (2 * len(kept) - 3))
            common = CUT_SHARE if any(item.cut for item in own) else COMMON_SHARE
            spread = np.eye(3) * (common * width) ** 2
            return _Fitted(found.point, width, kept, scale * found.covariance + spread)
        worst = int(np.argmax(np.where(found.along > 0, found.off / allowed, np.inf)))
        if len(kept) == 2:
            return None
        kept.pop(worst)
    return None
