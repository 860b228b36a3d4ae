"""Weights of the language model in 8 or 4 bits: what is stored, and how it is laid out.

A group of 32 inputs of one output shares a scale, and in 4 bits an offset: w = c scale (+ offset),
c from -127 to 127 or from -8 to 7, as in llama.cpp's Q8_0 and Q4_1. Scales and offsets are
bfloat16, and codes are counted in what is stored. Tensors only, no modules.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 32
# Outputs that lie side by side, so that one vector of a CPU holds a number of each.
TILE = 16
# Outputs that are quantised or unpacked at a time.
PIECE = 1024


def quantise(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """(outputs, inputs) floats -> int8 codes of that shape, bfloat16 (outputs, groups, 1 or 2).

    The last axis holds the scale and, of 4 bits, the offset.
    """
    pieces = [_quantised(piece.float(), bits) for piece in weight.split(PIECE)]
    codes, scales = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    return codes, scales


def _quantised(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    groups = weight.unflatten(1, (-1, GROUP))
    if bits == 8:
        scale = _stored(groups.abs().amax(2, keepdim=True).clamp_min(1e-12) / 127)
        codes = (groups / scale).round().clamp(-127, 127)
        return codes.to(torch.int8).flatten(1), scale.bfloat16()
    low, high = groups.aminmax(dim=2, keepdim=True)
    scale = _stored((high - low).clamp_min(1e-12) / 15)
    offset = _stored(low + 8 * scale)
    codes = ((groups - offset) / scale).round().clamp(-8, 7)
    return codes.to(torch.int8).flatten(1), torch.cat((scale, offset), 2).bfloat16()


def _stored(value: Tensor) -> Tensor:
    return value.bfloat16().float()


def dequantise(codes: Tensor, scales: Tensor) -> Tensor:
    """What :func:`quantise` kept, in float32."""
    wide = codes.float().unflatten(1, (-1, GROUP)) * scales[..., :1].float()
    whole: Tensor = (wide + scales[..., 1:].float() if scales.shape[2] > 1 else wide).flatten(1)
    return whole


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes as int32 (tiles of 16 outputs, inputs * bits / 32, 16); missing outputs are zeros.

    A word holds neighbouring codes of one output in pairs: the first of each pair in its low half,
    the second in its high half, so that a shift lays pairs side by side.
    """
    padded = torch.nn.functional.pad(codes, (0, 0, 0, -codes.shape[0] % TILE))
    count = 32 // bits
    words = torch.zeros_like(padded[:, ::count], dtype=torch.int32)
    for index in range(count):
        words |= (padded[:, index::count].int() & (2**bits - 1)) << _shift(index, bits)
    packed: Tensor = words.unflatten(0, (-1, TILE)).transpose(1, 2).contiguous()
    return packed


def unpack(packed: Tensor, bits: int) -> Tensor:
    """The int8 codes of :func:`pack`, outputs that were missing included."""
    words = packed.transpose(1, 2).flatten(0, 1)
    codes = [
        (words << (32 - bits - _shift(index, bits))) >> (32 - bits) for index in range(32 // bits)
    ]
    return torch.stack(codes, 2).to(torch.int8).flatten(1)


def _shift(index: int, bits: int) -> int:
    return index // 2 * bits + index % 2 * 16


def pack_scales(scales: Tensor) -> Tensor:
    """(outputs, groups, k) -> (tiles, groups, k, 16), in the order that a kernel reads it."""
    padded = torch.nn.functional.pad(scales, (0, 0, 0, 0, 0, -scales.shape[0] % TILE))
    packed: Tensor = padded.unflatten(0, (-1, TILE)).permute(0, 2, 3, 1).contiguous()
    return packed


def unpack_scales(packed: Tensor) -> Tensor:
    """What :func:`pack_scales` was given, outputs that were missing included."""
    return packed.permute(0, 3, 1, 2).flatten(0, 1)
