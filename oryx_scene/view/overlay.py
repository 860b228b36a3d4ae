"""What is written over a rendered scene: numbered discs, names and the caption, in picture pixels.

Drawn after rendering, at full resolution, so that digits are crisp with every renderer. A disc
whose object lies behind something is drawn hollow: the reader should not think that it is in front.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from oryx_scene.frames import FloatArray, RgbImage
from oryx_scene.view.shapes import BOX_COLOR, Color, MarkLabel, SceneGeometry
from oryx_scene.view.splat import Rendered
from oryx_scene.view.viewpoint import Viewpoint

_PANEL: Color = (14, 15, 18)
_INK: Color = (235, 236, 238)
_QUIET: Color = (160, 165, 175)
_WARN: Color = (255, 190, 90)
# Depth between viewer and object that still counts as the object's own surface or sensor noise.
_HIDDEN_SLACK_M = 0.10


@dataclass(frozen=True)
class Caption:
    """Words below the picture: question, answer, and quieter lines about them."""

    question: str = ""
    answer: str = ""
    details: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlacedDisc:
    """Where a mark's disc was drawn: centre (u, v) and radius in pixels; hollow if hidden."""

    number: int
    u: float
    v: float
    radius: float
    hidden: bool


def label_font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font at ``size`` pixels (its fixed bitmap font where it has no FreeType)."""
    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError):  # Pillow before 10.1, or built without FreeType
        return ImageFont.load_default()


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
        placed.append((z, PlacedDisc(mark.number, u, v, disc_radius_px(view), hidden)))
    placed.sort(key=lambda item: -item[0])
    return [disc for _, disc in placed]


def disc_picture(number: int, size: int) -> RgbImage:
    """(size, size, 3) picture of one mark's disc, for renderers that take textures."""
    image = Image.new("RGB", (size, size), _PANEL)
    middle = (size - 1) / 2
    mark = MarkLabel(number, np.zeros(3), 0.0)
    disc = PlacedDisc(number, middle, middle, middle, hidden=False)
    _draw_disc(ImageDraw.Draw(image), disc, mark)
    return np.asarray(image, np.uint8)


def text_picture(text: str, color: Color, size: float) -> RgbImage:
    """(h, w, 3) picture of one line of text."""
    font = label_font(size)
    left, top, right, bottom = font.getbbox(text)
    shape = (max(1, round(right - left)) + 6, max(1, round(bottom - top)) + 6)
    image = Image.new("RGB", shape, _PANEL)
    ImageDraw.Draw(image).text((3 - left, 3 - top), text, fill=color, font=font)
    return np.asarray(image, np.uint8)


def _draw_disc(draw: ImageDraw.ImageDraw, disc: PlacedDisc, mark: MarkLabel) -> None:
    box = (
        disc.u - disc.radius,
        disc.v - disc.radius,
        disc.u + disc.radius,
        disc.v + disc.radius,
    )
    fill = _PANEL if disc.hidden else BOX_COLOR
    ring = BOX_COLOR if disc.hidden else (255, 255, 255)
    draw.ellipse(box, fill=fill, outline=ring, width=max(1, round(disc.radius / 7)))
    font = label_font(1.25 * disc.radius)
    draw.text((disc.u, disc.v), str(disc.number), fill=(255, 255, 255), font=font, anchor="mm")
    if mark.name:
        at = (disc.u + 1.3 * disc.radius, disc.v)
        font = label_font(1.1 * disc.radius)
        _outlined(draw, at, mark.name, color=_INK, font=font, anchor="lm")


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
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    anchor: str,
) -> None:
    draw.text(at, text, fill=color, font=font, anchor=anchor, stroke_width=2, stroke_fill=_PANEL)


def draw_labels(scene: SceneGeometry, view: Viewpoint, rendered: Rendered) -> RgbImage:
    """A copy of the picture with camera names, relation words and numbered discs.

    Args:
        scene: the layers to draw labels of.
        view: as rendered.
        rendered: (H, W, 3) picture and depth of ``view``.
    """
    image = Image.fromarray(rendered.rgb)
    draw = ImageDraw.Draw(image)
    small = label_font(max(11.0, 0.021 * min(view.height, view.width)))
    texts = scene.seen_from(view.own_camera).texts
    if texts:
        uvz = project(view, np.array([text.position for text in texts]))
        for text, (u, v, _) in zip(texts, uvz, strict=True):
            if 0 <= u < view.width and 0 <= v < view.height:
                color = lighter(text.color)
                _outlined(draw, (u, v - 6), text.text, color=color, font=small, anchor="mb")
    by_number = {mark.number: mark for mark in scene.marks}
    for disc in place_marks(scene, view, rendered):
        _draw_disc(draw, disc, by_number[disc.number])
    return np.asarray(image, np.uint8).copy()


def _caption_lines(caption: Caption, columns: int) -> list[tuple[str, Color]]:
    lines: list[tuple[str, Color]] = []
    parts = [("Q: " + caption.question, _QUIET)] if caption.question else []
    parts += [("A: " + caption.answer, _INK)] if caption.answer else []
    parts += [(text, _QUIET) for text in caption.details]
    parts += [("warning: " + text, _WARN) for text in caption.warnings]
    for text, color in parts:
        wrapped = textwrap.wrap(" ".join(text.split()), columns, max_lines=4, placeholder=" ...")
        lines += [(line, color) for line in wrapped]
    return lines


def caption_panel(caption: Caption, width: int) -> RgbImage | None:
    """(h, width, 3) panel with the words of ``caption``, None for an empty one."""
    size = max(13.0, width / 75)
    lines = _caption_lines(caption, max(20, int(width / (0.52 * size))))
    if not lines:
        return None
    step = round(1.45 * size)
    panel = Image.new("RGB", (width, step * len(lines) + step), _PANEL)
    draw = ImageDraw.Draw(panel)
    font = label_font(size)
    for row, (text, color) in enumerate(lines):
        draw.text((step * 0.7, step * 0.55 + row * step), text, fill=color, font=font)
    return np.asarray(panel, np.uint8)


def add_caption(image: RgbImage, caption: Caption) -> RgbImage:
    """``image`` (H, W, 3) with a panel of words below it; unchanged for an empty caption."""
    panel = caption_panel(caption, image.shape[1])
    return image if panel is None else np.concatenate([image, panel], axis=0)


def contact_sheet(pictures: list[RgbImage], width: int) -> RgbImage:
    """Pictures (H, W, 3) side by side in rows of equal height, together ``width`` pixels wide."""
    per_row = min(len(pictures), 4)
    cell_width = width // per_row
    rows = []
    for start in range(0, len(pictures), per_row):
        cells = [_fit(picture, cell_width) for picture in pictures[start : start + per_row]]
        tall = max(cell.shape[0] for cell in cells)
        row = np.empty((tall, width, 3), np.uint8)
        row[:] = _PANEL
        for index, cell in enumerate(cells):
            left = index * cell_width
            row[: cell.shape[0], left : left + cell.shape[1]] = cell
        rows.append(row)
    return np.concatenate(rows, axis=0)


def _fit(picture: RgbImage, width: int) -> RgbImage:
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    # PIL sizes are (width, height).
    return np.asarray(
        Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS), np.uint8
    )
