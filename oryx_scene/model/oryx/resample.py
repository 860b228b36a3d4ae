"""The reference's picture preparation, bit for bit: PIL bicubic resize and the two views.

PIL counts (width, height); arrays here are (height, width, 3) uint8. Normalisation is the model's
(see model/pixels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from oryx_scene.model.api import Stride
from oryx_scene.model.sizes import (
    ResizeSettings,
    SizeStep,
    enlarged_size,
    high_step,
    low_step,
    video_step,
)
from oryx_scene.records import RgbImage

# What PAD2STRIDE fills with.
REFERENCE_PADDING = 127


@dataclass(frozen=True, eq=False)
class TwoViews:
    """Fine and coarse view of one image, uint8 (H, W, 3)."""

    high: RgbImage
    low: RgbImage


def vertical_first(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether rows are resampled before columns; sizes are (height, width).

    Each pass rounds to 8 bits, so their order shows in the last bit. Pillow before 13 always began
    with the columns' pass; since 13 it begins with the rows where that is the larger reduction. The
    golden values were made with Pillow 13; its rule was found by trying and holds for every version
    here.
    """
    fewer_rows, fewer_columns = size[0] - wanted[0], size[1] - wanted[1]
    return fewer_rows > 0 and fewer_rows > 2 * fewer_columns


def resize(rgb: RgbImage, size: tuple[int, int]) -> RgbImage:
    """PIL's bicubic resize of (H, W, 3) uint8 to ``size`` = (height, width), in two passes."""
    height, width = size
    between = (
        (height, rgb.shape[1]) if vertical_first(rgb.shape[:2], size) else (rgb.shape[0], width)
    )
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    for rows, columns in (between, size):
        picture = picture.resize((columns, rows), Image.Resampling.BICUBIC)
    return np.array(picture, dtype=np.uint8)


def apply_step(rgb: RgbImage, step: SizeStep) -> RgbImage:
    """Resize, or pad around the centre, as ``step`` says."""
    if not step.padded:
        return resize(rgb, step.size)
    out = np.full((step.height, step.width, 3), REFERENCE_PADDING, dtype=np.uint8)
    top, left = (step.height - rgb.shape[0]) // 2, (step.width - rgb.shape[1]) // 2
    out[top : top + rgb.shape[0], left : left + rgb.shape[1]] = rgb
    return out


def prepare_image(rgb: RgbImage, settings: ResizeSettings) -> TwoViews:
    """Both views of a raw image; the coarse one is made from the fine one.

    Raises:
        BudgetError: the picture has no side left after flooring.
    """
    size = (rgb.shape[0], rgb.shape[1])
    enlarged = enlarged_size(*size)
    if enlarged != size:
        rgb = resize(rgb, enlarged)
    fine = high_step(*enlarged, settings)
    high = apply_step(rgb, fine)
    return TwoViews(high, apply_step(high, low_step(*fine.size, settings)))


def prepare_video_frame(rgb: RgbImage, stride: Stride, settings: ResizeSettings) -> RgbImage:
    """One frame of a video.

    Raises:
        BudgetError: the picture has no side left after flooring.
    """
    return apply_step(rgb, video_step(rgb.shape[0], rgb.shape[1], stride, settings))
