"""How right the marks of one view set are, judged by the true ids of its pixels.

A pair is one number seen in two views. It is right if both discs are centred on the same true
object, wrong if on two objects or on none. A true object that two views show well, without one
number on it in both, is a pair missed.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import numpy as np

from oryx_scene.errors import SourceError
from oryx_scene.geometry.camera import project
from oryx_scene.geometry.transforms import invert, transform_points
from oryx_scene.lab.evaluation.mark_counts import BASELINES_M, MarkCounts
from oryx_scene.records import FloatArray, Frame, Mark, MarkSet, ViewSet

# A view shows an object well if at least this share of the picture is the object.
VISIBLE_SHARE = 0.0025


def score_marks(
    views: ViewSet,
    marks: MarkSet,
    *,
    true_views: ViewSet | None = None,
    places: dict[int, tuple[float, float, float]] | None = None,
    visible_share: float = VISIBLE_SHARE,
    fittings: frozenset[int] = frozenset(),
) -> MarkCounts:
    """Judge ``marks`` found in ``views``.

    Args:
        views: frames with true ``labels`` (0 is background).
        marks: what was found.
        true_views: the same frames with true poses; ``views`` where poses are true.
        places: true middles of the objects in the fixed frame of ``true_views``.
        visible_share: least share of a picture from which on an object counts as shown.
        fittings: true ids that count as objects where they are marked and are not missed where
            they are not.

    Raises:
        SourceError: a frame has no true ids.
    """
    for frame in views.frames:
        if frame.labels is None:
            raise SourceError(frame.topic or frame.camera, "the frames carry no true ids.")
    counts = MarkCounts(scenes=1, views=len(views.frames), marks=len(marks.marks))
    counts.left_out.update(marks.left_out)
    owners = {mark.number: _owner(mark, views) for mark in marks.marks}
    shown = {k: v for k, v in _shown(views, visible_share).items() if k not in fittings}
    _score_pairs(counts, views, marks, shown)
    _score_objects(counts, marks, owners, shown)
    for mark in marks.marks:
        _score_mark(counts, views, mark, owners[mark.number])
        place = (places or {}).get(owners[mark.number])
        if place is not None:
            _score_place(counts, mark, place, (true_views or views).frames)
    _score_overlaps(counts, views, marks)
    return counts


def _under(frame: Frame, u: float, v: float) -> int:
    """True id under the centre of a disc, 0 outside the picture."""
    assert frame.labels is not None
    row, column = round(v), round(u)
    if not (0 <= row < frame.height and 0 <= column < frame.width):
        return 0
    return int(frame.labels[row, column])


def _owner(mark: Mark, views: ViewSet) -> int:
    """The true object under most of the mark's discs, 0 where that is background."""
    under = Counter(_under(views.frames[o.view], o.u, o.v) for o in mark.observations)
    under.pop(0, None)
    return min(under, key=lambda name: (-under[name], name)) if under else 0


def _shown(views: ViewSet, share: float) -> dict[int, list[int]]:
    """True object -> the views that show at least ``share`` of it in their picture."""
    shown: dict[int, list[int]] = defaultdict(list)
    for index, frame in enumerate(views.frames):
        assert frame.labels is not None
        pixels = np.bincount(frame.labels.ravel())
        for name in np.flatnonzero(pixels >= share * frame.labels.size):
            if name:
                shown[int(name)].append(index)
    return dict(shown)


def _score_pairs(
    counts: MarkCounts, views: ViewSet, marks: MarkSet, shown: dict[int, list[int]]
) -> None:
    joined: set[tuple[int, int, int]] = set()
    for mark in marks.marks:
        under = [(o.view, _under(views.frames[o.view], o.u, o.v)) for o in mark.observations]
        for (i, a), (j, b) in itertools.combinations(sorted(under), 2):
            same = a == b != 0
            _count_pair(counts, "right" if same else "wrong", views, i, j)
            if same:
                joined.add((a, i, j))
    for name, seen in shown.items():
        for i, j in itertools.combinations(sorted(seen), 2):
            _count_pair(counts, "reached" if (name, i, j) in joined else "missed", views, i, j)


