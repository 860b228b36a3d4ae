"""Weights of the language model in 8 or 4 bits: the arithmetic, and which kernels work here.

int8: one scale per output, symmetric. int4: one scale and one offset per output and group of
inputs, w = (q - 8) scale + offset, the form that torch's int4 kernels take.
Whether a kernel works is found out by a real launch whose result is compared with unpacked weights;
a wheel may lack the kernel of this very device. Tensors only, no modules.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

GROUPS = (128, 64, 32)
# Rows of a weight that are turned to float32 at a time.
PIECE = 1024
# More rows than this are faster as one dense product over unpacked weights.
MOST_ROWS = 32


def group_of(inputs: int) -> int:
    """Inputs that share a scale of int4, 0 where no group divides them."""
    return next((group for group in GROUPS if inputs % group == 0), 0)


def quantise_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(outputs, inputs) float -> int8 of that shape and (outputs,) scales in the weight's dtype."""
    codes = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    scales = torch.empty(weight.shape[0], dtype=weight.dtype, device=weight.device)
    for start in range(0, weight.shape[0], PIECE):
        piece = weight[start : start + PIECE].float()
        # The scale that is stored is the one that codes are counted in.
        scale = (piece.abs().amax(1).clamp_min(1e-12) / 127).to(weight.dtype)
        scales[start : start + PIECE] = scale
        counted = (piece / scale.float()[:, None]).round().clamp(-127, 127)
        codes[start : start + PIECE] = counted.to(torch.int8)
    return codes, scales


def dequantise_int8(codes: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """The weights that :func:`quantise_int8` kept."""
    found: Tensor = (codes.float() * scales.float()[:, None]).to(dtype)
    return found


def quantise_int4(weight: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """(outputs, inputs) float -> codes 0..15 (uint8) and (inputs / group, outputs, 2) in its dtype.

    The last axis holds scale and offset.
    """
    outputs, inputs = weight.shape
    codes = torch.empty(weight.shape, dtype=torch.uint8, device=weight.device)
    shape = (inputs // group, outputs, 2)
    scales = torch.empty(shape, dtype=weight.dtype, device=weight.device)
    for start in range(0, outputs, PIECE):
        piece = weight[start : start + PIECE].float().unflatten(1, (-1, group))
        low, high = piece.amin(2), piece.amax(2)
        scale = ((high - low).clamp_min(1e-12) / 15).to(weight.dtype).float()
        offset = (low + 8 * scale).to(weight.dtype).float()
        counted = ((piece - offset[..., None]) / scale[..., None]).round() + 8
        codes[start : start + PIECE] = counted.clamp(0, 15).to(torch.uint8).flatten(1)
        scales[:, start : start + PIECE] = torch.stack((scale, offset), 2).transpose(0, 1)
    return codes, scales


def dequantise_int4(codes: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """The weights that :func:`quantise_int4` kept."""
    by_output = scales.transpose(0, 1).float()
    groups = codes.float().unflatten(1, (by_output.shape[1], -1)) - 8
    found: Tensor = (groups * by_output[..., :1] + by_output[..., 1:]).flatten(1).to(dtype)
    return found


def to_nibbles(codes: Tensor) -> Tensor:
    """(outputs, inputs) codes -> (outputs, inputs / 2), the even input in the high half."""
    return (codes[:, ::2] << 4) | codes[:, 1::2]


def from_nibbles(packed: Tensor) -> Tensor:
    """What :func:`to_nibbles` packed."""
    return torch.stack((packed >> 4, packed & 15), 2).flatten(1)


def int8_product(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """torch's kernel: x (rows, inputs) times the weights' transpose."""
    found: Tensor = torch._weight_int8pack_mm(x, codes, scales)
    return found


def pack_int4(codes: Tensor) -> Tensor:
    """Codes in the layout of torch's int4 kernel on their device."""
    if codes.device.type == "cpu":
        return torch._convert_weight_to_int4pack_for_cpu(codes.int(), 1)
    return torch._convert_weight_to_int4pack(to_nibbles(codes), 8)


def int4_product(x: Tensor, packed: Tensor, group: int, scales: Tensor) -> Tensor:
    """torch's kernel: x (rows, inputs) times the weights' transpose."""
    if x.device.type == "cpu":
        return torch._weight_int4pack_mm_for_cpu(x, packed, group, scales)
    return torch._weight_int4pack_mm(x, packed, group, scales)


@functools.cache
def kernel_works(kind: str, device_type: str, dtype: torch.dtype) -> bool:
    """Whether the kernel of "int8" or "int4" computes what unpacked weights do.

    float32 has kernels on a CPU that are slower than unpacking (measured), so they are not used.
    """
    if dtype is torch.float32 or (device_type == "cuda" and dtype is not torch.bfloat16):
        return False
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 256, generator=generator).to(device_type, dtype)
    x = torch.randn(3, 256, generator=generator).to(device_type, dtype)
    try:
        if kind == "int8":
            codes, scales = quantise_int8(weight)
            found = int8_product(x, codes, scales)
            wanted = x.float() @ dequantise_int8(codes, scales, torch.float32).T
        else:
            codes, scales = quantise_int4(weight, 128)
            found = int4_product(x, pack_int4(codes), 128, scales)
            wanted = x.float() @ dequantise_int4(codes, scales, torch.float32).T
    except (RuntimeError, AttributeError, TypeError):
        return False
    error = (found.float() - wanted).norm() / wanted.norm()
    return bool(error < 0.02)


@functools.cache
def dense_dtype(device_type: str, dtype: torch.dtype) -> torch.dtype:
    """In what dense products are fast here: float32 where a CPU has no bfloat16."""
    if device_type == "cuda" or dtype is not torch.bfloat16:
        return dtype
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return dtype if probe is not None and probe() else torch.float32
