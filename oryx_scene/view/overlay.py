"""What is drawn over a rendered scene: numbered discs and names, in picture pixels.

Drawn after rendering, at full resolution, so that digits are crisp with every renderer. A disc
whose object lies behind something is drawn hollow: the reader should not think that it is in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from oryx_scene.records import FloatArray, RgbImage
from oryx_scene.view.captions import INK, PANEL, Font, label_font
from oryx_scene.view.shapes import BOX_COLOR, Color, MarkLabel, SceneGeometry
from oryx_scene.view.splat import Rendered
from oryx_scene.view.viewpoint import Viewpoint

# Depth between viewer and object that still counts as the object's own surface or sensor noise.
_HIDDEN_SLACK_M = 0.10
# Marks that the answer names are drawn larger.
NAMED_GROWTH = 1.3


@dataclass(frozen=True)
class PlacedDisc:
    """Where a mark's disc was drawn: centre (u, v) and radius in pixels; hollow if hidden."""

    number: int
    u: float
    v: float
    radius: float
    hidden: bool


def project(view: Viewpoint, points: FloatArray) -> FloatArray:
    """(N, 3) fixed frame to (N, 3) [u, v, z] in ``view``; u, v are NaN behind it."""
    local = (points - view.T_fixed_view[:3, 3]) @ view.T_fixed_view[:3, :3]
    z = np.where(local[:, 2] > 1e-6, local[:, 2], np.nan)
    uv = (local / z[:, None]) @ view.K.T
    return np.column_stack([uv[:, :2], local[:, 2]])


def disc_radius_px(view: Viewpoint) -> float:
    """Radius of a mark's disc: readable at any picture size."""
    return max(9.0, 0.02 * min(view.height, view.width))


def place_marks(scene: SceneGeometry, view: Viewpoint, rendered: Rendered) -> list[PlacedDisc]:
    """Discs of all marks inside the picture, farthest first."""
    if not scene.marks:
        return []
    uvz = project(view, np.array([mark.position for mark in scene.marks]))
    placed = []
    for mark, (u, v, z) in zip(scene.marks, uvz, strict=True):
        if not (0 <= u <= view.width - 1 and 0 <= v <= view.height - 1):
            continue
        surface = float(rendered.depth[round(v), round(u)])
        hidden = surface < z - mark.reach_m - _HIDDEN_SLACK_M
        radius = disc_radius_px(view) * (NAMED_GROWTH if mark.named else 1.0)
        placed.append((z, PlacedDisc(mark.number, u, v, radius, hidden)))
    placed.sort(key=lambda item: -item[0])
    return [disc for _, disc in placed]


def disc_picture(number: int, size: int) -> RgbImage:
    """(size, size, 3) picture of one mark's disc, for renderers that take textures."""
    image = Image.new("RGB", (size, size), PANEL)
    middle = (size - 1) / 2
    mark = MarkLabel(number, np.zeros(3), 0.0)
    disc = PlacedDisc(number, middle, middle, middle, hidden=False)
    _draw_disc(ImageDraw.Draw(image), disc, mark)
    return np.asarray(image, np.uint8)


def _draw_disc(draw: ImageDraw.ImageDraw, disc: PlacedDisc, mark: MarkLabel) -> None:
    fill = PANEL if disc.hidden else BOX_COLOR
    ring = BOX_COLOR if disc.hidden else (255, 255, 255)
    draw.ellipse(_around(disc), fill=fill, outline=ring, width=max(1, round(disc.radius / 7)))
    font = label_font(1.25 * disc.radius)
    draw.text((disc.u, disc.v), str(disc.number), fill=(255, 255, 255), font=font, anchor="mm")
    if mark.name:
        at = (disc.u + 1.3 * disc.radius, disc.v)
        font = label_font(1.1 * disc.radius)
        _outlined(draw, at, mark.name, color=INK, font=font, anchor="lm")


def lighter(color: Color) -> Color:
    """``color`` half way to white, so that words read well on a dark ground."""
    red, green, blue = ((channel + 255) // 2 for channel in color)
    return red, green, blue


def _outlined(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    color: Color,
    font: Font,
    anchor: str,
) -> None:
    draw.text(at, text, fill=color, font=font, anchor=anchor, stroke_width=2, stroke_fill=PANEL)


def draw_labels(scene: SceneGeometry, view: Viewpoint, rendered: Rendered) -> RgbImage:
    """A copy of the picture with camera names, relation words and numbered discs.

    Args:
        scene: the layers to draw labels of.
        view: as rendered.
        rendered: (H, W, 3) picture and depth of ``view``.
    """
    image = Image.fromarray(rendered.rgb)
    draw = ImageDraw.Draw(image)
    discs = place_marks(scene, view, rendered)
    taken = [_around(disc) for disc in discs]
    small = label_font(max(11.0, 0.021 * min(view.height, view.width)))
    texts = scene.seen_from(view.own_camera).texts
    if texts:
        uvz = project(view, np.array([text.position for text in texts]))
        for text, (u, v, _) in zip(texts, uvz, strict=True):
            if 0 <= u < view.width and 0 <= v < view.height:
                box = draw.textbbox((u, v - 6), text.text, small, anchor="mb")
                du, dv = free_shift(box, taken)
                taken.append((box[0] + du, box[1] + dv, box[2] + du, box[3] + dv))
                at = (u + du, v - 6 + dv)
                _outlined(draw, at, text.text, color=lighter(text.color), font=small, anchor="mb")
    by_number = {mark.number: mark for mark in scene.marks}
    for disc in discs:
        _draw_disc(draw, disc, by_number[disc.number])
    return np.asarray(image, np.uint8).copy()


Box = tuple[float, float, float, float]


def _around(disc: PlacedDisc) -> Box:
    return (
        disc.u - disc.radius,
        disc.v - disc.radius,
        disc.u + disc.radius,
        disc.v + disc.radius,
    )


def free_shift(box: Box, taken: Sequence[Box]) -> tuple[float, float]:
    """By how much (u, v) to move ``box`` (left, top, right, bottom) so that it covers no other.

    At most about two heights; where every place near by is taken it stays: a covered word is better
    than one far away.
    """
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    for down, aside in [(0, 0), (1, 0), (-1, 0), (0, 0.6), (0, -0.6), (2, 0), (-2, 0)]:
        dv, du = 1.2 * down * height, aside * width
        moved = (left + du, top + dv, right + du, bottom + dv)
        if not any(_overlap(moved, other) for other in taken):
            return du, dv
    return 0.0, 0.0


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
