"""Sizes and token counts as pure integers: what the reference resize gives, and what it costs.

The rules of the original code, kept exactly because the weights were trained with them: a picture
is scaled only when its area leaves [min, max], then each side is floored to a multiple. Nothing
here touches a pixel. (height, width) throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from oryx_scene.errors import BudgetError
from oryx_scene.model.api import Stride

PATCH = 16
# The reference enlarges pictures whose short side is below this before anything else.
TINY_SIDE, TINY_TARGET = 32, 64


@dataclass(frozen=True)
class ResizeSettings:
    """The reference's resize settings; the defaults are those of its evaluation scripts.

    Attributes:
        low_base, low_multiple: LOWRES_RESIZE, area side and multiple of the coarse view, pixels.
        high_base, high_multiple: HIGHRES_BASE; base 0 = keep the area within [min, max].
        video_base, video_multiple: VIDEO_RESIZE; video_long doubles the multiple.
        max_side, min_side: MAXRES, MINRES, sides of the squares that bound an image's area.
        video_max_side, video_min_side: VIDEO_MAXRES, VIDEO_MINRES.
        pad: PAD2STRIDE, a picture that needs no scaling is padded up instead of floored.
        low_square: without LOWRES_RESIZE the coarse view is 384x384, aspect ratio lost.
        high_kept: without HIGHRES_BASE the fine view keeps the raw size.
    """

    low_base: int = 384
    low_multiple: int = 32
    high_base: int = 0
    high_multiple: int = 32
    video_base: int = 0
    video_multiple: int = 64
    max_side: int = 1536
    min_side: int = 0
    video_max_side: int = 480
    video_min_side: int = 288
    pad: bool = False
    low_square: bool = False
    high_kept: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ResizeSettings:
        """Read the settings as the reference writes them ("384x32").

        An absent key means what it means there, oddities included: without VIDEO_MAXRES the bound
        is 1536, and without VIDEO_MINRES it is MINRES that falls back to 0.

        Raises:
            BudgetError: a value that is no size.
        """
        default = cls()
        low = _pair(env, "LOWRES_RESIZE", (default.low_base, default.low_multiple))
        high = _pair(env, "HIGHRES_BASE", (default.high_base, default.high_multiple))
        video = _pair(env, "VIDEO_RESIZE", (default.video_base, default.video_multiple))
        return cls(
            *low,
            *high,
            *video,
            max_side=_whole(env, "MAXRES", default.max_side),
            min_side=_whole(env, "MINRES", 0) if "VIDEO_MINRES" in env else 0,
            video_max_side=_whole(env, "VIDEO_MAXRES", 1536),
            video_min_side=_whole(env, "VIDEO_MINRES", default.video_min_side),
            # The reference tests presence, not value.
            pad="PAD2STRIDE" in env,
            low_square="LOWRES_RESIZE" not in env,
            high_kept="HIGHRES_BASE" not in env,
        )


@dataclass(frozen=True)
class SizeStep:
    """One reference resize: the new size, and whether it is reached by padding."""

    height: int
    width: int
    padded: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


def _whole(env: Mapping[str, str], key: str, default: int) -> int:
    try:
        return int(env.get(key, default))
    except ValueError as err:
        raise BudgetError(f"resize setting {key} is '{env[key]}', a number was expected.") from err


def _pair(env: Mapping[str, str], key: str, default: tuple[int, int]) -> tuple[int, int]:
    text = env.get(key)
    if text is None:
        return default
    base, _, multiple = str(text).partition("x")
    try:
        return int(base), int(multiple)
    except ValueError as err:
        raise BudgetError(f"resize setting {key} is '{text}'; '384x32' was expected.") from err


def _scale(height: int, width: int, base: int, bounds: tuple[int, int]) -> float | None:
    """The reference's scale, None where the area already lies within the bounds."""
    area = height * width
    low, high = bounds
    # The order of the float operations decides ties and is kept.
    if base:
        return math.sqrt(base * base / area)
    if area > high * high:
        return math.sqrt(high * high / area)
    if area < low * low:
        return math.sqrt(low * low / area)
    return None


