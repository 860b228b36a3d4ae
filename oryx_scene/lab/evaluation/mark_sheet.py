"""Contact sheets to look at: the marks of one recording, and the marked views of many scenes.

Of a recording every mark is a row and every view a column, cut out around its disc: a ring shows
where the disc goes, crosses where the discs of other views fall by depth and poses.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from oryx_scene.config import MarksConfig, PipelineConfig, ViewsConfig
from oryx_scene.lab.evaluation.mark_surfaces import SurfaceReport, SurfaceVerdict
from oryx_scene.records import Frame, Mark, MarkObservation, MarkSet, RgbImage, ViewSet
from oryx_scene.scene.freeze import NO_MODEL, freeze_scene

TILE = 160
GAP = 4
MARGIN = 24
RED, GREEN, YELLOW, GREY = (226, 26, 28), (40, 200, 60), (240, 200, 40), (60, 60, 60)
BORDER = 3
# A scene's strip in the sheet of many: its first, middle and last view, this wide each.
STRIP_VIEWS, STRIP_WIDTH = 3, 272


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
        if item.verdict is SurfaceVerdict.UNSEEN:
            continue
        good = item.verdict is SurfaceVerdict.SAME
        if item.verdict is SurfaceVerdict.OTHER:
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


def scene_strip(title: str, views: ViewSet, max_marks: int) -> RgbImage:
    """Three views of a scene side by side, marked as the model sees them, (H, W, 3) uint8."""
    count = len(views.frames)
    config = PipelineConfig(
        views=ViewsConfig(count=count, history_s=3600.0, min_gap_s=0.0, max_age_s=3600.0),
        marks=MarksConfig(max_marks=max_marks),
    )
    scene = freeze_scene(views.frames, views.newest_ns, config, NO_MODEL)
    pictures = []
    for index in np.linspace(0, count - 1, min(count, STRIP_VIEWS)).round().astype(int):
        picture = scene.prepared[index]
        height = round(STRIP_WIDTH * picture.shape[0] / picture.shape[1])
        pictures.append(cv2.resize(picture, (STRIP_WIDTH, height), interpolation=cv2.INTER_AREA))
    strip = np.concatenate(pictures, axis=1)
    cv2.rectangle(strip, (0, 0), (12 + 8 * len(title), 18), (255, 255, 255), -1)
    _write(strip, title, (6, 13))
    return np.asarray(strip, dtype=np.uint8)


def stacked(strips: Sequence[RgbImage]) -> RgbImage:
    """Strips of equal size in two columns; one left over has white beside it."""
    rows = []
    for left in range(0, len(strips), 2):
        pair = [*strips[left : left + 2]]
        if len(pair) == 1:
            pair.append(np.full_like(pair[0], 255))
        gap = np.full((pair[0].shape[0], 2 * GAP, 3), 255, np.uint8)
        rows += [pair[0] if len(strips) == 1 else np.concatenate([pair[0], gap, pair[1]], axis=1)]
        rows.append(np.full((GAP, rows[-1].shape[1], 3), 255, np.uint8))
    return np.concatenate(rows[:-1])
