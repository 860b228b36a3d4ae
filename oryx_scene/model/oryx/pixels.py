"""uint8 pictures to the float tensors that the vision tower takes, bit for bit as the reference."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from oryx_scene.records import RgbImage


def _normalised_values() -> Tensor:
    # 256 values: the product is taken in double precision, the rest in single, as SigLIP's
    # processor does; any other order differs in the last bit.
    scaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
    half = np.float32(0.5)
    return torch.from_numpy((scaled - half) / half)


_VALUES = _normalised_values()


@functools.cache
def normalised_values(device: torch.device) -> Tensor:
    """The normalised value of each of the 256 bytes, on ``device``: (256,) float32."""
    return _VALUES.to(device)


def normalise(rgb: RgbImage) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32 in [-1, 1]."""
    index = torch.from_numpy(np.ascontiguousarray(rgb)).long()
    return _VALUES[index].permute(2, 0, 1).contiguous()


def normalise_batch(rgb: Tensor) -> Tensor:
    """(n, H, W, 3) uint8 on any device -> (n, 3, H, W) float32 there, the bits of `normalise`."""
    return normalised_values(rgb.device)[rgb.long()].permute(0, 3, 1, 2).contiguous()