def _scaled(
    height: int, width: int, multiple: int, base: int, bounds: tuple[int, int], pad: bool
) -> SizeStep:
    scale = _scale(height, width, base, bounds)
    if scale is None and pad:
        return SizeStep(-(-height // multiple) * multiple, -(-width // multiple) * multiple, True)
    factor = 1.0 if scale is None else scale
    rows = int(height * factor / multiple) * multiple
    columns = int(width * factor / multiple) * multiple
    if min(rows, columns) < multiple:
        raise BudgetError(
            f"a picture of {width}x{height} pixels has no side left after flooring to multiples "
            f"of {multiple} (got {columns}x{rows}).",
            hint="crop or pad the picture to a less extreme aspect ratio",
        )
    return SizeStep(rows, columns)


def enlarged_size(height: int, width: int) -> tuple[int, int]:
    """Size after the reference's first step: a short side under 32 px becomes 64 px."""
    short = min(height, width)
    if short < 1:
        raise BudgetError(f"a picture of {width}x{height} pixels is empty.")
    if short >= TINY_SIDE:
        return height, width
    ratio = TINY_TARGET / short
    return int(height * ratio), int(width * ratio)


def high_step(height: int, width: int, settings: ResizeSettings) -> SizeStep:
    """An image's fine view, from the size after :func:`enlarged_size`."""
    if settings.high_kept:
        return SizeStep(height, width)
    bounds = (settings.min_side, settings.max_side)
    return _scaled(height, width, settings.high_multiple, settings.high_base, bounds, settings.pad)


def low_step(height: int, width: int, settings: ResizeSettings) -> SizeStep:
    """The coarse view of an image whose FINE view is ``height`` x ``width``."""
    if settings.low_square:
        return SizeStep(384, 384)
    bounds = (settings.min_side, settings.max_side)
    return _scaled(height, width, settings.low_multiple, settings.low_base, bounds, settings.pad)


def low_size(height: int, width: int, settings: ResizeSettings) -> tuple[int, int]:
    """(height, width) of :func:`low_step`."""
    return low_step(height, width, settings).size


def image_sizes(
    height: int, width: int, settings: ResizeSettings
) -> tuple[tuple[int, int], tuple[int, int]]:
    """(fine, coarse) sizes of a raw image of ``height`` x ``width``."""
    fine = high_step(*enlarged_size(height, width), settings)
    return fine.size, low_size(*fine.size, settings)


def video_step(height: int, width: int, stride: Stride, settings: ResizeSettings) -> SizeStep:
    """A raw video frame; 16x needs sides that are multiples of twice as much."""
    if min(height, width) < 1:
        raise BudgetError(f"a picture of {width}x{height} pixels is empty.")
    multiple = settings.video_multiple * (2 if stride is Stride.VIDEO_LONG else 1)
    bounds = (settings.video_min_side, settings.video_max_side)
    return _scaled(height, width, multiple, settings.video_base, bounds, settings.pad)


def video_size(
    height: int, width: int, stride: Stride, settings: ResizeSettings
) -> tuple[int, int]:
    """(height, width) of :func:`video_step`."""
    return video_step(height, width, stride, settings).size


def patch_grid(height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of 16 px patches.

    Raises:
        BudgetError: a side that is no multiple of 16.
    """
    if height < PATCH or width < PATCH or height % PATCH or width % PATCH:
        raise BudgetError(f"a prepared picture must be a multiple of 16 px, got {width}x{height}.")
    return height // PATCH, width // PATCH


def pooled_grid(height: int, width: int, stride: Stride) -> tuple[int, int]:
    """(rows, columns) of visual tokens after pooling.

    Raises:
        BudgetError: a side that does not divide by 16 * stride.
    """
    rows, columns = patch_grid(height, width)
    if rows % stride or columns % stride:
        raise BudgetError(
            f"a picture of {width}x{height} pixels does not divide by {PATCH * stride} px, as "
            f"{stride.compression}x compression needs.",
            hint=f"resize to multiples of {PATCH * stride} px",
        )
    return rows // stride, columns // stride


def image_tokens(high: tuple[int, int], low: tuple[int, int]) -> int:
    """Visual tokens of one two-view image with the given prepared (height, width)."""
    high_rows, high_columns = pooled_grid(*high, Stride.IMAGE)
    low_rows, low_columns = pooled_grid(*low, Stride.IMAGE)
    return low_rows * (low_columns + 1) + 1 + high_rows * (high_columns + 1) + 2


def video_tokens(frames: int, height: int, width: int, stride: Stride) -> int:
    """Visual tokens of one video of ``frames`` prepared frames of equal size."""
    if frames < 1:
        raise BudgetError("a video needs at least one frame.")
    rows, columns = pooled_grid(height, width, stride)
    return frames * (rows * (columns + 1) + 1) + 2
