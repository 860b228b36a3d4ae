"""Words as pictures: fonts, single lines, lists, and the panel with question and answer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from oryx_scene.records import RgbImage
from oryx_scene.view.shapes import Color
from oryx_scene.warning import Warning

PANEL: Color = (14, 15, 18)
INK: Color = (235, 236, 238)
_QUIET: Color = (160, 165, 175)
_WARN: Color = (255, 190, 90)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Caption:
    """Words below the picture: question, answer, and quieter lines about them."""

    question: str = ""
    answer: str = ""
    details: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def warning_lines(warnings: Iterable[Warning | Mapping[str, Any]]) -> tuple[str, ...]:
    """Each warning, as a record or as its JSON, in one line."""
    records = (item if isinstance(item, Warning) else Warning(**item) for item in warnings)
    return tuple(f"{item.severity}: {item}" for item in records)


def label_font(size: float) -> Font:
    """Pillow's own font at ``size`` pixels: the same on every machine."""
    return ImageFont.load_default(size)


def text_picture(text: str, color: Color, size: float) -> RgbImage:
    """(h, w, 3) picture of one line of text."""
    font = label_font(size)
    left, top, right, bottom = font.getbbox(text)
    shape = (max(1, round(right - left)) + 6, max(1, round(bottom - top)) + 6)
    image = Image.new("RGB", shape, PANEL)
    ImageDraw.Draw(image).text((3 - left, 3 - top), text, fill=color, font=font)
    return np.asarray(image, np.uint8)


def list_picture(lines: Sequence[str], size: float) -> RgbImage:
    """(h, w, 3) picture of lines of text, one below the other."""
    font, step = label_font(size), round(1.4 * size)
    width = max(round(font.getbbox(line)[2]) for line in lines) + step
    image = Image.new("RGB", (width, step * len(lines) + step // 2), PANEL)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((step // 2, step // 4 + row * step), line, fill=INK, font=font)
    return np.asarray(image, np.uint8)


def _caption_lines(caption: Caption, columns: int) -> list[tuple[str, Color]]:
    lines: list[tuple[str, Color]] = []
    parts = [("Q: " + caption.question, _QUIET)] if caption.question else []
    parts += [("A: " + caption.answer, INK)] if caption.answer else []
    parts += [(text, _QUIET) for text in caption.details]
    parts += [(text, _WARN) for text in caption.warnings]
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
    panel = Image.new("RGB", (width, step * len(lines) + step), PANEL)
    draw = ImageDraw.Draw(panel)
    font = label_font(size)
    for row, (text, color) in enumerate(lines):
        draw.text((step * 0.7, step * 0.55 + row * step), text, fill=color, font=font)
    return np.asarray(panel, np.uint8)


def add_caption(image: RgbImage, caption: Caption) -> RgbImage:
    """``image`` (H, W, 3) with a panel of words below it; unchanged for an empty caption."""
    panel = caption_panel(caption, image.shape[1])
    return image if panel is None else np.concatenate([image, panel], axis=0)
