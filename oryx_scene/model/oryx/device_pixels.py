"""Pictures on their way to the tower, on the device: the reference's resize in integers.

PIL resizes 8-bit pictures with integer taps: coefficients of 22 bits, one pass along each axis,
rounding and clamping to 8 bits after each (tested against Pillow, every bit).
The same sums in int32 give the same bytes on any device, so that a picture is copied there
once, as bytes, and both of its views are made there. On a CPU PIL itself is faster and used.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from oryx_scene.model.oryx.pixels import normalised_values
from oryx_scene.model.oryx.resample import vertical_first

# Sums of 8-bit values times these stay inside int32.
BITS = 22
SUPPORT = 2.0


def pixels_on_device(device: torch.device) -> bool:
    """Whether resizing and normalising on ``device`` is worth it."""
    return device.type != "cpu"


@dataclass(frozen=True)
class Taps:
    """Of one axis: which inputs each output is made of.

    Attributes:
        first: per output the first input.
        weights: (outputs, taps) int, 22 fractional bits, zero beyond an output's own taps.
    """

    first: tuple[int, ...]
    weights: tuple[tuple[int, ...], ...]


def bicubic(x: float) -> float:
    """The cubic convolution kernel with a = -1/2 (Keys 1981)."""
    x = abs(x)
    if x < 1.0:
        return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    if x < 2.0:
        return (((x - 5) * x + 8) * x - 4) * -0.5
    return 0.0


@functools.lru_cache(maxsize=256)
def make_taps(size: int, wanted: int) -> Taps:
    """Taps that take ``size`` pixels to ``wanted``; reductions widen the kernel (antialias)."""
    scale = size / wanted
    stretch = max(scale, 1.0)
    support = SUPPORT * stretch
    firsts: list[int] = []
    weights: list[list[int]] = []
    for index in range(wanted):
        centre = (index + 0.5) * scale
        first = max(0, int(centre - support + 0.5))
        last = min(size, int(centre + support + 0.5))
        own = [bicubic((x - centre + 0.5) * (1.0 / stretch)) for x in range(first, last)]
        total = sum_in_order(own)
        firsts.append(first)
        weights.append([_to_fixed(value / total if total else value) for value in own])
    longest = max(len(own) for own in weights)
    padded = tuple(tuple(own + [0] * (longest - len(own))) for own in weights)
    return Taps(tuple(firsts), padded)


def sum_in_order(values: list[float]) -> float:
    """One addition after the other; ``sum`` compensates rounding since Python 3.12."""
    total = 0.0
    for value in values:
        total += value
    return total


def _to_fixed(value: float) -> int:
    return int(math.copysign(0.5, value) + value * (1 << BITS))


def resize_on_device(rgb: Tensor, size: tuple[int, int]) -> Tensor:
    """`prompt.resample.resize`, bit for bit, on the device of ``rgb``.

    Args:
        rgb: (height, width, 3) uint8.
        size: wanted (height, width).

    Returns:
        (*size, 3) uint8.
    """
    axes = (0, 1) if vertical_first((rgb.shape[0], rgb.shape[1]), size) else (1, 0)
    for axis in axes:
        if rgb.shape[axis] != size[axis]:
            rgb = _pass(rgb, axis, size[axis])
    return rgb


def _pass(rgb: Tensor, axis: int, wanted: int) -> Tensor:
    size = rgb.shape[axis]
    taps = make_taps(size, wanted)
    first = torch.tensor(taps.first, device=rgb.device)
    weights = torch.tensor(taps.weights, dtype=torch.int32, device=rgb.device)
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    wide = rgb.to(torch.int32)
    total: Tensor | None = None
    for tap in range(weights.shape[1]):
        # Beyond an output's own taps the weight is zero, whatever pixel stands there.
        pixels = wide.index_select(axis, (first + tap).clamp_max(size - 1))
        part = pixels * weights[:, tap].view(shape)
        total = part if total is None else total.add_(part)
    assert total is not None
    return ((total + (1 << (BITS - 1))) >> BITS).clamp_(0, 255).to(torch.uint8)


def normalise_on_device(rgb: Tensor) -> Tensor:
    """`pixels.normalise` on the device of ``rgb``: (H, W, 3) uint8 -> (3, H, W) float32."""
    values = normalised_values(rgb.device)
    return values[rgb.int()].permute(2, 0, 1).contiguous()
