"""Detections of one view before anything is joined: which count, and which pixels are theirs."""

from collections import Counter

import numpy as np
import pytest

from oryx_scene.config import MarksConfig
from oryx_scene.marks.detections.records import Detection, parse_detections
from oryx_scene.marks.detections.segments import (
    NO_DEPTH,
    NO_FRAME,
    SMALL,
    TWICE,
    UNSURE,
    _in_front,
    _rounded,
    find_pieces,
)
from oryx_scene.records import Frame, Intrinsics

LENS = Intrinsics(np.array([[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]]), 48, 64)


def frame(camera="a", stamp_ns=0, depth=2.0, **rest):
    z = None if depth is None else np.full((48, 64), depth, np.float32)
    made = {"depth": z, "intrinsics": LENS, "T_fixed_camera": np.eye(4), "fixed_frame": "map"}
    return Frame(camera, stamp_ns, "", np.zeros((48, 64, 3), np.uint8), "", **{**made, **rest})


def box(u0=10, v0=10, u1=29, v1=29, label="mug", score=0.9, camera="a", stamp_ns=0, outline=True):
    corners = np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]], float)
    polygons = (corners,) if outline else ()
    return Detection(camera, stamp_ns, (u0, v0, u1, v1), label, score, polygons)


def pieces(*detections, frames=None, with_depth=True, **config):
    left_out = Counter()
    frames = frames or [frame()]
    found = find_pieces(frames, detections, with_depth, MarksConfig(**config), left_out)
    return found, dict(+left_out)


def test_a_detection_belongs_to_the_nearest_frame_of_its_camera_within_50_ms():
    frames = [frame(stamp_ns=0), frame(stamp_ns=60_000_000), frame("b", 20_000_000)]
    for stamp_ns, view in ((20_000_000, 0), (40_000_000, 1), (110_000_000, 1)):
        (piece,), left = pieces(box(stamp_ns=stamp_ns), frames=frames)
        assert (piece.view, left) == (view, {})
    assert pieces(box(stamp_ns=110_000_001), frames=frames) == ([], {NO_FRAME: 1})
    assert pieces(box(camera="c"), frames=frames) == ([], {NO_FRAME: 1})


def test_what_cannot_be_trusted_is_counted_by_reason():
    assert pieces(box(score=0.29)) == ([], {UNSURE: 1})
    assert len(pieces(box(score=0.3))[0]) == 1
    # 4 of 3072 pixels are 0.13 %, 16 are 0.52 %.
    assert pieces(box(10, 10, 11, 11), min_area_share=0.005) == ([], {SMALL: 1})
    assert pieces(box(), frames=[frame(depth=None)]) == ([], {NO_DEPTH: 1})
    assert pieces(box(), frames=[frame(depth=np.nan)]) == ([], {NO_DEPTH: 1})


@pytest.mark.parametrize(
    ("other", "twice"),
    [
        (box(10, 10, 29, 29, score=0.8), True),
        (box(10, 10, 29, 23, score=0.8), True),  # 7 of 10 rows of cells are shared
        (box(10, 10, 29, 21, score=0.8), False),  # 6 of 10 are no more than the limit
        (box(10, 10, 29, 27, "cup", 0.8), True),  # of another label 9 of 10
        (box(10, 10, 29, 25, "cup", 0.8), False),  # 8 of 10
    ],
)
def test_detections_that_overlap_are_one_and_the_surer_stays(other, twice):
    found, left = pieces(other, box())
    assert left == ({TWICE: 1} if twice else {})
    assert found[0].detection.score == 0.9 and len(found) == 2 - twice


def test_a_piece_is_its_pixels_with_their_places():
    T = np.eye(4)
    T[:3, 3] = 1, 2, 3
    (piece,), _ = pieces(box(10, 12, 19, 21), frames=[frame(T_fixed_camera=T)])
    assert (piece.seen.u0, piece.seen.v0, piece.seen.step) == (10, 12, 2)
    assert piece.seen.mask.shape == (5, 5) and piece.seen.mask.all()
    assert (piece.depth == 2.0).all() and piece.depth.shape == (5, 5)
    assert len(piece.points) == 25
    # Pixel (10, 12): (10 - 31.5) / 50 * 2 + 1, and so on.
    assert piece.points[0] == pytest.approx((0.14, 1.54, 5.0))
    # No more than 300 points, and at least 10.
    assert len(pieces(box(0, 0, 63, 47))[0][0].points) == 300
    assert pieces(box(10, 12, 15, 17), min_area_share=0.0) == ([], {NO_DEPTH: 1})


