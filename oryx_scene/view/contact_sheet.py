"""Whole pictures of a step: the scene in 3D, the marked views below it, the words below those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from oryx_scene.records import RgbImage
from oryx_scene.view.captions import PANEL, Caption, add_caption
from oryx_scene.view.headless import Pictures, render_pictures
from oryx_scene.view.shapes import LAYERS
from oryx_scene.view.step import Step, picture_steps
from oryx_scene.view.viewpoint import Viewpoint, make_viewpoint, orbit
from oryx_scene.warning import Warning

FLAT_WARNING = Warning(
    "nothing_placed",
    "nothing in this scene has a place in space: its views are shown instead of 3D",
)


@dataclass(frozen=True)
class SheetConfig:
    """What a picture holds.

    Attributes:
        height, width: of the 3D part, pixels; the sheet is as wide.
        layers: those that are drawn.
        renderer: "auto", "open3d" or "splat".
        words: whether question, answer, ages and warnings stand below.
        views: whether the marked views stand below the 3D part.
    """

    height: int = 720
    width: int = 1280
    layers: frozenset[str] = frozenset(LAYERS)
    renderer: str = "auto"
    words: bool = True
    views: bool = False


def draw_sheets(step: Step, viewpoints: Sequence[str], config: SheetConfig) -> Pictures:
    """One finished picture per viewpoint.

    A step in which nothing has a place gives one picture of its views, with a warning.

    Raises:
        ConfigError: unknown viewpoint, or a camera that is not there.
        EngineError: the asked renderer cannot draw.
    """
    scene = step.geometry()
    if scene.is_empty and step.snapshot.cameras:
        flat = contact_sheet(picture_steps(step), config.width)
        return Pictures((_with_words(flat, step, config),), "none", (FLAT_WARNING,))
    views = [make_viewpoint(name, scene, config.height, config.width) for name in viewpoints]
    drawn = render_pictures(scene.only(config.layers), views, renderer=config.renderer)
    return Pictures(
        tuple(_finished(image, step, config) for image in drawn.images),
        drawn.renderer,
        (*scene.warnings, *drawn.warnings),
    )


def draw_orbit(step: Step, count: int, config: SheetConfig) -> Pictures:
    """``count`` pictures once around the scene, words below each.

    Raises:
        ConfigError: nothing in the scene has a place in space.
        EngineError: the asked renderer cannot draw.
    """
    scene = step.geometry()
    views: list[Viewpoint] = orbit(scene, count, config.height, config.width)
    drawn = render_pictures(scene.only(config.layers), views, renderer=config.renderer)
    images = tuple(_with_words(image, step, config) for image in drawn.images)
    return Pictures(images, drawn.renderer, (*scene.warnings, *drawn.warnings))


def _finished(image: RgbImage, step: Step, config: SheetConfig) -> RgbImage:
    if config.views and step.snapshot.cameras:
        sheet = contact_sheet(picture_steps(step), config.width)
        image = np.concatenate([image, sheet], axis=0)
    return _with_words(image, step, config)


def _with_words(image: RgbImage, step: Step, config: SheetConfig) -> RgbImage:
    return add_caption(image, step.caption if config.words else Caption())


def contact_sheet(pictures: Sequence[RgbImage], width: int) -> RgbImage:
    """Pictures (H, W, 3) side by side in rows of equal height, together ``width`` pixels wide."""
    per_row = min(len(pictures), 4)
    cell_width = width // per_row
    rows = []
    for start in range(0, len(pictures), per_row):
        cells = [_fit(picture, cell_width) for picture in pictures[start : start + per_row]]
        tall = max(cell.shape[0] for cell in cells)
        row = np.empty((tall, width, 3), np.uint8)
        row[:] = PANEL
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
