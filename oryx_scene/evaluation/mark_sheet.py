"""A contact sheet to look at: every mark a row, every view a column, cut out around its disc.

A ring shows where the disc goes, crosses where the discs of other views fall by depth and poses.
"""

from __future__ import annotations

import cv2
import numpy as np

from oryx_scene.evaluation.mark_surfaces import SurfaceReport, Verdict
from oryx_scene.frames import Frame, Mark, MarkObservation, MarkSet, RgbImage, ViewSet

TILE = 160
GAP = 4
MARGIN = 24
RED, GREEN, YELLOW, GREY = (226, 26, 28), (40, 200, 60), (240, 200, 40), (60, 60, 60)
BORDER = 3


def contact_sheet(views: ViewSet, marks: MarkSet, report: SurfaceReport) -> RgbImage:
    """The sheet, (H, W, 3) uint8.

    A tile's border is red where a disc carried there falls on another surface, green where every
    disc of its depth falls on the same one, grey where none does. Green crosses: same surface;
    yellow: another one, or none of that depth.
    """
    rows, columns = len(marks.marks), len(views.frames)
    height, width = rows * (TILE + GAP) + MARGIN, columns * (TILE + GAP) + MARGIN
    sheet = np.full((height, width, 3), 255, np.uint8)
    for view, frame in enumerate(views.frames):
        place = (MARGIN + view * (TILE + GAP) + 4, MARGIN - 8)
        _write(sheet, f"{view} {frame.camera}", place)
    for row, mark in enumerate(marks.marks):
        top = MARGIN + row * (TILE + GAP)
        _write(sheet, str(mark.number), (3, top + TILE // 2))
        for seen in mark.observations:
            left = MARGIN + seen.view * (TILE + GAP)
            tile = _tile(views.frames[seen.view], mark, seen, report)
            sheet[top : top + TILE, left : left + TILE] = tile
    return sheet


def _write(sheet: RgbImage, text: str, place: tuple[int, int]) -> None:
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)


def _tile(frame: Frame, mark: Mark, seen: MarkObservation, report: SurfaceReport) -> RgbImage:
    u0, v0, u1, v1 = seen.bbox
    half = max(0.65 * max(u1 - u0, v1 - v0), 3.0 * seen.radius_px)
    scale = TILE / (2 * half)
    middle = ((u0 + u1) / 2, (v0 + v1) / 2)
    warp = np.array(
        [[scale, 0, (half - middle[0]) * scale], [0, scale, (half - middle[1]) * scale]]
    )
    tile = cv2.warpAffine(frame.rgb, warp, (TILE, TILE), flags=cv2.INTER_LINEAR)
    border = GREY
    for item in report.carried:
        if (item.number, item.target) != (mark.number, seen.view):
            continue
        if item.verdict is Verdict.UNSEEN:
            continue
        good = item.verdict is Verdict.SAME
        if item.verdict is Verdict.OTHER:
            border = RED
        elif good and border == GREY:
            border = GREEN
        for u, v in item.uv[::4] @ warp[:, :2].T + warp[:, 2]:
            spot = (round(float(u)), round(float(v)))
            cv2.drawMarker(tile, spot, GREEN if good else YELLOW, cv2.MARKER_CROSS, 5, 1)
    centre = warp[:, :2] @ [seen.u, seen.v] + warp[:, 2]
    spot = (round(float(centre[0])), round(float(centre[1])))
    cv2.circle(tile, spot, max(2, round(seen.radius_px * scale)), RED, 2, cv2.LINE_AA)
    cv2.rectangle(tile, (0, 0), (TILE - 1, TILE - 1), border, BORDER)
    return np.asarray(tile, dtype=np.uint8)
