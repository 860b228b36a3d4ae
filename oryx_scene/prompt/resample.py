"""The reference's picture preparation, bit for bit: PIL bicubic resize and the two views.

PIL counts (width, height); arrays here are (height, width, 3) uint8. Normalisation is the model's
(see model/pixels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from oryx_scene.answerer import Stride
from oryx_scene.frames import RgbImage
from oryx_scene.prompt.sizes import (
    ResizeSettings,
    enlarged_size,
    high_size,
    low_size,
    video_size,
)


@dataclass(frozen=True, eq=False)
class TwoViews:
    """Fine and coarse view of one image, uint8 (H, W, 3)."""

    high: RgbImage
    low: RgbImage


def resize(rgb: RgbImage, size: tuple[int, int]) -> RgbImage:
    """PIL's bicubic resize of (H, W, 3) uint8 to ``size`` = (height, width)."""
    height, width = size
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    return np.array(picture.resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)


def coarse_view(high: RgbImage, size: tuple[int, int]) -> RgbImage:
    """The coarse view is resized from the fine one, never from the raw picture."""
    return resize(high, size)


def prepare_image(rgb: RgbImage, settings: ResizeSettings) -> TwoViews:
    """Both views of a raw image.

    Raises:
        BudgetError: the picture has no side left after flooring.
    """
    size = (rgb.shape[0], rgb.shape[1])
    enlarged = enlarged_size(*size)
    if enlarged != size:
        rgb = resize(rgb, enlarged)
    fine = high_size(*enlarged, settings)
    coarse = low_size(*fine, settings)
    high = resize(rgb, fine)
    return TwoViews(high, coarse_view(high, coarse))


def prepare_video_frame(rgb: RgbImage, stride: Stride, settings: ResizeSettings) -> RgbImage:
    """One frame of a video.

    Raises:
        BudgetError: the picture has no side left after flooring.
    """
    return resize(rgb, video_size(rgb.shape[0], rgb.shape[1], stride, settings))
