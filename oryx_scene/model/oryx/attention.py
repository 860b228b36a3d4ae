"""Packed variable-length attention: several pictures in one sequence, none sees another.

The only module that knows attention kernels. `packed_attention` takes the best backend that works
on the device; `reference_attention` is the plain loop that tests compare the others with.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

BACKENDS = ("flash", "varlen", "grouped", "reference")


def reference_attention(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """One picture after the other, softmax written out.

    Args:
        q, k, v: (tokens, heads, head_dim), the pictures one after the other.
        lengths: tokens of each picture; they sum to ``tokens``.

    Returns:
        (tokens, heads, head_dim).
    """
    outputs = []
    scale = q.shape[-1] ** -0.5
    for one_q, one_k, one_v in zip(*(x.split(list(lengths)) for x in (q, k, v)), strict=True):
        scores = torch.einsum("qhd,khd->hqk", one_q, one_k).float() * scale
        weights = scores.softmax(dim=-1).to(one_v.dtype)
        outputs.append(torch.einsum("hqk,khd->qhd", weights, one_v))
    return torch.cat(outputs)


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """SDPA over pictures of equal length as one batch; shapes as in :func:`reference_attention`."""
    if len(set(lengths)) == 1:
        return _batched(q, k, v, len(lengths))
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(length, []).append(index)
    out = torch.empty_like(q)
    for members in groups.values():
        spans = [slice(starts[index], starts[index + 1]) for index in members]
        packed = [torch.cat([x[span] for span in spans]) for x in (q, k, v)]
        found = _batched(packed[0], packed[1], packed[2], len(members))
        for span, piece in zip(spans, found.chunk(len(members)), strict=True):
            out[span] = piece
    return out


def _batched(q: Tensor, k: Tensor, v: Tensor, count: int) -> Tensor:
    # (count * length, heads, dim) -> (count, heads, length, dim)
    batched = [x.unflatten(0, (count, -1)).transpose(1, 2) for x in (q, k, v)]
    out = F.scaled_dot_product_attention(batched[0], batched[1], batched[2])
    return out.transpose(1, 2).flatten(0, 1)


@functools.lru_cache(maxsize=8)
def _cu_seqlens(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Copied to the device once for all layers of a pass: a copy waits for the device."""
    # Training may find here what inference made, and could not use a tensor of that mode.
    with torch.inference_mode(False):
        total = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        return total.to(device)


def flash_attention(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """flash-attn's kernel (CUDA, float16 or bfloat16); shapes as in :func:`reference_attention`."""
    from flash_attn import flash_attn_varlen_func

    ends = _cu_seqlens(tuple(lengths), q.device)
    longest = max(lengths)
    out: Tensor = flash_attn_varlen_func(q, k, v, ends, ends, longest, longest)
    return out


def varlen_attention(q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int]) -> Tensor:
    """torch's own kernel (CUDA); shapes as in :func:`reference_attention`."""
    from torch.nn.attention.varlen import varlen_attn

    ends = _cu_seqlens(tuple(lengths), q.device)
    longest = max(lengths)
    out = varlen_attn(q, k, v, ends, ends, longest, longest)
    assert isinstance(out, Tensor)
    return out


_FUNCTIONS: dict[str, Callable[[Tensor, Tensor, Tensor, Sequence[int]], Tensor]] = {
    "flash": flash_attention,
    "varlen": varlen_attention,
    "grouped": grouped_attention,
    "reference": reference_attention,
}


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@functools.cache
def choose_backend(device_type: str, dtype: torch.dtype, head_dim: int) -> str:
    """The first backend that is installed and survives a real launch on this device.

    Args:
        device_type: "cpu" or "cuda".
        dtype: of queries, keys and values.
        head_dim: width of one head; kernels differ in what they take.
    """
    if device_type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return "grouped"
    for name, module in (("flash", "flash_attn"), ("varlen", "torch.nn.attention.varlen")):
        if _importable(module) and _launches(name, device_type, dtype, head_dim):
            return name
    return "grouped"


def _launches(name: str, device_type: str, dtype: torch.dtype, head_dim: int) -> bool:
    """A wheel may lack the kernel of this very GPU; only a launch tells."""
    probe = torch.ones(32, 2, head_dim, device=device_type, dtype=dtype)
    try:
        out = _FUNCTIONS[name](probe, probe, probe, (16, 16))
        return bool(torch.isfinite(out.float()).all())
    except (RuntimeError, ImportError, ValueError, TypeError, AssertionError):
        return False


def packed_attention(
    q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int], backend: str | None = None
) -> Tensor:
    """Attention within each picture of a packed sequence.

    Args:
        q, k, v: (tokens, heads, head_dim).
        lengths: tokens of each picture.
        backend: one of ``BACKENDS``; None chooses.
    """
    name = backend or choose_backend(q.device.type, q.dtype, q.shape[-1])
    return _FUNCTIONS[name](q, k, v, lengths)
