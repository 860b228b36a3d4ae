"""The RGB-only route: pieces of pictures joined over views, for cameras without depth.

Each view falls into pieces of one paint. Two pieces of two views are one object where they are each
other's clearly best partner (`piece_links`): by matched feature points that pass the epipolar check
and, with known poses, by paint, tangent planes and size; without poses by a colour of their own.
Joined pieces must then agree on one place in space. Where that fails there is no correspondence: a
piece that only one view shows gets no number.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oryx_scene.frames import FloatArray, Frame
from oryx_scene.marks.choice import FoundObject, SeenIn
from oryx_scene.marks.config import MarksConfig
from oryx_scene.marks.features import find_features, match, posed
from oryx_scene.marks.piece_links import (
    Node,
    PieceLink,
    coloured_links,
    count_votes,
    one_label,
    posed_links,
    voted_links,
)
from oryx_scene.marks.regions import RegionMap, find_regions
from oryx_scene.marks.sightings import ANGLE_STD, Sighting, meet, sighting_of

# A place less certain than this is not stated.
LEAST_CERTAIN_M = 0.4
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
    links: list[PieceLink] = []
    for i, j in itertools.combinations(range(len(frames)), 2):
        matches = match(features[i], features[j], (frames[i], frames[j]))
        votes = count_votes(matches, maps[i], maps[j])
        if posed(frames[i]) and posed(frames[j]):
            links += posed_links(i, j, sightings, votes, one_label(maps[i], maps[j]))
        else:
            links += voted_links(i, j, maps, votes)
            links += coloured_links(i, j, maps, matches, frames)
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


def _join(links: Sequence[PieceLink]) -> tuple[list[list[Node]], int]:
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
    sightings: list[list[Sighting | None]],
    frames: Sequence[Frame],
) -> FoundObject | None:
    """The object of a group; None where its views do not agree on one place."""
    known = {
        (view, index): sighting
        for view, index in group
        if sightings[view] and (sighting := sightings[view][index]) is not None
    }
    seen = list(known)
    place: tuple[float, float, float] | None = None
    size: tuple[float, float, float] | None = None
    std, frame_id = float("nan"), ""
    if len(seen) >= 2:
        fitted = _place(list(known.values()))
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
