"""Points that two pictures share: SIFT, mutual nearest neighbours, and the epipolar check.

The check uses the known poses where both views have them, else a fundamental matrix found by USAC
(MAGSAC++); without one there are no matches, and that is a result.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from oryx_scene.geometry.camera import normalised_rays
from oryx_scene.geometry.transforms import invert
from oryx_scene.records import FloatArray, Frame, Intrinsics

MOST_FEATURES = 1200
# Lowe's ratio of best to second best.
RATIO = 0.8
# Matches further than this from the epipolar line are wrong; known poses are a degree off.
USAC_PX, POSE_PX_SHARE = 1.5, 0.015
# A fundamental matrix that fewer matches agree on is chance.
LEAST_INLIERS = 15


@dataclass(frozen=True, eq=False)
class Features:
    """Points of one picture: (n, 2) received pixels and (n, 128) root-SIFT descriptors."""

    uv: FloatArray
    descriptors: FloatArray


@dataclass(frozen=True, eq=False)
class Matches:
    """Points that two pictures share: (n, 2) pixels in each."""

    uv_a: FloatArray
    uv_b: FloatArray


def find_features(frame: Frame) -> Features:
    """SIFT points of a picture (Lowe 2004), descriptors as root-SIFT (Arandjelovic 2012)."""
    grey = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
    finder = cv2.SIFT.create(nfeatures=MOST_FEATURES, contrastThreshold=0.02)
    points, described = finder.detectAndCompute(grey, None)
    if described is None or not len(points):
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    described = described / np.maximum(described.sum(axis=1, keepdims=True), 1e-9)
    uv = np.array([point.pt for point in points], dtype=np.float64)
    return Features(uv, np.sqrt(described).astype(np.float32))


def match(a: Features, b: Features) -> Matches:
    """Points of two pictures that are each other's nearest; :func:`check` tells which are right."""
    nothing = Matches(np.zeros((0, 2)), np.zeros((0, 2)))
    if min(len(a.uv), len(b.uv)) < 2:
        return nothing
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(a.descriptors, b.descriptors, k=2)
    back = cv2.BFMatcher(cv2.NORM_L2).match(b.descriptors, a.descriptors)
    best_of_b = {item.queryIdx: item.trainIdx for item in back}
    kept = [
        (first.queryIdx, first.trainIdx)
        for first, second in pairs
        if first.distance < RATIO * second.distance and best_of_b[first.trainIdx] == first.queryIdx
    ]
    if not kept:
        return nothing
    index = np.array(kept)
    return Matches(a.uv[index[:, 0]], b.uv[index[:, 1]])


def check(found: Matches, frames: tuple[Frame, Frame] | None = None) -> Matches:
    """Matches that lie on each other's epipolar lines.

    Args:
        found: candidates.
        frames: posed views whose poses tell the lines; without, the matches themselves must.
    """
    if frames is None:
        good = _agreeing(found)
    else:
        limit = POSE_PX_SHARE * max(frame.width for frame in frames)
        good = np.asarray(_sampson_px(found, frames) < limit)
    return Matches(found.uv_a[good], found.uv_b[good])


def _agreeing(found: Matches) -> np.ndarray:
    """(n,) which matches one fundamental matrix explains."""
    if len(found.uv_a) < LEAST_INLIERS:
        return np.zeros(len(found.uv_a), dtype=bool)
    try:
        _, inside = cv2.findFundamentalMat(
            found.uv_a, found.uv_b, cv2.USAC_MAGSAC, USAC_PX, 0.999, 5000
        )
    except cv2.error:
        # OpenCV 5 asserts where its last refinement finds no matrix: there is none.
        return np.zeros(len(found.uv_a), dtype=bool)
    if inside is None or int(inside.sum()) < LEAST_INLIERS:
        return np.zeros(len(found.uv_a), dtype=bool)
    return np.asarray(inside.ravel() > 0)


def posed(frame: Frame) -> bool:
    """Whether a view's rays are known in the fixed frame."""
    return frame.intrinsics is not None and frame.T_fixed_camera is not None


def _sampson_px(found: Matches, frames: tuple[Frame, Frame]) -> FloatArray:
    """First-order distance to the epipolar lines of the known poses, pixels of the first view.

    Hartley and Zisserman, Multiple View Geometry, 2nd ed., eq. 11.9, in normalised coordinates.
    """
    a, b = frames
    assert a.T_fixed_camera is not None and b.T_fixed_camera is not None
    assert a.intrinsics is not None and b.intrinsics is not None
    T_b_a = invert(b.T_fixed_camera) @ a.T_fixed_camera
    t = T_b_a[:3, 3]
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    E = cross @ T_b_a[:3, :3]
    x, y = _rays(a.intrinsics, found.uv_a), _rays(b.intrinsics, found.uv_b)
    Ex, Ety = x @ E.T, y @ E
    top = np.abs((y * Ex).sum(axis=1))
    below = np.sqrt((Ex[:, :2] ** 2).sum(axis=1) + (Ety[:, :2] ** 2).sum(axis=1))
    distance = top / np.maximum(below, 1e-12) * float(a.intrinsics.K[0, 0])
    return np.where(np.isfinite(distance), distance, np.inf)


def _rays(intrinsics: Intrinsics, uv: FloatArray) -> FloatArray:
    return np.column_stack([normalised_rays(intrinsics, uv), np.ones(len(uv))])