def _count_pair(counts: MarkCounts, kind: str, views: ViewSet, i: int, j: int) -> None:
    setattr(counts, kind, getattr(counts, kind) + 1)
    poses = [views.frames[index].T_fixed_camera for index in (i, j)]
    if poses[0] is not None and poses[1] is not None:
        apart = float(np.linalg.norm(poses[0][:3, 3] - poses[1][:3, 3]))
        counts.by_baseline[next(end for end in BASELINES_M if apart <= end), kind] += 1


def _score_objects(
    counts: MarkCounts, marks: MarkSet, owners: dict[int, int], shown: dict[int, list[int]]
) -> None:
    carriers = Counter(owners.values())
    for name, seen in shown.items():
        if len(seen) < 2:
            counts.single_objects += 1
            counts.single_found += carriers[name] > 0
            continue
        counts.objects += 1
        counts.found += carriers[name] > 0
        counts.fragments += carriers[name]


def _score_mark(counts: MarkCounts, views: ViewSet, mark: Mark, owner: int) -> None:
    on = sum(
        owner != 0 and _under(views.frames[o.view], o.u, o.v) == owner for o in mark.observations
    )
    counts.observations += len(mark.observations)
    counts.on_object += on
    counts.purity += on / max(1, len(mark.observations))
    counts.pure += on == len(mark.observations)
    for o in mark.observations:
        frame = views.frames[o.view]
        r = o.radius_px
        u, v = o.disc
        inside = r <= u <= frame.width - 1 - r and r <= v <= frame.height - 1 - r
        counts.cut += not inside
        counts.hidden_picture += float(np.pi * r * r) / (frame.height * frame.width)
        hidden = _hidden_share(frame, u, v, r, owner)
        counts.hidden_object += hidden
        counts.over_fifth += hidden > 0.2


def _hidden_share(frame: Frame, u: float, v: float, radius: float, owner: int) -> float:
    """Share of the visible true object ``owner`` that a disc covers."""
    assert frame.labels is not None
    rows = slice(max(0, int(v - radius)), int(v + radius) + 2)
    columns = slice(max(0, int(u - radius)), int(u + radius) + 2)
    y, x = np.mgrid[rows, columns]
    window = frame.labels[rows, columns]
    y, x = y[: window.shape[0], : window.shape[1]], x[: window.shape[0], : window.shape[1]]
    disc = (x - u) ** 2 + (y - v) ** 2 <= radius * radius
    whole = int((frame.labels == owner).sum())
    return float((disc & (window == owner)).sum()) / whole if whole and owner else 0.0


def _score_place(
    counts: MarkCounts, mark: Mark, place: tuple[float, float, float], frames: tuple[Frame, ...]
) -> None:
    if mark.position is not None:
        off = np.array(mark.position) - place
        counts.place_errors_m.append(float(np.linalg.norm(off)))
    for o in mark.observations:
        frame = frames[o.view]
        middle = _pixel_of(frame, np.array([place]))
        if middle is None:
            continue
        off_px = float(np.hypot(o.u - middle[0], o.v - middle[1]))
        counts.offsets_px.append(off_px)
        counts.offsets_share.append(off_px / float(np.hypot(frame.height, frame.width)))


def _pixel_of(frame: Frame, point: FloatArray) -> FloatArray | None:
    if frame.T_fixed_camera is None or frame.intrinsics is None:
        return None
    camera = transform_points(invert(frame.T_fixed_camera), point)
    return None if camera[0, 2] < 0.05 else np.asarray(project(frame.intrinsics, camera)[0])


def _score_overlaps(counts: MarkCounts, views: ViewSet, marks: MarkSet) -> None:
    for view in range(len(views.frames)):
        discs = [o for mark in marks.marks for o in mark.observations if o.view == view]
        for a, b in itertools.combinations(discs, 2):
            apart = np.subtract(a.disc, b.disc)
            gap = float(np.hypot(*apart)) - a.radius_px - b.radius_px
            # Places are found on a coarser grid than the picture's: a pixel or two is rounding.
            counts.overlapping += gap < -2.0
