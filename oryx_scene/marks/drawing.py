"""Drawing marks: filled red discs with white digits, after the resize, the same bytes every time.

The look is that of Coarse Correspondences (arXiv 2408.00754), which the published models have seen:
diameter about 5 % of the picture's width. A disc grows to one visual token where that hides little,
and its centre sits in the middle of a patch where the object allows: a digit that one patch holds
whole is read, one that four patches share is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from oryx_scene.records import RgbImage

RED = (226, 26, 28)
WHITE = (255, 255, 255)
WIDTH_SHARE = 0.05
PATCH = 16
# Rounding of the finder's reduced pictures; a spot this close to a patch's middle means it.
SNAP_PX = 2.5
# Leaders of discs of at least this radius have a light rim: on less it hides what it leads to.
LIGHT_RIM_FROM = 12.0
# Subpixel bits of OpenCV's drawing functions.
_SHIFT = 4


@dataclass(frozen=True)
class Disc:
    """One mark to draw: its number, centre and radius in pixels of the picture it is drawn on.

    ``leads_to`` is the (u, v) of the thing where the disc stands beside it, None on it.
    """

    number: int
    u: float
    v: float
    radius: float
    leads_to: tuple[float, float] | None = None


def disc_radius(width: int, stride: int, largest_share: float) -> float:
    """Radius of the discs on a prepared picture of ``width`` pixels: at least a visual token.

    Args:
        width: of the prepared picture, pixels.
        stride: pooling of the compressor; a visual token covers 16 * stride pixels.
        largest_share: no disc is wider than this share of the picture because of its tokens, which
            are larger than things where a picture has few of them (``Learnt``).
    """
    token = min(PATCH * stride, largest_share * width)
    return max(WIDTH_SHARE * width, token, PATCH) / 2.0


def snapped(value: float) -> float:
    """The middle of the patch that ``value`` (pixels) lies in, if it is meant; else ``value``."""
    middle = (value + 0.5) // PATCH * PATCH + (PATCH - 1) / 2
    return middle if abs(value - middle) <= SNAP_PX else value


def draw_marks(image: RgbImage, discs: Sequence[Disc]) -> RgbImage:
    """A copy of ``image`` (H, W, 3 uint8) with the discs drawn, lowest number last (on top)."""
    canvas = np.ascontiguousarray(image).copy()
    for disc in discs:
        _draw_leader(canvas, disc)
    for disc in sorted(discs, key=lambda item: -item.number):
        _draw(canvas, disc)
    return canvas


def _draw_leader(canvas: RgbImage, disc: Disc) -> None:
    """A line from the disc to its thing, seen on any ground by its light rim."""
    if disc.leads_to is None:
        return
    scale = 1 << _SHIFT
    start = round(disc.u * scale), round(disc.v * scale)
    end = round(disc.leads_to[0] * scale), round(disc.leads_to[1] * scale)
    width = max(1, round(disc.radius / 8))
    if disc.radius >= LIGHT_RIM_FROM:
        cv2.line(canvas, start, end, WHITE, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.line(canvas, start, end, RED, width, cv2.LINE_AA, _SHIFT)


def _draw(canvas: RgbImage, disc: Disc) -> None:
    scale = 1 << _SHIFT
    centre = (round(disc.u * scale), round(disc.v * scale))
    radius = round(disc.radius * scale)
    cv2.circle(canvas, centre, radius, RED, -1, cv2.LINE_AA, _SHIFT)
    text = str(disc.number)
    font = cv2.FONT_HERSHEY_SIMPLEX
    # The digits fill the disc: their diagonal is 1.5 radii.
    thickness = max(1, round(disc.radius / 6))
    (width, height), _ = cv2.getTextSize(text, font, 1.0, 1)
    size = 1.45 * disc.radius / float(np.hypot(width, height))
    (width, height), _ = cv2.getTextSize(text, font, size, thickness)
    origin = (round(disc.u - width / 2), round(disc.v + height / 2))
    cv2.putText(canvas, text, origin, font, size, WHITE, thickness, cv2.LINE_AA)