def test_without_depth_a_box_is_its_ellipse_and_an_outline_itself():
    (outlined,), _ = pieces(box(), with_depth=False)
    assert outlined.depth is None and outlined.points.shape == (0, 3)
    assert outlined.seen.mask.sum() == 100
    (plain,), _ = pieces(box(outline=False), with_depth=False)
    assert 70 <= plain.seen.mask.sum() <= 88  # pi / 4 of a hundred cells
    assert not plain.seen.mask[0, 0] and plain.seen.mask[5, 5]
    assert len(pieces(box(), with_depth=False, frames=[frame(depth=None)])[0]) == 1


def test_of_a_box_only_what_is_near_the_depth_of_its_middle_is_the_thing():
    mask = np.ones((10, 10), bool)
    z = np.full((10, 10), 2.0)
    z[:, 8:] = 2.3  # beyond 12 % of 2 m
    assert _in_front(mask, z, False).sum() == 80
    z[:, 8:] = 2.2
    assert _in_front(mask, z, False).all()
    # An outline is believed further: 40 cm, a quarter of the depth.
    z[:, 8:] = 2.45
    assert _in_front(mask, z, True).all() and not _in_front(mask, z, False)[0, 9]
    z[:, 8:] = 2.55
    assert not _in_front(mask, z, True)[0, 9]
    # Apart from the largest piece: nothing.
    z[:] = 2.0
    z[:, 7] = 5.0
    assert _in_front(mask, z, False).sum() == 70
    z[:] = np.nan
    assert not _in_front(mask, z, False).any()
    near = np.full((10, 10), 0.09)
    assert not _in_front(mask, near, False).any()
    near[:] = 0.5
    near[:, 8:] = 0.61  # 12 cm at least
    assert _in_front(mask, near, False).all()


def test_the_ellipse_of_a_box():
    mask = np.zeros((12, 14), bool)
    mask[2:10, 3:13] = True
    whole = _rounded(mask)
    assert whole[5, 3:13].all() and whole[2:10, 7].all() and not whole[2, 3]
    half = _rounded(mask, 0.5)
    assert half[4:8, 7].all() and not half[3, 7] and not half[5, 4]
    assert not _rounded(np.zeros((3, 3), bool)).any()


@pytest.mark.parametrize(
    ("item", "label", "score", "bounds"),
    [
        ({"bbox": [1, 2, 3, 4]}, "", 1.0, (1, 2, 3, 5)),
        ({"bbox": [1, 2, 3, 4], "category_id": 7, "score": 0}, "cup", 0.0, (1, 2, 3, 5)),
        ({"bbox": [1, 2, 3, 4], "category_id": 7, "label": " mug "}, "mug", 1.0, (1, 2, 3, 5)),
        # A box that is given wins over the outline's.
        ({"bbox": [1, 2, 3, 4], "segmentation": [[0, 0, 9, 0, 9, 9]]}, "", 1.0, (1, 2, 3, 5)),
        ({"segmentation": [[0, 1, 9, 0, 9, 8], [4, 4, 5, 5, 12, 6]]}, "", 1.0, (0, 0, 12, 8)),
    ],
)
def test_what_a_file_says_of_a_detection(item, label, score, bounds):
    whole = {
        "images": [{"id": "x", "camera": "a", "stamp_ns": 0}],
        "categories": [{"id": 7, "name": "cup"}, {"id": 8}],
        "annotations": [{"image_id": "x", **item}],
    }
    (found,) = parse_detections(whole)
    assert (found.camera, found.stamp_ns) == ("a", 0)
    assert (found.label, found.score, found.box) == (label, score, bounds)
    assert found.outlined == ("segmentation" in item)


def test_a_box_reaches_no_further_than_its_picture():
    assert Detection("a", 0, (-3.0, -2.0, 1.0, 1.4)).mask(10, 12).sum() == 4
    assert Detection("a", 0, (9.6, 8.0, 30.0, 30.0)).mask(10, 12).sum() == 2 * 2
    assert Detection("a", 0, (-9.0, -9.0, -5.0, -5.0)).mask(10, 12).sum() == 0
